"""Figures of completions: what is given, the median of what was sampled, intervals around it, and the truth."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from scorefield.core.files import atomic
from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR, png_bytes, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BANDS", "Fan", "draw_fans"]

BANDS = ((0.05, 0.95), (0.25, 0.75))
"""Levels of the two intervals, the wider one first."""
_MARKED = 60  # values of a panel up to which each is marked by a point


@dataclass(frozen=True)
class Fan:
    """One panel.

    Args:
        title: what is shown.
        steps: the horizontal axis, numbers or times, `(T,)`.
        given: given values, NaN where something is missing, `(T,)`.
        paths: sampled values where they are missing, NaN elsewhere, `(paths, T)`.
        truth: what they are in truth, NaN where that is unknown, `(T,)`.
    """

    title: str
    steps: npt.NDArray[Any]
    given: npt.NDArray[np.float64]
    paths: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]


def draw_fans(panels: Sequence[Fan], file: Path, title: str, note: str = "", figures: Sequence[str] = ()) -> None:
    """Write a `.png`, `.svg` or `.html` with the panels, at most two in a row; a page has `figures` (SVG) as well."""
    across = 1 if len(panels) == 1 else 2
    down = -(-len(panels) // across)
    spacing = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.02, hspace=0.04)
    canvas = Canvas(figsize=(10.5, 2.5 * down + 0.9), layout=spacing)
    axes = canvas.subplots(down, across, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    canvas.suptitle(title, fontsize=11, x=0.01, ha="left")
    entries: dict[str, Any] = {}
    for axis in axes[: len(panels)]:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    canvas.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries), fontsize=9, frameon=False
    )
    _write(canvas, file, title, note, figures)


def _write(canvas: Canvas, file: Path, title: str, note: str, figures: Sequence[str]) -> None:
    kind = file.suffix.lower()
    if kind == ".svg":
        content = svg_text(canvas).encode()
    elif kind == ".png":
        content = png_bytes(canvas)
    else:
        drawn = [base64.b64encode(svg.encode()).decode() for svg in (svg_text(canvas), *figures)]
        pictures = [
            f'<img style="width: 100%" alt="{escape(title)}" src="data:image/svg+xml;base64,{picture}">'
            for picture in drawn
        ]
        content = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<body style="font-family: sans-serif; max-width: 1050px; margin: 2em auto">'
            f"{pictures[0]}<p>{escape(note)}</p>{''.join(pictures[1:])}</body></html>\n"
        ).encode()
    with atomic(file) as temporary:
        temporary.write_bytes(content)


def _draw(axis: Axes, panel: Fan) -> None:
    marker = "." if len(panel.steps) <= _MARKED else None
    axis.plot(panel.steps, panel.given, color=REAL_COLOUR, linewidth=1.3, marker=marker, markersize=4, label="given")
    for low, high, shade in ((*BANDS[0], 0.18), (*BANDS[1], 0.32)):
        bottom, top = (_joined(panel, level) for level in (low, high))
        label = f"{100 * (high - low):.0f} % interval"
        axis.fill_between(panel.steps, bottom, top, color=GENERATED_COLOUR, alpha=shade, linewidth=0, label=label)
    axis.plot(panel.steps, _joined(panel, 0.5), color=GENERATED_COLOUR, linewidth=1.5, label="median")
    if not np.isnan(panel.truth).all():
        axis.plot(
            panel.steps, panel.truth, color="black", linewidth=0, marker="o", markersize=3.2,
            markerfacecolor="white", markeredgewidth=0.8, label="truth",
        )  # fmt: skip
    if np.issubdtype(panel.steps.dtype, np.datetime64):
        places = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(places)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(places))  # type: ignore[no-untyped-call]
        axis.xaxis.get_offset_text().set_fontsize(8)
    axis.set_title(panel.title, fontsize=10, loc="left")
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right"]].set_visible(False)


def _joined(panel: Fan, level: float) -> npt.NDArray[np.float64]:
    """A quantile of the paths, tied to the given values on either side of each gap."""
    sampled: npt.NDArray[np.bool_] = np.asarray(~np.isnan(panel.paths).all(0))
    line = np.full(len(panel.steps), np.nan)
    line[sampled] = np.quantile(panel.paths[:, sampled], level, axis=0)
    beside = ~sampled & (np.append(sampled[1:], False) | np.append(False, sampled[:-1]))
    line[beside] = panel.given[beside]
    return line
