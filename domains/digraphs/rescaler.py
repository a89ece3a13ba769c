"""A run that rescales: the degree matrices of a graph as its weights, and what draws graphs of other sizes from them.

The network of this run is two integer matrices; `fit` counts them (`counting.py`), `sample` rescales, constructs and
mixes. Sample k of a seed has random numbers of its own, so every sample is a chunk.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numba
import numpy as np
import torch
from torch import Tensor, nn

import scorefield
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.names import unknown
from scorefield.core.shards import Shard
from scorefield.domains.digraphs.construction import Start
from scorefield.domains.digraphs.edge_files import read_digraph
from scorefield.domains.digraphs.matrices import DegreeMatrices, measure
from scorefield.domains.digraphs.rescaling import OnInfeasible, scaled_nodes
from scorefield.domains.digraphs.samples import Digraphs
from scorefield.domains.digraphs.sampling import Recipe, Sample, draw
from scorefield.domains.digraphs.validation import degree_matrices

if TYPE_CHECKING:
    from scorefield.core.checkpoints import ModelRecord

__all__ = ["DegreeSystem", "RescaledGraphs", "Rescaler", "conditioned", "rescaled_from"]

Report = Callable[[float], None]


class Rescaler:
    """The recipe of a run that rescales; its arguments are what `sample` does where no condition says otherwise.

    Args:
        ratio: nodes of a sample for each node of the original.
        start: how edges are first laid, `cyclic` or `random`.
        steps_per_edge: length of the Markov chain that mixes them, in steps for each edge.
        on_infeasible: where hubs have more neighbours than there are nodes, `clip` their degrees, or `raise`.

    Raises:
        InputError: a value that cannot be.
    """

    def __init__(
        self,
        ratio: float = 1.0,
        start: Start = "cyclic",
        steps_per_edge: float = 10.0,
        on_infeasible: OnInfeasible = "clip",
    ) -> None:
        given = {"ratio": ratio, "start": start, "steps_per_edge": steps_per_edge, "on_infeasible": on_infeasible}
        self.recipe = conditioned(Recipe(), given)

    def build(self, sizes: Mapping[str, int]) -> DegreeSystem:
        """Empty matrices; loading fills them, of whatever shape."""
        return DegreeSystem(self.recipe)


def _whole(value: Any) -> int:
    return int(value)


def _number(value: Any) -> float:
    found = float(value)
    if not 0 <= found < math.inf:
        raise ValueError
    return found


def _one_of(names: tuple[str, ...]) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return checked


# Condition -> what reads it, and what it may be.
_CONDITIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "ratio": (str, "a number above 0, such as 0.3"),
    "nodes": (_whole, "a number of nodes from 1 up"),
    "steps_per_edge": (_number, "0 or more; 10 mixes the graphs tried"),
    "start": (_one_of(get_args(Start)), " or ".join(get_args(Start))),
    "on_infeasible": (_one_of(get_args(OnInfeasible)), " or ".join(get_args(OnInfeasible))),
}


def conditioned(recipe: Recipe, conditions: Mapping[str, Any]) -> Recipe:
    """A recipe with conditions, which may be text; a number of nodes takes the place of a ratio and vice versa.

    Raises:
        InputError: a condition is unknown, or a value cannot be.
    """
    known = [field.name for field in fields(Recipe) if field.name in _CONDITIONS]
    values: dict[str, Any] = {}
    for name, value in conditions.items():
        if name not in known:
            raise unknown("condition", name, known)
        read, wanted = _CONDITIONS[name]
        try:
            values[name] = read(value)
        except (TypeError, ValueError):
            raise InputError(f"{name} is {value}", mend=f"give {wanted}") from None
    if "ratio" in values and "nodes" in values:
        raise InputError("ratio and nodes both say how large", mend="give one of them")
    if "nodes" in values:
        values["ratio"] = None
    elif "ratio" in values:
        values["nodes"] = None
    changed = replace(recipe, **values)
    if changed.ratio is not None or changed.nodes is not None:
        scaled_nodes(1 << 40, changed.ratio, changed.nodes)  # a graph of any size would refuse the same
    return changed


class DegreeSystem(nn.Module):
    """Degree matrices as a module whose state they are.

    Args:
        recipe: how samples are drawn by default.
        matrices: the matrices; empty ones by default, which loading replaces.
    """

    jdm: Tensor
    dcm: Tensor

    def __init__(self, recipe: Recipe, matrices: DegreeMatrices | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        empty = np.zeros((0, 3), np.int64)
        for name in ("jdm", "dcm"):
            rows = empty if matrices is None else getattr(matrices, name)
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(rows)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """The shapes are the data's: take those that are stored."""
        for name in ("jdm", "dcm"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def matrices(self) -> DegreeMatrices:
        """The matrices, checked.

        Raises:
            InputError: no simple graph has them.
        """
        return degree_matrices(self.jdm.cpu().numpy(), self.dcm.cpu().numpy())

    def generator(self, record: ModelRecord, seed: int, conditions: Mapping[str, Any]) -> RescaledGraphs:
        """What draws rescaled graphs.

        Args:
            record: of the run.
            seed: fixes everything random.
            conditions: `ratio` or `nodes`, `steps_per_edge`, `start`, `on_infeasible`.

        Raises:
            InputError: a condition is unknown, or its value cannot be.
        """
        return RescaledGraphs(self.matrices(), conditioned(self.recipe, conditions), seed)


class RescaledGraphs:
    """A `Generator` of rescaled graphs; chunk k is sample k of the seed.

    Args:
        matrices: those of the original, of some simple graph.
        recipe: how samples are drawn.
        seed: fixes everything random.

    Raises:
        InputError: the original has no nodes, or the size cannot be.
    """

    chunk_size = 1
    device = "cpu"

    def __init__(self, matrices: DegreeMatrices, recipe: Recipe, seed: int = 0) -> None:
        if not matrices.n:
            raise InputError("the graph has no nodes", mend="give a graph with nodes")
        if seed < 0:
            raise InputError(f"seed {seed} is negative", mend="take seeds from 0 up")
        self.nodes = scaled_nodes(matrices.n, recipe.ratio, recipe.nodes)
        self.matrices, self.recipe, self.seed = matrices, recipe, seed

    def _settings(self) -> dict[str, Any]:
        ratio = None if self.recipe.ratio is None else str(self.recipe.ratio)
        return {**asdict(self.recipe), "ratio": ratio, "seed": self.seed}

    def request(self) -> dict[str, Any]:
        """See `Generator`."""
        digest = hashlib.sha256()
        for rows in (self.matrices.jdm, self.matrices.dcm):
            digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes() + b"|")
        return {
            "method": "jdm/dcm-rescaled",
            **self._settings(),
            "matrices": digest.hexdigest(),
            "scorefield": scorefield.__version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
        }

    def facts(self) -> dict[str, Any]:
        """See `Generator`."""
        original = {"nodes": self.matrices.n, "edges": self.matrices.m}
        return {"method": "jdm/dcm-rescaled", **self._settings(), "original": original}

    def samples_type(self) -> type[Digraphs]:
        """See `Generator`."""
        return Digraphs

    def chunk(self, number: int, size: int, device: torch.device, report: Report | None = None) -> Shard:
        """See `Generator`; the work is on the CPU."""
        begin = time.perf_counter()
        drawn = []
        for index in range(size):
            drawn.append(self.sample(number * self.chunk_size + index))
            if report is not None:
                report((index + 1) / size)
        certificates = tuple({**one.certificate.as_dict(), "mixing": asdict(one.mixing)} for one in drawn)
        graphs = Digraphs(tuple(one.graph.sorted() for one in drawn), certificates)
        return Shard(graphs, 0, time.perf_counter() - begin)

    def sample(self, number: int) -> Sample:
        """Sample `number` of the seed; what is clipped is told once, not of every sample.

        Raises:
            InputError: degrees that no graph of this size has, and the recipe says `raise`.
        """
        with warnings.catch_warnings():
            if number:
                warnings.simplefilter("ignore", InputWarning)
            return draw(self.matrices, self.recipe, seed=self.seed, sample=number)


def rescaled_from(
    path: Path, n: int | None = None, conditions: Mapping[str, Any] | None = None, seed: int = 0
) -> RescaledGraphs:
    """What draws graphs like the one in a file.

    Args:
        path: the file.
        n: its number of nodes, if ids are 0 to n - 1.
        conditions: see `DegreeSystem.generator`.
        seed: fixes everything random.

    Raises:
        InputError: the file holds no graph, or a condition cannot be.
    """
    recipe = conditioned(Recipe(), conditions or {})
    graph = read_digraph(path, n).graph
    if not graph.n:
        raise InputError("holds no nodes", file=path, mend="give a graph with nodes, or their number with --n")
    return RescaledGraphs(measure(graph), recipe, seed)
