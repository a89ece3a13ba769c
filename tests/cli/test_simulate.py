"""`simulate` as a user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scorefield.core import simulation
from scorefield.core.cli.main import main
from scorefield.domains.geometry.simulators.catalogue import SIMULATIONS
from scorefield.domains.geometry.simulators.generators import particle_trajectories
from scorefield.domains.geometry.simulators.molecules import SMILES, molecule
from scorefield.domains.geometry.simulators.particles import Clock, simulate_particles
from scorefield.domains.geometry.simulators.systems import SYSTEMS
from scorefield.domains.geometry.trajectories import Trajectories

SHORT = ("--steps", "60", "--every", "20")


class Offers:
    """An installed domain with these simulations."""

    def load(self):
        return self

    def simulations(self):
        return SIMULATIONS


class Silent:
    def load(self):
        return object()


@pytest.fixture
def simulate(monkeypatch, tmp_path):
    """Run the command in this process, in a folder of its own."""
    monkeypatch.setattr(simulation, "find_domains", lambda: {"geometry": Offers(), "other": Silent()})
    monkeypatch.chdir(tmp_path)
    return lambda *words: main(["simulate", *map(str, words)])


def test_the_file_its_summary_and_the_line(simulate, capsys):
    assert simulate("charged", "--num", 5, "--seed", 3, "--nodes", 4, "--out", "a.npz", *SHORT) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("a.npz: 5 samples")
    assert printed.err == ""
    motion = simulate_particles("charged", 5, 3, nodes=4, clock=Clock(60, 20))
    made, expected = Trajectories.load("a.npz"), particle_trajectories("charged", motion, 0.02)
    for name, value in expected.arrays().items():
        np.testing.assert_array_equal(made.arrays()[name], value)
    with open("a.npz.json") as file:
        summary = json.load(file)
    options = {"nodes": 4, "steps": 60, "every": 20, "dt": 0.001, "legacy": False}
    told = {"num": 5, "simulation": "charged", "seed": 3, "options": options, "evaluations": 60, "dt": 0.02}
    assert {name: summary[name] for name in told} == told


def test_the_same_again_another_and_more(simulate, capsys):
    words = ("springs", "--seed", 1, *SHORT)
    assert simulate(*words, "--num", 3, "--out", "a.npz") == 0
    assert simulate(*words, "--num", 3, "--out", "a.npz") == 0
    assert "already there" in capsys.readouterr().out
    assert simulate(*words, "--num", 4, "--out", "a.npz") == 2
    assert "num 3 there, 4 asked" in capsys.readouterr().err
    assert simulate(*words, "--num", 300, "--out", "more.npz") == 0
    few, more = Trajectories.load("a.npz"), Trajectories.load("more.npz")
    np.testing.assert_array_equal(few.x, more.x[:3])
    np.testing.assert_array_equal(
        more.x[299],
        simulate_particles("springs", 1, 1, clock=Clock(60, 20), first=299).x[0].transpose(1, 0, 2).astype("f4"),
    )


def test_what_edges_tell(simulate):
    simulate("gravity", "--num", 1, "--out", "a.npz", *SHORT)
    simulate("charged", "--num", 1, "--out", "b.npz", *SHORT)
    masses, charges = Trajectories.load("a.npz"), Trajectories.load("b.npz")
    assert masses.edges.shape == (1, 90, 2)
    assert not masses.edge_features.any()
    assert (masses.features == 1).all()
    assert charges.edges[0, :5].tolist() == [[0, 1], [0, 2], [0, 3], [0, 4], [1, 0]]
    q = charges.features[0, :, 0]
    np.testing.assert_array_equal(charges.edge_features[0, :, 0], q[charges.edges[0, :, 0]] * q[charges.edges[0, :, 1]])


def test_legacy_chunks_go_on_where_the_last_one_ended():
    values = {"nodes": 5, "steps": 60, "every": 20, "dt": 1e-3, "legacy": True}
    whole = simulate_particles("springs", 7, 9, clock=Clock(60, 20), legacy=True)
    expected = particle_trajectories("springs", whole, 0.02).x
    maker = SIMULATIONS["springs"].generator(9, values)
    maker._chunk_size = 3
    parts = {number: maker.chunk(number, size, None).samples.x for number, size in ((0, 3), (2, 1), (1, 3), (0, 3))}
    np.testing.assert_array_equal(np.concatenate([parts[0], parts[1], parts[2]]), expected)


def test_molecules(simulate):
    words = ("ethanol", "--num", 2, "--steps", 100, "--warm-up", 50, "--temperature", 300)
    assert simulate(*words, "--out", "a.npz") == 0
    assert simulate(*words, "--out", "b.npz", "--devices", 1) == 0
    made = Trajectories.load("a.npz")
    assert (made.x.shape, made.dt) == ((2, 9, 10, 3), 5.0)
    assert made.numbers[0].tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert made.edges.shape == (2, 16, 2)
    np.testing.assert_array_equal(made.x, Trajectories.load("b.npz").x)
    with open("a.npz.json") as file:
        summary = json.load(file)
    assert (summary["force_field"], summary["units"]["time"], summary["evaluations"]) == ("MMFF94", "fs", 150)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: NAME"),
        (["chrged", "--num", 1, "--out", "a.npz"], "unknown simulation 'chrged'; did you mean 'charged'?"),
        (["--num", 1, "charged"], "--num stands before NAME"),
        (["charged", "--out", "a.npz"], "required: --num"),
        (["charged", "--num", 0, "--out", "a.npz"], "--num: 0 is too small; give at least 1"),
        (["charged", "--num", 1, "--seed", -1, "--out", "a.npz"], "--seed: -1 is too small"),
        (["charged", "--num", 1, "--out", "a.pdf"], "unknown suffix '.pdf'"),
        (["charged", "--num", 1, "--out", "a.npz", "--nods", 4], "did you mean '--nodes'"),
        (["charged", "--num", 1, "--out", "a.npz", "--nodes", 1], "--nodes: 1 is too small"),
        (["charged", "--num", 1, "--out", "a.npz", "--dt", 0], "--dt: 0 is too small; give more than 0"),
        (["charged", "--num", 1, "--out", "a.npz", "--dt", "inf"], "--dt: inf; give a finite number"),
        (["charged", "--num", 1, "--out", "a.npz", "--every", 5000], "5000 steps of which every 5000th"),
        (["charged", "--num", 1, "--out", "a.npz", "--legacy", "--seed", 2**32], "in legacy mode"),
        (["uracil", "--num", 1, "--out", "a.npz", "--temperature", -3], "--temperature: -3 is too small"),
        (["uracil", "--num", 1, "--out", "a.npz", "--steps", 3], "3 steps of which every 10th"),
    ],
)
def test_bad_input_is_one_line_and_2(simulate, capsys, tmp_path, words, message):
    assert simulate(*words) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_shows_what_there_is_and_what_can_be_set(simulate, capsys):
    assert simulate("--help") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in SIMULATIONS)
    assert "examples:" in printed
    assert simulate("aspirin", "--help") == 0
    printed = capsys.readouterr().out
    assert all(option.flag in printed for option in SIMULATIONS["aspirin"].options)
    assert main(["list", "simulations"]) == 0
    assert "salicylic_acid" in capsys.readouterr().out


def test_the_catalogue_lists_what_there_is():
    assert set(SIMULATIONS) == {*SYSTEMS, *SMILES}
    assert all(SIMULATIONS[name].nodes == system.nodes for name, system in SYSTEMS.items())
    for name in SMILES:
        assert SIMULATIONS[name].description.endswith(f"{len(molecule(name).numbers)} atoms")


def test_one_name_in_two_domains_is_told_apart(monkeypatch):
    monkeypatch.setattr(simulation, "find_domains", lambda: {"one": Offers(), "two": Offers()})
    assert set(simulation.simulations()) == {f"{domain}/{name}" for domain in ("one", "two") for name in SIMULATIONS}
