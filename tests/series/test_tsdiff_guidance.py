"""Self-guidance and refinement of TSDiff against tensors of the original code, and what must hold for any model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError
from scorefield.core.guidance.chain import self_guidance
from scorefield.core.guidance.gradient import Gradient
from scorefield.core.guidance.levels import LEVEL, Levels, quantile_levels
from scorefield.core.guidance.observations import GaussianObservation, Observation, QuantileObservation
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guidance.refine import Refinement, refine
from scorefield.core.guidance.registry import make_guide
from scorefield.core.guide import Guide, Guides, Run
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.sampling import Sampled, sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.solver import Carry, Solver
from scorefield.core.state import State
from scorefield.core.system import System
from scorefield.domains.series.tsdiff import TSDiff
from scorefield.domains.series.tsdiff.importing import used_weights

ENERGIES: dict[str, Callable[[str], Observation]] = {
    "MSE": lambda value: GaussianObservation("x", value, math.sqrt(0.5)),
    "quantile": lambda value: QuantileObservation("x", value, LEVEL),
}
CHAIN = make_solver("ddpm", 99, grid="uniform", final="denoise")
Stored = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "fixtures" / "series_tsdiff"


@pytest.fixture(scope="module")
def stored(folder: Path) -> Stored:
    return load_file(folder / "guidance.safetensors")


@pytest.fixture(scope="module")
def system(stored: Stored) -> System:
    prefix = "sd.backbone."
    made = TSDiff(width=8, blocks=2, embedding=16, skip=True).build({"length": 60, "features": 11}).double()
    weights = {name[len(prefix) :]: value for name, value in stored.items() if name.startswith(prefix)}
    made.network.load_state_dict(used_weights(weights, given=False))
    return made.requires_grad_(False).eval()


def tiny(channels: int = 2) -> System:
    torch.manual_seed(0)
    recipe = TSDiff(width=8, blocks=2, embedding=8, states=8, num_steps=10)
    return recipe.build({"length": 12, "features": channels}).double().requires_grad_(False).eval()


def given(x: Tensor, mask: Tensor, value: Tensor, paths: int) -> State:
    observed = torch.where(mask > 0, value, math.nan)
    return State({"x": x}, {}, {"seen": observed, LEVEL: quantile_levels(len(x) // paths, paths)})


def close(found: Tensor, wanted: Tensor, error: float) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=error)


def begun(system: System, state: State, guide: Guide | Potential, solver: Solver) -> Guide | Potential:
    return guide.begin(Run(system, state, solver, solver.plan(system)))


# Against the original


@pytest.mark.parametrize("index", [99, 50, 0])
@pytest.mark.parametrize("kind", list(ENERGIES))
def test_guided_steps(stored: Stored, system: System, kind: str, index: int) -> None:
    part = {name.split(".", 3)[3]: v for name, v in stored.items() if name.startswith(f"ddpm.{kind}.t{index}.")}
    state = given(stored["x_t"], stored["mask"], stored["observation"], 3)
    guide = begun(system, state, self_guidance(ENERGIES[kind]("seen"), 4.0), CHAIN)
    plan = CHAIN.plan(system)
    denoise, at = Denoiser(system, state, plan.times), 99 - index
    noise = Replayed([part["noise"]] if index else [])
    with torch.no_grad():
        stepped = plan.step(at, Carry(state), denoise, noise)
        assert isinstance(guide, Guide)
        moved = guide.after(stepped, at, denoise, noise)
    close(stepped.state["x"], part["p_sample"], 1e-8)
    close(moved.state["x"], part["x_prev"], 1e-8)
    if index == 0:
        assert torch.equal(moved.state["x"], stepped.state["x"])
    # Energy and score, which the original takes at the stepped state with the time before the step.
    potential, t = (
        begun(system, state, ENERGIES[kind]("seen"), CHAIN),
        torch.full((6,), (index + 1) / 100, dtype=torch.float64),
    )
    x = part["p_sample"].requires_grad_()
    data = system.predict(state.replace({"x": x}), t, "data")
    assert isinstance(potential, Potential)
    energy = potential.energy(state, data, t).sum()
    close(energy, part["energy"], 1e-8 * max(1.0, float(part["energy"])))
    close(-torch.autograd.grad(energy, x)[0], part["score"], 1e-8 * max(1.0, float(part["score"].abs().max())))


@pytest.mark.parametrize("kind", list(ENERGIES))
def test_guided_steps_of_ddim(stored: Stored, system: System, kind: str) -> None:
    part = {name.split(".", 3)[3]: v for name, v in stored.items() if name.startswith(f"ddim.{kind}.t50.")}
    state, solver = (
        given(stored["x_t"], stored["mask"], stored["observation"], 3),
        make_solver("ddim", 99, grid="uniform"),
    )
    guide = begun(system, state, Gradient(ENERGIES[kind]("seen"), 4.0, limit=None), solver)
    assert isinstance(guide, Guide)
    plan = solver.plan(system)
    with torch.no_grad():
        plain = Denoiser(system, state, plan.times)(state, 49, "noise")["x"]
        denoise = Denoiser(system, state, plan.times, Guides([guide]))
        close(plain, part["eps"], 1e-8)
        close(denoise(state, 49, "noise")["x"], part["eps_guided"], 1e-8 * float(part["eps_guided"].abs().max()))
        found = plan.step(49, Carry(state), denoise, Replayed([])).state["x"]
    close(found, part["x_prev"], 1e-8)


def test_the_whole_guided_chain(folder: Path, stored: Stored, system: System) -> None:
    data = load_file(folder / "tsdiff_loss.safetensors")
    value = data["x"].repeat_interleave(3, 0)
    mask = torch.ones_like(value)
    mask[:, 48:, 0] = 0  # no lag is shorter than the forecast
    state = given(stored["chain.noises"][0], mask, value, 3)
    guide = self_guidance(ENERGIES["quantile"]("seen"), 4.0)
    sampled = sample(system, state, CHAIN, Replayed(stored["chain.noises"]), guides=[guide])
    found = sampled.state["x"][:, 48:, 0].reshape(2, 3, 12) * data["scale"]
    wanted = stored["chain.forecast"]
    close(found, wanted, 1e-6 * float(wanted.abs().max()))
    assert sampled.evaluations == 199


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("kind", list(ENERGIES))
@pytest.mark.parametrize("method", ["ml", "lmc"])
def test_refinement(folder: Path, system: System, method: str, kind: str, iterations: int) -> None:
    stored = load_file(folder / "refine.safetensors")
    # The original holds the quantile's regularisation to all entries, the squared error's to what is observed.
    mask = stored["mask"] if kind == "MSE" else torch.ones_like(stored["mask"])
    state = given(stored["init"], mask, stored["init"], 3)
    potential = begun(system, state, ENERGIES[kind]("seen"), CHAIN)
    assert isinstance(potential, Potential)
    time, name = (float(stored["t"]) + 1) / 100, f"{method}.{kind}.it{iterations}"
    settings = Refinement(time, iterations, 0.1, "likelihood" if method == "ml" else "langevin", 0.1)
    found = refine(system, state, Replayed(stored[f"{name}.noise"]), potential, settings)
    close(found.state["x"], stored[f"{name}.out"], 1e-8)


# For any model


def observed(rows: int, paths: int, channels: int = 2) -> State:
    draw = torch.Generator().manual_seed(1)
    mask = torch.ones(rows, 12, channels)
    mask[:, 8:, 0] = 0
    value = torch.randn(rows // paths, 12, channels, dtype=torch.float64, generator=draw).repeat_interleave(paths, 0)
    return given(torch.zeros(rows, 12, channels, dtype=torch.float64), mask, value, paths)


def run(system: System, state: State, solver: Solver, *guides: Guide) -> Sampled:
    return sample(system, state, solver, Seeded(0), guides=guides)


SHORT = make_solver("ddpm", 9, grid="uniform", final="denoise")


def test_langevin_steps_without_noise_are_those_of_maximum_likelihood() -> None:
    system, state = tiny(), observed(4, 2)
    eps = [torch.randn(4, 12, 2, dtype=torch.float64) for _ in range(3)]
    zeros = [torch.zeros_like(e) for e in eps]
    plain = refine(system, state, Replayed(eps), None, Refinement(0.5, 3, 0.1, "likelihood"))
    both = [draw for pair in zip(eps, zeros, strict=True) for draw in pair]
    noisy = refine(system, state, Replayed(both), None, Refinement(0.5, 3, 0.1, "langevin", 0.1))
    assert torch.equal(plain.state["x"], noisy.state["x"])


@pytest.mark.parametrize("point", ["stepped", "current"])
@pytest.mark.parametrize("kind", list(ENERGIES))
def test_a_weight_of_zero_is_the_plain_chain(kind: str, point: str) -> None:
    system, state = tiny(), observed(6, 3)
    plain = run(system, state, SHORT)
    guide = make_guide("self", ENERGIES[kind]("seen"), {"weight": 0.0, "point": point})
    guided = run(system, state, SHORT, guide)
    assert torch.equal(plain.state["x"], guided.state["x"])
    assert guided.evaluations == (19 if point == "stepped" else 10)


@pytest.mark.parametrize("point", ["stepped", "current"])
@pytest.mark.parametrize("kind", list(ENERGIES))
def test_rows_are_independent(kind: str, point: str) -> None:
    system, state = tiny(), observed(6, 3)
    guide = make_guide("self", ENERGIES[kind]("seen"), {"weight": 2.0, "point": point})
    wanted = run(system, state, SHORT, guide).state["x"]
    seen = state.condition["seen"].clone()
    seen[3:] += 5
    other = run(system, State(state.components, {}, {**state.condition, "seen": seen}), SHORT, guide).state["x"]
    assert torch.equal(wanted[:3], other[:3])
    assert not torch.allclose(wanted[3:], other[3:])


@pytest.mark.parametrize("point", ["stepped", "current"])
def test_guidance_pulls_to_what_is_observed(point: str) -> None:
    system, state = tiny(), observed(6, 3)
    potential = ENERGIES["MSE"]("seen")

    def miss(*guides: Guide) -> float:
        x = run(system, state, SHORT, *guides).state["x"]
        return float((x - state.condition["seen"]).square().nansum())

    guided = miss(make_guide("self", potential, {"weight": 1.0, "point": point}))
    assert guided < 0.7 * miss()
    both = self_guidance(potential, 1.0, "current"), make_guide("replacement", potential)
    assert miss(*both) == 0


def test_the_current_point_follows_the_published_formula() -> None:
    """x_{t-1} = step(x_t) + s v_t Score(x_t, t), with v_t the posterior variance of the step."""
    system, state = tiny(), observed(6, 3)
    x = torch.randn(6, 12, 2, dtype=torch.float64, requires_grad=True)
    state, plan, potential = state.replace({"x": x}), SHORT.plan(system), ENERGIES["MSE"]("seen")
    run_ = Run(system, state, SHORT, plan)
    guide = self_guidance(potential, 3.0, "current").begin(run_)
    noise, path = torch.randn(6, 12, 2, dtype=torch.float64), system.components["x"].path
    t = torch.full((6,), plan.times[4], dtype=torch.float64)
    energy = potential.begin(run_).energy(state, system.predict(state, t, "data"), t).sum()
    (score,) = torch.autograd.grad(-energy, x)
    state = state.replace({"x": x.detach()})
    with torch.no_grad():
        steps = [
            plan.step(4, Carry(state), Denoiser(system, state, plan.times, Guides(guides)), Replayed([noise])).state[
                "x"
            ]
            for guides in ([], [guide])
        ]
    times = torch.tensor(plan.times[4:6], dtype=torch.float64)
    beta, (now, before) = path.betas[5], path.variance(times)  # type: ignore[attr-defined]
    close(steps[1], steps[0] + 3.0 * (beta * before / now) * score, 1e-12)


@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m", "dpmpp-2m-sde", "unipc", "heun", "deis", "ipndm"])
@pytest.mark.parametrize("way", ["gradient", "self"])
def test_other_solvers(name: str, way: str) -> None:
    system, state, solver = tiny(), observed(6, 3), make_solver(name, 4)
    arguments = {"point": "current"} if way == "self" else {}
    guided = run(system, state, solver, make_guide(way, ENERGIES["quantile"]("seen"), arguments)).state["x"]
    assert not torch.allclose(guided, run(system, state, solver).state["x"])


def test_stepped_guidance_is_for_ancestral_sampling() -> None:
    system, state = tiny(), observed(6, 3)
    guide = self_guidance(ENERGIES["MSE"]("seen"))
    for solver in (make_solver("ddim", 4), make_solver("dpmpp-2m", 4), make_solver("pc", 4)):
        with pytest.raises(InputError, match=r"needs ancestral sampling.*point=current"):
            run(system, state, solver, guide)
    with pytest.raises(InputError, match="stepped or current"):
        self_guidance(ENERGIES["MSE"]("seen"), point="before")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no limit"):
        self_guidance(ENERGIES["MSE"]("seen"), limit=1.0)


def test_quantile_levels() -> None:
    draw = torch.Generator().manual_seed(0)
    assert quantile_levels(2, 3).tolist() == [0.25, 0.5, 0.75] * 2
    assert quantile_levels(1, 1).tolist() == [0.5]
    shuffled = quantile_levels(50, 4, "shuffled", draw).reshape(50, 4)
    close(shuffled.sort(1).values, quantile_levels(50, 4).reshape(50, 4), 0)
    assert len(shuffled.unique(dim=0)) > 10
    drawn = quantile_levels(1000, 3, "random", draw)
    assert 0 < float(drawn.min()) < float(drawn.max()) < 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.03)
    wrong: list[tuple[int, Levels, torch.Generator | None]] = [(0, "ordered", None), (3, "random", None)]
    for paths, order, generator in [*wrong, (3, "sorted", draw)]:  # type: ignore[list-item]
        with pytest.raises(InputError):
            quantile_levels(2, paths, order, generator)
