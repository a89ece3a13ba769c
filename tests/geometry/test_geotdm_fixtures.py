"""GeoTDM against tensors of the original code: network, loss, gradients, steps, chains, bound, refinement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.grids import Explicit
from scorefield.core.noise import Replayed
from scorefield.core.objectives import DenoisingScoreMatching, Draws
from scorefield.core.paths import DiscreteChain
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.ancestral import Ancestral
from scorefield.core.solvers.solver import Carry, LinearSolver
from scorefield.core.solvers.table import Layout
from scorefield.domains.geometry.bound import variational_bound
from scorefield.domains.geometry.geotdm import published_sampler
from tests.geometry.stored import CASES, CONDITIONAL, Case, place, read

UPPER = Ancestral(variance="upper")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, shared_dir: Path) -> Case:
    return read(shared_dir, request.param)


def close(found: Tensor, wanted: Tensor, share: float = 1e-5) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=share * float(wanted.abs().max()))


@torch.no_grad()
def test_network_and_what_is_between_its_layers(case: Case) -> None:
    stored, network, between = case.stored, case.network, {}

    def keep(name):
        return lambda module, inputs, outputs: between.update({f"{name}.x": outputs[0], f"{name}.h": outputs[1]})

    modules = [(f"s{i}", m) for i, m in enumerate(network.s_modules)]
    modules += [(f"t{i}", m) for i, m in enumerate(network.t_modules)]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
    found = case.system(case.seen(stored["fwd.x_t"]), case.times(stored["fwd.t"]))["x"]
    for hook in hooks:
        hook.remove()
    projected = case.flat(case.space(case.positions(stored["fwd.eps"])))
    close(case.flat(found), projected)
    for name, value in between.items():
        # Unconditional samples are stored as they came, ours are centred; layers commute with translations.
        value = value.transpose(1, 2)
        wanted = stored[f"fwd.{name}"]
        if name.endswith(".x") and not case.conditional:
            shift = case.flat(case.positions(stored["fwd.x_t"]) - case.space(case.positions(stored["fwd.x_t"])))
            value = value + shift
        close(value, wanted)
    close(between[f"t{len(network.t_modules) - 1}.h"].transpose(1, 2)[:, :, case.generated], stored["fwd.h_out"])


@pytest.mark.parametrize("name", CONDITIONAL)
def test_origin(shared_dir: Path, name: str) -> None:
    case = read(shared_dir, name)
    origin = case.system.origins(case.state)["x"]
    wanted = case.stored["prior.x_ref"].expand(-1, -1, int(case.generated.sum()))
    close(case.flat(origin).detach(), wanted)
    given = ~case.generated
    assert torch.equal(origin[case.nodes][:, given], case.state["x"][case.nodes][:, given])
    assert not origin[~case.nodes].any()


def test_loss(case: Case) -> None:
    stored, system = case.stored, case.system
    noise = case.space(case.positions(stored["loss.noise"]))
    draws = Draws(case.times(stored["loss.t"]), {"x": noise})
    found = DenoisingScoreMatching("entry_mean").losses(system, case.state, draws)["x"]
    torch.testing.assert_close(found, stored["loss.batch"][0], rtol=1e-5, atol=0)
    for graph, wanted in enumerate(stored["loss.per_graph"]):
        rows = slice(graph, graph + 1)
        one = Draws(draws.t[rows], {"x": noise[rows]})
        loss = DenoisingScoreMatching("entry_mean").losses(system, case.state.rows(rows), one)["x"]
        torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=0)
    first = torch.tensor([0, *case.settings["sizes"]]).cumsum(0)[:-1]
    ego = DenoisingScoreMatching("first_mean").losses(system, case.state, draws)["x"]
    torch.testing.assert_close(ego, stored["loss.per_node"][first].mean(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_gradients(shared_dir: Path, name: str) -> None:
    """Ours in double precision, so that all rounding is the original's."""
    case = read(shared_dir, name, torch.float64)
    stored, system = case.stored, case.system
    draws = Draws(case.times(stored["loss.t"]), {"x": case.space(case.positions(stored["loss.noise"]))})
    DenoisingScoreMatching("entry_mean").losses(system, case.state, draws)["x"].backward()
    gradients = {name.removeprefix("grad."): value for name, value in stored.items() if name.startswith("grad.")}
    assert len(gradients) > 20
    for name, wanted in gradients.items():
        gradient = system.get_parameter(place(name)).grad
        assert gradient is not None, name
        if (
            name.endswith("k_mlp.actions.2.bias")
            or name == f"t_modules.{len(case.network.t_modules) - 1}.time_emb.bias"
        ):
            # Moves all logits of a frame alike, or features that nobody looks at: what is stored is rounding.
            assert not gradient.any()
            assert float(wanted.abs().max()) < 1e-4 * float(gradients["input_linear.weight"].abs().max())
        else:
            slack = 5e-8 if "k_mlp" in name or "q_mlp" in name else 0.0  # such rounding passes on to layers below
            torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()) + slack)


def _step(case: Case, index: int, value: Tensor, noise: Tensor) -> Tensor:
    """One step from chain index `index`, of generated frames relative to their origin."""
    count = case.settings["num_timesteps"]
    state = case.state.replace({"x": case.space(case.positions(value))})
    if index == 0:
        times = [2 / count, 1 / count]
        plan = LinearSolver(UPPER, 1, Explicit(times), final="denoise").plan(case.system)
        carry = plan.step(1, Carry(state), Denoiser(case.system, state, plan.times), Replayed([]))
    else:
        times = [(index + 1) / count, index / count, 0.5 / count]
        plan = LinearSolver(UPPER, 2, Explicit(times)).plan(case.system)
        carry = plan.step(0, Carry(state), Denoiser(case.system, state, plan.times), Replayed([case.positions(noise)]))
    return carry.state["x"]


