"""Two figures of forecasts against the truth: whether they are calibrated, and how they fare along the horizon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR, svg_text
from scorefield.domains.series.statistics.forecasting import ForecastScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["forecast_svg"]

_SHADES = (REAL_COLOUR, "#8a9aa5", "#b9c2c9")


def forecast_svg(scores: ForecastScores, others: Mapping[str, ForecastScores] | None = None) -> str:
    """Where truth lies among the samples, and CRPS at each step, as SVG.

    Args:
        scores: of the forecasts.
        others: those of other forecasts of the same, by their name, for the second figure.
    """
    spacing = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.04)
    canvas = Canvas(figsize=(10.5, 2.9), layout=spacing)
    left, right = canvas.subplots(1, 2)
    _histogram(left, scores)
    _horizon(right, scores, others or {})
    for axis in (left, right):
        axis.tick_params(labelsize=8, length=3)
        axis.spines[["top", "right"]].set_visible(False)
    return svg_text(canvas)


def _histogram(axis: Axes, scores: ForecastScores) -> None:
    """Shares of true values in each tenth of the samples; even where forecasts are calibrated."""
    bins, total = len(scores.histogram), max(int(scores.histogram.sum()), 1)
    edges = np.linspace(0, 1, bins + 1)
    axis.bar(edges[:-1], scores.histogram / total, 1 / bins, align="edge", color=GENERATED_COLOUR, alpha=0.5)
    axis.axhline(1 / bins, color="black", linewidth=0.9, linestyle=(0, (4, 3)))
    axis.set_xlim(0, 1)
    axis.set_xlabel("rank of the truth among the samples", fontsize=8)
    axis.set_title("Share of true values (dashed: calibrated)", fontsize=10, loc="left")


def _horizon(axis: Axes, scores: ForecastScores, others: Mapping[str, ForecastScores]) -> None:
    steps = np.arange(1, len(scores.horizon()) + 1)
    marker = "." if len(steps) < 3 else None
    for (name, other), colour in zip(others.items(), _SHADES, strict=False):
        axis.plot(steps, other.horizon(), color=colour, linewidth=1.2, marker=marker, label=name)
    axis.plot(steps, scores.horizon(), color=GENERATED_COLOUR, linewidth=1.6, marker=marker, label="forecast")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("step of the forecast", fontsize=8)
    axis.set_title("CRPS over the size of the truth, by step", fontsize=10, loc="left")
    if others:
        axis.legend(fontsize=8, frameon=False)
