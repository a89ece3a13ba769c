"""One figure of all methods: degrees, distances from the original, and numbers relative to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from scorefield.core.report.figures import svg_text
from scorefield.core.statistics.table import Row, short
from scorefield.domains.digraphs.baselines.comparing import RESCALED, Method
from scorefield.domains.digraphs.statistics.figures import degree_tail
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

__all__ = ["methods_figure"]

_LEAST = 1e-3  # distances below are coloured alike
Array = NDArray[np.float64]


def methods_figure(original: DigraphPopulation, methods: Sequence[Method]) -> str:
    """Degree distributions of one sample of each method, and two tables in colour, as SVG."""
    canvas = Canvas(figsize=(12.5, 10), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    halves: Any = canvas.subfigures(2, 1, height_ratios=(1.0, 1.15))
    top, bottom = halves
    axes = list(top.subplots(1, 2))
    for axis, side in zip(axes, ("in", "out"), strict=True):
        _tails(axis, side, original, methods)
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    rows = {row.name: row for method in methods for row in method.comparison.rows}
    distances = [name for name, row in rows.items() if row.better == "lower"]
    numbers = [name for name, row in rows.items() if not row.better and row.floor is not None and row.floor > 0]
    left, right = bottom.subplots(1, 2)
    _table(left, methods, distances, "distance from the original (lower is better)", relative=False)
    _table(right, methods, numbers, "number of the sample over that of the original", relative=True)
    return svg_text(canvas)


def _tails(axis: Axes, side: str, original: DigraphPopulation, methods: Sequence[Method]) -> None:
    colours = matplotlib.colormaps["tab20"](np.linspace(0, 1, max(len(methods), 2)))
    for method, colour in zip(methods, colours, strict=False):
        at, share = degree_tail(getattr(method.samples[0], f"{side}_degrees"))
        first = method.name == RESCALED
        colour, width = ("#c2571a", 2.4) if first else (colour, 1.1)
        axis.plot(at, share, color=colour, linewidth=width, label=method.name, zorder=5 if first else 2)
    at, share = degree_tail(getattr(original[0], f"{side}_degrees"))
    axis.plot(at, share, color="black", linewidth=1.4, linestyle=(0, (3, 1.5)), label="original", zorder=6)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(f"{side}-degree k", fontsize=9)
    axis.set_ylabel("share of nodes with degree ≥ k", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _table(axis: Axes, methods: Sequence[Method], names: Sequence[str], title: str, *, relative: bool) -> None:
    """Cells with their number, coloured by it."""
    cells = [[method.comparison[name] for name in names] for method in methods]
    values = np.array([[_value(row, relative) for row in line] for line in cells]).reshape(len(methods), len(names))
    axis.set_title(title, fontsize=10, loc="left")
    if values.size:
        norm: Normalize = TwoSlopeNorm(0, -2, 2) if relative else LogNorm(_LEAST, 1, clip=True)
        shown = np.log2(np.maximum(values, 2**-10)) if relative else np.maximum(values, _LEAST)
        axis.imshow(shown, aspect="auto", cmap="RdBu_r" if relative else "YlOrBr", norm=norm)
        for (y, x), value in np.ndenumerate(values):
            strong = abs(np.log2(max(value, 1e-3))) > 1.3 if relative else value > 0.3
            text = short(float(value)) if not relative else f"{value:.2g}"
            axis.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if strong else "black")
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(methods)), [method.name for method in methods], fontsize=8)
    axis.tick_params(length=0)


def _value(row: Row, relative: bool) -> float:
    if row.value is None:
        return float("nan")
    return row.value / row.floor if relative and row.floor else row.value
