"""GDSS against tensors of the original code: path coefficients, single steps, short runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scorefield.core.denoiser import Denoiser
from scorefield.core.langevin.corrector import Langevin
from scorefield.core.langevin.splitting import SplittingPlan
from scorefield.core.noise import Replayed
from scorefield.core.paths import VE, VP, GaussianPath, SubVP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.onestep import EulerMaruyama, ReverseDiffusion
from scorefield.core.solvers.solver import Carry, LinearPlan
from scorefield.core.solvers.table import Layout, Rule
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.graphs.gdss import GDSS

TAGS = ["community_small", "qm9"]


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "fixtures" / "graphs_gdss"


class SinglePrecisionVP(VP):
    """VP with the original's float32 standard deviation, which is off by 5e-4 at the last time of a run, t = 1e-4."""

    def variance(self, t: torch.Tensor) -> torch.Tensor:
        return (1 - torch.exp(2 * self.log_alpha(t.float()))).to(t.dtype)


def _path(config: dict[str, object]) -> GaussianPath:
    kinds = {"VP": SinglePrecisionVP, "VE": VE, "subVP": SubVP}
    return kinds[str(config["type"])](float(str(config["beta_min"])), float(str(config["beta_max"])))


def load_system(folder: Path, tag: str) -> System:
    config = json.loads((folder / f"{tag}.config.json").read_text())
    x, adj, sde = config["params_x"], config["params_adj"], config["config"]["sde"]
    recipe = GDSS(
        _path(sde["x"]),
        _path(sde["adj"]),
        depth=x["depth"],
        layers=adj["num_layers"],
        width=x["nhid"],
        width_attention=adj["adim"],
        num_linears=adj["num_linears"],
    )
    system = recipe.build({"features": x["max_feat_num"], "max_nodes": adj["max_node_num"]})
    for name in ("x", "adj"):
        getattr(system.network, name).load_state_dict(load_file(folder / f"{tag}.{name}.safetensors"))
    return system.eval()


def _tensor(stored: np.lib.npyio.NpzFile, name: str) -> torch.Tensor:
    return torch.tensor(stored[name])


def _state(stored: np.lib.npyio.NpzFile, x: str, adj: str) -> State:
    return State({"x": _tensor(stored, x), "adj": _tensor(stored, adj)}, {"mask": _tensor(stored, "flags").bool()})


def _close(state: State, stored: np.lib.npyio.NpzFile, suffix: str, tolerance: float) -> None:
    for name in ("x", "adj"):
        wanted = _tensor(stored, f"{name}_{suffix}")
        error = (state[name] - wanted).abs().max() / wanted.abs().max()
        assert error <= tolerance, f"{name}_{suffix}: {error:.1e}"


def _noises(stored: np.lib.npyio.NpzFile) -> list[torch.Tensor]:
    return [_tensor(stored, name) for name in sorted(k for k in stored if k.startswith("noise"))]


@pytest.mark.parametrize(("name", "kind"), [("vp", VP), ("ve", VE), ("ve02", VE), ("subvp", SubVP)])
def test_path_coefficients(folder: Path, name: str, kind: type[GaussianPath]) -> None:
    stored = np.load(folder / "sde.npz")
    path = kind(*stored[f"{name}_range"])
    t32 = _tensor(stored, "t")
    t = t32.double()

    def check(value: torch.Tensor, key: str, rtol: float = 0.0) -> None:
        # The original's float32 standard deviations lose digits near t = 0: there the wider relative tolerance.
        wanted = _tensor(stored, f"{name}_{key}").double()
        torch.testing.assert_close(value.double(), wanted, atol=1e-6, rtol=rtol, msg=f"{name}_{key}")

    check(path.alpha(t), "mean_coeff")
    # The original's 1 - exp(2 l) loses digits in float32 near t = 0; the same formula in float64 must be ours.
    naive32, naive64 = (_naive_std(path, time) for time in (t32, t))
    check(naive32, "std")
    torch.testing.assert_close(path.sigma(t), naive64, atol=1e-12, rtol=1e-9)
    check(path.drift(t), "drift_at_1")
    if kind is SubVP:
        check(_naive_sub_vp_diffusion(path, t32), "diffusion")
        torch.testing.assert_close(path.diffusion(t), _naive_sub_vp_diffusion(path, t), atol=1e-12, rtol=1e-9)
    else:
        check(path.diffusion(t), "diffusion")
    decay, scale = path.discretised(t32, 1000)
    check(decay, "disc_f_at_1")
    check(scale, "disc_G")
    if kind is not SubVP:
        factor, std = path.transition(t, t - 5e-4)
        check(factor, "trans_mean")
        check(std, "trans_std", 2e-3)


def _naive_std(path: GaussianPath, t: torch.Tensor) -> torch.Tensor:
    if isinstance(path, VE):
        return path.sigma(t)
    shrunk = 1 - torch.exp(2 * path.log_alpha(t))
    return shrunk if isinstance(path, SubVP) else shrunk.sqrt()


def _naive_sub_vp_diffusion(path: GaussianPath, t: torch.Tensor) -> torch.Tensor:
    return (-2 * path.drift(t) * (1 - torch.exp(4 * path.log_alpha(t)))).sqrt()


