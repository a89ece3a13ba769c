"""The sampling loop: orders, moments, systems, re-entrancy, masks, clamping, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.core.denoiser import Denoiser
from scorefield.core.errors import InputError, InputWarning
from scorefield.core.guide import ClampData
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import VE, VP, Cosine, GaussianPath, Linear, SubVP
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import SOLVERS, make_solver
from scorefield.core.solvers.exponential import Exponential
from scorefield.core.solvers.solver import Carry, LinearSolver
from scorefield.core.spaces import Masked, SymmetricAdjacency
from scorefield.core.state import State
from scorefield.core.system import Component, Network, System
from tests.core.mixture import mixture_system
from tests.core.two_components import ARGUMENTS

WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], dtype=torch.float64)
COVS = torch.stack([torch.eye(2, dtype=torch.float64) * v for v in (0.2, 0.1, 0.3)])


def _endpoint_error(solver: str, steps: int, start: State, exact: torch.Tensor, **arguments: object) -> float:
    system = mixture_system(VP(), WEIGHTS, MEANS, COVS)
    result = sample(system, start, make_solver(solver, steps, end=1e-3, **arguments), Replayed([]), start=start)
    return float((result.state["x"] - exact).square().sum(1).mean().sqrt())


ORDERS = {
    ("ddim", ()): (0.9, 1.1),
    ("dpmpp-2m", ()): (1.6, 2.6),
    ("dpmpp-3m", ()): (1.6, 3.2),
    ("dpm-2s", ()): (1.6, 2.6),
    ("dpm-3s", ()): (2.2, 4.0),
    ("heun", ()): (1.8, 2.4),
    ("unipc", (("order", 2),)): (1.6, 4.5),
    ("unipc", (("order", 3),)): (2.6, 5.5),
    ("exponential", (("order", 1),)): (0.9, 1.1),
    ("exponential", (("order", 2),)): (1.6, 2.6),
    ("exponential", (("order", 3), ("corrector", 3))): (2.4, 4.8),
    ("exponential", (("order", 2), ("kind", "noise"))): (1.6, 2.6),
}


@pytest.mark.parametrize(("case", "band"), ORDERS.items(), ids=[f"{c[0]}{dict(c[1])}" for c in ORDERS])
def test_orders_of_convergence(case, band: tuple[float, float]) -> None:
    name, arguments = case
    generator = torch.Generator().manual_seed(1)
    start = State({"x": torch.randn(16, 2, generator=generator, dtype=torch.float64)})
    system = mixture_system(VP(), WEIGHTS, MEANS, COVS)
    exact = sample(system, start, make_solver("unipc", 2000, order=3, end=1e-3), Replayed([]), start=start).state["x"]
    coarse, fine = (_endpoint_error(name, n, start, exact, **dict(arguments)) for n in (48, 96))
    order = math.log2(coarse / fine)
    assert band[0] <= order <= band[1], f"order {order:.2f}, errors {coarse:.1e}, {fine:.1e}"


def _gaussian(path: GaussianPath, variance: float) -> System:
    return mixture_system(
        path,
        torch.ones(1, dtype=torch.float64),
        torch.zeros(1, 1, dtype=torch.float64),
        torch.full((1, 1, 1), variance, dtype=torch.float64),
    )


def _variance(
    path: GaussianPath, solver: str, steps: int, start: float, data: float = 0.5, **arguments: object
) -> float:
    """Exact output variance for Gaussian data: the sampler is then linear, so row k of the batch sees unit noise k."""
    built = make_solver(solver, steps, **arguments)
    draws = steps if built.stochastic else 0
    begin = torch.zeros(draws + 1, 1, dtype=torch.float64)
    begin[0] = math.sqrt(start)
    noises = torch.eye(draws + 1, dtype=torch.float64)[1:, :, None]
    state = State({"x": begin})
    result = sample(_gaussian(path, data), state, built, Replayed(list(noises)), start=state)
    return float(result.state["x"].square().sum())


def test_euler_maruyama_variance_errors_as_computed_in_closed_form() -> None:
    path = VP()
    start = 0.5 * math.exp(2 * float(path.log_alpha(torch.ones(1)))) + float(path.variance(torch.ones(1).double()))
    for steps, wanted in ((50, 0.01529), (100, 0.00741), (200, 0.00365)):
        end = 1e-3
        # The figures count the noise of the last step, which a run leaves out.
        mean_part = _variance(path, "euler-maruyama", steps, start, grid="uniform", end=end)
        last = 1e-3 + (1 - end) / steps
        kick = float(path.diffusion(torch.tensor([last], dtype=torch.float64))) ** 2 * (1 - end) / steps
        exact = 0.5 * float(path.alpha(torch.tensor([end]).double())) ** 2 + float(
            path.variance(torch.tensor([end]).double())
        )
        assert abs(mean_part + kick - exact) == pytest.approx(wanted, abs=1.5e-4), steps


STOCHASTIC = {
    "ddpm": {},
    "dpmpp-2m-sde": {},
    "exponential": {"order": 1, "eta": 1.0},
    "euler-maruyama": {"grid": "uniform"},
    "reverse-diffusion": {},
    "reverse-diffusion on a quadratic grid": {"grid": "quadratic"},
}


@pytest.mark.parametrize("variance", [0.5, 0.01])
@pytest.mark.parametrize("case", sorted(STOCHASTIC))
@pytest.mark.parametrize("path", [VP(), VE(0.01, 5.0), SubVP()], ids=["VP", "VE", "SubVP"])
def test_stochastic_solvers_converge_to_the_data_variance(path: GaussianPath, case: str, variance: float) -> None:
    one = torch.ones(1, dtype=torch.float64)
    end, arguments = 1e-3, STOCHASTIC[case]
    start = variance * float(path.alpha(one)) ** 2 + float(path.variance(one))
    # What is left at the end of a run: the noise of the path there, less that of the last step, which is left out.
    left = variance * float(path.alpha(one * end)) ** 2
    few, many = (
        abs(_variance(path, case.split()[0], steps, start, data=variance, end=end, **arguments) - left) / left
        for steps in (100, 400)
    )
    assert many < 0.12
    assert many < 0.75 * few or many < 0.02


class Separable(Network):
    """Each component's exact score for N(0, variance I), as a score prediction."""

    def __init__(self, paths: dict[str, GaussianPath], variances: dict[str, float]) -> None:
        super().__init__()
        self.paths, self.variances = paths, variances

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        out = {}
        for name, value in state.components.items():
            path = self.paths[name]
            total = path.alpha(t) ** 2 * self.variances[name] + path.variance(t)
            out[name] = -value / total.reshape(-1, *[1] * (value.ndim - 1))
        return out