@pytest.mark.parametrize("index", [0, 1, 12, 24])
@torch.no_grad()
def test_reverse_steps(case: Case, index: int) -> None:
    stored = {key.partition(".")[2]: value for key, value in case.stored.items() if key.startswith(f"rev{index}.")}
    t = case.times(torch.full_like(case.stored["fwd.t"], index))
    state = case.state.replace({"x": case.space(case.positions(stored["x_t"]))})
    data = case.system.predict(state, t, "data")["x"]
    close(case.flat(data), stored["pred_xstart"])
    zero = torch.zeros_like(stored["noise"])
    close(case.flat(_step(case, index, stored["x_t"], zero)), stored["mean"])
    found = _step(case, index, stored["x_t"], stored["noise"])
    close(found, case.space(case.positions(stored["sample"])))
    if index:
        times = torch.tensor([index + 1, index], dtype=torch.float64) / case.settings["num_timesteps"]
        (move,) = UPPER.moves(case.system.components["x"].path, Layout(times, ((float(times[0]),),)))
        assert move.noise**2 == pytest.approx(float(stored["variance"].flatten()[0]), rel=1e-6)


def _chain(case: Case, start: Tensor, noise: Tensor, steps: int) -> Tensor:
    count = case.settings["num_timesteps"]
    times = [step / count for step in range(steps, 0, -1)]
    solver = LinearSolver(UPPER, steps - 1, Explicit(times), final="denoise")
    begin = case.state.replace({"x": case.space(case.positions(start))})
    draws = Replayed([case.positions(value) for value in noise])
    return case.flat(sample(case.system, case.state, solver, draws, start=begin).state["x"])


def test_chains(case: Case) -> None:
    stored = case.stored
    found = _chain(case, stored["chain.start"], stored["chain.noise"], int(stored["chain.steps"]))
    close(found, stored["chain.sample"], 1e-3)


def test_complete_sampling(case: Case) -> None:
    """By the sampler that an imported model has; one stored network diverges."""
    stored = case.stored
    if "loop.noise" not in stored:
        assert case.settings["config"]["num_w"] == 6  # the one whose chain is stored in part
        return
    settings = published_sampler(case.settings["num_timesteps"])
    solver = make_solver(settings.solver, settings.steps, **settings.arguments)
    draws = Replayed([case.positions(value) for value in stored["loop.noise"]])
    result = sample(case.system, case.state, solver, draws)
    assert result.evaluations == case.settings["num_timesteps"]
    close(case.flat(result.state["x"]), stored["loop.sample"], 1e-3)
    if not case.conditional:
        mean = result.state["x"].sum((1, 2)) / (case.nodes.sum(1, keepdim=True) * len(case.generated))
        assert float(mean.abs().max()) < 1e-5


def test_refinement(case: Case) -> None:
    """A guess is noised up to a level, and the chain run down from there."""
    stored = case.stored
    if "opt.guess" not in stored:
        assert not case.conditional  # the original cannot
        return
    steps, count = int(stored["opt.steps"]), case.settings["num_timesteps"]
    guess = case.flat(case.positions(stored["opt.guess"]) - case.system.origins(case.state)["x"].detach())
    path, t = case.system.components["x"].path, torch.tensor(steps / count, dtype=torch.float64)
    start = float(path.alpha(t)) * guess + float(path.sigma(t)) * stored["opt.noise"][0]
    close(_chain(case, start, stored["opt.noise"][1:], steps), stored["opt.out"], 1e-3)


def test_variational_bound(case: Case) -> None:
    stored, nodes = case.stored, case.nodes
    bound = variational_bound(case.system, case.state, Replayed([case.positions(n) for n in stored["nll.noise"]]))
    for name, found in (("vb", bound.terms), ("prior_bpd", bound.prior), ("total_bpd", bound.total)):
        close(found[nodes], stored[f"nll.{name}"])
    close(bound.data_error[nodes], stored["nll.xstart_mse"])
    close(bound.noise_error[nodes], stored["nll.mse"])
    terms = bound.terms.abs().sum((1, 2))
    assert float(((bound.total.sum(1) - stored["nll.per_graph"]).abs() / terms).max()) < 1e-5


def test_schedules(shared_dir: Path) -> None:
    stored = np.load(shared_dir / "fixtures" / "geometry_geotdm" / "schedules.npz")
    names = {name.partition(".")[0] for name in stored.files}
    assert names
    for name in names:
        schedule, steps = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        chain = DiscreteChain(schedule, steps)
        t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
        tables = {
            "betas": chain.betas,
            "alphas_cumprod": chain.alpha(t).square(),
            "alphas_cumprod_prev": chain.alpha(t - 1 / steps).square(),
            "sqrt_one_minus_alphas_cumprod": chain.sigma(t),
        }
        compared = 0
        for table, found in tables.items():
            if f"{name}.{table}" in stored:
                np.testing.assert_allclose(found, stored[f"{name}.{table}"], rtol=0, atol=1e-12)
                compared += 1
        assert compared >= 2
