"""Vector calculus on the spaces of a system: inner products, Jacobians, divergences, in coordinates of free entries.

A space whose free entries stand c times in the tensor (c = 2 for a symmetric adjacency) has the inner product
<a, b> = sum(a b) / c, in which `Space.noise` is standard normal. Fields map states to values in the spaces. With J the
plain derivative of such a field, P the projections and C the copies of all components, the Jacobian in free coordinates
is J itself, its transpose C P J' C^-1, and the gradient of a scalar C P times the plain one.

Derivatives are taken backwards (twice for J v), as networks may bring derivatives of their own that know no other way.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scorefield.core.noise import NoiseSource
from scorefield.core.spaces import Space
from scorefield.core.state import State
from scorefield.core.system import System, Values

__all__ = [
    "dimensions", "divergences", "free_bases", "free_basis", "gradient", "inner", "leaves", "mask_patterns",
    "products", "rademacher", "reached", "stacked", "total_dimension",
]  # fmt: skip


def inner(system: System, a: Values, b: Values) -> Tensor:
    """<a, b> over the components that both name, in free coordinates, `[B]`."""
    parts = [(a[n] * b[n]).flatten(1).sum(1) / system.components[n].space.copies for n in a if n in b]
    return torch.stack(parts).sum(0)


def dimensions(system: System, state: State) -> Values:
    """Free entries of each component, `[B]`, in the state's number type."""
    parts = {n: c.space.dimension(state[n], state.masks) for n, c in system.components.items()}
    return {n: count.to(state.dtype) for n, count in parts.items()}


def total_dimension(system: System, state: State) -> Tensor:
    """Free entries of all components together, `[B]`, in the state's number type."""
    return torch.stack(list(dimensions(system, state).values())).sum(0)


class _Signs:
    """Signs of normal numbers: a noise source of +1 and -1."""

    def __init__(self, source: NoiseSource) -> None:
        self._source = source

    def normal(self, like: Tensor) -> Tensor:
        """See `NoiseSource.normal`."""
        return torch.where(self._source.normal(like) < 0, -1.0, 1.0).to(like)


def rademacher(system: System, state: State, source: NoiseSource) -> Values:
    """Probes with E v v' = 1 on each component's space: +-1 on free entries, projected where the space asks for it."""
    return system.noise(state, _Signs(source))


def mask_patterns(state: State) -> list[Tensor]:
    """Rows of the state that share all masks, as lists of indices in rising order."""
    if not state.masks:
        return [torch.arange(len(state), device=state.device)]
    patterns = torch.cat([mask.flatten(1) for mask in state.masks.values()], 1)
    _, which = torch.unique(patterns, dim=0, return_inverse=True)
    return [torch.nonzero(which == k).flatten() for k in range(int(which.max()) + 1)]


def free_basis(space: Space, name: str, state: State) -> Tensor:
    """Orthonormal bases of a component's subspace in every sample.

    Args:
        space: the component's space.
        name: the component.
        state: masks, shapes, device and number type.

    Returns:
        `[D, B, ...]` with D the largest dimension; the last vectors of samples of fewer dimensions are zero.
    """
    like = state[name]
    count = space.dimension(like, state.masks)
    basis = like.new_zeros((int(count.max()), *like.shape))
    for rows in mask_patterns(state):
        first = state.rows(rows[:1])
        vectors = _basis_of_one(space, first[name], first.masks)
        basis[: len(vectors), rows] = vectors[:, None]
    return basis


