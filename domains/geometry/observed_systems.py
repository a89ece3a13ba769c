"""Systems that were trained on, without their motion: what sampling draws from where nobody says what is to move."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["observed_systems"]

_MOST = 256  # systems that a run keeps
_NUMBERS = 100_000  # and numbers of all of them together


def observed_systems(found: Trajectories, rows: NDArray[np.int64], features: bool = True) -> list[dict[str, Any]]:
    """Different systems of these trajectories, evenly spread over them, and how often each was met.

    Args:
        found: the trajectories.
        rows: those that are trained on.
        features: whether node features belong to a system; they do not where they follow from its motion.

    Returns:
        For each `nodes`, `count`, and what there is of `numbers`, `features` (where they are the same at all times),
        `edges` and `edge_features`, as plain lists without padding.
    """
    rows = np.unique(rows)
    each = max(len(json.dumps(_system(found, int(rows[0]), features))) // 6, 1)  # about six letters a number
    most = min(max(_NUMBERS // each, 1), _MOST)
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
    systems: dict[str, dict[str, Any]] = {}
    for row in rows.tolist():
        system = _system(found, row, features)
        key = json.dumps(system)
        systems.setdefault(key, {**system, "count": 0})["count"] += 1
    return list(systems.values())


def _system(found: Trajectories, row: int, features: bool) -> dict[str, Any]:
    there = found.mask[row]
    system: dict[str, Any] = {"nodes": int(there.sum())}
    if found.numbers is not None:
        system["numbers"] = found.numbers[row, there].tolist()
    if features and found.features is not None and found.features.ndim == 3:
        system["features"] = found.features[row, there].tolist()
    if found.edges is not None:
        kept = (found.edges[row] >= 0).all(1)
        places = np.cumsum(there) - 1  # numbers of the nodes that exist
        system["edges"] = places[found.edges[row, kept]].tolist()
        if found.edge_features is not None:
            system["edge_features"] = found.edge_features[row, kept].tolist()
    return system
