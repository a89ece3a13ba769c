"""Molecular dynamics with MMFF94: forces, conserved energy, temperature, streams."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield.core.errors import InputError
from scorefield.domains.geometry.simulators.molecular_dynamics import BOLTZMANN, Thermostat, molecular_dynamics
from scorefield.domains.geometry.simulators.molecules import SMILES, molecule

BONDS = {
    "aspirin": 21, "benzene": 12, "ethanol": 8, "malonaldehyde": 8,
    "naphthalene": 19, "salicylic_acid": 16, "toluene": 15, "uracil": 12,
}  # fmt: skip
ATOMS = {
    "aspirin": 21, "benzene": 12, "ethanol": 9, "malonaldehyde": 9,
    "naphthalene": 18, "salicylic_acid": 16, "toluene": 15, "uracil": 12,
}  # fmt: skip


@pytest.mark.parametrize("name", SMILES)
def test_molecules_are_those_of_md17(name):
    found = molecule(name, 1)
    assert (len(found.numbers), len(found.bonds)) == (ATOMS[name], BONDS[name])
    assert np.abs(found.forces(found.rest)).max() < 0.01
    close = np.linalg.norm(found.rest[:, None] - found.rest, axis=-1) < 1.6
    assert close[found.bonds[:, 0], found.bonds[:, 1]].all()


@pytest.mark.parametrize("name", ["ethanol", "uracil"])
def test_forces_are_the_gradient_wherever_they_were_asked_before(name):
    found, random = molecule(name, 2), np.random.default_rng(0)
    for _ in range(2):
        x = found.rest + 0.05 * random.standard_normal(found.rest.shape)
        forces = found.forces(x)
        expected = np.empty_like(x)
        for index in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[index] += sign * 1e-4
                ends.append(found.energy(moved))
            expected[index] = -(ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(forces, expected, rtol=1e-4, atol=1e-4)


def test_without_friction_energy_is_conserved_and_nothing_drifts_or_turns():
    motion = molecular_dynamics("ethanol", 3, 0, Thermostat(steps=6000, warm_up=1000))
    total, masses = motion.energy.sum(1), motion.molecule.masses[:, None]
    assert np.ptp(total) < 0.05 * motion.energy[:, 1].mean()
    assert abs(total[-100:].mean() - total[:100].mean()) < 0.005 * motion.energy[:, 1].mean()
    assert np.abs((masses * motion.v).sum(1)).max() < 1e-10
    assert np.abs((masses * motion.x).sum(1)).max() < 1e-8
    assert np.abs((masses * np.cross(motion.x, motion.v)).sum(1)).max() < 1e-8
    assert motion.x.shape == (600, 9, 3)


def test_halved_steps_quarter_the_error_of_the_energy():
    spreads = []
    for timestep in (0.5, 0.25):
        steps = round(500 / timestep)
        settings = Thermostat(steps=steps, every=1, timestep=timestep, warm_up=0)
        spreads.append(np.std(molecular_dynamics("benzene", 0, 0, settings).energy.sum(1)))
    assert spreads[0] / spreads[1] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("temperature", [300.0, 500.0])
def test_the_thermostat_keeps_its_temperature(temperature):
    settings = Thermostat(steps=16_000, temperature=temperature, friction=20.0, warm_up=2000)
    motion = molecular_dynamics("malonaldehyde", 0, 0, settings)
    freedom = 3 * 9 - 3
    assert 2 * motion.energy[:, 1].mean() / freedom / BOLTZMANN == pytest.approx(temperature, rel=0.06)


def test_trajectories_have_streams_of_their_own():
    settings = Thermostat(steps=200, friction=1.0, warm_up=100)
    first, again, second, other = (
        molecular_dynamics("toluene", seed, number, settings).x for seed, number in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.01
    assert np.abs(first - other).max() > 0.01


def test_progress_is_told():
    shares = []
    molecular_dynamics("ethanol", 0, 0, Thermostat(steps=2000, warm_up=1000), shares.append)
    assert shares == sorted(shares)
    assert len(shares) >= 4
    assert 0 <= shares[0] < shares[-1] <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Thermostat(timestep=0), "0 fs"),
        (lambda: Thermostat(temperature=float("inf")), "inf K"),
        (lambda: Thermostat(friction=-1), "friction -1"),
        (lambda: Thermostat(steps=5), "5 steps of which every 10th"),
        (lambda: molecule("asprin"), "did you mean 'aspirin'"),
        (lambda: molecular_dynamics("ethanol", 0, 0, Thermostat(timestep=6.0, steps=1000)), "flew apart"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_bad_input_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
