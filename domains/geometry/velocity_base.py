"""Constant velocity from given frames as the base of an interpolant, with normal noise as wide as its errors.

From the given positions follow a mean and a deviation of every generated frame t,

    m_it = y_ip + (t - p) (y_ip - y_iq) / (p - q),    s_it = j (e_i + floor) h_t^g,

where q < p are the last two given frames before t (the first two where there are not two before it), h_t is how far t
is from the nearer of the two, and e_i the root mean square error, in each direction, with which node i's own given
frames go on at constant velocity for one frame, averaged with that of all nodes of its graph. x_0 = m + s z, z ~
N(0, I): a system that moves straight starts narrow, one that turns starts wide. Nothing but the condition enters; m
turns, mirrors and moves with it, and s does not change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.core.arguments import check_positive
from scorefield.core.errors import InputError
from scorefield.core.interpolants.bases import Base, Moments
from scorefield.core.noise import NoiseSource
from scorefield.core.state import State

__all__ = ["VelocityBase"]


class VelocityBase(Base):
    """Constant velocity of the given frames, and noise.

    Args:
        jitter: deviation of the noise one frame ahead, in units of the given frames' own error.
        growth: power of the number of frames ahead with which it grows, g.
        floor: least error, in the units of the data.

    Raises:
        InputError: a number that is not positive.
    """

    def __init__(self, jitter: float = 1.0, growth: float = 1.5, floor: float = 0.001) -> None:
        super().__init__()
        for name, number in (("jitter", jitter), ("growth", growth), ("floor", floor)):
            check_positive(name, number)
        self.jitter, self.growth, self.floor = jitter, growth, floor

    def draw(self, state: State, noise: NoiseSource) -> dict[str, Tensor]:
        """See `Base.draw`."""
        mean, size = self.moments(state)["x"]
        return {"x": mean + size * noise.normal(state["x"])}

    def moments(self, state: State) -> Moments:
        """Mean `[B, N, T, D]`, zero on given frames, and deviation `[B, N, T, 1]`.

        Raises:
            InputError: no frame of a trajectory is given.
        """
        given, y = self.given(state)
        latest, before = _used(given)
        here, there = (_at(y, places) for places in (latest, before))
        frames = torch.arange(given.shape[1], device=given.device)
        apart = (latest - before).clamp(min=1)
        share = ((frames - latest).to(y.dtype) / apart)[:, None, :, None]
        mean = torch.addcmul(here, share, here - there)
        ahead = torch.minimum((frames - latest).abs(), (frames - before).abs()).clamp(min=1)
        error = self._error(state, given, y)
        size = self.jitter * (error + self.floor)[..., None] * ahead.to(y.dtype)[:, None].pow(self.growth)
        return {"x": (torch.where(given[:, None, :, None], 0.0, mean), size[..., None])}

    @staticmethod
    def given(state: State) -> tuple[Tensor, Tensor]:
        """Which frames are given, `[B, T]`, and their positions, `[B, N, T, D]`.

        Raises:
            InputError: none of a trajectory.
        """
        given, y = state.masks.get("given_frames"), state.condition.get("given_x")
        if given is None or not isinstance(y, Tensor):
            mend = "give given_frames and given_x; `scorefield forecast` and `interpolate` read them"
            raise InputError("a conditional model without given frames", mend=mend)
        exist = state.masks.get("frame_mask")
        given = given if exist is None else given & exist
        if not bool(given.any(1).all()):
            raise InputError("a trajectory without given frames", mend="give at least one frame of each")
        return given, y.to(state.dtype)

    @staticmethod
    def _error(state: State, given: Tensor, y: Tensor) -> Tensor:
        """Of one frame ahead, in each direction, `[B, N]`; the last speed where no three frames in a row are given."""
        mask = state.masks.get("mask")
        nodes = torch.ones_like(y[..., 0, 0]) if mask is None else mask.to(y.dtype)
        latest, before = (places[:, -1:] for places in _used(given))
        speed = (_at(y, latest) - _at(y, before))[:, :, 0] / (latest - before).clamp(min=1)[..., None]
        square = speed.square().mean(-1)
        if given.shape[1] > 2:
            row = given[:, 2:] & given[:, 1:-1] & given[:, :-2]
            turns = (y[:, :, 2:] - 2 * y[:, :, 1:-1] + y[:, :, :-2]).square().mean(-1) * row[:, None]
            count = row.sum(1)[:, None]
            square = torch.where(count > 0, turns.sum(2) / count.clamp(min=1), square)
        square = square * nodes
        shared = square.sum(1, keepdim=True) / nodes.sum(1, keepdim=True).clamp(min=1)
        return (0.5 * (square + shared)).sqrt()


def _used(given: Tensor) -> tuple[Tensor, Tensor]:
    """The later and the earlier of the two given frames that each frame follows from, `[B, T]`; one twice if alone."""
    order = torch.argsort(~given, dim=1, stable=True)
    count, past = given.sum(1, keepdim=True), given.cumsum(1) - given.long()
    last = torch.minimum(past.clamp(min=2), count) - 1
    return order.gather(1, last), order.gather(1, (last - 1).clamp(min=0))


def _at(y: Tensor, places: Tensor) -> Tensor:
    """Positions `[B, N, T, D]` at frames `[B, K]`: `[B, N, K, D]`."""
    index = places[:, None, :, None].expand(-1, y.shape[1], -1, y.shape[3])
    return y.gather(2, index)