@pytest.mark.parametrize("tag", TAGS)
def test_scores(folder: Path, tag: str) -> None:
    stored = np.load(folder / f"{tag}.forward.npz")
    system = load_system(folder, tag)
    state = _state(stored, "x_t", "adj_t")
    with torch.no_grad():
        scores = system.score(state, _tensor(stored, "t"))
    for name, score in scores.items():
        wanted = _tensor(stored, f"score_{name}")
        assert (score - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("time", ["0.05", "0.9"])
@pytest.mark.parametrize("method", ["Euler_Langevin", "Reverse_Langevin", "Reverse_None"])
@pytest.mark.parametrize("tag", TAGS)
def test_predictor_corrector_step(folder: Path, tag: str, method: str, time: str) -> None:
    stored = np.load(folder / f"{tag}.pc_{method}_t{time}.npz")
    system = load_system(folder, tag)
    state = _state(stored, "x_in", "adj_in")
    t = float(np.ravel(stored["t"])[0])
    noises = _noises(stored)
    with torch.no_grad():
        # The last step of a run leaves its noise out and so returns the mean.
        for steps, suffix in ((2, "out"), (1, "mean")):
            plan = _thousandths(system, stored, method, t, steps)
            denoise = Denoiser(system, state, plan.times)
            _close(plan.step(0, Carry(state), denoise, Replayed(noises)).state, stored, suffix, 1e-6)
        if "Langevin" in method:
            scores = Denoiser(system, state, [t])(state, 0, "score")
            langevin = Langevin(float(stored["snr"]), float(stored["scale_eps"]), norms="batch", num_scales=1000)
            kappa = langevin.kappas(system, torch.tensor([t], dtype=torch.float32))[0]
            _close(langevin.move(system, state, scores, kappa, Replayed(noises)), stored, "corr", 1e-6)


def _thousandths(system: System, stored: np.lib.npyio.NpzFile, method: str, t: float, steps: int) -> LinearPlan:
    """A run of a few of the published thousand steps, from time t."""
    times = [t - i * 1e-3 for i in range(steps + 1)]
    layout = Layout(torch.tensor(times, dtype=torch.float64), tuple((time,) for time in times[:-1]))
    predictor, corrector = method.split("_")
    rule: Rule = EulerMaruyama() if predictor == "Euler" else ReverseDiffusion(published=True, num_scales=1000)
    moves = {name: rule.moves(component.path, layout) for name, component in system.components.items()}
    if corrector == "None":
        return LinearPlan(rule, times[:-1], times[1:], moves, [True] * steps, None, None)
    langevin = Langevin(float(stored["snr"]), float(stored["scale_eps"]), norms="batch", num_scales=1000)
    kappas = langevin.kappas(system, torch.tensor(times, dtype=torch.float32))
    return LinearPlan(rule, times[:-1], times[1:], moves, [True] * steps, langevin, kappas)


@pytest.mark.parametrize(("time", "tolerance"), [("0.05", 1e-5), ("0.9", 3e-6)])
@pytest.mark.parametrize("tag", TAGS)
def test_splitting_step(folder: Path, tag: str, time: str, tolerance: float) -> None:
    stored = np.load(folder / f"{tag}.s4_t{time}.npz")
    system = load_system(folder, tag)
    state = _state(stored, "x_in", "adj_in")
    t = float(np.ravel(stored["t"])[0])
    corrector = Langevin(float(stored["snr"]), float(stored["scale_eps"]), norms="batch", num_scales=1000)
    plan = SplittingPlan(system, torch.tensor([t, t], dtype=torch.float64), corrector, 1e-3)
    with torch.no_grad():
        result = plan.step(0, Carry(state), Denoiser(system, state, plan.times), Replayed(_noises(stored)))
        last = plan.step(1, Carry(state), Denoiser(system, state, plan.times), Replayed(_noises(stored)))
    _close(result.state, stored, "out", tolerance)
    _close(last.state, stored, "mean", tolerance)


@pytest.mark.parametrize("tag", TAGS)
def test_four_scale_predictor_corrector_run(folder: Path, tag: str) -> None:
    stored = np.load(folder / f"{tag}.pc4.npz")
    solver = make_solver(
        "pc",
        int(stored["num_scales"]),
        predictor="reverse",
        published=True,
        norms="batch",
        snr=float(stored["snr"]),
        scale=float(stored["scale_eps"]),
        end=float(stored["eps"]),
        final="none",
    )
    _run(folder, tag, stored, solver)


@pytest.mark.parametrize("tag", TAGS)
def test_four_scale_splitting_run(folder: Path, tag: str) -> None:
    stored = np.load(folder / f"{tag}.s44.npz")
    arguments = {"snr": float(stored["snr"]), "scale": float(stored["scale_eps"]), "end": float(stored["eps"])}
    _run(folder, tag, stored, make_solver("s4", int(stored["num_scales"]), norms="batch", **arguments))


def _run(folder: Path, tag: str, stored: np.lib.npyio.NpzFile, solver) -> None:
    state = _state(stored, "prior_x", "prior_adj")
    noise = Replayed([_tensor(stored, "prior_x"), _tensor(stored, "prior_adj"), *_noises(stored)])
    result = sample(load_system(folder, tag), state, solver, noise)
    _close(result.state, stored, "out", 1e-4)
