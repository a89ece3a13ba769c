"""Teleportation: exact for Gaussians, published errors for a mixture, masks, files, the user's ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import scorefield
from scorefield.core.analytic import mixture_system
from scorefield.core.cli.main import main
from scorefield.core.errors import InputError
from scorefield.core.gaussian import Gaussian
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import VE, VP, GaussianPath, Linear, SubVP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.spaces import Masked, SymmetricAdjacency, ZeroCentreOfMass
from scorefield.core.state import State
from scorefield.core.states_file import read_states
from scorefield.core.system import Component, System
from scorefield.core.teleport import Teleport, open_teleport
from tests.core import mixture

RUN = "molecules_small"


def endpoint(system: System, start: State, first: float | None, steps: int = 400) -> torch.Tensor:
    solver = make_solver("unipc", steps, order=3, end=1e-3, start=first)
    return sample(system, start, solver, Replayed([]), start=start).state["x"]


def gaussian_system(path: GaussianPath, mean: torch.Tensor, covariance: torch.Tensor) -> System:
    return mixture.mixture_system(path, torch.ones(1), mean[None], covariance[None])


@pytest.mark.parametrize("path", [VP(), VE(0.01, 5.0), SubVP()], ids=["VP", "VE", "SubVP"])
def test_gaussian_data_are_carried_exactly(path: GaussianPath) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = (
        torch.randn(50, 3, generator=generator).double()
        @ torch.tensor([[1.0, 0, 0], [2, 0.5, 0], [0, 1, 0.1]]).double()
    )
    system = gaussian_system(path, drawn.mean(0), drawn.T.cov(correction=0))
    teleport = Teleport.fit(system, State({"x": drawn + 0.0}))
    x1 = State({"x": torch.randn(6, 3, generator=generator).double() * path.prior_std})
    at_t2 = teleport.start(system, x1, 0.4)
    # The exact flow keeps each principal coordinate's standard score.
    (a1, s1), (a2, s2) = (
        [float(f(torch.tensor(t, dtype=torch.float64))) for f in (path.alpha, path.sigma)] for t in (1.0, 0.4)
    )
    values, vectors = torch.linalg.eigh(drawn.T.cov(correction=0))
    scores = (x1["x"] - a1 * drawn.mean(0)) @ vectors / (a1**2 * values + s1**2).sqrt()
    exact = a2 * drawn.mean(0) + (scores * (a2**2 * values + s2**2).sqrt()) @ vectors.T
    torch.testing.assert_close(at_t2["x"], exact, atol=1e-10, rtol=0)
    whole, later = endpoint(system, x1, None), endpoint(system, at_t2, 0.4)
    torch.testing.assert_close(later, whole, atol=1e-4, rtol=0)  # what 400 steps are off by


PUBLISHED = {0.7: 4.8e-4, 0.6: 3.3e-3, 0.5: 1.6e-2, 0.4: 5.3e-2}


def test_errors_on_the_mixture(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "core" / "ode_solvers_vp.npz")
    weights, means, covs, x1, exact = (
        torch.tensor(stored[k]).double() for k in ("weights", "means", "covs", "x_T", "x_exact")
    )
    system = mixture.mixture_system(VP(), weights, means, covs)
    mean = weights @ means
    offset = means - mean
    covariance = torch.einsum("k,kij->ij", weights, covs + offset[:, :, None] * offset[:, None, :])
    teleport = Teleport("size", {"x": {"any": Gaussian.of_moments(mean, covariance)}})
    for t2, wanted in PUBLISHED.items():
        start = teleport.start(system, State({"x": x1}), t2)
        error = float((endpoint(system, start, t2, 200) - exact).square().sum(1).mean().sqrt())
        assert error == pytest.approx(wanted, rel=0.2), t2


def graphs(path: GaussianPath, counts: list[int], nodes: int) -> tuple[System, State]:
    """Graphs whose nodes, edges and centred positions are independent Gaussians, and their closed-form system."""
    components = {
        "x": Component(path, Masked(), "noise"),
        "adj": Component(VE(0.1, 2.0), SymmetricAdjacency(), "score"),
        "r": Component(path, ZeroCentreOfMass(), "noise"),
    }
    shapes = {"x": (nodes, 2), "adj": (nodes, nodes), "r": (nodes, 3)}
    means = {n: torch.full((1, *s), 0.5) for n, s in shapes.items()}
    means["r"] = torch.zeros(1, nodes, 3)
    variances = {"x": torch.tensor([0.3]), "adj": torch.tensor([0.1]), "r": torch.tensor([2.0])}
    system = mixture_system(components, torch.ones(1), means, variances)
    mask = torch.arange(nodes) < torch.tensor(counts)[:, None]
    frame = State({n: torch.zeros(len(counts), *s, dtype=torch.float64) for n, s in shapes.items()}, {"mask": mask})
    return system, system.network.data(frame, Seeded(1), torch.zeros(len(counts), dtype=torch.long))


@pytest.mark.parametrize("path", [VP(), Linear()], ids=["VP", "Linear"])
def test_sizes_share_the_statistics_of_an_entry(path: GaussianPath) -> None:
    system, state = graphs(path, [5, 4, 3, 2] * 500, 5)
    teleport = Teleport.fit(system, state, share="entry")
    table = {name: one["any"] for name, one in teleport.tables.items()}
    assert {name: one.mean.shape[0] for name, one in table.items()} == {"x": 2, "adj": 1, "r": 3}
    for name, variance in {"x": 0.3, "adj": 0.1, "r": 2.0}.items():
        torch.testing.assert_close(
            table[name].variances, torch.full_like(table[name].variances, variance), rtol=0.08, atol=0
        )
    prior = system.prior(state.rows(slice(0, 8)), Seeded(0))
    moved = teleport.start(system, prior, 0.6)
    for name, component in system.components.items():
        torch.testing.assert_close(component.space.project(moved[name], moved.masks), moved[name])
        a1, s1, a2, s2 = (
            float(f(torch.tensor(t, dtype=torch.float64)))
            for t in (1.0, 0.6)
            for f in (component.path.alpha, component.path.sigma)
        )
        mean, c = float(table[name].mean.mean()), float(table[name].variances.mean())
        ratio = ((a2**2 * c + s2**2) / (a1**2 * c + s1**2)) ** 0.5
        ones = component.space.project(torch.ones_like(moved[name]), moved.masks)
        wanted = a2 * mean * ones + ratio * (prior[name] - a1 * mean * ones)
        torch.testing.assert_close(moved[name], wanted, atol=0.05, rtol=0.05)


def test_statistics_by_size_equal_those_of_the_size_alone_and_ignore_padding() -> None:
    system, state = graphs(VP(), [4, 3, 4, 3, 4, 3, 4, 4], 4)
    teleport = Teleport.fit(system, state, share="size")
    threes = state.rows(torch.tensor([1, 3, 5]))
    alone = Teleport.fit(system, threes)
    prior = system.prior(threes, Seeded(0))
    torch.testing.assert_close(teleport.start(system, prior, 0.5)["adj"], alone.start(system, prior, 0.5)["adj"])
    cut = State(
        {"x": prior["x"][:, :3], "adj": prior["adj"][:, :3, :3], "r": prior["r"][:, :3]},
        {"mask": prior.masks["mask"][:, :3]},
    )
    for name, pad in {"x": (0, 0, 0, 1), "adj": (0, 1, 0, 1), "r": (0, 0, 0, 1)}.items():
        padded = functional.pad(teleport.start(system, cut, 0.5)[name], pad)
        torch.testing.assert_close(padded, teleport.start(system, prior, 0.5)[name])
    with pytest.raises(InputError, match="no statistics for samples of size 2"):
        teleport.start(system, system.prior(graphs(VP(), [2], 4)[1], Seeded(0)), 0.5)


def test_sizes_that_differ_need_a_choice() -> None:
    system, state = graphs(VP(), [4, 3], 4)
    with pytest.raises(InputError, match="samples of 2 sizes; choose share='entry'"):
        Teleport.fit(system, state)


def test_a_low_rank_keeps_the_rest_as_one_variance() -> None:
    x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([3.0, 2, 1, 1, 1, 1])
    system = gaussian_system(VP(), torch.zeros(6), torch.eye(6))
    one = Teleport.fit(system, State({"x": x}), rank=2).tables["x"]["any"]
    assert one.basis.shape == (6, 2)
    assert float(one.tail) == pytest.approx(1.0, rel=0.05)
    assert sorted(one.variances.tolist()) == pytest.approx([4.0, 9.0], rel=0.1)
    total = float(one.variances.sum() + 4 * one.tail)
    assert total == pytest.approx(float(x.var(0, correction=0).sum()))


def test_wide_data_get_a_low_rank_without_their_covariance() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=generator).double() @ torch.randn(2, 5000, generator=generator).double()
    before = torch.random.get_rng_state()
    one = Gaussian.of_vectors(x, 5000.0, 10)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert float(one.tail) < 1e-12 * float(one.variances.max())
    assert int((one.variances > 1e-9 * one.variances.max()).sum()) == 2


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    system, state = graphs(VP(), [4, 3, 4, 3], 4)
    teleport = Teleport.fit(system, state, share="entry")
    teleport.save(tmp_path / "start.safetensors")
    again, time = open_teleport(f"{tmp_path / 'start.safetensors'}:0.7")
    assert time == 0.7
    assert again.digest() == teleport.digest()
    prior = system.prior(state, Seeded(0))
    assert torch.equal(again.start(system, prior, 0.7)["x"], teleport.start(system, prior, 0.7)["x"])


@pytest.mark.parametrize("text", ["start.safetensors", "start.safetensors:1.5", "start.safetensors:x", ":0.5"])
def test_a_teleport_without_a_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write FILE:TIME"):
        open_teleport(text)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Teleport.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="not a file of teleport statistics"):
        Teleport.load(tmp_path / "text")


@pytest.mark.parametrize("t2", [0.0, 1.0, 2.0, float("nan")])
def test_times_outside_the_run_are_refused(t2: float) -> None:
    system, state = graphs(VP(), [3, 3], 3)
    with pytest.raises(InputError, match="give a time between 0 and 1"):
        Teleport.fit(system, state).start(system, state, t2)


@pytest.fixture(scope="module")
def states_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fit --export-states` writes of the embedded molecules."""
    path = tmp_path_factory.mktemp("states") / "states.npz"
    assert main(["fit", "--config", RUN, "--export-states", str(path)]) == 0
    return path


