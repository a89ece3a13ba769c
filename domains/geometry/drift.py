"""How far forecasts drift, block by block: the energy where its law is known, bond lengths of molecules.

A block is what one window filled. Energies are means over a block, against that of the history, in units of the
history's mean kinetic energy; bond lengths are root mean squares of what bonds differ from their mean in the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.geometry.statistics.conservation import energies
from scorefield.domains.geometry.statistics.kinds import relations

if TYPE_CHECKING:
    from scorefield.domains.geometry.answers import Completions

__all__ = ["drift_of", "told_drift"]

Array = NDArray[np.float64]
_LOST = 2  # frames at either end of which energies are not known


def drift_of(found: Completions) -> dict[str, Any] | None:
    """`quantity`, the first frame of each block, and of each block the median drift over trajectories and paths.

    The truth's own drift is beside it where all of it is known. None of trajectories of which no law is known, or whose
    forecasts differ in length.
    """
    plan = found.plans[0]
    if any(other != plan for other in found.plans) or len(set(found.lengths)) > 1:
        return None
    kind = str(found.tables.get("kind", ""))
    blocks = [(stretch.first, stretch.last) for stretch in plan]
    truth = np.where(found.missing[..., None], found.truth, found.paths[:, 0])
    sampled = [_drifts(found, found.paths[:, k], blocks, kind) for k in range(found.paths.shape[1])]
    if any(part is None for part in sampled):
        return None
    drift = np.median(np.concatenate([part for part in sampled if part is not None]), 0)
    quantity = "bond lengths" if kind == "molecule" else "energy"
    said = {"quantity": quantity, "first_frames": [first for first, _ in blocks], "blocks": drift.tolist()}
    true = None if np.isnan(truth[found.missing]).any() else _drifts(found, truth, blocks, kind)
    return said if true is None else {**said, "truth": np.median(true, 0).tolist()}


def _drifts(found: Completions, x: Array, blocks: list[tuple[int, int]], kind: str) -> Array | None:
    """Of each trajectory in each block, `[n, blocks]`."""
    if kind == "molecule":
        return _of_bonds(x, blocks, found.tables)
    known = found.known.trajectories[found.rows]
    told = relations(known, kind)
    history = blocks[0][0]
    if told is None or x.shape[-1] != 3 or not known.mask.all() or history < 2 * _LOST + 1:
        return None
    kinetic, potential = energies(x, known.dt, kind, told)
    total = kinetic + potential
    start, unit = total[:, : history - 2 * _LOST], kinetic[:, : history - 2 * _LOST].mean(1)
    last_known = total.shape[1] - 1  # a block of a frame or two at the end is told by the last energy that is known
    parts = [total[:, min(first - _LOST, last_known) : last - _LOST].mean(1) for first, last in blocks]
    return np.asarray(np.abs(np.stack(parts, 1) - start.mean(1, keepdims=True)) / unit[:, None])


def _of_bonds(x: Array, blocks: list[tuple[int, int]], tables: Mapping[str, Any]) -> Array | None:
    bonds = np.asarray(tables.get("bonds", []), dtype=np.int64).reshape(-1, 2)
    if not len(bonds):
        return None
    lengths = np.linalg.norm(x[:, bonds[:, 0]] - x[:, bonds[:, 1]], axis=-1)
    usual = lengths[:, :, : blocks[0][0]].mean(2, keepdims=True)
    return np.stack([np.sqrt(((lengths[:, :, a:b] - usual) ** 2).mean((1, 2))) for a, b in blocks], 1)


def told_drift(drift: Mapping[str, Any]) -> str:
    """One line."""

    def listed(values: list[float]) -> str:
        return ", ".join(f"{value:.3g}" for value in values)

    unit = "median, of the kinetic energy" if drift["quantity"] == "energy" else "median"
    truth = f" (truth {listed(drift['truth'])})" if "truth" in drift else ""
    return f"drift of the {drift['quantity']} by block ({unit}): {listed(drift['blocks'])}{truth}"