def _system(names: list[str]) -> System:
    paths: dict[str, GaussianPath] = {"x": VP(0.1, 1.0), "adj": VE(0.2, 1.0)}
    spaces = {"x": Masked(), "adj": SymmetricAdjacency()}
    network = Separable(paths, {"x": 0.7, "adj": 0.4})
    return System({n: Component(paths[n], spaces[n], "score") for n in names}, network)


def _graphs(sizes: list[int], nodes: int = 6) -> State:
    mask = torch.arange(nodes) < torch.tensor(sizes)[:, None]
    zeros = {"x": torch.zeros(len(sizes), nodes, 3), "adj": torch.zeros(len(sizes), nodes, nodes)}
    return State({n: v.double() for n, v in zeros.items()}, {"mask": mask})


class Split:
    """Hands each shape its own stream, so that one component sees the same noise with and without the other."""

    def __init__(self) -> None:
        self.streams: dict[tuple[int, ...], Seeded] = {}

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        stream = self.streams.setdefault(tuple(like.shape), Seeded(sum(like.shape)))
        return stream.normal(like)


# Adaptive steps follow the error of all components together: equal steps, or small errors.
SEPARABLE = {"rk45": {"method": "rk4"}, "dpm-adaptive": {"rtol": 1e-6, "atol": 1e-6}}


