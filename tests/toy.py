"""A domain with a known answer, for tests of generation: every node is a point of a 2-D Gaussian.

Its analytic network knows the score, so samples have mean `mean` and standard deviation 0.5 at any step count. With
`TOY_DELAY` in the environment every evaluation sleeps that many seconds, which leaves time to interrupt it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.guidance.naming import PotentialEntry
from scorefield.core.guidance.properties import Property, Regressor, read_aim
from scorefield.core.paths import VP
from scorefield.core.spaces import Masked
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System

STD = 0.5


class GaussianNoise(Network):
    """eps(x, t) of data N(mean, STD^2); `mixer` has no effect but that of a real layer on the hardware."""

    def __init__(self, path):
        super().__init__()
        self.path, self.mean = path, nn.Parameter(torch.tensor([1.0, -2.0]))
        self.mixer = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.mixer.weight)

    def forward(self, state, t):
        time.sleep(float(os.environ.get("TOY_DELAY", "0")))
        t = t[:, None, None]
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        centred = self.mixer(state["x"]) - alpha * self.mean
        return {"x": sigma * centred / ((alpha * STD) ** 2 + sigma**2)}


class ToyRecipe:
    def __init__(self, path=None):
        self.path = path or VP()

    def build(self, sizes):
        network = GaussianNoise(self.path)
        return System({"x": Component(self.path, Masked(), "noise")}, network)


@dataclass(frozen=True)
class Points:
    count: np.ndarray
    x: np.ndarray
    state: State | None = None

    def __len__(self):
        return len(self.count)

    def arrays(self):
        return {"count": self.count, "x": self.x}

    @classmethod
    def from_arrays(cls, arrays):
        return cls(arrays["count"], arrays["x"])

    @classmethod
    def concatenate(cls, parts):
        return cls(np.concatenate([p.count for p in parts]), np.concatenate([p.x for p in parts]))

    def save(self, path):
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{c} {row.tolist()}\n" for c, row in zip(self.count, self.x, strict=True)))

    def counts(self):
        return {"points": int(self.count.sum())}


class ToyDomain:
    name = "toy"
    description = "points of a Gaussian"

    def samples_type(self, tables):
        return Points

    def suffixes(self, tables):
        return (".txt",)

    def draw(self, num, tables, generator, condition=None):
        given = dict(condition or {})
        fixed = given.pop("num_nodes", None)
        if given:
            raise InputError(f"unknown condition {min(given)!r}", mend="points take num_nodes")
        counts = torch.randint(1, tables["largest"] + 1, (num,), generator=generator)
        if fixed is not None and not 1 <= int(fixed) <= tables["largest"]:
            raise InputError(f"num_nodes = {fixed}", mend=f"this run allows 1 to {tables['largest']}")
        return {"num_nodes": counts if fixed is None else torch.full((num,), int(fixed))}

    def order(self, drawn):
        return drawn["num_nodes"].argsort(stable=True)

    def frame(self, drawn, sizes, tables):
        counts = drawn["num_nodes"]
        mask = torch.arange(int(counts.max())) < counts[:, None]
        return State({"x": torch.zeros(*mask.shape, 2)}, {"mask": mask})

    def pad(self, state, sizes):
        more = sizes["max_nodes"] - state["x"].shape[1]
        x = nn.functional.pad(state["x"], (0, 0, 0, more))
        return State({"x": x}, {"mask": nn.functional.pad(state.masks["mask"], (0, more))})

    def potentials(self):
        return {
            "left": PotentialEntry(_left, Regressor, "=NUMBER|max|min", "mean first coordinate"),
            "count": PotentialEntry(_count, Property, "[=NUMBER|max|min]", "number of points on the right"),
        }

    def decode(self, state, tables):
        return Points(state.masks["mask"].sum(1).numpy(), state["x"].numpy(), state)


def _left(asked, tables):
    def mean(state, t):
        mask = state.masks["mask"]
        return (state["x"][..., 0] * mask).sum(1) / mask.sum(1)

    return Regressor(mean, read_aim(asked.target or "max", asked.name))


def _count(asked, tables):
    return Property(
        lambda state: (state["x"][..., 0] > 1).sum(1), read_aim(asked.target or "max", asked.name), None, "count"
    )


def make_run(folder: Path, **changes) -> Path:
    """A run of the toy domain; `changes` replace fields of its record."""
    from scorefield.core.checkpoints import ModelRecord, save_model

    torch.manual_seed(0)
    values = {
        "domain": "toy",
        "system": {"class_path": "toy.ToyRecipe", "init_args": {}},
        "sizes": {"max_nodes": 5},
        "tables": {"largest": 5},
        "sampling": {"solver": "dpmpp-2m", "steps": 10, "weights": "raw", "arguments": {}},
    }
    raw = ToyRecipe().build({}).state_dict()
    ema = {name: value + 0.25 if name == "network.mean" else value for name, value in raw.items()}
    save_model(folder, ModelRecord(**{**values, **changes}), raw, ema)
    return folder
