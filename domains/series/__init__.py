"""Multivariate time series."""

from scorefield.domains.series.domain import SeriesDomain

__all__ = ["SeriesDomain"]
