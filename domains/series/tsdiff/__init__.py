"""TSDiff: one diffusion model of a panel of series that forecasts, imputes, refines and synthesises."""

from scorefield.domains.series.tsdiff.recipe import TSDiff

__all__ = ["TSDiff"]
