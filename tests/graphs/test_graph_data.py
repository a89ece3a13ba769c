"""The data module of generic graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.core.errors import InputError
from scorefield.core.states_check import check_states
from scorefield.domains.graphs.data import GraphData
from scorefield.domains.graphs.gdss_tables import gdss_tables
from scorefield.domains.graphs.graph_samples import Graphs


@pytest.fixture
def path(tmp_path: Path) -> str:
    star = np.zeros((5, 5))
    star[0, 1:] = star[1:, 0] = 1
    pair, lone = np.ones((2, 2)) - np.eye(2), np.zeros((1, 1))
    Graphs.from_adjacency([star, pair, lone, pair, star]).save(tmp_path / "g.npz")
    return str(tmp_path / "g.npz")


def test_states(path: str) -> None:
    data = GraphData(path)
    batch = next(iter(data.val_dataloader()))
    assert batch["x"].argmax(-1).tolist() == [[4, 1, 1, 1, 1]]
    batch = next(iter(data.train_dataloader()))
    check_states(batch["mask"].numpy(), {name: batch[name].numpy() for name in ("x", "adj")}, ["adj"])
    assert torch.equal((batch["x"].argmax(-1) * batch["mask"]).float(), batch["adj"].sum(-1))
    assert sorted(batch["mask"].sum(1).tolist()) == [1, 2, 2, 5]
    assert data.sizes == {"features": 5, "max_nodes": 5}
    assert data.tables == {"kind": "graphs", "node_counts": {"1": 1, "2": 2, "5": 1}}
    assert (len(data.train_references()), len(data.test_references())) == (4, 1)
    arrays = data.arrays()
    check_states(arrays["mask"], {name: arrays[name] for name in ("x", "adj")}, ["adj"])


def test_bad_graphs(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: graph 0: a node of degree 4, features hold degrees up to 3"):
        GraphData(path, features=4).setup()
    with pytest.raises(InputError, match=f"^{path}: graph 0: 5 nodes, more than the maximum of 4"):
        GraphData(path, max_nodes=4).setup()
    with pytest.raises(InputError, match="5 graphs cannot be split"):
        GraphData(path, test_fraction=0.1).setup()
    with pytest.raises(InputError, match="no file of graphs is named"):
        GraphData().setup()


@pytest.mark.parametrize("name", ["community_small", "ego_small", "ENZYMES", "grid"])
def test_published_sets(shared_dir: Path, name: str) -> None:
    data = GraphData(str(shared_dir / f"data/graphs/{name}.npz"))
    data.setup()
    published = gdss_tables(name)
    assert data.tables == published["tables"]
    assert data.sizes["features"] == published["sizes"]["features"]
    assert data.sizes["max_nodes"] <= published["sizes"]["max_nodes"]
