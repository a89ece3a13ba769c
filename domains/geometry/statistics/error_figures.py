"""The figure of errors against the horizon: how far forecasts are from the truth at each frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR, svg_text
from scorefield.domains.geometry.statistics.errors import DisplacementScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_errors", "errors_svg"]

_SHADES = (REAL_COLOUR, "#8a9aa5", "#b9c2c9")


def errors_svg(
    scores: DisplacementScores,
    others: Mapping[str, DisplacementScores] | None = None,
    *,
    dt: float = 1.0,
    unit: str = "",
    name: str = "model",
) -> str:
    """Mean error at each frame, and that of the best sample there, as SVG.

    Args:
        scores: of the model; frames that were given have no error.
        others: those of baselines, by their name.
        dt: time between frames.
        unit: of lengths.
        name: of the model.
    """
    canvas = Canvas(figsize=(7.0, 3.4), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    draw_errors(canvas.subplots(), scores, others, dt=dt, unit=unit, name=name)
    return svg_text(canvas)


def draw_errors(
    axis: Axes,
    scores: DisplacementScores,
    others: Mapping[str, DisplacementScores] | None = None,
    *,
    dt: float = 1.0,
    unit: str = "",
    name: str = "model",
) -> None:
    """The same on axes of a larger figure; arguments as of `errors_svg`."""
    times = dt * np.arange(scores.frames.shape[1])
    for (label, other), colour in zip((others or {}).items(), _SHADES, strict=False):
        axis.plot(times, other.frames[0], color=colour, linewidth=1.2, marker=".", markersize=4, label=label)
    axis.plot(times, scores.frames[0], color=GENERATED_COLOUR, linewidth=1.7, marker=".", label=f"{name}, mean")
    if len(scores.ade) > 1:
        best = f"{name}, best of {len(scores.ade)} at each frame"
        axis.plot(times, scores.frames[1], color=GENERATED_COLOUR, linewidth=1.2, linestyle=(0, (3, 2)), label=best)
    for first, last in _given(np.isnan(scores.frames[0])):
        axis.axvspan(dt * (first - 0.5), dt * (last + 0.5), color="#eceef0", linewidth=0, zorder=0)
    axis.set_xlim(dt * -0.5, times[-1] + 0.5 * dt)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("time (shaded: given)" if np.isnan(scores.frames[0]).any() else "time", fontsize=8)
    axis.set_title(f"Mean distance to the truth{f', {unit}' if unit else ''}", fontsize=10, loc="left")
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)


def _given(missing: np.ndarray) -> list[tuple[int, int]]:
    """First and last frame of each run of frames without an error."""
    padded = np.concatenate([[0], missing.astype(np.int8), [0]])
    starts, ends = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
    return [(int(start), int(end) - 1) for start, end in zip(starts, ends, strict=True)]
