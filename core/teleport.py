"""Analytical teleportation: a run starts at a later time, from where Gaussian data would have flown to.

For data N(m, U diag(c) U' + tail) the probability-flow ODE is linear, and takes x at time t1 to

    x' = a2 m + T (x - a1 m),  T = U diag(r(c)) U' + r(tail) (1 - U U'),  r(c)^2 = (a2^2 c + s2^2) / (a1^2 c + s1^2)

at t2, with a and s the path's alpha and sigma. Near the noise any data look Gaussian, so this replaces the first steps
of any solver (15 to 30 % of them in the paper). Each component has its own statistics; correlations between components
are left out. Samples of one size have a mean and covariance over all their entries; or all sizes share those of one
entry (a node's features, a pair's edge), as suits graphs, whose nodes have no order.

    Teleport.fit_file("states.npz", "runs/mine/001").save("start.safetensors")   # states: `fit --export-states`
    scorefield.load("runs/mine/001").sample(1000, teleport="start.safetensors:0.7")

Source: Wang and Vastola 2024 (arXiv 2412.09726).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from scorefield.core.calculus import mask_patterns, reached
from scorefield.core.checkpoints import load_system, weights_hash
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.gaussian import FIELDS, Gaussian
from scorefield.core.names import unknown
from scorefield.core.paths import GaussianPath
from scorefield.core.runs import resolve_run
from scorefield.core.spaces import DirectedAdjacency, Masked, Space, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.states_file import read_states
from scorefield.core.system import System, centred

__all__ = ["Share", "Teleport", "open_teleport"]

Share = Literal["size", "entry"]

_FORMAT = "scorefield teleport 1"
_ANY = "any"  # size of what is shared by all, or has no masks
_MOST_RANK = 256


class Teleport:
    """Statistics of a system's components, by size.

    Args:
        share: `size`: one Gaussian over all entries of a sample for each size; `entry`: one Gaussian over the
            features of one entry, for all sizes.
        tables: statistics by component and size (numbers of existing nodes and frames joined by `x`; `any` without
            masks, or with `entry`); lengths are in free coordinates.
    """

    def __init__(self, share: Share, tables: Mapping[str, Mapping[str, Gaussian]]) -> None:
        if share not in get_args(Share):
            raise unknown("way to share statistics", share, get_args(Share))
        self.share: Share = share
        self.tables = {name: dict(table) for name, table in tables.items()}

    @classmethod
    def fit(cls, system: System, state: State, share: Share | None = None, rank: int = _MOST_RANK) -> Self:
        """Statistics of clean samples.

        Args:
            system: whose components they are.
            state: samples with masks and condition.
            share: see the class; `size` by default, where all samples have one size.
            rank: most directions kept of each Gaussian; the rest has one common variance.

        Raises:
            InputError: the samples have several sizes and `share` does not say what to do, or there are none.
        """
        if not len(state) or rank < 0:
            raise InputError(f"{len(state)} samples, rank {rank}", mend="give at least one sample and a rank of 0")
        sizes = _sizes(state)
        if share is None and len(sizes) > 1:
            mend = "choose share='entry' (all share the statistics of one entry, as for graphs) or share='size'"
            raise InputError(f"samples of {len(sizes)} sizes", mend=mend)
        origins = system.origins(state)
        state = state.replace(centred(state.components, origins))
        chosen: Share = share or "size"
        groups = sizes if chosen == "size" else {_ANY: torch.arange(len(state), device=state.device)}
        tables: dict[str, dict[str, Gaussian]] = {name: {} for name in system.components}
        for name, component in system.components.items():
            for size, rows in groups.items():
                view = _View(component.space, name, state.rows(rows), chosen)
                tables[name][size] = Gaussian.of_vectors(view.vectors().cpu() * view.spread, view.dimension, rank)
        return cls(chosen, tables)

    @classmethod
    def fit_file(
        cls, states: str | Path, run: str | Path | System, share: Share | None = None, rank: int = _MOST_RANK
    ) -> Self:
        """Statistics of the training rows of a file that `scorefield fit --export-states` wrote.

        Args:
            states: the `.npz`.
            run: the run that will be sampled (a folder, or the name of a packaged run), or its system.
            share: see `fit`.
            rank: see `fit`.

        Raises:
            InputError: as `fit`, or a file cannot be read.
        """
        system = run if isinstance(run, System) else load_system(resolve_run(run))
        try:
            return cls.fit(system, read_states(states, system), share, rank)
        except InputError as error:
            raise error if str(states) in str(error) else InputError(str(error), file=states) from error

    def start(self, system: System, state: State, t2: float, t1: float | None = None) -> State:
        """The state at `t2` of the ODE of Gaussian data.

        Args:
            system: tells paths and spaces.
            state: at `t1`, in the solver's variable u = x - origin, as the prior is.
            t2: where the run is to start, in (0, t1).
            t1: by default the smallest `t_max` of the paths.

        Raises:
            InputError: times that cannot be, or a component or size without statistics.
        """
        first = min(c.path.t_max for c in system.components.values()) if t1 is None else t1
        if not 0 < t2 < first:
            raise InputError(f"teleport to t = {t2:g}", mend=f"give a time between 0 and {first:g}")
        carried = {}
        for name, component in system.components.items():
            ends = _scales(component.path, first), _scales(component.path, t2)
            value = state[name].clone()
            for rows, statistics in self._groups(name, state):
                view = _View(component.space, name, state.rows(rows), self.share)
                vectors = view.vectors()
                if vectors.shape[1] != len(statistics.mean):
                    what = f"statistics of {name} for {len(statistics.mean)} numbers, the run has {vectors.shape[1]}"
                    raise InputError(what, mend="fit them on states of this run")
                moved = statistics.to(vectors.device).carried(vectors, *ends)
                value[rows] = view.replaced(moved)
            carried[name] = component.space.project(value, state.masks)
        return state.replace(carried)

    def _groups(self, name: str, state: State) -> list[tuple[Tensor, Gaussian]]:
        if name not in self.tables:
            raise unknown("component with statistics", name, self.tables)
        table = self.tables[name]
        if self.share == "entry":
            return [(torch.arange(len(state), device=state.device), table[_ANY])]
        groups = []
        for size, rows in _sizes(state).items():
            if size not in table:
                raise InputError(f"no statistics for samples of size {size}", mend="fit with such, or share='entry'")
            groups.append((rows, table[size]))
        return groups

    def _tensors(self) -> dict[str, Tensor]:
        named = {f"{n}|{size}": one for n, table in self.tables.items() for size, one in table.items()}
        return {f"{key}|{f}": getattr(one, f).cpu().contiguous() for key, one in named.items() for f in FIELDS}

    def digest(self) -> str:
        """A hash of everything."""
        return f"{self.share} {weights_hash(self._tensors())}"

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        content = safetensors.torch.save(self._tensors(), {"format": _FORMAT, "share": self.share})
        with atomic(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or something else.
        """
        mend = "make it with `scorefield.core.teleport.Teleport.fit_file(states, run).save(file)`"
        try:
            with safetensors.safe_open(str(path), "pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise InputError("no such file", file=path, mend=mend) from None
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError("not a file of teleport statistics", file=path, mend=mend) from error
        if meta.get("format") != _FORMAT or meta.get("share") not in get_args(Share):
            raise InputError("not a file of teleport statistics", file=path, mend=mend)
        return cls(meta["share"], _tables(tensors, path))


def open_teleport(text: str) -> tuple[Teleport, float]:
    """Read `FILE:T2` as a user writes it.

    Raises:
        InputError: it is not of this form, or the file cannot be read.
    """
    file, _, time = text.rpartition(":")
    try:
        t2 = float(time)
    except ValueError:
        t2 = math.nan
    if not file or not 0 < t2 < 1:
        raise InputError(f"teleport {text!r}", mend="write FILE:TIME with a time between 0 and 1, as start.st:0.7")
    return Teleport.load(file), t2


def _tables(tensors: Mapping[str, Tensor], file: str | Path) -> dict[str, dict[str, Gaussian]]:
    tables: dict[str, dict[str, Gaussian]] = {}
    try:
        for key in {name.rpartition("|")[0] for name in tensors}:
            component, _, size = key.rpartition("|")
            one = Gaussian(*(tensors[f"{key}|{field}"] for field in FIELDS))
            if one.basis.shape != (len(one.mean), len(one.variances)) or one.tail.ndim:
                raise KeyError(key)
            tables.setdefault(component, {})[size] = one
    except (KeyError, TypeError) as error:
        raise InputError("damaged: tensors are missing or do not fit", file=file, mend="fit it anew") from error
    return tables


def _sizes(state: State) -> dict[str, Tensor]:
    """Rows by the number of existing nodes and frames."""
    groups: dict[str, list[Tensor]] = {}
    for rows in mask_patterns(state):
        counts = [str(int(mask[rows[0]].sum())) for _, mask in sorted(state.masks.items())]
        groups.setdefault("x".join(counts) or _ANY, []).append(rows)
    return {size: torch.cat(parts).sort().values for size, parts in groups.items()}


def _scales(path: GaussianPath, t: float) -> tuple[float, float]:
    time = torch.tensor(t, dtype=torch.float64)
    return float(path.alpha(time)), float(path.sigma(time))


class _View:
    """A component's values as vectors in free coordinates: of whole samples (all of one size), or of single entries."""

    def __init__(self, space: Space, name: str, state: State, share: Share) -> None:
        self.value = state[name]
        free = space.dimension(self.value, state.masks).double()
        if share == "size":
            self.there = reached(space, self.value, state.masks)
            self.shape = (len(self.value), -1)
            self.scale, self.dimension = math.sqrt(space.copies), float(free[0])
            self.spread = 1.0
        else:
            self.there = _entries(space, self.value, state.masks)
            width = math.prod(self.value.shape[self.there.ndim :])
            self.shape = (-1, width)
            self.scale, self.dimension = 1.0, float(width)
            # A centred sample varies less than its entries would by themselves.
            total = float(free.sum()) * space.copies
            self.spread = math.sqrt(int(self.there.sum()) * width / total) if total else 1.0

    def vectors(self) -> Tensor:
        """Float64 `[n, D]`."""
        return self.value[self.there].reshape(self.shape).double() / self.scale

    def replaced(self, vectors: Tensor) -> Tensor:
        """The component with these vectors in place of its own."""
        value = self.value.clone()
        value[self.there] = (vectors * self.scale).to(value).reshape(value[self.there].shape)
        return value


def _entries(space: Space, like: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Which entries exist, without the axes of their features: `[B, N]`, `[B, N, T]` with frame masks, or pairs."""
    if isinstance(space, SymmetricAdjacency | DirectedAdjacency):
        return space.project(torch.ones_like(like), masks) != 0
    there = Masked().project(torch.ones_like(like), masks) != 0
    axes = min(3 if "frame_mask" in masks else 2, like.ndim)
    return there.flatten(axes).any(-1) if like.ndim > axes else there
