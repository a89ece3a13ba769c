"""Configurations of time series."""
