"""Measures of directed graphs: against stored values, and against NetworkX on small random graphs."""

from __future__ import annotations

import json
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

from scorefield.domains.digraphs import Digraph, simple_digraph
from scorefield.domains.digraphs.statistics import MeasuredDigraph
from scorefield.domains.digraphs.statistics import paths as paths_module
from scorefield.domains.digraphs.statistics.degrees import gini, log_bins, lorenz
from scorefield.domains.digraphs.statistics.neighbours import MUTUAL, in_lists, out_lists, ties_of
from scorefield.domains.digraphs.statistics.spectra import _by_powers, singular_values, spectral_radius
from tests.digraphs.small_digraphs import digraphs, stored


def to_networkx(graph: Digraph) -> nx.DiGraph:
    made = nx.DiGraph()
    made.add_nodes_from(range(graph.n))
    made.add_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    return made


def ring(n: int) -> Digraph:
    return Digraph(np.arange(n), (np.arange(n) + 1) % n, n)


@pytest.mark.parametrize("name", ["polblogs", "wiki-Vote"])
def test_stored_statistics(shared_dir, name):
    known = json.loads((shared_dir / "fixtures" / "digraphs" / "statistics.json").read_text())[name]
    graph = MeasuredDigraph(stored(shared_dir, name))
    whole = {
        "wcc_count": len(graph.weak),
        "wcc_largest": graph.weak[0],
        "scc_count": len(graph.strong),
        "scc_largest": graph.strong[0],
        "triad_census": graph.ties.census,
        "directed_diameter_reachable": graph.paths.most,
        "pagerank_top3_nodes": np.argsort(-graph.page_rank)[:3].tolist(),
        "path_length_counts_exact": {str(k): int(c) for k, c in enumerate(graph.paths.counts) if k},
    }
    for key, value in whole.items():
        assert value == known[key], key
    assert graph.paths.exact
    exact = {
        "reciprocity": graph.ties.reciprocity,
        "transitivity_undirected": graph.ties.transitivity,
        "avg_local_clustering_undirected": graph.ties.mean_clustering,
        "mean_path_length_reachable": graph.paths.mean,
        **{f"assort_{a}_{b}": graph.assortativity(a, b) for a in ("in", "out") for b in ("in", "out")},
    }
    for key, value in exact.items():
        assert value == pytest.approx(known[key], rel=1e-9, abs=1e-12), key
    assert graph.singular == pytest.approx(known["singular_values_top5"], rel=1e-6)
    assert graph.radius.converged
    assert graph.radius.value == pytest.approx(known["spectral_radius"], rel=1e-6)
    assert graph.page_rank.max() == pytest.approx(known["pagerank_max"], rel=1e-6)
    assert np.sort(graph.page_rank)[-10:].sum() == pytest.approx(known["pagerank_sum_top10"], rel=1e-6)


@given(digraphs())
def test_ties_are_those_of_networkx(graph):
    found, other = MeasuredDigraph(graph), to_networkx(graph)
    plain = other.to_undirected()
    assert found.ties.census == nx.triadic_census(other)
    assert sum(found.ties.census.values()) == math.comb(graph.n, 3)
    assert found.ties.transitivity == pytest.approx(nx.transitivity(plain))
    assert found.ties.mean_clustering == pytest.approx(nx.average_clustering(plain))
    if graph.m:
        assert found.ties.reciprocity == pytest.approx(nx.overall_reciprocity(other))
    else:
        assert math.isnan(found.ties.reciprocity)


@given(digraphs())
def test_components_and_paths_are_those_of_networkx(graph):
    found, other = MeasuredDigraph(graph), to_networkx(graph)
    assert found.weak.tolist() == sorted(map(len, nx.weakly_connected_components(other)), reverse=True)
    assert found.strong.tolist() == sorted(map(len, nx.strongly_connected_components(other)), reverse=True)
    lengths = [d for _, some in nx.all_pairs_shortest_path_length(other) for d in some.values() if d]
    np.testing.assert_array_equal(np.bincount(lengths, minlength=1)[1:], found.paths.counts[1:])
    if lengths:
        assert (found.paths.mean, found.paths.most) == (pytest.approx(np.mean(lengths)), max(lengths))
        assert found.paths.quantile() == np.quantile(lengths, 0.9, method="inverted_cdf")
    else:
        assert math.isnan(found.paths.mean)
        assert math.isnan(found.paths.quantile())


