"""What moves, where neither a run nor a user says it: told by the features that simulations write.

Charges have features of -1 and 1 whose products are those of the edges; springs have features 0 and edges of 0, 1/2
or 1; masses have features 1 and edges 0. Trajectories with atomic numbers are molecules.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.domains.geometry.simulators.systems import SYSTEMS
from scorefield.domains.geometry.trajectories import Trajectories

__all__ = ["kind_of", "relations"]


def kind_of(trajectories: Trajectories) -> str | None:
    """`molecule`, `charged`, `springs`, `gravity`, or None."""
    if trajectories.numbers is not None:
        return "molecule"
    features, edges, told = trajectories.features, trajectories.edges, trajectories.edge_features
    if features is None or edges is None or told is None or trajectories.x.shape[3] != 3:
        return None
    if features.shape[2:] != (1,) or told.shape[2] != 1 or not _all_pairs(trajectories.mask, edges):
        return None
    there = edges[..., 0] >= 0
    own, of_edges = features[trajectories.mask][:, 0], told[..., 0][there]
    if not own.any() and np.isin(of_edges, (0.0, 0.5, 1.0)).all():
        return "springs"
    if (own == 1).all() and not of_edges.any():
        return "gravity"
    ends = np.take_along_axis(features[..., 0], np.maximum(edges, 0).reshape(len(edges), -1), 1).reshape(edges.shape)
    charged = (np.abs(own) == 1).all() and (ends.prod(-1)[there] == of_edges).all()
    return "charged" if charged else None


def _all_pairs(mask: NDArray[np.bool_], edges: NDArray[np.int64]) -> bool:
    sizes = mask.sum(1)
    return bool(((edges[..., 0] >= 0).sum(1) == sizes * (sizes - 1)).all())


def relations(trajectories: Trajectories, kind: str) -> NDArray[np.float64] | None:
    """Products of charges or of masses, or whether there is a spring, `[n, N, N]`; None where that is not told."""
    if kind not in SYSTEMS:
        return None
    n, nodes = trajectories.mask.shape
    if kind == "gravity":
        mass = trajectories.mask.astype(np.float64)
        return np.asarray(mass[:, :, None] * mass[:, None] * (1 - np.eye(nodes)))
    edges, told = trajectories.edges, trajectories.edge_features
    if edges is None or told is None:
        return None
    found = np.zeros((n, nodes, nodes))
    row, edge = np.nonzero(edges[..., 0] >= 0)
    found[row, edges[row, edge, 0], edges[row, edge, 1]] = told[row, edge, 0]
    return found
