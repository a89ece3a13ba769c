"""Figures of a report on directed graphs: degrees, degree matrices and what is left over, inequality, triads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR, svg_text
from scorefield.core.statistics.table import Figure
from scorefield.domains.digraphs.matrices import Rows
from scorefield.domains.digraphs.statistics.catalogue import Pair
from scorefield.domains.digraphs.statistics.degrees import log_bins, lorenz
from scorefield.domains.digraphs.statistics.measured import DigraphPopulation, MeasuredDigraph
from scorefield.domains.digraphs.statistics.triads import CONNECTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["degree_tail", "digraph_figures"]

_LINES = 20  # graphs drawn one by one
_POINTS = 400  # of a curve
_LEAST = 1e-9
Array = NDArray[np.float64]


def digraph_figures(pair: Pair, names: tuple[str, str] = ("real", "generated")) -> tuple[Figure, ...]:
    """The figures of a comparison."""
    labels = tuple(
        kind if name == kind else f"{kind}: {Path(name).name}"
        for kind, name in zip(("real", "generated"), names, strict=True)
    )
    several = "; one line for each graph" if _each(pair.generated) > 1 and not pair.populations else ""
    return (
        Figure(f"Share of nodes of at least this degree{several}", _degrees_svg(pair, labels), wide=True),
        Figure("Joint degrees: share of nodes, degrees binned by powers of two", _maps_svg(pair, "jdm"), wide=True),
        Figure("Degree correlation: share of edges by the degrees of their ends", _maps_svg(pair, "dcm"), wide=True),
        Figure("Lorenz curves: how unequally edges are shared among nodes", _lorenz_svg(pair, labels), wide=True),
        Figure("Connected triads: share of each class among them", _triads_svg(pair, labels), wide=True),
    )


def _canvas(width: float, height: float) -> Canvas:
    return Canvas(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04))


def _bare(axis: Axes, title: str, label: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(label, fontsize=8)
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right"]].set_visible(False)


def _each(part: DigraphPopulation) -> int:
    return min(len(part), _LINES)


def _degree_sets(pair: Pair, part: DigraphPopulation, side: str) -> list[NDArray[np.int64]]:
    """Degrees of each graph; of populations those of all."""
    found = [getattr(graph, f"{side}_degrees") for graph in part]
    return [np.concatenate(found)] if pair.populations else found[:_LINES]


def _sides(pair: Pair, labels: Sequence[str]) -> list[tuple[DigraphPopulation, str, str]]:
    """Generated graphs first, so that the real one lies over them."""
    return [(pair.generated, GENERATED_COLOUR, labels[1]), (pair.real, REAL_COLOUR, labels[0])]


def _degrees_svg(pair: Pair, labels: Sequence[str]) -> str:
    canvas = _canvas(10.5, 3.6)
    axes = list(canvas.subplots(1, 2))
    for axis, side in zip(axes, ("in", "out"), strict=True):
        for part, colour, label in _sides(pair, labels):
            is_real = part is pair.real
            sets = _degree_sets(pair, part, side)
            for number, degrees in enumerate(sets):
                at, share = degree_tail(degrees)
                alpha = 1.0 if is_real or len(sets) == 1 else 0.45
                width = 1.8 if is_real else 1.1
                dashes: Any = (0, (3, 1.5)) if is_real else "-"
                name = label if not number else None
                axis.plot(at, share, color=colour, linewidth=width, alpha=alpha, linestyle=dashes, label=name)
        axis.set_xscale("log")
        axis.set_yscale("log")
        _bare(axis, f"{side}-degree", f"{side}-degree k")
        axis.set_ylabel("share of nodes with degree ≥ k", fontsize=8)
    axes[0].legend(*_reversed_legend(axes[0]), fontsize=8, frameon=False)
    return svg_text(canvas)


def _reversed_legend(axis: Axes) -> tuple[list[Any], list[str]]:
    handles, names = axis.get_legend_handles_labels()
    return list(reversed(handles)), [str(name) for name in reversed(names)]


def degree_tail(degrees: NDArray[np.int64]) -> tuple[Array, Array]:
    """The positive degrees that occur, thinned, and the share of nodes of at least that."""
    counts = np.bincount(degrees)
    there = np.flatnonzero(counts)
    there = there[there > 0]
    share = counts[::-1].cumsum()[::-1][there] / degrees.size
    kept = np.arange(there.size)
    if there.size > 3 * _POINTS:
        kept = np.unique(np.searchsorted(there, np.geomspace(there[0], there[-1], _POINTS).astype(np.int64)))
    return there[kept].astype(np.float64), np.asarray(share[kept])


def _shares(part: DigraphPopulation, matrix: str, bins: tuple[int, int]) -> Array:
    """Mean over graphs of the share in each pair of bins, `(first, second)`."""
    total = np.zeros(bins)
    for graph in part:
        rows = getattr(graph.matrices, matrix)
        counts = np.zeros(bins)
        np.add.at(counts, (log_bins(rows[:, 0]), log_bins(rows[:, 1])), rows[:, 2])
        total += counts / max(counts.sum(), 1)
    return total / len(part)


def _bins(pair: Pair, matrix: str) -> tuple[int, int]:
    rows: list[Rows] = [getattr(graph.matrices, matrix) for part in (pair.real, pair.generated) for graph in part]
    tops = [max((int(r[:, axis].max(initial=0)) for r in rows), default=0) for axis in (0, 1)]
    return int(log_bins(np.array(tops))[0]) + 1, int(log_bins(np.array(tops))[1]) + 1


def _maps_svg(pair: Pair, matrix: str) -> str:
    """Real, generated, and their difference."""
    first, second = ("in-degree", "out-degree") if matrix == "jdm" else ("out-degree of source", "in-degree of target")
    bins = _bins(pair, matrix)
    real, generated = (_shares(part, matrix, bins) for part in (pair.real, pair.generated))
    start = 0 if matrix == "jdm" else 1  # sources and targets have degrees above 0
    real, generated = real[start:, start:], generated[start:, start:]
    canvas = _canvas(10.5, 3.5)
    axes = list(canvas.subplots(1, 3))
    top = max(float(real.max(initial=0)), float(generated.max(initial=0)), _LEAST)
    both = np.concatenate([real[real > 0], generated[generated > 0]])
    low = float(both.min()) if both.size else top / 10
    scale = LogNorm(min(low, top / 2), top)
    for axis, shares, title in zip(axes, (real, generated), ("real", "generated"), strict=False):
        image = axis.imshow(_masked(shares), origin="lower", aspect="auto", cmap="viridis", norm=scale)
        _label(axis, title, first, second, start, shares.shape)
    canvas.colorbar(image, ax=axes[:2], shrink=0.85).ax.tick_params(labelsize=7)
    residual = generated - real
    reach = max(float(np.abs(residual).max(initial=0)), _LEAST)
    norm = TwoSlopeNorm(0, -reach, reach)
    image = axes[2].imshow(residual.T, origin="lower", aspect="auto", cmap="RdBu_r", norm=norm)
    _label(axes[2], "generated minus real", first, second, start, residual.shape)
    canvas.colorbar(image, ax=axes[2], shrink=0.85).ax.tick_params(labelsize=7)
    return svg_text(canvas)


def _masked(shares: Array) -> Any:
    return np.ma.masked_less_equal(shares.T, 0.0)


def _label(axis: Axes, title: str, first: str, second: str, start: int, shape: tuple[int, ...]) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(first, fontsize=8)
    axis.set_ylabel(second, fontsize=8)
    for size, put in zip(shape, (axis.set_xticks, axis.set_yticks), strict=False):
        step = max(1, size // 6)
        places = list(range(0, size, step))
        put(places, [_bin_name(place + start) for place in places])
    axis.tick_params(labelsize=7, length=2)


def _bin_name(number: int) -> str:
    """The least degree of a bin."""
    return "0" if number == 0 else f"{1 << (number - 1):d}"


def _lorenz_svg(pair: Pair, labels: Sequence[str]) -> str:
    canvas = _canvas(10.5, 3.6)
    axes = list(canvas.subplots(1, 2))
    for axis, side in zip(axes, ("in", "out"), strict=True):
        axis.plot([0, 1], [0, 1], color="#b9c0c5", linewidth=0.8)
        for part, colour, label in _sides(pair, labels):
            for number, degrees in enumerate(_degree_sets(pair, part, side)):
                curve = lorenz(degrees)
                kept = np.unique(np.linspace(0, curve.size - 1, _POINTS).astype(int))
                dashes: Any = (0, (3, 1.5)) if part is pair.real else "-"
                name = label if not number else None
                width = 1.8 if part is pair.real else 1.1
                at = kept / (curve.size - 1)
                axis.plot(at, curve[kept], color=colour, linestyle=dashes, linewidth=width, label=name)
        _bare(axis, f"{side}-degree", "share of nodes, those of smallest degree first")
        axis.set_ylabel("share of edges", fontsize=8)
    axes[0].legend(*_reversed_legend(axes[0]), fontsize=8, frameon=False)
    return svg_text(canvas)


def _triads_svg(pair: Pair, labels: Sequence[str]) -> str:
    canvas = _canvas(10.5, 3.3)
    axis = canvas.subplots()
    places = np.arange(len(CONNECTED))
    parts = ((pair.real, REAL_COLOUR, labels[0], -0.2), (pair.generated, GENERATED_COLOUR, labels[1], 0.2))
    lows = []
    for part, colour, label, shift in parts:
        shares = np.array([_triad_shares(graph) for graph in part])
        mean = shares.mean(0)
        axis.bar(places + shift, mean, width=0.38, color=colour, alpha=0.9, label=label)
        if len(part) > 1:
            low, high = (mean - shares.min(0), shares.max(0) - mean) if not pair.populations else _spread(shares)
            axis.errorbar(places + shift, mean, [low, high], fmt="none", ecolor="#333333", elinewidth=0.9, capsize=2)
        lows.append(mean[mean > 0].min(initial=1.0))
    axis.set_yscale("log")
    axis.set_ylim(bottom=min(lows) / 3)
    axis.set_xticks(places, CONNECTED)
    whisker = "; whiskers: least and largest" if not pair.populations else "; whiskers: 10th and 90th percentile"
    _bare(axis, "", f"class{whisker if len(pair.generated) > 1 else ''}")
    axis.legend(fontsize=8, frameon=False)
    return svg_text(canvas)


def _spread(shares: Array) -> tuple[Array, Array]:
    mean = shares.mean(0)
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    return np.maximum(mean - low, 0.0), np.maximum(high - mean, 0.0)


def _triad_shares(graph: MeasuredDigraph) -> Array:
    census = graph.ties.census
    counts = np.array([census[name] for name in CONNECTED], dtype=np.float64)
    return np.asarray(counts / max(float(counts.sum()), 1.0))
