"""Figures of a report on trajectories: some of them in space, distributions, spectra, energies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

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
from scorefield.domains.geometry.statistics.conservation import energy_drift
from scorefield.domains.geometry.statistics.pairing import Pair
from scorefield.domains.geometry.statistics.population import ComparedTrajectories

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["shown_rows", "trajectory_figures"]

_SHOWN = 4  # trajectories of either set in space
_LINES = 8  # energies of either set
_FEW = 10  # atoms up to which a bond's order of magnitude is seen by itself
_SIDES = (("real", REAL_COLOUR), ("generated", GENERATED_COLOUR))


def shown_rows(pair: Pair, number: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Trajectories of both sets that are shown, drawn at random; the same in figures and in the animation."""
    return tuple(  # type: ignore[return-value]
        generator_of(seed, f"shown {name}").permutation(len(part))[:number]
        for name, part in (("real", pair.real), ("generated", pair.generated))
    )


def trajectory_figures(pair: Pair, seed: int, names: tuple[str, str] = ("real", "generated")) -> tuple[Figure, ...]:
    """The figures of a comparison."""
    short = (Path(names[0]).name, Path(names[1]).name)
    figures = [
        Figure("Trajectories drawn at random; dots: where they end", _space_png(pair, seed), wide=True),
        Figure("Distributions", distributions_svg(_panels(pair), short), wide=True),
    ]
    if pair.real.frames > 2:
        title = "Mean power by frequency, with the band from the 10th to the 90th percentile of trajectories"
        figures.append(Figure(title, _spectra_svg(pair), wide=True))
    if pair.real.energies is not None and pair.generated.energies is not None:
        figures.append(
            Figure("Energy along trajectories drawn at random, and its drift", _energies_svg(pair, seed), True)
        )
    return tuple(figures)


def _space_png(pair: Pair, seed: int) -> bytes:
    three = pair.real.x.shape[3] == 3
    canvas = Canvas(figsize=(10.5, 5.4), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0.02))
    chosen = shown_rows(pair, _SHOWN, seed)
    for down, (part, rows, (name, colour)) in enumerate(zip((pair.real, pair.generated), chosen, _SIDES, strict=True)):
        for across, row in enumerate(rows):
            place = (2, _SHOWN, 1 + down * _SHOWN + across)
            axis: Any = canvas.add_subplot(*place, projection="3d" if three else None)
            _draw(axis, part, int(row))
            if across == 0:
                axis.set_title(name, fontsize=10, loc="left", color=colour, fontweight="bold")
    return png_bytes(canvas)