@given(digraphs())
def test_spectra_page_rank_and_assortativity(graph):
    found, other = MeasuredDigraph(graph), to_networkx(graph)
    dense = nx.to_numpy_array(other, nodelist=range(graph.n))
    values = np.linalg.svd(dense, compute_uv=False)[:5]
    np.testing.assert_allclose(found.singular[: values.size], values, atol=1e-9)
    np.testing.assert_allclose(found.radius.value, np.abs(np.linalg.eigvals(dense)).max(), atol=2e-2 / (1 + graph.m))
    ranks = nx.pagerank(other, tol=1e-14, max_iter=1000)
    np.testing.assert_allclose(found.page_rank, [ranks[node] for node in range(graph.n)], atol=1e-11)
    for source in ("in", "out"):
        for target in ("in", "out"):
            ends = [getattr(found, f"{source}_degrees")[graph.src], getattr(found, f"{target}_degrees")[graph.dst]]
            value = found.assortativity(source, target)
            if not graph.m or any(np.ptp(end) == 0 for end in ends):
                assert math.isnan(value)
            else:
                assert value == pytest.approx(nx.degree_pearson_correlation_coefficient(other, x=source, y=target))


@given(digraphs())
def test_ties_list_every_pair_from_both_sides(graph):
    ties = ties_of(out_lists(graph), in_lists(graph))
    edges = set(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    for u in range(graph.n):
        part = slice(ties.start[u], ties.start[u + 1])
        nodes = ties.nodes[part].tolist()
        assert nodes == sorted({b for a, b in edges if a == u} | {a for a, b in edges if b == u})
        for v, kind in zip(nodes, ties.kinds[part].tolist(), strict=True):
            assert ((u, v) in edges, (v, u) in edges) == (kind in (1, MUTUAL), kind in (2, MUTUAL))


def test_large_graphs_without_cycles_have_radius_zero_and_rings_one():
    n = 400
    up = np.triu(np.random.default_rng(0).random((n, n)) < 0.02, 1)
    src, dst = np.nonzero(up)
    dag = MeasuredDigraph(Digraph(src, dst, n))
    assert dag.radius.value == 0
    assert len(dag.strong) == n
    assert MeasuredDigraph(ring(n)).radius.value == pytest.approx(1)
    edges = np.column_stack([np.concatenate([src, ring(n).src]), np.concatenate([dst, ring(n).dst])])
    both = simple_digraph(edges, n).graph
    dense = np.zeros((n, n))
    dense[both.src, both.dst] = 1
    assert MeasuredDigraph(both).radius.value == pytest.approx(np.abs(np.linalg.eigvals(dense)).max(), rel=1e-8)


def test_powers_stand_in_for_arnoldi(monkeypatch):
    from scipy.sparse.linalg import ArpackNoConvergence

    from scorefield.domains.digraphs.statistics import spectra
    from scorefield.domains.digraphs.statistics.connectivity import matrix_of, strong_labels

    def fails(*args, **options):
        raise ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0)))

    generator = np.random.default_rng(1)
    dense = generator.random((200, 200)) < 0.05
    np.fill_diagonal(dense, False)
    matrix = matrix_of(out_lists(Digraph(*np.nonzero(dense), 200)))
    expected = spectral_radius(matrix, strong_labels(matrix)).value
    monkeypatch.setattr(spectra, "eigs", fails)
    assert spectral_radius(matrix, strong_labels(matrix)).value == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(spectra, "_STILL_DENSE", 0)
    found = spectral_radius(matrix, strong_labels(matrix))
    assert found.converged
    assert found.value == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(spectra, "_POWERS", 3)
    assert not _by_powers(matrix).converged
    assert singular_values(matrix_of(out_lists(Digraph(*np.nonzero(np.zeros((200, 200))), 200)))).tolist() == [0.0] * 5


def test_paths_of_large_graphs_start_from_some_nodes(monkeypatch):
    monkeypatch.setattr(paths_module, "MOST_EXACT", 50)
    found = MeasuredDigraph(ring(300)).paths
    assert (found.sources, found.exact) == (paths_module.SOURCES, False)
    assert found.counts[1:].tolist() == [paths_module.SOURCES] * 299
    few = MeasuredDigraph(Digraph(np.array([0, 1]), np.array([1, 2]), 300)).paths
    assert (few.sources, few.exact, few.counts.tolist()) == (2, True, [0, 2, 1])


def test_inequality_and_bins():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert math.isnan(gini(np.zeros(4, np.int64)))
    assert lorenz(np.array([4, 0, 1, 3])).tolist() == [0, 0, 0.125, 0.5, 1]
    assert log_bins(np.array([0, 1, 2, 3, 4, 7, 8])).tolist() == [0, 1, 2, 2, 3, 3, 4]