@pytest.mark.parametrize("part", ["x", "adj"])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_separable_system_equals_independent_components(name: str, part: str) -> None:
    frame = _graphs([6, 4, 2])
    arguments = {**ARGUMENTS.get(name, {}), **SEPARABLE.get(name, {}), "end": 1e-2}
    if name not in ("s4", "dpm-adaptive"):
        arguments["grid"] = "uniform"
    if name != "s4":  # evaluations inside a step stand where one component's path puts them
        arguments["reference"] = part
    solver = make_solver(name, 7, **arguments)
    both = sample(_system(["x", "adj"]), frame, solver, Split()).state
    single = sample(_system([part]), State({part: frame[part]}, frame.masks), solver, Split()).state
    torch.testing.assert_close(single[part], both[part], atol=1e-4 if name == "dpm-adaptive" else 1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_samples_stay_in_their_spaces(name: str) -> None:
    frame = _graphs([6, 3, 1, 0])
    state = sample(
        _system(["x", "adj"]), frame, make_solver(name, 5, end=1e-2, **ARGUMENTS.get(name, {})), Seeded(0)
    ).state
    pairs = frame.masks["mask"][:, :, None] & frame.masks["mask"][:, None, :]
    assert bool((state["adj"][~pairs] == 0).all())
    assert bool((state["adj"].diagonal(dim1=1, dim2=2) == 0).all())
    torch.testing.assert_close(state["adj"], state["adj"].transpose(1, 2), atol=1e-12, rtol=0)
    assert bool((state["x"][~frame.masks["mask"]] == 0).all())
    assert bool(torch.isfinite(state["x"]).all())


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_one_solver_serves_interleaved_runs(name: str) -> None:
    system, frame, solver = (
        _system(["x", "adj"]),
        _graphs([6, 4]),
        make_solver(name, 4, end=1e-2, **ARGUMENTS.get(name, {})),
    )
    separate = [sample(system, frame, solver, Seeded(seed)).state for seed in (1, 2)]
    plan, runs = solver.plan(system), []
    for seed in (1, 2):
        noise = Seeded(seed)
        runs.append((noise, Denoiser(system, frame, plan.times), Carry(system.prior(frame, noise))))
    for index in range(plan.length):
        runs = [(noise, denoise, plan.step(index, carry, denoise, noise)) for noise, denoise, carry in runs]
    for (_, _, carry), wanted in zip(runs, separate, strict=True):
        assert torch.equal(carry.state["x"], wanted["x"])
        assert torch.equal(carry.state["adj"], wanted["adj"])


class Padded:
    """Seeded noise of a smaller batch inside a padded one."""

    def __init__(self, nodes: int) -> None:
        self.source, self.nodes = Seeded(5), nodes

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        small = like[:, : self.nodes] if like.shape[1] != like.shape[2] else like[:, : self.nodes, : self.nodes]
        out = torch.zeros_like(like)
        index = tuple(slice(0, s) for s in small.shape)
        out[index] = self.source.normal(small)
        return out


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_padding_changes_nothing(name: str) -> None:
    system, solver = _system(["x", "adj"]), make_solver(name, 5, end=1e-2, **ARGUMENTS.get(name, {}))
    small = sample(system, _graphs([5, 3], 5), solver, Padded(5)).state
    large = sample(system, _graphs([5, 3], 9), solver, Padded(5)).state
    torch.testing.assert_close(large["x"][:, :5], small["x"], atol=1e-10, rtol=0)
    torch.testing.assert_close(large["adj"][:, :5, :5], small["adj"], atol=1e-10, rtol=0)


def test_per_sample_norms_do_not_see_the_batch() -> None:
    system = _system(["x", "adj"])
    start = system.prior(_graphs([6, 4, 5]), Seeded(0))
    noises = [torch.randn(3, *shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
              for i, shape in enumerate([(6, 3), (6, 6)] * 40)]  # fmt: skip
    solver = make_solver("pc", 4, snr=0.2, end=1e-2)
    whole = sample(system, start, solver, Replayed(noises), start=start).state
    part = start.rows(slice(1, 2))
    alone = sample(system, part, solver, Replayed([n[1:2] for n in noises]), start=part).state
    torch.testing.assert_close(alone["adj"], whole["adj"][1:2], atol=1e-12, rtol=0)
    batch = sample(system, start, make_solver("pc", 4, snr=0.2, end=1e-2, norms="batch"), Replayed(noises), start=start)
    assert not torch.allclose(batch.state["adj"], whole["adj"])


def test_clamped_data_predictions_bound_a_final_denoising_step() -> None:
    frame = _graphs([6, 4])
    solver = make_solver("dpmpp-2m", 5, final="denoise", end=1e-2)
    clamp = ClampData(x=(-0.1, 0.1))
    state = sample(_system(["x", "adj"]), frame, solver, Seeded(0), guides=[clamp]).state
    assert float(state["x"].abs().max()) <= 0.1 + 1e-12
    free = sample(_system(["x", "adj"]), frame, solver, Seeded(0)).state
    assert float(free["x"].abs().max()) > 0.1
    with pytest.raises(InputError, match="no component 'y'"):
        sample(_system(["x", "adj"]), frame, solver, Seeded(0), guides=[ClampData(y=(0, 1))])


def test_origin_shifts_data_and_nothing_else() -> None:
    path, shift = VP(), 2.5
    plain = _gaussian(path, 0.5)

    class Shifted(Network):
        def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
            return plain.network(state.replace({"x": state["x"] - shift}), t)

    component = Component(path, Masked(), "noise", origin=lambda state: torch.full_like(state["x"], shift))
    start = State({"x": torch.randn(8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))})
    solver = make_solver("unipc", 10, end=1e-3)
    moved = sample(System({"x": component}, Shifted()), start, solver, Replayed([]), start=start).state
    still = sample(plain, start, solver, Replayed([]), start=start).state
    torch.testing.assert_close(moved["x"], still["x"] + shift, atol=1e-12, rtol=0)


def test_a_linear_path_runs_from_no_signal_to_no_noise() -> None:
    system = _gaussian(Linear(), 0.5)
    data = System({"x": Component(Linear(), Masked(), "data")}, _DataGaussian())
    start = State({"x": torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))})
    for order in (1, 2, 3):
        solver = LinearSolver(Exponential(order), 40, "uniform", end=0.0)
        state = sample(data, start, solver, Replayed([]), start=start).state
        assert float(state["x"].var()) == pytest.approx(0.5 * float(start["x"].var()), rel=0.1 if order == 1 else 0.03)
    assert system.components["x"].path.prior_std == 1.0


