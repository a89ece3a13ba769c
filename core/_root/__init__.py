"""Domain-generative modeling for graphs, time series and geometry."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