def reached(space: Space, like: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Which entries the subspaces of the samples do not fix at 0, as booleans like `like` `[B, ...]`."""
    index = torch.arange(like[:1].numel(), dtype=torch.float64, device=like.device)
    return space.project(torch.cos(1 + index).reshape(like[:1].shape).expand(like.shape), masks) != 0


def _basis_of_one(space: Space, like: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Basis `[d, ...]` of one sample's subspace, from the eigenvectors of the projection on the entries it reaches."""
    entries = torch.nonzero(reached(space, like, masks).flatten()).flatten()
    units = torch.zeros(len(entries), like.numel(), dtype=torch.float64, device=like.device)
    units[torch.arange(len(entries), device=like.device), entries] = 1.0
    expanded = {mask: value.expand(len(entries), *value.shape[1:]) for mask, value in masks.items()}
    projected = space.project(units.reshape(-1, *like.shape[1:]), expanded).flatten(1)
    d = int(space.dimension(like, masks)[0])
    vectors = torch.linalg.eigh(projected[:, entries])[1][:, len(entries) - d :]
    whole = torch.zeros(d, like.numel(), dtype=torch.float64, device=like.device)
    whole[:, entries] = vectors.T * space.copies**0.5
    return whole.reshape(d, *like.shape[1:]).to(like.dtype)


def leaves(state: State) -> State:
    """The state with components that collect gradients."""
    return state.replace({n: v.detach().clone().requires_grad_() for n, v in state.components.items()})


def _pulled(outputs: Values, state: State, covectors: Values, create_graph: bool = False) -> Values:
    """J' times covectors, in plain coordinates; components that nothing depends on get zeros."""
    names = [n for n in covectors if outputs[n].requires_grad]
    inputs = list(state.components.values())
    found: tuple[Tensor | None, ...] = (None,) * len(inputs)
    if names:
        found = torch.autograd.grad(
            [outputs[n] for n in names],
            inputs,
            [covectors[n] for n in names],
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )
    pairs = zip(state.components.items(), found, strict=True)
    return {n: torch.zeros_like(v) if g is None else g for (n, v), g in pairs}


def _free(system: System, state: State, plain: Values) -> Values:
    """C P times plain derivatives."""
    spaces = {n: system.components[n].space for n in plain}
    return {n: spaces[n].project(v, state.masks) * spaces[n].copies for n, v in plain.items()}


def _lowered(system: System, vectors: Values) -> Values:
    """C^-1 times vectors."""
    return {n: v / system.components[n].space.copies for n, v in vectors.items()}


def gradient(system: System, scalar: Tensor, state: State, create_graph: bool = False) -> Values:
    """Gradient of scalars `[B]` at leaves `state`, in free coordinates."""
    return _free(system, state, _pulled({"": scalar}, state, {"": torch.ones_like(scalar)}, create_graph))


def products(system: System, outputs: Values, state: State, vectors: Values) -> tuple[Values, Values]:
    """J v and J' v of a field.

    Args:
        system: tells the spaces.
        outputs: the field's values at `state`.
        state: leaves.
        vectors: v, of some or all components (the others count as zero).
    """
    weights = {n: torch.zeros_like(v, requires_grad=True) for n, v in outputs.items()}
    pulled = _pulled(outputs, state, weights, create_graph=True)
    linear = {n: pulled[n] for n in vectors if pulled[n].requires_grad}
    pushed: tuple[Tensor | None, ...] = (None,) * len(weights)
    if linear:
        pushed = torch.autograd.grad(
            list(linear.values()),
            list(weights.values()),
            [vectors[n] for n in linear],
            retain_graph=True,
            allow_unused=True,
        )
    forward = {n: torch.zeros_like(w) if v is None else v for (n, w), v in zip(weights.items(), pushed, strict=True)}
    transposed = _free(system, state, _pulled(outputs, state, _lowered(system, vectors)))
    return forward, transposed


def free_bases(system: System, state: State) -> list[Values]:
    """Directions along which `divergences` sum up to the divergence: basis vectors, one component in each."""
    spaces = {n: c.space for n, c in system.components.items()}
    return [{name: vector} for name, space in spaces.items() for vector in free_basis(space, name, state)]


def stacked(along: list[Values], like: State, size: int) -> list[Values]:
    """Directions put below one another, `size` in each, so that one evaluation serves several; `[size * B, ...]`.

    Args:
        along: directions `[B, ...]`, of some or all components.
        like: shapes of the components.
        size: directions in each stack; the last stack is filled up with zeros.
    """
    zeros = {n: torch.zeros_like(v) for n, v in like.components.items()}
    padded = [*along, *[{}] * (-len(along) % size)]
    groups = (padded[i : i + size] for i in range(0, len(padded), size))
    return [{n: torch.cat([v.get(n, z) for v in group]) for n, z in zeros.items()} for group in groups]


def divergences(
    system: System, outputs: Values, state: State, along: list[Values], create_graph: bool = False
) -> Tensor:
    """<v, J v> of a field for each of the directions `along`, `[K, B]`; other arguments as of `products`."""
    rows = []
    for vectors in along:
        pulled = _pulled(outputs, state, _lowered(system, vectors), create_graph)
        rows.append(torch.stack([(pulled[n] * v).flatten(1).sum(1) for n, v in vectors.items()]).sum(0))
    return torch.stack(rows) if rows else torch.zeros(0, len(state), dtype=state.dtype, device=state.device)