def test_states_of_a_file_are_the_training_rows(states_file: Path, tmp_path: Path) -> None:
    system = scorefield.load(RUN).system()
    stored = dict(np.load(states_file))
    kept = ~(stored["is_test"].astype(bool) | stored["is_validation"].astype(bool))
    state = read_states(states_file, system)
    assert len(state) == kept.sum()
    np.testing.assert_array_equal(state["adj"].numpy(), stored["adj"][kept].astype(np.float32))
    assert len(read_states(states_file, system, 10)) == 10
    for name, words in {"adj": "lacks adj", "x": "lacks x"}.items():
        np.savez(tmp_path / "part.npz", **{k: v for k, v in stored.items() if k != name})
        with pytest.raises(InputError, match=words):
            read_states(tmp_path / "part.npz", system)
    np.savez(tmp_path / "short.npz", **{**stored, "adj": stored["adj"][:5]})
    with pytest.raises(InputError, match="adj: has 5 rows"):
        read_states(tmp_path / "short.npz", system)
    np.savez(tmp_path / "broken.npz", **{**stored, "x": np.full(stored["x"].shape, np.nan)})
    with pytest.raises(InputError, match="x: a value is not finite"):
        read_states(tmp_path / "broken.npz", system)
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InputError, match="not an"):
        read_states(tmp_path / "text.npz", system)


def test_the_command_and_python_start_later(states_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match=r"states\.npz: samples of 7 sizes"):
        Teleport.fit_file(states_file, RUN)
    file = tmp_path / "start.safetensors"
    Teleport.fit_file(states_file, RUN, share="entry").save(file)
    out = tmp_path / "molecules.smi"
    words = ["sample", RUN, "--num", "6", "--out", str(out), "--solver", "dpmpp-2m", "--steps", "6", "--device", "cpu"]
    assert main([*words, "--teleport", f"{file}:0.7"]) == 0
    assert '"teleport"' in out.with_suffix(".smi.json").read_text()
    model, same = scorefield.load(RUN), {"steps": 6, "device": "cpu", "progress": False}
    mols = model.sample(6, "dpmpp-2m", teleport=f"{file}:0.7", **same)
    mols.save(tmp_path / "python.smi")
    assert (tmp_path / "python.smi").read_bytes() == out.read_bytes()
    plain = model.sample(6, "dpmpp-2m", decode=False, **same)
    assert not torch.equal(mols.state["x"], plain["x"])
    assert main([*words, "--overwrite", "--teleport", f"{file}"]) == 2
    assert "write FILE:TIME" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--teleport", f"{file}:0.7", "--solver-arg", "start=0.5"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