def _draw(axis: Any, part: ComparedTrajectories, row: int) -> None:
    """One trajectory, a colour for each node, getting stronger with time."""
    mask = part.trajectories.mask[row]
    x = part.x[row][mask]
    colours = matplotlib.colormaps["turbo"](np.linspace(0.08, 0.92, len(x)))
    for node, colour in zip(x, colours, strict=True):
        axis.plot(*node.T, color=colour, linewidth=0.8, alpha=0.45)
        axis.plot(*node[len(node) // 2 :].T, color=colour, linewidth=1.3)
    axis.scatter(*x[:, -1].T, color=colours, s=14, depthshade=False) if x.shape[2] == 3 else axis.scatter(
        *x[:, -1].T, color=colours, s=14
    )
    if part.molecule is not None:
        for i, j in part.molecule.bonds:
            axis.plot(*x[[i, j], -1].T, color="black", linewidth=1.1)
    centre, reach = (x.min((0, 1)) + x.max((0, 1))) / 2, max(float(np.ptp(x, axis=(0, 1)).max()) / 2, 1e-9)
    for name, middle in zip("xyz", centre, strict=False):
        getattr(axis, f"set_{name}lim")(middle - 1.05 * reach, middle + 1.05 * reach)
    axis.tick_params(labelsize=6, pad=-3 if x.shape[2] == 3 else 2, length=2)
    axis.set_box_aspect((1, 1, 1) if x.shape[2] == 3 else 1)
    axis.locator_params(nbins=4)


def _panels(pair: Pair) -> list[Distribution]:
    sets = (pair.real, pair.generated)
    panels = [
        Distribution(f"{name}, centred", *(_values(part.positions[:, axis]) for part in sets))
        for axis, name in enumerate("xyz"[: pair.real.x.shape[3]])
    ]
    if all(part.x.shape[1] > 1 for part in sets):
        panels.append(Distribution("distances between nodes", *(_values(part.pair_distances) for part in sets)))
    panels.append(Distribution("speeds", *(_values(part.speeds) for part in sets)))
    if pair.real.frames > 2:
        panels.append(Distribution("sizes of accelerations", *(_values(part.accelerations) for part in sets)))
    if pair.real.molecule is not None:
        for title, feature in (
            ("bond lengths", "lengths"),
            ("angles, degrees", "bends"),
            ("dihedrals, degrees", "torsions"),
        ):
            values = [_values(getattr(part, feature)) for part in sets]
            if len(values[0]):
                panels.append(Distribution(title, *values))
    return panels


def _values(bag: NDArray[np.float64]) -> NDArray[np.float64]:
    return bag[~np.isnan(bag)]


def _two() -> tuple[Canvas, list[Axes]]:
    canvas = Canvas(figsize=(10.5, 3.1), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04))
    axes = list(canvas.subplots(1, 2))
    for axis in axes:
        axis.tick_params(labelsize=8, length=3)
        axis.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _spectra_svg(pair: Pair) -> str:
    canvas, axes = _two()
    for order, (axis, title) in enumerate(zip(axes, ("velocities", "accelerations"), strict=True), 1):
        for part, (name, colour) in zip((pair.real, pair.generated), _SIDES, strict=True):
            power, places = part.spectrum(order), part.frequencies(order)
            marker = "." if len(places) < 40 else None
            low, high = np.quantile(power, [0.1, 0.9], axis=0)
            axis.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
            dashes: Any = "-" if name == "real" else (0, (3, 2))
            axis.plot(places, power.mean(0), color=colour, linewidth=1.5, linestyle=dashes, marker=marker, label=name)
        if min(float(part.spectrum(order).mean(0).min()) for part in (pair.real, pair.generated)) > 0:
            axis.set_yscale("log")
        axis.set_title(f"power of {title}", fontsize=10, loc="left")
        axis.set_xlabel("frequency, in 1 / unit of time", fontsize=8)
    axes[0].legend(fontsize=8, frameon=False)
    return svg_text(canvas)


def _energies_svg(pair: Pair, seed: int) -> str:
    canvas, (left, right) = _two()
    drifts = []
    rows = shown_rows(pair, _LINES, seed)
    for part, row, (name, colour) in zip((pair.real, pair.generated), rows, _SIDES, strict=True):
        kinetic, potential = part.energies or (np.zeros((0, 1)),) * 2
        times = part.dt * np.arange(2, 2 + kinetic.shape[1])
        lines = left.plot(times, (kinetic + potential)[row].T, color=colour, linewidth=1, alpha=0.7)
        lines[0].set_label(name)
        found = energy_drift(kinetic, potential)
        drifts.append(np.log10(np.maximum(found[np.isfinite(found)], 1e-9)))
    edges = np.histogram_bin_edges(np.concatenate(drifts), 40)
    for values, (name, colour) in zip(drifts, _SIDES, strict=True):
        weights = np.full(len(values), 1 / max(len(values), 1))
        right.hist(values, edges.tolist(), weights=weights, color=colour, alpha=0.5, label=name)
    left.set_title("total energy", fontsize=10, loc="left")
    left.set_xlabel("time", fontsize=8)
    left.legend(fontsize=8, frameon=False)
    right.set_title("share of trajectories by drift of the energy", fontsize=10, loc="left")
    right.set_xlabel("log10 of its range over the kinetic energy", fontsize=8)
    return svg_text(canvas)
