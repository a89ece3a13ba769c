"""Multivariate time series."""


class SeriesDomain: ...


__all__ = ["SeriesDomain"]
