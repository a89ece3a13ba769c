"""Graphs of a batch laid out flat: the nodes that exist, and their edges in the order of the nodes that receive.

A batch comes padded, `[B, N, ...]` with a mask and edge lists `[B, M, 2]`. Networks compute on `[n, T, ...]` for the n
nodes that exist and `[m, T, ...]` for the m edges; sums over the edges of a node are then sums of neighbouring rows,
and a plain sum over one axis where all nodes have equally many edges. Layouts depend on masks and condition only, and
are kept as long as these stay the same tensors: one a batch in training, one a run in sampling.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core.errors import InputError
from scorefield.core.state import State

__all__ = ["Layout", "LayoutMemory"]


@dataclass(frozen=True)
class Layout:
    """Nodes and edges of a batch.

    Attributes:
        batch: number of graphs, B, and of nodes of each with padding, N.
        nodes: places of the existing nodes in the padded batch, `[n]`; None where all exist.
        graph: the graph of each node, `[n]`.
        row: the node that receives, of each edge, in increasing order `[m]`.
        col: the node that sends, `[m]`.
        degree: edges that each node receives; None where nodes differ.
        counts: edges that a node receives, at least 1, `[n, 1, 1]`.
        features: edge features `[m, E]`, or None.
    """

    batch: tuple[int, int]
    nodes: Tensor | None
    graph: Tensor
    row: Tensor
    col: Tensor
    degree: int | None
    counts: Tensor
    features: Tensor | None

    def packed(self, values: Tensor) -> Tensor:
        """The existing nodes' rows `[n, ...]` of `[B, N, ...]`."""
        flat = values.flatten(0, 1)
        return flat if self.nodes is None else flat[self.nodes]

    def padded(self, values: Tensor) -> Tensor:
        """`[B, N, ...]` with zeros where no node is, from `[n, ...]`."""
        if self.nodes is not None:
            whole = values.new_zeros(self.batch[0] * self.batch[1], *values.shape[1:])
            values = whole.index_copy(0, self.nodes, values)
        return values.view(*self.batch, *values.shape[1:])

    def sent(self, values: Tensor) -> Tensor:
        """What the sender of each edge has: `[m, ...]` from `[n, ...]`."""
        return values.index_select(0, self.col)

    def plus_received(self, messages: Tensor, values: Tensor) -> Tensor:
        """Messages `[m, ...]` and what the receiver of each has, `[n, ...]`: their sum."""
        if self.degree is None:
            return messages + self.received(values)
        whole: Tensor = messages.unflatten(0, (-1, self.degree)) + values[:, None]
        return whole.flatten(0, 1)

    def total(self, messages: Tensor) -> Tensor:
        """The sum over the edges that each node receives: `[n, ...]` from `[m, ...]`."""
        if self.degree is None:
            return self.summed(messages, self.row)
        total: Tensor = messages.unflatten(0, (-1, self.degree)).sum(1)
        return total

    def summed(self, messages: Tensor, nodes: Tensor) -> Tensor:
        """The sum of messages `[m, ...]` at these nodes: `[n, ...]`."""
        zeros = messages.new_zeros(len(self.graph), *messages.shape[1:])
        if messages.device.type == "cpu":
            return zeros.index_add_(0, nodes, messages)
        return zeros.index_put_((nodes,), messages, accumulate=True)  # in a fixed order, unlike index_add

    def received(self, values: Tensor) -> Tensor:
        """What the receiver of each edge has: `[m, ...]` from `[n, ...]`."""
        return values.index_select(0, self.row)

    def add_received(self, messages: Tensor, values: Tensor) -> None:
        """`plus_received`, into `messages`."""
        if self.degree is not None:
            messages.unflatten(0, (-1, self.degree)).add_(values[:, None])
        else:
            messages.add_(self.received(values))

    def collected(self, messages: Tensor) -> Tensor:
        """The sum over the edges that each node sends: `[n, ...]` from `[m, ...]`."""
        return self.summed(messages, self.col)

    def seen(self, size: Tensor) -> Tensor:
        """Numbers of every edge and frame `[m, T, F]` and the features of the edge, `[m, T, F + E]`."""
        if self.features is None:
            return size
        return torch.cat([size, self.features[:, None].expand(-1, size.shape[1], -1)], -1)

    @classmethod
    def of(cls, state: State) -> Layout:
        """The layout of a state; without edge lists all nodes of a graph are joined to all others.

        Raises:
            InputError: edges of shapes that do not fit, or between nodes that do not exist.
        """
        batch, number = state["x"].shape[:2]
        device = state["x"].device
        mask = state.masks.get("mask")
        exists = torch.ones(batch, number, dtype=torch.bool, device=device) if mask is None else mask
        first, pairs, which = _edges(state, exists)
        row, col = (number * first + pairs[:, end] for end in (0, 1))
        order = torch.argsort(row, stable=True)
        nodes = None if bool(exists.all()) else exists.flatten().nonzero()[:, 0]
        if nodes is not None:
            place = torch.full((batch * number,), -1, dtype=torch.long, device=device)
            place[nodes] = torch.arange(len(nodes), device=device)
            row, col = place[row], place[col]
            if bool(((row < 0) | (col < 0)).any()):
                raise InputError("an edge joins a node that does not exist", mend="mask the edge, or name other nodes")
        graph = torch.arange(batch, device=device)[:, None].expand(batch, number).flatten()
        graph = graph if nodes is None else graph[nodes]
        counts = torch.bincount(row, minlength=len(graph))
        most = int(counts.max()) if len(counts) else 0
        degree = most if most and bool((counts == most).all()) else None
        features = state.condition.get("edge_features")
        if features is not None:
            features = features.to(state.dtype)[which][order]
        counts = counts.clamp(min=1).to(state.dtype)[:, None, None]
        return cls((batch, number), nodes, graph, row[order], col[order], degree, counts, features)


