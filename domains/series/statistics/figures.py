"""Figures of a series report: windows, densities, correlations, autocorrelations, and two-dimensional maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from scorefield.core.population import Autocorrelations, window_correlations
from scorefield.core.report.figures import (
    GENERATED_COLOUR,
    REAL_COLOUR,
    Distribution,
    distributions_svg,
    png_bytes,
    svg_text,
)
from scorefield.core.statistics.statistic import generator_of
from scorefield.core.statistics.table import Figure
from scorefield.domains.series.statistics.pairing import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["series_figures"]

Windows = npt.NDArray[np.float32]
_SHOWN = 12  # windows of either set that are drawn
_COLUMNS = 12  # columns with a panel of their own; of more, as many, evenly spread
_MAPPED = 800  # windows of either set in a map
_BLOCK = 4096
_SIDES = (("real", REAL_COLOUR), ("generated", GENERATED_COLOUR))


def series_figures(
    pair: Pair, columns: Sequence[str], seed: int, names: tuple[str, str] = ("real", "generated")
) -> tuple[Figure, ...]:
    """The figures of a comparison; windows shown are drawn at random, all on the scale from 0 to 1."""
    sets = (pair.real.x, pair.generated.x)
    features = len(columns)
    chosen = np.unique(np.linspace(0, features - 1, min(_COLUMNS, features)).round().astype(int))
    some = f" ({len(chosen)} of {features} columns)" if len(chosen) < features else ""
    panels = [
        Distribution(columns[column], *(part[:, :, column].ravel().astype(np.float64) for part in sets))
        for column in chosen
    ]
    figures = [
        Figure(f"Windows drawn at random, by step{some}", _windows_svg(sets, columns, chosen, seed), wide=True),
        Figure(
            f"Marginal densities{some}",
            distributions_svg(panels, (Path(names[0]).name, Path(names[1]).name)),
            wide=True,
        ),
    ]
    if features > 1:
        figures.append(Figure("Mean correlations within a window", _correlations_svg(sets, columns), wide=True))
    if pair.real.length > 2:
        title = f"Autocorrelation by lag: mean, and band from the 10th to the 90th percentile{some}"
        figures.append(Figure(title, _autocorrelations_svg(sets, columns, chosen), wide=True))
    for name, points in _maps(pair, seed).items():
        figures.append(Figure(name, _map_png(points)))
    return tuple(figures)


def _grid(number: int, height: float) -> tuple[Canvas, list[Axes]]:
    """A canvas of `number` panels, at most three in a row."""
    across = min(3, number)
    down = -(-number // across)
    spacing = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.05)
    canvas = Canvas(figsize=(10.5, height * down + 0.3), layout=spacing)
    axes = canvas.subplots(down, across, squeeze=False).ravel()
    for axis in axes[number:]:
        axis.set_axis_off()
    return canvas, list(axes[:number])


def _plain(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.tick_params(labelsize=8, length=3)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(canvas: Canvas, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)


def _windows_svg(sets: tuple[Windows, Windows], columns: Sequence[str], chosen: npt.NDArray[np.intp], seed: int) -> str:
    canvas, axes = _grid(len(chosen), 2.1)
    generator = generator_of(seed, "shown")
    rows = [generator.permutation(len(part))[:_SHOWN] for part in sets]
    for axis, column in zip(axes, chosen, strict=True):
        for part, row, (name, colour) in zip(sets, rows, _SIDES, strict=True):
            lines = axis.plot(part[row, :, column].T, color=colour, linewidth=0.9, alpha=0.6)
            lines[0].set_label(name)
        _plain(axis, columns[column])
    _legend(canvas, axes[0])
    return svg_text(canvas)


def _mean_correlations(part: Windows) -> npt.NDArray[np.float64]:
    blocks = [
        window_correlations(torch.from_numpy(part[k : k + _BLOCK])).sum(0).double() for k in range(0, len(part), _BLOCK)
    ]
    found: npt.NDArray[np.float64] = (torch.stack(blocks).sum(0) / len(part)).numpy()
    np.fill_diagonal(found, np.nan)  # 1 for every column, or 0 where it is constant: nothing to see
    return found


def _correlations_svg(sets: tuple[Windows, Windows], columns: Sequence[str]) -> str:
    real, generated = (_mean_correlations(part) for part in sets)
    canvas, axes = _grid(3, 3.5)
    reach = max(0.02, float(np.nanmax(np.abs(generated - real))))
    panels = (("real", real, 1.0), ("generated", generated, 1.0), ("generated - real", generated - real, reach))
    for axis, (name, matrix, limit) in zip(axes, panels, strict=True):
        image = axis.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        colours = canvas.colorbar(image, ax=axis, shrink=0.75, pad=0.02)
        colours.ax.tick_params(labelsize=7, length=2)
        axis.set_title(name, fontsize=10, loc="left")
        if len(columns) <= 14:
            axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
            axis.set_yticks(range(len(columns)), columns if axis is axes[0] else [""] * len(columns), fontsize=7)
        axis.tick_params(length=0, labelsize=7)
    return svg_text(canvas)


def _autocorrelations_svg(sets: tuple[Windows, Windows], columns: Sequence[str], chosen: npt.NDArray[np.intp]) -> str:
    lags = list(range(1, sets[0].shape[1] - 1))
    feature = Autocorrelations(lags)
    canvas, axes = _grid(len(chosen), 1.9)
    for axis, column in zip(axes, chosen, strict=True):
        for part, (name, colour) in zip(sets, _SIDES, strict=True):
            found = feature(torch.from_numpy(part[:, :, [column]])).numpy()
            low, high = np.quantile(found, [0.1, 0.9], axis=0)
            axis.fill_between(lags, low, high, color=colour, alpha=0.18, linewidth=0)
            dashes = "-" if name == "real" else (0, (3, 2))  # else it hides the other where they agree
            axis.plot(lags, found.mean(axis=0), color=colour, linewidth=1.6, linestyle=dashes, label=name)
        axis.axhline(0, color="#d9dde0", linewidth=0.8, zorder=0)
        _plain(axis, columns[column])
    _legend(canvas, axes[0])
    return svg_text(canvas)


def _maps(pair: Pair, seed: int) -> dict[str, tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]]:
    """Two-dimensional maps of random windows: principal components of the real ones, and t-SNE of both."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    generator = generator_of(seed, "maps")
    flat = [
        part.x[np.sort(generator.permutation(len(part))[:_MAPPED])].reshape(-1, part.length * part.features)
        for part in (pair.real, pair.generated)
    ]
    principal = PCA(2, svd_solver="full").fit(flat[0])
    both = np.concatenate(flat)
    neighbours: Any = min(40.0, (len(both) - 1) / 3)
    near = TSNE(2, perplexity=neighbours, max_iter=300, init="pca", random_state=seed % 2**32).fit_transform(
        PCA(min(30, *both.shape), svd_solver="full").fit_transform(both)
    )
    cut = len(flat[0])
    return {
        "Principal components of the real windows": (principal.transform(flat[0]), principal.transform(flat[1])),
        f"t-SNE of the windows (perplexity {neighbours:.0f}, 300 iterations)": (near[:cut], near[cut:]),
    }


def _map_png(points: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]) -> bytes:
    canvas = Canvas(figsize=(5.2, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axis = canvas.subplots()
    both = np.concatenate(points)
    colours = np.repeat([colour for _, colour in _SIDES], [len(part) for part in points])
    order = np.random.default_rng(0).permutation(len(both))  # else the set drawn last hides the other
    axis.scatter(both[order, 0], both[order, 1], s=7, c=colours[order], alpha=0.5, linewidth=0)
    for name, colour in _SIDES:
        axis.scatter([], [], s=7, color=colour, linewidth=0, label=name)
    axis.legend(fontsize=8, frameon=False, markerscale=2)
    axis.tick_params(labelsize=7, length=2)
    axis.spines[["top", "right"]].set_visible(False)
    return png_bytes(canvas)
