"""Rescaled degree matrices: brackets, sums, certificates, and graphs that have them."""

from __future__ import annotations

import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scorefield.core.errors import InputError, InputWarning
from scorefield.domains.digraphs import (
    Digraph,
    Recipe,
    deviations,
    draw,
    jdm_of_degrees,
    measure,
    rescale,
    sample_digraphs,
    simple_digraph,
    validate,
)
from scorefield.domains.digraphs.balance import CannotBalance
from scorefield.domains.digraphs.digraphic import is_digraphic, repair
from scorefield.domains.digraphs.rescaling import scaled_nodes
from scorefield.domains.digraphs.rounding import round_jdm
from tests.digraphs.small_digraphs import NAMES, candidates, digraphs, has_exactly, same, stored

RATIOS = (0.05, 0.1, 0.3, 0.5, 0.9, 1.37, 2)


def planned(original, ratio, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return rescale(original, ratio, seed=seed)


def check_certificate(original, plan):
    """The bounds hold, and what the certificate says was measured is so."""
    found, matrices = plan.certificate, plan.matrices
    assert not validate(matrices.jdm, matrices.dcm)
    assert (found.n, found.m) == (matrices.n, matrices.m)
    apart = found.deviations
    assert apart == deviations(matrices, original)
    if not found.clipped_stubs:
        assert max(apart.ks_in, apart.ks_out) <= found.bound_ks
        assert apart.tv_jdm <= found.bound_tv_jdm + 1e-12
    if found.m and original.m:
        assert found.least_tv_dcm - 1e-9 <= apart.tv_dcm <= found.bound_tv_dcm + 1e-9


@pytest.mark.parametrize("key", ["polblogs@0.5", "polblogs@1.37", "wiki-Vote@0.3"])
def test_flow_rounds_within_the_stored_brackets(shared_dir, key):
    name, ratio = key.split("@")
    jdm = measure(stored(shared_dir, name)).jdm
    with np.load(shared_dir / "fixtures" / "digraphs" / "rescale.npz") as file:
        n_new = int(file[f"{key}.nprime"])
        entries = file[f"{key}.J_entry_lo_hi"]
        sides = [file[f"{key}.{side}_lo_hi_preflo_prehi"] for side in ("in", "out")]
    assert scaled_nodes(int(jdm[:, 2].sum()), ratio) == n_new
    for seed in range(3):
        counts = round_jdm(jdm, n_new, np.random.default_rng(seed))
        assert counts.sum() == n_new
        np.testing.assert_array_equal(jdm[:, :2], entries[:, :2])
        assert ((entries[:, 2] <= counts) & (counts <= entries[:, 3])).all()
        for axis, bounds in enumerate(sides):
            totals = np.array([counts[jdm[:, axis] == degree].sum() for degree in bounds[:, 0]])
            prefix = np.cumsum(totals)
            assert ((bounds[:, 1] <= totals) & (totals <= bounds[:, 2])).all()
            assert ((bounds[:, 3] <= prefix) & (prefix <= bounds[:, 4])).all()


@pytest.mark.parametrize("key", ["polblogs@0.5", "polblogs@1.37", "wiki-Vote@0.3"])
def test_deviations_are_near_the_stored_ones(shared_dir, key):
    known = json.loads((shared_dir / "fixtures" / "digraphs" / "rescale_reference_deviations.json").read_text())[key]
    name, ratio = key.split("@")
    original = measure(stored(shared_dir, name))
    plan = planned(original, ratio, 1)
    check_certificate(original, plan)
    apart = plan.certificate.deviations
    pairs = {
        "tvJ": apart.tv_jdm,
        "tvC": apart.tv_dcm,
        "tvJ_log": apart.tv_jdm_binned,
        "tvC_log": apart.tv_dcm_binned,
        "tv_in": apart.tv_in,
        "tv_out": apart.tv_out,
        "ks_in": apart.ks_in,
        "ks_out": apart.ks_out,
    }
    for field, value in pairs.items():
        assert abs(value - known[field]) <= 0.1 * known[field] + 0.01, field
    assert abs(plan.certificate.m - known["m"]) <= 0.01 * known["m"]


@pytest.mark.parametrize("name", NAMES[:4])
@pytest.mark.parametrize("ratio", [1, 2, "3"])
def test_whole_ratios_are_exact(shared_dir, name, ratio):
    original = measure(stored(shared_dir, name))
    plan = rescale(original, ratio)
    np.testing.assert_array_equal(plan.matrices.jdm[:, 2], int(ratio) * original.jdm[:, 2])
    assert set(vars(plan.certificate.deviations).values()) == {0.0}
    assert not validate(plan.matrices.jdm, plan.matrices.dcm)
    assert plan.certificate.bound_tv_dcm == plan.certificate.bound_ks == 0


@given(digraphs(), st.fractions(Fraction(1, 4), 3, max_denominator=12), st.integers(0, 9))
def test_small_graphs_are_rescaled_with_true_certificates(graph, ratio, seed):
    assume(round(ratio * graph.n) >= 1)
    original = measure(graph)
    try:
        plan = planned(original, ratio, seed)
    except CannotBalance:
        return
    assert plan.matrices.n == round(ratio * graph.n)
    check_certificate(original, plan)
    assert same(plan.matrices, planned(original, ratio, seed).matrices)


def test_a_graph_of_votes_keeps_its_degree_distributions(shared_dir):
    original = measure(stored(shared_dir, "wiki-Vote"))
    plan = rescale(original, 0.5, seed=2)
    check_certificate(original, plan)
    assert plan.certificate.clipped_stubs == plan.certificate.moves_outside == 0
    assert plan.certificate.bound_ks == 1 / plan.certificate.n


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_certificates_of_all_stored_graphs_are_true(shared_dir, name):
    original = measure(stored(shared_dir, name))
    for ratio in RATIOS:
        for seed in range(3):
            check_certificate(original, planned(original, ratio, seed))


def test_which_degrees_are_those_of_a_graph():
    """Those with a degree correlation matrix within margins and caps, by enumeration."""
    possible = {jdm.tobytes() for jdm, dcm in candidates(3) if not validate(jdm, dcm)}
    for jdm, _ in candidates(3):
        assert is_digraphic(jdm) == (jdm.tobytes() in possible)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.integers(0, 9))
