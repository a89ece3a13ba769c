"""Counting degree matrices, and the rules that those of graphs obey."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from scorefield.core.errors import InputError
from scorefield.domains.digraphs import Digraph, degree_matrices, jdm_of_degrees, measure, simple_digraph, validate
from tests.digraphs.small_digraphs import candidates, digraphs, every_digraph


@pytest.mark.parametrize("name", ["rand12", "star", "polblogs"])
def test_measured_matrices_are_the_stored_ones(shared_dir, name):
    with np.load(shared_dir / "fixtures" / "digraphs" / "jdm_dcm.npz") as file:
        graph = Digraph(file[f"{name}.src"], file[f"{name}.dst"], int(file[f"{name}.n"]))
        found = measure(graph)
        np.testing.assert_array_equal(found.jdm, file[f"{name}.J"])
        np.testing.assert_array_equal(found.dcm, file[f"{name}.C"])


@given(digraphs())
def test_identities_of_matrices(graph):
    found = measure(graph)
    assert (found.n, found.m) == (graph.n, graph.m)
    assert found.in_classes.stubs.sum() == found.out_classes.stubs.sum() == graph.m
    assert not validate(found.jdm, found.dcm)


def cases(shared_dir):
    return json.loads((shared_dir / "fixtures" / "digraphs" / "networkx_d2k.json").read_text())


def test_validity_is_the_mathematical_one(shared_dir):
    for case in cases(shared_dir)["validity"]:
        try:
            jdm = jdm_of_degrees(case["in_degrees"], case["out_degrees"])
            accepted = not validate(jdm, case["nkk"])
        except InputError:
            accepted = False
        assert accepted == case["realizable"], case["why"]


def test_stored_realisations_are_accepted(shared_dir):
    for case in cases(shared_dir)["construct"]:
        jdm = jdm_of_degrees(case["in_degrees"], case["out_degrees"])
        graph = simple_digraph(case["edges"], len(case["in_degrees"])).graph
        np.testing.assert_array_equal(measure(graph).dcm, degree_matrices(jdm, case["nkk"]).dcm)


def attained(n):
    return {(m.jdm.tobytes(), m.dcm.tobytes()) for m in map(measure, every_digraph(n))}


def accepted(n):
    return {(j.tobytes(), c.tobytes()) for j, c in candidates(n) if not validate(j, c)}


@pytest.mark.parametrize(("n", "count"), [(2, 3), (3, 16)])
def test_accepted_matrices_are_those_of_graphs(n, count):
    assert accepted(n) == attained(n)
    assert len(accepted(n)) == count


@pytest.mark.slow
@pytest.mark.parametrize(("n", "count"), [(4, 185), (5, 4546)])
def test_accepted_matrices_of_more_nodes(n, count):
    found = accepted(n)
    assert len(found) == count
    assert n > 4 or found == attained(n)


def test_stored_matrices_of_three_nodes(shared_dir):
    known = json.loads((shared_dir / "fixtures" / "digraphs" / "realisable_all.json").read_text())["n3"]
    rows = {(json.dumps(entry["J"]), json.dumps(entry["C"])) for entry in known}
    found = set()
    for jdm, dcm in candidates(3):
        if not validate(jdm, dcm):
            nodes = np.repeat(jdm[:, :2], jdm[:, 2], axis=0)
            found.add((json.dumps(nodes.tolist()), json.dumps(dcm.tolist())))
    assert found == rows


@pytest.mark.parametrize(
    ("jdm", "dcm", "rule", "words"),
    [
        ([[0, 1, 1], [1, 0, 0.5]], [[1, 1, 1]], "R1", ["JDM[1, 0]", "0.5"]),
        ([[0, 1, 1], [1, 0, 1]], [[1, 1, -1]], "R1", ["DCM[1, 1]", "-1"]),
        ([[0, 1, 1], [0, 1, 1]], [], "R1", ["2 entries"]),
        ([[0, 1, 1], [1, 0, float("nan")]], [], "R1", ["nan"]),
        ([[0, 1, 1], [1, 0, 1]], [], "R2", ["out-degree 1", "sums to 0", "not 1"]),
        ([[0, 1, 1], [1, 0, 1]], [[1, 1, 1], [0, 2, 3]], "R2", ["out-degree 0", "sums to 3", "not 0"]),
        ([[0, 2, 1], [2, 0, 1]], [[2, 2, 2]], "R3", ["DCM[2, 2]", "2 edges", "at most 1"]),
        ([[1, 1, 1]], [[1, 1, 1]], "R3", ["DCM[1, 1]", "at most 0"]),
    ],
)
def test_broken_rules_say_where_and_how_much(jdm, dcm, rule, words):
    first = validate(jdm, dcm)[0]
    assert first.rule == rule
    with pytest.raises(InputError) as error:
        degree_matrices(jdm, dcm)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("edges", "n", "words"),
    [
        ([[0, -1]], None, "target -1"),
        ([[0, 1], [1, 7]], 5, "edge 1: target 7"),
        ([[0.5, 1.0]], None, "float64"),
        ([[0, 1, 2], [1, 2, 0], [2, 1, 0]], None, "shape (3, 3)"),
    ],
)
def test_edges_that_are_none(edges, n, words):
    with pytest.raises(InputError) as error:
        simple_digraph(edges, n)
    assert words in str(error.value)


def test_loops_and_duplicates_are_counted():
    found = simple_digraph([[0, 1], [1, 1], [0, 1], [1, 0], [0, 1]], 4)
    assert (found.graph.m, found.graph.n, found.loops, found.duplicates) == (2, 4, 1, 2)
    assert found.is_symmetric
    across = simple_digraph(np.array([[0, 1, 1], [1, 1, 2]]))
    assert across.graph.src.tolist() == [0, 1]
    assert not across.is_symmetric
    with pytest.raises(InputError, match="edge 0: joins a node to itself"):
        measure(Digraph(np.array([1]), np.array([1]), 2))
    with pytest.raises(InputError, match="2 in-degrees and 1 out"):
        jdm_of_degrees([0, 1], [1])
