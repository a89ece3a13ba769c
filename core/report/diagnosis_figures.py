"""Figures of a diagnosis: errors against evaluations, residual and asymmetry over time, local dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from scorefield.core.diagnostics.text import by_solver
from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scorefield.core.diagnostics.conservativity import Asymmetry
    from scorefield.core.diagnostics.diagnosis import Dimensions
    from scorefield.core.diagnostics.endpoints import Endpoint, Endpoints
    from scorefield.core.diagnostics.residual import Residual

__all__ = ["asymmetry_svg", "dimensions_svg", "endpoints_svg", "residual_svg"]

_COLOURS = [
    "#c2571a",
    "#2f6690",
    "#3a7d44",
    "#8e4585",
    "#b58900",
    "#5b6770",
    "#d1495b",
    "#00798c",
    "#66a182",
    "#4b3f72",
]
_MARKERS = "osD^v<>PX*"


def _canvas(width: float, height: float) -> Canvas:
    return Canvas(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def _tidy(axis: Axes, across: str, up: str) -> None:
    axis.set_xlabel(across, fontsize=9)
    axis.set_ylabel(up, fontsize=9)
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, which="major", color="#eceef0", linewidth=0.8)
    axis.set_axisbelow(True)


def endpoints_svg(endpoints: Endpoints) -> str:
    """Error against evaluations, both logarithmic: over all samples, and of the sample in the middle."""
    canvas = _canvas(10.5, 4.2)
    left, right = canvas.subplots(1, 2, sharey=True)
    solvers = by_solver(endpoints)
    _errors(left, solvers, [[row.error for row in runs] for runs in solvers.values()], endpoints.reference_error)
    _errors(right, solvers, [[row.median for row in runs] for runs in solvers.values()], endpoints.reference_median)
    left.set_title("all samples", fontsize=10, loc="left")
    right.set_title("the sample in the middle", fontsize=10, loc="left")
    right.set_ylabel("")
    handles, labels = left.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return svg_text(canvas)


def _errors(
    axis: Axes, solvers: Mapping[str, Sequence[Endpoint]], errors: Sequence[Sequence[float]], floor: float
) -> None:
    for number, ((name, runs), values) in enumerate(zip(solvers.items(), errors, strict=True)):
        marker = _MARKERS[(number + 3 * (number // len(_COLOURS))) % len(_MARKERS)]
        style: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "marker": marker}
        dash = "-" if number < len(_COLOURS) else "--"
        calls = [row.evaluations for row in runs]
        axis.plot(calls, np.maximum(values, 1e-16), dash, label=name, linewidth=1.3, markersize=4.5, **style)
    if floor > 0:
        axis.axhline(floor, color="#8a949c", linewidth=1, linestyle=":", label="the reference's own")
    axis.set_xscale("log")
    axis.set_yscale("log")
    _tidy(axis, "network evaluations", "error for each free entry")


def residual_svg(residual: Residual) -> str:
    """The residual over time: its share of both sides, and its size beside that of the score's change."""
    canvas = _canvas(5.2, 3.2)
    axis = canvas.subplots()
    axis.plot(residual.times, residual.relative, color=GENERATED_COLOUR, marker="o", markersize=4, linewidth=1.5)
    axis.set_ylim(0, max(1.05, 1.05 * max(residual.relative)))
    _tidy(axis, "time (0 data, 1 noise)", "residual / both sides")
    return svg_text(canvas)


def asymmetry_svg(asymmetry: Asymmetry) -> str:
    """|J - J'| / |J| over time."""
    canvas = _canvas(5.2, 3.2)
    axis = canvas.subplots()
    axis.plot(
        asymmetry.times, asymmetry.whole, color=REAL_COLOUR, marker="o", markersize=4, linewidth=1.5, label="whole"
    )
    if len(asymmetry.blocks) > 1:
        for number, (name, shares) in enumerate(asymmetry.blocks.items()):
            style: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[1 + number % 9]}
            axis.plot(asymmetry.times, shares, "--", markersize=4, linewidth=1.2, label=name, **style)
        axis.legend(fontsize=8, frameon=False)
    axis.set_ylim(bottom=0)
    _tidy(axis, "time (0 data, 1 noise)", "|J − Jᵀ| / |J|")
    return svg_text(canvas)


def dimensions_svg(dimensions: Dimensions) -> str:
    """Histogram of FLIPD, the counts of the normal space as marks."""
    canvas = _canvas(5.2, 3.2)
    axis = canvas.subplots()
    axis.hist(dimensions.flipd, bins=min(24, max(6, len(dimensions.flipd) // 4)), color=GENERATED_COLOUR, alpha=0.8)
    top = axis.get_ylim()[1]
    counts = dimensions.normal_space
    axis.plot(counts, np.full(len(counts), -0.05 * top), "|", color=REAL_COLOUR, markersize=11, markeredgewidth=1.6)
    axis.set_ylim(-0.1 * top, top)
    axis.axhline(0, color="#1d2327", linewidth=0.8)
    _tidy(axis, "local dimension (bars: FLIPD, ticks: normal space)", "samples")
    axis.set_yticks([tick for tick in axis.get_yticks() if tick >= 0 and tick <= top])
    return svg_text(canvas)
