"""Figures that domains share: distributions of numbers, real beside generated."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axis import Tick
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from scipy.stats import gaussian_kde

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GENERATED_COLOUR", "REAL_COLOUR", "Distribution", "distributions_svg", "png_bytes", "svg_text"]

REAL_COLOUR = "#5b6770"
GENERATED_COLOUR = "#c2571a"
_MOST_LEVELS = 15  # whole numbers with at most this many levels are drawn as bars
_MOST_KDE = 5000  # a density of more points looks the same and takes longer


@dataclass(frozen=True)
class Distribution:
    """One panel: the same quantity of two populations.

    Args:
        title: the quantity, with its unit.
        real: its values, (real objects,).
        generated: its values, (generated objects,).
    """

    title: str
    real: npt.NDArray[np.float64]
    generated: npt.NDArray[np.float64]


def svg_text(canvas: Canvas) -> str:
    """The figure as SVG, the same bytes in every run."""
    _take_literally(canvas)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "scorefield", "svg.fonttype": "path"}):
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def png_bytes(canvas: Canvas, resolution: int = 140) -> bytes:
    """The figure as PNG, for many points; the same bytes in every run."""
    _take_literally(canvas)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=resolution, metadata={"Software": None})
    return buffer.getvalue()


def _take_literally(canvas: Canvas) -> None:
    """Names that users gave may hold dollar signs; only numbers at ticks are set as mathematics."""
    numbers = {id(text) for tick in canvas.findobj(Tick) for text in tick.findobj(Text)}
    for text in canvas.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers:
            text.set_parse_math(False)


def distributions_svg(panels: Sequence[Distribution], names: tuple[str, str] = ("real", "generated")) -> str:
    """Densities (bars for small whole numbers), one panel per quantity, three in a row."""
    spacing = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.06)
    columns = min(3, max(1, len(panels)))
    rows = -(-len(panels) // columns)
    canvas = Canvas(figsize=(10.5, 2.6 * rows), layout=spacing)
    axes = canvas.subplots(rows, columns, squeeze=False).ravel()
    for panel, axis in zip(panels, axes, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    labels = [f"real: {names[0]}", f"generated: {names[1]}"]
    handles = axes[0].get_legend_handles_labels()[0]
    spare = axes[len(panels)] if len(axes) > len(panels) else None
    where = {"loc": "center", "fontsize": 9, "frameon": False}
    if spare is not None:
        spare.legend(handles, labels, **where)
    else:
        canvas.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return svg_text(canvas)


def _draw(axis: Axes, panel: Distribution) -> None:
    both = np.concatenate([panel.real, panel.generated])
    levels = np.unique(both)
    whole = len(levels) <= _MOST_LEVELS and bool(np.all(levels == np.round(levels)))
    draw = _bars if whole else _density
    draw(axis, panel, both)
    axis.set_title(panel.title, fontsize=10, loc="left")
    axis.set_yticks([])
    axis.set_ylim(0, 1.12 * axis.get_ylim()[1])
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _bars(axis: Axes, panel: Distribution, both: npt.NDArray[np.float64]) -> None:
    levels = np.arange(int(both.min()), int(both.max()) + 1)
    for values, colour, shift in ((panel.real, REAL_COLOUR, -0.2), (panel.generated, GENERATED_COLOUR, 0.2)):
        shares = [(values == level).mean() for level in levels]
        axis.bar(levels + shift, shares, width=0.38, color=colour, alpha=0.85, label="shares")
    axis.set_xticks(levels)


def _density(axis: Axes, panel: Distribution, both: npt.NDArray[np.float64]) -> None:
    low, high = np.quantile(both, [0.001, 0.999])
    margin = 0.08 * max(float(high - low), 1e-9)
    grid = np.linspace(low - margin, high + margin, 200)
    for values, colour in ((panel.real, REAL_COLOUR), (panel.generated, GENERATED_COLOUR)):
        height = _kernel_density(values, grid)
        axis.plot(grid, height, color=colour, linewidth=1.6, label="density")
        axis.fill_between(grid, height, color=colour, alpha=0.18, linewidth=0)


def _kernel_density(values: npt.NDArray[np.float64], grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shown = values[:: -(-len(values) // _MOST_KDE)]
    if len(shown) < 2 or float(np.ptp(shown)) == 0:
        return np.zeros_like(grid)
    return np.asarray(gaussian_kde(shown)(grid))