def test_repaired_degrees_are_those_of_a_graph(pairs, seed):
    ins, outs = np.array(pairs).T
    surplus = int(ins.sum() - outs.sum())
    ins, outs = np.append(ins, max(-surplus, 0)), np.append(outs, max(surplus, 0))
    jdm = jdm_of_degrees(ins, outs)
    repaired, clipped = repair(jdm, np.random.default_rng(seed))
    assert is_digraphic(repaired)
    assert repaired[:, 2].sum() == ins.size
    assert (repaired[:, 0] * repaired[:, 2]).sum() == ins.sum() - clipped
    assert (clipped == 0) == is_digraphic(jdm)


def test_hubs_that_do_not_fit_are_told_of(shared_dir):
    original = measure(stored(shared_dir, "polblogs"))
    with pytest.warns(InputWarning, match="149 nodes are too few"):
        plan = rescale(original, 0.1)
    assert plan.certificate.clipped_stubs > 0.1 * plan.certificate.m
    assert plan.certificate.bound_ks is None
    assert plan.certificate.bound_tv_jdm is None
    with pytest.raises(InputError, match="too few"):
        rescale(original, 0.1, on_infeasible="raise")
    with pytest.raises(InputError, match="clip or raise"):
        rescale(original, 0.5, on_infeasible="ignore")


@pytest.mark.parametrize("ratio", [0, -0.5, float("nan"), float("inf"), "half", 0.01])
def test_sizes_that_are_none(ratio):
    with pytest.raises(InputError):
        scaled_nodes(10, ratio)


def test_sizes():
    assert [scaled_nodes(n, 0.5) for n in (3, 5, 6)] == [2, 2, 3]
    assert scaled_nodes(5, 0.3) == 2
    assert scaled_nodes(5, nodes=7) == 7
    for words in ({}, {"ratio": 1, "nodes": 3}, {"nodes": 0}):
        with pytest.raises(InputError):
            scaled_nodes(5, **words)


def test_graphs_without_edges():
    bare = Digraph(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)
    for sample in sample_digraphs(bare, Recipe(nodes=7), 2):
        assert (sample.graph.n, sample.graph.m) == (7, 0)
        assert sample.certificate.deviations.tv_jdm == 0
    one = draw(measure(Digraph(bare.src, bare.dst, 1)), Recipe(1))
    assert (one.graph.n, one.graph.m) == (1, 0)
    with pytest.raises(InputError, match="no nodes"):
        sample_digraphs(Digraph(bare.src, bare.dst, 0), Recipe(1), 1)


def test_degrees_too_far_apart_to_balance():
    """Half a star of three rays: one hub with in-degree 3, one ray, and no degrees between."""
    star = measure(simple_digraph([[0, 3], [1, 3], [2, 3]]).graph)
    with pytest.raises(CannotBalance, match="another ratio") as error:
        rescale(star, 0.5)
    assert error.value.surplus != 0


def test_samples_are_their_own_and_the_same_again(shared_dir):
    graph = stored(shared_dir, "polblogs")
    recipe = Recipe(0.7, steps_per_edge=2)
    first = list(sample_digraphs(graph, recipe, 3, seed=4))
    for sample in first:
        assert has_exactly(sample.graph, sample.matrices)
    alone = draw(measure(graph), recipe, seed=4, sample=2)
    assert alone.graph.src.tobytes() == first[2].graph.src.tobytes()
    assert alone.graph.dst.tobytes() == first[2].graph.dst.tobytes()
    assert len({sample.graph.keys.tobytes() for sample in first}) == 3
    assert json.loads(json.dumps(alone.certificate.as_dict()))["n"] == 1043
    with pytest.raises(InputError, match="-1 samples"):
        sample_digraphs(graph, recipe, -1)
