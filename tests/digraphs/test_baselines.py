"""Baselines: what they promise, and the table of all of them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.digraphs import Digraph, measure, rescale
from scorefield.domains.digraphs.balance import CannotBalance
from scorefield.domains.digraphs.baselines import BASELINES, baseline_table, sample_baseline
from scorefield.domains.digraphs.baselines.block_model import communities
from scorefield.domains.digraphs.baselines.comparing import compare_baselines, methods_table
from scorefield.domains.digraphs.baselines.degrees import _switch
from scorefield.domains.digraphs.baselines.figure import methods_figure
from scorefield.domains.digraphs.edge_set import make_edge_set
from scorefield.domains.digraphs.statistics import DigraphPopulation
from scorefield.domains.digraphs.streams import stream
from tests.digraphs.small_digraphs import digraphs, is_simple

INDUCED = ("random_node", "ties", "forest_fire", "random_walk", "snowball")


@pytest.fixture(scope="module")
def blocks() -> Digraph:
    """Four groups of 30 nodes with few edges between them."""
    generator = np.random.default_rng(3)
    group = np.repeat(np.arange(4), 30)
    chance = np.where(group[:, None] == group, 0.25, 0.01)
    return Digraph(*np.nonzero((generator.random((120, 120)) < chance) & ~np.eye(120, dtype=bool)), 120)


@pytest.mark.parametrize("name", BASELINES)
@given(digraphs(), st.integers(0, 3))
def test_samples_are_simple_graphs_of_the_size(name, graph, seed):
    nodes = 1 + seed % graph.n
    if name.endswith("configuration"):
        try:
            sample_baseline(name, graph, nodes=nodes, seed=seed)
        except CannotBalance:
            return
    found = sample_baseline(name, graph, nodes=nodes, seed=seed)
    assert is_simple(found)
    if name == "random_edge":
        assert found.m == round(nodes * graph.m / graph.n)
        assert not found.m or (found.in_degrees + found.out_degrees).min() > 0
    else:
        assert found.n == nodes
    again = sample_baseline(name, graph, nodes=nodes, seed=seed)
    np.testing.assert_array_equal(again.keys, found.keys)


@pytest.mark.parametrize("name", INDUCED)
def test_all_nodes_give_the_graph_itself(name, blocks):
    found = sample_baseline(name, blocks, 1)
    np.testing.assert_array_equal(np.sort(found.keys), np.sort(blocks.keys))
    some = [sample_baseline(name, blocks, 0.5, seed=seed).m for seed in range(2)]
    assert some[0] != some[1] or name == "snowball"
    with pytest.raises(InputError, match="at most 1"):
        sample_baseline(name, blocks, 1.5)


def test_explorations_stay_near_where_they_start(blocks):
    """Half as many nodes keep more than a quarter of the edges, unlike random nodes."""
    kept = {name: np.mean([sample_baseline(name, blocks, 0.5, seed=s).m for s in range(8)]) for name in INDUCED}
    assert kept["random_node"] / blocks.m == pytest.approx(0.25, abs=0.04)
    for name in ("forest_fire", "random_walk", "snowball"):
        assert kept[name] > 1.1 * kept["random_node"], name


def test_configurations_have_the_rescaled_degrees(blocks):
    plan = rescale(measure(blocks), 0.5, seed=4, sample=2).matrices
    exact = sample_baseline("simple_configuration", blocks, 0.5, seed=4, sample=2)
    assert is_simple(exact)
    np.testing.assert_array_equal(measure(exact).jdm, plan.jdm)
    assert not np.array_equal(measure(exact).dcm, plan.dcm)
    erased = sample_baseline("erased_configuration", blocks, 0.5, seed=4, sample=2)
    assert 0.8 * plan.m < erased.m < plan.m


def test_switching_reaches_every_graph_of_its_degrees():
    """Three nodes with in- and out-degree 1: the two directions of a ring, which swaps of two edges do not join."""
    src, dst = np.arange(3), np.array([1, 2, 0])
    state, seen = stream(0), set()
    edges = make_edge_set(src * 3 + dst)
    for _ in range(60):
        _switch(src, dst, 3, edges, 20, state)
        seen.add(tuple(dst.tolist()))
    assert seen == {(1, 2, 0), (2, 0, 1)}


def test_switching_is_uniform():
    """Degrees of four nodes, all of whose 9 graphs come as often."""
    src, dst = np.arange(4), np.array([1, 2, 3, 0])
    state, counts = stream(1), {}
    edges = make_edge_set(src * 4 + dst)
    for _ in range(9000):
        _switch(src, dst, 4, edges, 12, state)
        counts[tuple(dst.tolist())] = counts.get(tuple(dst.tolist()), 0) + 1
    assert len(counts) == 9  # derangements of 4
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 30


@pytest.mark.parametrize("name", ["chung_lu", "dcsbm"])
def test_edges_in_the_mean(name, blocks):
    found = [sample_baseline(name, blocks, 2, seed=seed) for seed in range(6)]
    edges = np.mean([graph.m for graph in found])
    assert 0.85 * 2 * blocks.m < edges < 1.03 * 2 * blocks.m


def test_communities_are_those_of_large_modularity(blocks):
    label = communities(blocks, stream(0))
    plain = nx.Graph(zip(blocks.src.tolist(), blocks.dst.tolist(), strict=True))
    sets = [set(np.flatnonzero(label == c).tolist()) & set(plain) for c in range(label.max() + 1)]
    own = nx.community.modularity(plain, [part for part in sets if part])
    other = nx.community.modularity(plain, nx.community.louvain_communities(plain, seed=1))
    assert own > other - 0.02
    assert len(np.unique(label)) == 4


def test_a_block_model_keeps_blocks(blocks):
    found = sample_baseline("dcsbm", blocks, 1, seed=0)
    flat = sample_baseline("chung_lu", blocks, 1, seed=0)
    both = [DigraphPopulation([graph])[0].ties.transitivity for graph in (blocks, found, flat)]
    assert both[1] > 1.4 * both[2]


def test_bad_input(blocks):
    with pytest.raises(InputError, match="forest_fire"):
        sample_baseline("forest_fir", blocks, 0.5)
    with pytest.raises(InputError):
        sample_baseline("ties", blocks, 0)
    with pytest.raises(InputError):
        sample_baseline("ties", blocks, 0.5, seed=-1)
    with pytest.raises(InputError, match="no nodes"):
        sample_baseline("ties", Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), 0), nodes=3)
    assert [name for name, _ in baseline_table()] == list(BASELINES)


def test_all_methods_in_one_table_and_figure(blocks):
    quick = Resampling(permutations=0, bootstrap=2, floors=2)
    methods = compare_baselines(blocks, 0.5, num=2, resampling=quick)
    assert [method.name for method in methods] == ["rescaled", *BASELINES]
    text = methods_table(methods)
    line = next(line for line in text.splitlines() if line.startswith("ks_in"))
    assert "*" in line
    assert "floor" in line
    assert len({len(row.comparison.rows) for row in methods}) == 1
    figure = methods_figure(DigraphPopulation([blocks]), methods)
    assert figure.startswith("<?xml")
    larger = compare_baselines(blocks, nodes=150, num=1, only=["ks_in", "reciprocity"], resampling=quick)
    assert [m.name for m in larger] == ["rescaled", *(n for n, entry in BASELINES.items() if entry.enlarges)]
    assert "reciprocity" in methods_table(larger)
    with pytest.raises(InputError, match="unknown"):
        compare_baselines(blocks, 0.5, methods=["best"])
