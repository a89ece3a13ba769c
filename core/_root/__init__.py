"""Domain-generative modeling for graphs, time series and geometry."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorefield.core.comparison import compare as compare
    from scorefield.core.errors import InputError as InputError
    from scorefield.core.fitting import fit as fit
    from scorefield.core.model import load as load

__version__ = "0.1.0"

# Public name -> its module, imported on first use: the program's help and version need none of them.
_MODULES = {
    "InputError": "scorefield.core.errors",
    "compare": "scorefield.core.comparison",
    "fit": "scorefield.core.fitting",
    "load": "scorefield.core.model",
}

__all__ = ["InputError", "__version__", "compare", "fit", "load"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
