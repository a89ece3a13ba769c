"""Simulated particles: the published trajectories, conserved quantities, streams of their own."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scorefield.core.errors import InputError
from scorefield.domains.geometry.simulators.particles import (
    Clock,
    draw_starts,
    energy,
    integrate,
    legacy_starts,
    simulate_particles,
)
from scorefield.domains.geometry.simulators.systems import SYSTEMS, Start

NAMES = list(SYSTEMS)
SHORT = Clock(60, 20, 0.01)
names, seeds = st.sampled_from(NAMES), st.integers(0, 2**40)


@pytest.mark.parametrize("name", NAMES)
def test_legacy_mode_gives_the_published_trajectories(shared_dir, name):
    motion = simulate_particles(name, 2, 43, legacy=True)
    with np.load(shared_dir / "fixtures" / "geometry_geotdm" / "simulators.npz") as stored:
        for k in range(2):
            for key, ours in (("loc", motion.x[k]), ("vel", motion.v[k])):
                theirs = stored[f"{name}.{k}.{key}"]
                theirs = theirs if name == "gravity" else theirs.transpose(0, 2, 1)
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours[:10], theirs[:10], rtol=0, atol=1e-9)
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(motion.features[k], stored[f"{name}.{k}.charges"][:, 0])
            if name != "gravity":  # there the array holds forces
                pairs = stored[f"{name}.{k}.edges"]
                np.testing.assert_array_equal(motion.relations[k], pairs * (1 - np.eye(len(pairs))))


@pytest.mark.parametrize("name", NAMES)
def test_energy_and_momentum_over_whole_trajectories(name):
    system, motion = SYSTEMS[name], simulate_particles(name, 24, 1)
    momentum = motion.v.sum(2)
    drift = np.abs(momentum - momentum[:, :1]).max((1, 2))
    assert drift[~motion.clipped].max() < 1e-9
    kinetic, potential = energy(system, motion.x, motion.v, motion.relations[:, None])
    total = kinetic + potential
    ratio = (total.max(1) - total.min(1)) / kinetic.mean(1)
    if name == "charged":  # close encounters are not resolved by the published steps
        assert 0 < motion.clipped.sum() < 24
        assert ratio[~motion.clipped].max() < 0.2
    else:
        assert not motion.clipped.any()
        assert ratio.max() < 1e-2


@settings(max_examples=15)
@given(names, seeds, st.integers(1, 6), st.integers(0, 9), st.integers(2, 7))
def test_a_trajectory_is_the_same_in_any_batch(name, seed, num, first, nodes):
    together = simulate_particles(name, num, seed, nodes=nodes, clock=SHORT, first=first)
    for k in range(num):
        alone = simulate_particles(name, 1, seed, nodes=nodes, clock=SHORT, first=first + k)
        for field in ("x", "v", "features", "relations", "clipped"):
            np.testing.assert_array_equal(getattr(together, field)[k], getattr(alone, field)[0])


@pytest.mark.parametrize("name", NAMES)
def test_legacy_trajectories_are_the_same_in_any_batch(name):
    together = simulate_particles(name, 4, 7, clock=SHORT, legacy=True)
    drawn = list(islice(legacy_starts(SYSTEMS[name], 7, SHORT.frames(SYSTEMS[name])), 4))
    for k, start in enumerate(drawn):
        np.testing.assert_array_equal(together.x[k], integrate(SYSTEMS[name], [start], SHORT).x[0])
    rest = simulate_particles(name, 2, 7, clock=SHORT, first=2, legacy=True)
    np.testing.assert_array_equal(rest.x, together.x[2:])


@given(names, seeds)
def test_streams_are_those_that_numpy_spawns(name, seed):
    spawned = np.random.SeedSequence(seed).spawn(3)[2]
    expected = SYSTEMS[name].draw(np.random.default_rng(spawned), 4)
    (start,) = draw_starts(SYSTEMS[name], 1, seed, 4, first=2)
    np.testing.assert_array_equal(start.x, expected.x)
    np.testing.assert_array_equal(start.relations, expected.relations)


@settings(max_examples=20)
@given(names, seeds, st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rotated_and_moved_starts_move_alike(name, seed, shift):
    system = SYSTEMS[name]
    (start,) = draw_starts(system, 1, seed)
    turn = Rotation.random(random_state=np.random.RandomState(seed % 2**32)).as_matrix()
    moved = Start(start.x @ turn.T + np.array(shift), start.v @ turn.T, start.features, start.relations)
    clock = Clock(200, 50, 1e-3)
    before, after = integrate(system, [start], clock), integrate(system, [moved], clock)
    if before.clipped.any() or after.clipped.any():  # clipping is per component
        return
    np.testing.assert_allclose(after.x, before.x @ turn.T + np.array(shift), rtol=0, atol=1e-7)
    np.testing.assert_allclose(after.v, before.v @ turn.T, rtol=0, atol=1e-6)


@settings(max_examples=10)
@given(seeds)
def test_gravity_runs_backwards(seed):
    system, clock = SYSTEMS["gravity"], Clock(301, 100, 1e-3)
    (start,) = draw_starts(system, 1, seed)
    there = integrate(system, [start], clock)
    turned = Start(there.x[0, -1], -there.v[0, -1], start.features, start.relations)
    back = integrate(system, [turned], clock)
    np.testing.assert_allclose(back.x[0, ::-1], there.x[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_forces_are_the_gradient_of_the_energy(name):
    system, (start,) = SYSTEMS[name], draw_starts(SYSTEMS[name], 1, 5)
    still = Start(start.x, np.zeros_like(start.v), start.features, start.relations)
    dt = 1e-7
    moved = integrate(system, [still], Clock(3, 1, dt))
    force = moved.v[0, 0 if system.scheme == "leapfrog" else 1] / dt
    for node, axis in [(0, 0), (1, 1), (4, 2)]:
        ends = []
        for sign in (1, -1):
            x = start.x.copy()
            x[node, axis] += sign * 1e-5
            ends.append(energy(system, x, still.v, start.relations)[1])
        assert force[node, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_starts_are_as_described():
    charged, springs, gravity = (draw_starts(SYSTEMS[name], 400, 0) for name in NAMES)
    assert {charge for start in charged for charge in start.features} == {-1.0, 1.0}
    for start in (*charged, *springs):
        np.testing.assert_allclose(np.linalg.norm(start.v, axis=1), 0.5)
        np.testing.assert_array_equal(start.relations, start.relations.T)
        assert not np.diag(start.relations).any()
    share = np.mean([start.relations[np.triu_indices(5, 1)] for start in springs])
    assert share == pytest.approx(0.5, abs=0.04)
    assert np.std([start.x for start in springs]) == pytest.approx(0.5, rel=0.05)
    assert np.abs(np.sum([start.v for start in gravity], axis=1)).max() < 1e-12


def test_what_starts_outside_the_walls_is_reflected():
    starts = draw_starts(SYSTEMS["charged"], 20, 3, nodes=60)  # a standard deviation of 2.3
    x, v = (np.concatenate([getattr(start, name) for start in starts]) for name in ("x", "v"))
    assert 4.9 < np.abs(x).max() <= 5
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clock(100, 100), "100 steps of which every 100th"),
        (lambda: Clock(dt=0.0), "length 0"),
        (lambda: Clock(dt=float("nan")), "length nan"),
        (lambda: simulate_particles("charged", 0), "num is 0"),
        (lambda: simulate_particles("charged", 1, -1), "seed is -1"),
        (lambda: simulate_particles("charged", 1, nodes=1), "nodes is 1"),
        (lambda: simulate_particles("chargd", 1), "did you mean 'charged'"),
        (lambda: simulate_particles("charged", 1, 2**32, legacy=True), "in legacy mode"),
        (lambda: integrate(SYSTEMS["charged"], [coinciding()], SHORT), "not finite"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def coinciding() -> Start:
    return Start(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2), 1 - np.eye(2))
