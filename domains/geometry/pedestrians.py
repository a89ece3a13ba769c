"""Pedestrians of ETH and UCY: samples cut out of recorded tracks, as EqMotion (Xu et al. 2023) and GeoTDM take them.

A recording is a table of rows (frame, agent, x, y), frames 0.4 s apart. For every frame c and every agent that is there
in all of c - 7 .. c + 12 there is a sample with that agent in slot 0, and around it others that are there as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["FRAMES", "PAST", "RECORDINGS", "SCENES", "STEP", "Scene", "held_part", "pedestrian_features", "samples_of"]

PAST, FUTURE = 8, 12
FRAMES = PAST + FUTURE
STEP = 0.4  # seconds
_NEAR = 5.0  # metres
_TRAINING_SHARE = (4, 5)  # of a recording's frames; the rest is for validation
RECORDINGS = (
    "biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02", "crowds_zara03", "students001", "students003",
    "uni_examples",
)  # fmt: skip

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scene:
    """A scene that is left out of training and tested on.

    Attributes:
        tested: its recordings.
        slots: agents of a sample at most.
        test_scale: what positions are divided by in published tests; in training it is 1.
    """

    tested: tuple[str, ...]
    slots: int
    test_scale: float = 1.0


SCENES = {
    "eth": Scene(("biwi_eth",), 1, 1.4),
    "hotel": Scene(("biwi_hotel",), 1),
    "univ": Scene(("students001", "students003"), 2),
    "zara1": Scene(("crowds_zara01",), 3),
    "zara2": Scene(("crowds_zara02",), 1),
}


def held_part(track: Floats) -> tuple[Floats, Floats]:
    """The first four fifths of a recording's frames, which are trained on, and the rest, for validation."""
    frames = np.unique(track[:, 0])
    first = frames[min(len(frames) * _TRAINING_SHARE[0] // _TRAINING_SHARE[1], len(frames) - 1)]
    return track[track[:, 0] < first], track[track[:, 0] >= first]


def samples_of(track: Floats, slots: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """All samples of a recording.

    With fewer agents in the scene than slots all of them are taken, in the order of the file. Else they are taken in
    order of their distance from slot 0 in frame c, those closer than 5 m.

    Args:
        track: rows (frame, agent, x, y), frames in order, `[rows, 4]`.
        slots: agents of a sample at most.

    Returns:
        Positions `[n, slots, 20, 2]` and which slots are taken, `[n, slots]`.
    """
    positions, order = _laid_out(track)
    there = np.cumsum(np.pad(~np.isnan(positions[..., 0]), ((0, 0), (1, 0))), 1)
    whole = there[:, FRAMES:] - there[:, :-FRAMES] == FRAMES
    x, mask = [np.zeros((0, slots, FRAMES, 2), np.float32)], [np.zeros((0, slots), bool)]
    for start in np.flatnonzero(whole.any(0)):
        agents = order[start + PAST - 1]
        scene = positions[agents[whole[agents, start]], start : start + FRAMES]
        chosen, taken = _company(scene[:, PAST - 1], slots)
        x.append(np.where(taken[..., None, None], scene[chosen], 0).astype(np.float32))
        mask.append(taken)
    return np.concatenate(x), np.concatenate(mask)


def _laid_out(track: Floats) -> tuple[Floats, list[NDArray[np.int64]]]:
    """Positions `[agents, frames, 2]`, NaN where an agent is not there, and who is there in each frame, as filed."""
    frame = track[:, 0].astype(np.int64)
    frame = frame - frame.min()
    _, agent = np.unique(track[:, 1], return_inverse=True)
    positions = np.full((agent.max() + 1, max(int(frame.max()) + 1, FRAMES), 2), np.nan)
    positions[agent, frame] = track[:, 2:]
    edges = np.searchsorted(frame, np.arange(1, positions.shape[1]))
    return positions, np.split(agent, edges)


def _company(now: Floats, slots: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Who stands in the slots around each of the agents `[S, 2]`: indices and which are taken, `[S, slots]`."""
    agents = len(now)
    own = np.arange(agents)[:, None]
    if agents < slots:
        others = np.array([[j for j in range(agents) if j != i] for i in range(agents)], dtype=np.int64)
        chosen = np.concatenate([own, others.reshape(agents, agents - 1)], 1)
        empty = np.zeros((agents, slots - agents), dtype=np.int64)
        return np.concatenate([chosen, empty], 1), np.broadcast_to(np.arange(slots) < agents, (agents, slots))
    distance = np.linalg.norm(now[:, None] - now[None], axis=-1)
    np.fill_diagonal(distance, -1)  # whoever stands at the same place comes second
    chosen = np.argsort(distance, axis=1, kind="stable")[:, :slots]
    return chosen, np.take_along_axis(distance, chosen, 1) < _NEAR


def pedestrian_features(x: Floats, given: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Whether a frame is given, and the speed there, `[..., N, T, 2]`; frames that are not given repeat the last speed.

    The speed is that since the given frame before (for the first one, until the next), in units of length a frame.
    Without given frames nothing is known, and all is zero.

    Args:
        x: positions `[..., N, T, 2]`; those of frames that are not given do not matter.
        given: bool `[T]`, or None.
    """
    features = np.zeros((*x.shape[:-1], 2), np.float32)
    if given is None:
        return features
    known = np.flatnonzero(given)
    if not len(known):
        raise InputError("no frame is given", place="data.given")
    features[..., known, 0] = 1
    if len(known) > 1:
        moved = np.linalg.norm(np.diff(x[..., known, :], axis=-2), axis=-1) / np.diff(known)
        speeds = np.concatenate([moved[..., :1], moved], -1)
        last = np.maximum(np.searchsorted(known, np.arange(len(given)), side="right") - 1, 0)
        features[..., 1] = speeds[..., last]
    return features
