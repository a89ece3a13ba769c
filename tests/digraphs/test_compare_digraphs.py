"""Comparing a directed graph with its samples, and populations of small ones."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from scorefield.core.errors import InputError
from scorefield.core.report.page import report_html
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.digraphs import Digraph, Recipe, deviations, measure, sample_digraphs, write_digraph
from scorefield.domains.digraphs.samples import Digraphs
from scorefield.domains.digraphs.statistics import (
    DigraphPopulation,
    compare_digraphs,
    population,
    read_population,
    recognises,
    statistics_table,
)
from scorefield.domains.digraphs.statistics.degrees import weighted
from scorefield.domains.digraphs.statistics.figures import degree_tail
from tests.digraphs.small_digraphs import digraphs

QUICK = Resampling(permutations=19, bootstrap=20, floors=4)
DEVIATIONS = ("ks_in", "ks_out", "tv_in", "tv_out", "tv_jdm", "tv_dcm", "tv_jdm_binned", "tv_dcm_binned")


def random_digraph(generator: np.random.Generator, n: int, density: float, *, acyclic: bool = False) -> Digraph:
    there = generator.random((n, n)) < density
    there = np.triu(there, 1) if acyclic else there & ~np.eye(n, dtype=bool)
    return Digraph(*np.nonzero(there), n)


def randoms(number: int, density: float, seed: int, **more) -> list[Digraph]:
    generator = np.random.default_rng(seed)
    return [random_digraph(generator, int(generator.integers(8, 14)), density, **more) for _ in range(number)]


@pytest.fixture(scope="module")
def original() -> Digraph:
    """Unequal degrees."""
    generator = np.random.default_rng(5)
    weights = generator.pareto(3.0, (2, 120)) + 0.3
    chance = np.minimum(weights[0][:, None] * weights[1] / weights.mean() / 20, 0.9)
    return Digraph(*np.nonzero((generator.random((120, 120)) < chance) & ~np.eye(120, dtype=bool)), 120)


@pytest.fixture(scope="module")
def comparison(original):
    samples = [sample.graph for sample in sample_digraphs(original, Recipe(0.5), 3, seed=1)]
    return samples, compare_digraphs(original, samples, resampling=QUICK)


@given(digraphs(), digraphs())
def test_distances_of_two_graphs(first, second):
    found = compare_digraphs(first, second, only=[*DEVIATIONS, "w1_total", "ks_total"], resampling=QUICK, figures=False)
    exact = deviations(measure(first), measure(second))
    for name in DEVIATIONS:
        assert found[name].value == pytest.approx(getattr(exact, name), abs=1e-12), name
    totals = [graph.in_degrees + graph.out_degrees for graph in (first, second)]
    assert found["w1_total"].value == pytest.approx(stats.wasserstein_distance(*totals))
    tails = [[np.mean(degrees <= k) for k in range(20)] for degrees in totals]
    assert found["ks_total"].value == pytest.approx(np.abs(np.subtract(*tails)).max(), abs=1e-12)


def test_a_graph_against_its_samples(original, comparison):
    samples, found = comparison
    assert [row.name for row in found.rows if row.value is None] == []
    assert not {"mmd_in", "mmd_triads"} & {row.name for row in found.rows}
    one_by_one = [deviations(measure(original), measure(sample)) for sample in samples]
    for name in DEVIATIONS:
        row, values = found[name], [getattr(part, name) for part in one_by_one]
        assert row.value == pytest.approx(np.mean(values))
        assert row.low <= row.value <= row.high
        assert (row.n_real, row.n_generated, row.p_value, row.better) == (1, 3, None, "lower")
        assert row.floor > 0
    assert found["tv_triads"].floor is found["ks_paths"].floor is None
    whole = DigraphPopulation([original])[0]
    for name, value in {
        "nodes": 120,
        "reciprocity": whole.ties.reciprocity,
        "triad_030t": whole.ties.census["030T"],
        "triad_030t_per_node": whole.ties.census["030T"] / 120,
        "scc_largest_share": whole.strong[0] / 120,
        "sigma_1": whole.singular[0],
        "path_q90": whole.paths.quantile(),
    }.items():
        assert found[name].floor == pytest.approx(value), name
        assert found[name].better == ""
    assert found["nodes"].value == found["nodes"].low == found["nodes"].high == 60
    json.dumps(found.as_json(), allow_nan=False)


def test_whole_multiples_are_at_no_distance(original):
    sample = next(iter(sample_digraphs(original, Recipe(2), 1, seed=0))).graph
    found = compare_digraphs(original, sample, only=[*DEVIATIONS, "w1_in", "w1_out"], resampling=QUICK, figures=False)
    assert {row.value for row in found.rows} == {0.0}
    assert {row.low for row in found.rows} == {None}  # one sample has no spread


def test_figures_of_both_kinds(comparison):
    _, found = comparison
    titles = [figure.title for figure in found.figures]
    assert len(titles) == 5
    page = report_html([found])
    assert all(title.split(":")[0] in page for title in titles)
    bare = Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)
    assert len(compare_digraphs([bare, bare], randoms(2, 0.2, 1), only=["nodes"], resampling=QUICK).figures) == 5
    at, share = degree_tail(np.array([0, 0, 1, 4]))
    assert (at.tolist(), share.tolist()) == ([1.0, 4.0], [0.5, 0.25])
    assert len(degree_tail(np.arange(5000))[0]) <= 400


def test_populations_that_are_alike_and_that_are_not():
    real, alike, other = randoms(40, 0.18, 0), randoms(40, 0.18, 1), randoms(40, 0.18, 2, acyclic=True)
    close = compare_digraphs(real, alike, figures=False, resampling=Resampling(99, 50, 5))
    far = compare_digraphs(real, other, figures=False, resampling=Resampling(99, 50, 5))
    for name in ("mmd_in", "mmd_out", "mmd_clustering", "mmd_triads", "ks_total", "tv_triads", "w1_in"):
        assert close[name].value < far[name].value
        assert far[name].p_value <= 0.05
        assert far[name].floor < far[name].value
    assert sum(row.p_value < 0.02 for row in close.rows if row.p_value is not None) <= 5
    assert (far["acyclic"].value, far["acyclic"].high, far["acyclic"].floor) == (1.0, 1.0, 0.05)
    assert 0 < far["acyclic"].low < 1
    assert far["acyclic"].p_value == pytest.approx(0.01)
    assert far["spectral_radius"].value == 0
    assert "not computed" not in str(close)


def test_one_graph_against_real_populations():
    found = compare_digraphs(randoms(4, 0.2, 0), randoms(1, 0.2, 1), only=["ks_in", "nodes"], resampling=QUICK)
    assert found["ks_in"].floor > 0
    assert (found["ks_in"].n_real, found["ks_in"].low, found["nodes"].p_value) == (4, None, None)


def test_what_is_not_defined_is_none():
    bare = Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    found = compare_digraphs(bare, bare, resampling=QUICK, figures=False)
    assert found["reciprocity"].value is found["assortativity_in_in"].value is found["path_mean"].value is None
    assert "not defined for 2 of 2 graphs" in str(found)
    assert found["tv_dcm"].value == found["ks_paths"].value == 0
    mixed = compare_digraphs(bare, randoms(1, 0.4, 0), resampling=QUICK, figures=False)
    assert mixed["tv_dcm"].value == mixed["ks_paths"].value == mixed["tv_triads"].value == 1
    json.dumps(mixed.as_json(), allow_nan=False)


def test_choosing_and_bad_input(original):
    names = [name for name, _ in statistics_table()]
    assert len(set(names)) == len(names)
    assert names == [name.lower() for name in names]
    assert {"triad_003", "wcc_largest", "tv_dcm_binned", "assortativity_out_in"} <= set(names)
    found = compare_digraphs(original, original, only=["mmd_in", "ks_in"], figures=False, resampling=QUICK)
    assert [row.name for row in found.rows] == ["ks_in"]
    assert "mmd_in: not computed" in str(found)
    with pytest.raises(InputError, match="ks_im"):
        compare_digraphs(original, original, only=["ks_im"])
    for wrong in ([], [Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)], [3]):
        with pytest.raises(InputError):
            population(wrong)
    twice = Digraph(np.array([0, 0]), np.array([1, 1]), 2)
    loop = Digraph(np.array([0]), np.array([0]), 2)
    for graph in (twice, loop):
        with pytest.raises(InputError, match="simple_digraph"):
            population(graph)


def test_the_same_seed_gives_the_same_numbers(original, comparison):
    samples, found = comparison
    again = compare_digraphs(original, samples, resampling=QUICK, figures=False)
    assert again.rows == found.rows


def test_files_and_folders(tmp_path, original):
    graphs = Digraphs(tuple(randoms(3, 0.2, 0)))
    graphs.save(tmp_path / "many.npz")
    graphs.save(tmp_path / "folder")
    for name in ("one.npz", "one.txt", "one.txt.gz", "one.csv", "one.graphml"):
        write_digraph(tmp_path / name, original)
        assert recognises(tmp_path / name), name
        assert [graph.m for graph in read_population(tmp_path / name)] == [original.m]
    for name in ("many.npz", "folder"):
        assert recognises(tmp_path / name)
        assert [graph.n for graph in read_population(tmp_path / name)] == [graph.n for graph in graphs]
    others = {"table.csv": "smiles\nCC\n", "words.txt": "CCO\nCC\n", "values.csv": "time,value\n0,1\n"}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
        assert not recognises(tmp_path / name), name
    (tmp_path / "undirected.graphml").write_text('<graphml><graph edgedefault="undirected"/></graphml>')
    (tmp_path / "broken.txt.gz").write_bytes(gzip.compress(b"0 1\n1 2\n")[:-9])
    np.savez(tmp_path / "else.npz", x=np.zeros(3))
    for name in ("undirected.graphml", "broken.txt.gz", "else.npz", "absent.txt", "graph.pdf"):
        assert not recognises(tmp_path / name), name


def test_distributions_are_weighted_values():
    values, counts = weighted(np.array([3, 1, 3]))
    assert (values.tolist(), counts.tolist()) == ([1, 3], [1, 2])
    assert math.isclose(counts.sum(), 3)
