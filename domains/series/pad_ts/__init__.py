"""PaD-TS: population-aware diffusion of multivariate time series."""

from scorefield.domains.series.pad_ts.recipe import PaDTS

__all__ = ["PaDTS"]