def _edges(state: State, exists: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Of each edge its graph `[m]`, its ends `[m, 2]`, and its place in the list of edges."""
    batch, number = exists.shape
    edges = state.condition.get("edges")
    if edges is None:
        if "edge_features" in state.condition:
            raise InputError("edge features without edges", mend="give edges [B, M, 2]")
        apart = ~torch.eye(number, dtype=torch.bool, device=exists.device)
        first, one, other = (exists[:, :, None] & exists[:, None] & apart).nonzero(as_tuple=True)
        return first, torch.stack([one, other], 1), ()
    if edges.ndim != 3 or edges.shape[0] != batch or edges.shape[2] != 2:
        raise InputError(f"edges of shape {tuple(edges.shape)}", mend=f"give [{batch}, M, 2]")
    features = state.condition.get("edge_features")
    if features is not None and features.shape[:2] != edges.shape[:2]:
        what = f"edge features of shape {tuple(features.shape)} with edges of shape {tuple(edges.shape)}"
        raise InputError(what, mend="give one row of features an edge")
    mask = state.condition.get("edge_mask")
    there = torch.ones(edges.shape[:2], dtype=torch.bool, device=edges.device) if mask is None else mask
    which = there.nonzero(as_tuple=True)
    pairs = edges[which]
    if pairs.numel() and not 0 <= int(pairs.min()) <= int(pairs.max()) < number:
        raise InputError(f"an edge names a node outside of 0 to {number - 1}", place="edges")
    return which[0], pairs, which


class LayoutMemory:
    """Remembers the last layout, and gives it again for states with the same tensors of masks and condition."""

    _NAMES = ("edges", "edge_mask", "edge_features")

    def __init__(self) -> None:
        self._last: tuple[list[weakref.ref[Tensor] | None], tuple[object, ...], Layout] | None = None

    def __reduce__(self) -> tuple[type[LayoutMemory], tuple[()]]:
        return LayoutMemory, ()  # copies remember nothing

    def of(self, state: State) -> Layout:
        """See `Layout.of`."""
        tensors = [state.masks.get("mask"), *(state.condition.get(name) for name in self._NAMES)]
        facts = state["x"].shape[:2], state.dtype, state.device, tuple(_version(value) for value in tensors)
        if self._last is not None:
            kept, known, layout = self._last
            same = all((r() if r else None) is value for r, value in zip(kept, tensors, strict=True))
            if same and known == facts:
                return layout
        layout = Layout.of(state)
        self._last = [None if value is None else weakref.ref(value) for value in tensors], facts, layout
        return layout


def _version(value: Tensor | None) -> int:
    """Changes when the tensor is written to."""
    return -1 if value is None or value.is_inference() else value._version
