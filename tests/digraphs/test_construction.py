"""Graphs built from degree matrices have them exactly, and the Markov chain keeps them and reaches all."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorefield.core.errors import InputError
from scorefield.domains.digraphs import (
    DegreeMatrices,
    Digraph,
    construct,
    degree_matrices,
    measure,
    mix,
    rescale,
    validate,
)
from scorefield.domains.digraphs.construction import construct_wiring
from scorefield.domains.digraphs.edge_set import add, contains, make_edge_set, remove
from scorefield.domains.digraphs.mixing import run_chain
from scorefield.domains.digraphs.streams import below, stream, uniform
from scorefield.domains.digraphs.stubs import to_digraph, wire
from tests.digraphs.small_digraphs import NAMES, candidates, digraphs, has_exactly, is_simple, same, stored

STARTS = ("cyclic", "random")


def check_all(n, tries):
    for jdm, dcm in candidates(n):
        if validate(jdm, dcm):
            continue
        wanted = degree_matrices(jdm, dcm)
        for start in STARTS:
            for sample in range(3):
                wiring = construct_wiring(wanted, seed=1, sample=sample, start=start, tries=tries)
                assert has_exactly(to_digraph(wiring), wanted)


@pytest.mark.parametrize("tries", [0, 200])
def test_all_matrices_of_three_nodes_are_built(tries):
    check_all(3, tries)


@pytest.mark.slow
@pytest.mark.parametrize("tries", [0, 200])
def test_all_matrices_of_four_nodes_are_built(tries):
    check_all(4, tries)


@given(digraphs(), st.sampled_from(STARTS), st.sampled_from([0, 200]), st.integers(0, 99))
def test_matrices_of_graphs_are_built(graph, start, tries, seed):
    wanted = measure(graph)
    wiring = construct_wiring(wanted, seed=seed, sample=0, start=start, tries=tries)
    assert has_exactly(to_digraph(wiring), wanted)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("tries", [0, 200])
def test_a_graph_of_blogs_is_built(shared_dir, start, tries):
    """Without random swaps hundreds of conflicts are left to the guaranteed finish."""
    wanted = measure(stored(shared_dir, "polblogs"))
    assert has_exactly(to_digraph(construct_wiring(wanted, seed=3, sample=0, start=start, tries=tries)), wanted)


def test_matrices_of_no_graph_and_unknown_starts_are_refused():
    with pytest.raises(InputError, match="R3"):
        construct(DegreeMatrices(np.array([[1, 1, 1]]), np.array([[1, 1, 1]])))
    empty = DegreeMatrices(np.array([[0, 0, 3]]), np.zeros((0, 3), np.int64))
    assert (construct(empty).n, construct(empty).m) == (3, 0)
    with pytest.raises(InputError, match="cyclic, random"):
        construct(empty, start="regular")
    with pytest.raises(InputError, match="negative"):
        construct(empty, seed=-1)


def test_seeds_fix_the_edges(shared_dir):
    wanted = measure(stored(shared_dir, "polblogs"))
    first, again, other = (construct(wanted, seed=seed) for seed in (1, 1, 2))
    assert first.src.tobytes() == again.src.tobytes()
    assert first.dst.tobytes() == again.dst.tobytes()
    assert not np.array_equal(np.sort(first.keys), np.sort(other.keys))
    assert not np.array_equal(np.sort(first.keys), np.sort(construct(wanted, seed=1, sample=1).keys))
    moved = [mix(first, 1, seed=seed).graph.keys.tobytes() for seed in (1, 1, 2)]
    assert moved[0] == moved[1] != moved[2]


@given(digraphs(), st.integers(0, 99))
def test_mixing_keeps_degrees_and_matrices(graph, seed):
    mixed = mix(graph, 20, seed=seed)
    assert is_simple(mixed.graph)
    assert same(measure(mixed.graph), measure(graph))


def test_a_million_steps_keep_the_matrices(shared_dir):
    graph = stored(shared_dir, "polblogs")
    wiring = wire(graph)
    edges = make_edge_set(graph.keys)
    swaps, _ = run_chain(wiring, edges, 1_000_000, 0.01, stream(5))
    moved = to_digraph(wiring)
    assert swaps > 100_000
    np.testing.assert_array_equal(moved.in_degrees, graph.in_degrees)
    np.testing.assert_array_equal(moved.out_degrees, graph.out_degrees)
    assert has_exactly(moved, measure(graph))
    np.testing.assert_array_equal(np.sort(edges.slots[edges.slots >= 0]), np.sort(moved.keys))
    assert (wiring.inverse[wiring.mate] == np.arange(graph.m)).all()


def chain_of(shared_dir, reversals, draws, thinning):
    """How often each realisation of the stored class came up."""
    known = json.loads((shared_dir / "fixtures" / "digraphs" / "mcmc_class.json").read_text())
    n = len(known["in_degrees"])
    edges = np.array(known["realisations"])
    visits = {tuple(sorted(u * n + v for u, v in graph)): 0 for graph in known["realisations"]}
    wiring = wire(Digraph(edges[0, :, 0], edges[0, :, 1], n))
    members, state, turned = make_edge_set(to_digraph(wiring).keys), stream(11), 0
    for _ in range(draws):
        turned += run_chain(wiring, members, thinning, reversals, state)[1]
        visits[tuple(sorted(to_digraph(wiring).keys.tolist()))] += 1
    return np.array(list(visits.values())), turned


@pytest.mark.parametrize("reversals", [0.01, pytest.param(0.5, marks=pytest.mark.slow)])
def test_the_chain_visits_all_graphs_equally_often(shared_dir, reversals):
    visits, turned = chain_of(shared_dir, reversals, 30_000, 60)
    assert visits.min() > 0
    assert turned > 0
    expected = visits.sum() / visits.size
    squared, freedom = float(((visits - expected) ** 2 / expected).sum()), visits.size - 1
    assert abs(squared - freedom) < 4 * np.sqrt(2 * freedom)


def test_mixing_reports_what_it_did(shared_dir):
    graph = stored(shared_dir, "polblogs")
    done = mix(graph, 2, seed=1).mixing
    assert done.steps == 2 * graph.m
    assert 0 < done.swaps < done.steps
    assert 0 < done.kept < 1
    still = mix(graph, 0).mixing
    assert (still.steps, still.kept) == (0, 1.0)
    with pytest.raises(InputError, match="steps per edge"):
        mix(graph, -1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=60))
def test_the_set_of_edges_is_a_set(actions):
    edges, truth = make_edge_set(np.arange(20) * 7), set(range(0, 140, 7))
    for put, key in actions:
        if key in truth and not put:
            remove(edges, key)
            truth.remove(key)
        elif key not in truth and put and len(truth) < 24:
            add(edges, key)
            truth.add(key)
    assert {int(key) for key in edges.slots if key >= 0} == truth
    assert all(contains(edges, key) == (key in truth) for key in range(141))


def test_bounded_numbers_are_uniform():
    state = stream(1, 2)
    counts = np.bincount([below(state, 7) for _ in range(14_000)], minlength=7)
    assert counts.size == 7
    assert np.abs(counts - 2000).max() < 200
    assert 0 <= below(state, 3 << 40) < 3 << 40
    assert abs(np.mean([uniform(state) for _ in range(10_000)]) - 0.5) < 0.02


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_every_stored_graph_is_built_at_every_ratio(shared_dir, name):
    original = measure(stored(shared_dir, name))
    for ratio in (0.05, 0.1, 0.3, 0.5, 0.9, 1.37, 2):
        for seed in range(3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plan = rescale(original, ratio, seed=seed)
            for start in STARTS:
                assert has_exactly(construct(plan.matrices, seed=seed, start=start), plan.matrices)
