"""Both score networks of GDSS as one network on a state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scorefield.core.state import State
from scorefield.core.system import Network
from scorefield.domains.graphs.networks.blocks import Layout
from scorefield.domains.graphs.networks.graphs import GraphBatch
from scorefield.domains.graphs.networks.score import ScoreNetwork

__all__ = ["GDSSNetwork"]


class GDSSNetwork(Network):
    """Node and edge scores of a state with components `x`, `adj` and the mask `mask`.

    What depends on the mask alone is kept from one call to the next, for as long as the same mask tensor comes:
    all evaluations of a sampling run share it.

    Args:
        x: the network of the node features.
        adj: the network of the adjacency matrix.
    """

    def __init__(self, x: ScoreNetwork, adj: ScoreNetwork) -> None:
        super().__init__()
        self.x = x
        self.adj = adj
        self._layout: Layout | None = None

    def forward(self, state: State, t: Tensor) -> dict[str, Tensor]:
        """Raw outputs of both networks; neither sees the time.

        Args:
            state: `x` (batch, nodes, features), `adj` (batch, nodes, nodes), mask `mask` (batch, nodes).
            t: (batch,) not used.

        Returns:
            `x` and `adj` in the shapes of the state's components, zero outside the mask.
        """
        x, adj = state.components["x"], state.components["adj"]
        layout = self._layout_of(state.masks["mask"])
        count = max(self.x.num_powers, self.adj.num_powers)
        nodes, edges = self.x.fold(), self.adj.fold()
        parts_x, parts_adj = [], []
        for block in layout.blocks:
            graphs = GraphBatch.prepare(*block.crop(x, adj), block.mask, block.pairs, count)
            parts_x.append(nodes(graphs).to(x.dtype))
            parts_adj.append(edges(graphs).to(adj.dtype))
        return {"x": layout.join_nodes(parts_x), "adj": layout.join_edges(parts_adj)}

    def _layout_of(self, mask: Tensor) -> Layout:
        if torch.compiler.is_compiling():
            return Layout.of(mask)
        if self._layout is None or not self._layout.fits(mask):
            self._layout = Layout.of(mask)
        return self._layout

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the kept layout."""
        return {**self.__dict__, "_layout": None}
