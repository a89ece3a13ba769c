"""What a run of trajectories draws, and how it comes back into the units of the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.core.domains import load_domain
from scorefield.core.errors import InputError
from scorefield.domains.geometry.trajectories import Trajectories
from tests.geometry.runs import springs_data, untrained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "uncond")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "cond", "0:5")


def test_samples_are_systems_of_the_training_data_around_their_mean(model):
    found = model.sample(20, seed=3)
    assert isinstance(found, Trajectories)
    assert found.x.shape == (20, 4, 12, 3)
    assert np.abs(found.x.mean((1, 2))).max() < 1e-5
    assert found.dt == pytest.approx(0.1)
    source = springs_data().windows("train").samples()
    known = {told.tobytes() for told in source.edge_features.astype(np.float32)}
    assert {told.tobytes() for told in found.edge_features.astype(np.float32)} <= known
    assert (found.edges == source.edges[0]).all()


def test_the_same_seed_gives_the_same_numbers(model):
    first, again, other = (model.sample(6, seed=seed).x for seed in (0, 0, 1))
    assert (first == again).all()
    assert np.abs(first - other).max() > 0.1


def test_nodes_as_a_condition(model):
    assert model.sample(2, conditions={"nodes": 4}).x.shape[1] == 4
    with pytest.raises(InputError, match="nodes=5; the run knows systems"):
        model.sample(2, conditions={"nodes": 5})
    with pytest.raises(InputError, match="unknown condition 'mass'; trajectories take nodes"):
        model.sample(2, conditions={"mass": 5})


def test_a_conditional_run_makes_nothing_up(conditional):
    with pytest.raises(InputError, match=r"without given frames.*scorefield forecast"):
        conditional.sample(2)


def test_scores_of_states_of_both_kinds(model, conditional):
    for run, given in ((model, None), (conditional, "0:5")):
        batch = springs_data(given).windows("train").__getitems__([0, 1])
        score = run.score(batch, 0.5)["x"]
        assert score.shape == (2, 4, 12, 3)
        assert bool(torch.isfinite(score).all())
        assert not given or not score[:, :, :5].any()


def test_systems_of_different_sizes_and_lengths_are_padded():
    domain = load_domain("geometry")
    sizes = {"nodes": 3, "frames": 6, "space": 2, "features": 1, "edge_features": 0}
    systems = [
        {"nodes": 1, "count": 1, "numbers": [6]},
        {"nodes": 3, "count": 3, "numbers": [1, 8, 1], "features": [[1.0], [2.0], [3.0]]},
    ]
    tables = {"systems": systems, "dt": 0.5, "pairs": "all", "lengths": {"4": 1, "6": 1}}
    drawn = domain.draw(64, tables, torch.Generator().manual_seed(0))
    assert 8 < int((drawn["nodes"] == 1).sum()) < 28
    state = domain.frame(drawn, sizes, tables)
    assert (state.masks["mask"].sum(1) == drawn["nodes"]).all()
    assert set(state.masks["frame_mask"].sum(1).tolist()) == {4, 6}
    assert (state.condition["edge_mask"].sum(1) == drawn["nodes"] * (drawn["nodes"] - 1)).all()
    found = domain.decode(state, tables)
    alone = found.mask.sum(1) == 1
    assert (found.numbers[alone] == [6, 0, 0]).all()
    assert (found.features[~alone, :, 0] == [1, 2, 3]).all()
    assert found.edges is None


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "tables.systems: needs at least one system"),
        ({"systems": [{"nodes": 9}]}, "tables.systems.0: is no system of 1 to 3 nodes"),
        ({"systems": [{"nodes": 1, "features": [[1.0, 2.0]]}]}, "tables.systems.0.features: needs rows of 1 features"),
        ({"systems": [{"nodes": 1}], "given": [7]}, "tables.given: needs 1 of 6 frames"),
    ],
)
def test_damaged_tables_are_told(tables, message, tmp_path):
    sizes = {"nodes": 3, "frames": 6, "space": 2, "features": 1, "edge_features": 0}
    sizes |= {"given": 1} if "given" in tables else {}
    with pytest.raises(InputError, match=message):
        load_domain("geometry").check_tables(tables, sizes, tmp_path / "model.json")