class _DataGaussian(Network):
    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        t = t[:, None]
        return {"x": (1 - t) * 0.5 / ((1 - t) ** 2 * 0.5 + t**2) * state["x"]}


def test_not_finite_networks_are_named_with_evaluation_and_time() -> None:
    class Broken(Network):
        def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": torch.where(t < 0.5, torch.nan, 0.0)[:, None] * state["x"]}

    system = System({"x": Component(VP(), Masked(), "noise")}, Broken())
    frame = State({"x": torch.zeros(2, 1)})
    with pytest.raises(FloatingPointError, match=r"evaluation 7, t = 0\.4"):
        sample(system, frame, make_solver("ddim", 10, grid="uniform", end=1e-3), Seeded(0))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("dpmp-2m", {}, "did you mean 'dpmpp-2m'"),
        ("pc", {"srn": 0.2}, "did you mean snr"),
        ("pc", {"snr": "fast"}, "is no float"),
        ("pc", {"predictor": "magic"}, "unknown predictor"),
        ("ddim", {"grid": "cubic"}, "unknown grid"),
        ("pc", {"grid": "uniform", "predictor": "reverse", "published": True}, "has its own grid"),
        ("ddim", {"end": 1.5}, "end 1.5"),
        ("exponential", {"eta": 1.0, "kind": "noise"}, "eta > 0 needs data"),
        ("pc", {"reference": "y"}, "no component 'y'"),
        ("pc", {"predictor": "euler", "published": True, "start": 0.5}, "begins at t = 1, not at 0.5"),
        ("ddim", {"grid": "1,0.5,0.5,0.2,0.1,0.01"}, "does not decrease at step 2"),
        ("ddim", {"grid": "1,0.5,0.6,0.2,0.1,0.01"}, "does not decrease at step 2"),
        ("ddim", {"grid": "1,0.5,0.1"}, "3 times make 2 steps, not 5"),
        ("ddim", {"grid": "1.2,1,0.5,0.2,0.1,0.01"}, r"leave \[0, 1\]"),
        ("dpm-2s", {"variant": "tailor"}, "did you mean 'taylor'"),
        ("dpm-adaptive", {"variant": "tailor"}, "did you mean 'taylor'"),
        ("dpmpp-2m", {"variant": "tailor"}, "midpoint or taylor"),
        ("dpm-v3", {"statistics": None, "grid": "uniform", "end": 0.0}, "VP has no noise at t = 0; end the run"),
        ("heun", {"s_tmin": 2.0, "s_tmax": 1.0}, "s_tmin 2 exceeds s_tmax 1"),
    ],
)
def test_bad_settings_are_one_clear_line(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample(_system(["x", "adj"]), _graphs([3]), make_solver(name, 5, **arguments), Seeded(0))


@pytest.mark.parametrize("path", [Linear(), Cosine()], ids=["Linear", "Cosine"])
def test_splitting_begins_where_there_is_signal(path: GaussianPath) -> None:
    system = _gaussian(path, 0.5)
    with pytest.raises(InputError, match=rf"start 1 lies outside the range of {type(path).__name__}; give less than"):
        sample(system, State({"x": torch.zeros(2, 1)}), make_solver("s4", 5), Seeded(0))
    ended = sample(system, State({"x": torch.zeros(2, 1)}), make_solver("s4", 5, start=0.98), Seeded(0))
    assert bool(torch.isfinite(ended.state["x"]).all())


@pytest.mark.parametrize(("name", "order"), [("dpmpp-3m", 3), ("unipc", 3), ("deis", 4), ("dpm-3s", 3), ("dpm-v3", 3)])
def test_fewer_steps_than_the_order_lower_it_with_a_warning(name: str, order: int) -> None:
    with pytest.warns(InputWarning, match=f"2 steps lower the order of the solver from {order}"):
        solver = make_solver(name, 2, end=1e-2, **ARGUMENTS.get(name, {}))
    assert sample(_system(["x", "adj"]), _graphs([3]), solver, Seeded(0)).evaluations == 2


def test_components_on_several_devices_are_refused() -> None:
    frame = _graphs([3])
    frame = frame.replace({"adj": frame["adj"].to("meta")})
    with pytest.raises(InputError, match="lie on cpu and meta; move them"):
        sample(_system(["x", "adj"]), frame, make_solver("ddim", 3), Seeded(0))


@pytest.mark.parametrize("steps", [0, -3])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_steps_must_be_positive(name: str, steps: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        make_solver(name, steps)


def test_words_of_the_command_line_become_numbers() -> None:
    solver = make_solver("pc", 3, snr="0.3", corrector_steps="2", norms="batch", published="false", reference="none")
    assert isinstance(solver, LinearSolver)
    assert solver.corrector is not None
    assert (solver.corrector.snr, solver.corrector.steps, solver.corrector.norms) == (0.3, 2, "batch")
