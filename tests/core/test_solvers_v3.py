"""DPM-Solver-v3: the stored endpoints, measured statistics, their file, systems and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from scorefield.core.empirical.statistics import ComponentStatistics, EmpiricalModelStatistics
from scorefield.core.empirical.v3 import DPMSolverV3
from scorefield.core.errors import InputError
from scorefield.core.grids import Explicit
from scorefield.core.noise import Replayed, Seeded
from scorefield.core.paths import Linear
from scorefield.core.sampling import sample
from scorefield.core.solver_registry import make_solver
from scorefield.core.solvers.exponential import Exponential
from scorefield.core.solvers.solver import LinearSolver
from scorefield.core.state import State
from scorefield.core.system import Network, System
from tests.core import stored
from tests.core.two_components import make_system

pytestmark = pytest.mark.filterwarnings("ignore:.*lower the order of the solver")


def _statistics(arrays: stored.Stored, degenerate: bool = False) -> EmpiricalModelStatistics:
    l, s, b = (arrays[f"ems_{part}"] for part in "lsb")  # noqa: E741
    tables = (np.ones_like(l), 0 * s, 0 * b) if degenerate else (l, s, b)
    return EmpiricalModelStatistics({"x": ComponentStatistics(arrays["ems_lambda"], *tables)})


def test_published_endpoints(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    system, keys = stored.mixture(arrays), [k for k in arrays if k.startswith("v3|")]
    assert len(keys) == 288
    for key in keys:
        _, grid, steps, order, degenerate, pseudo, corrects, pseudo_corrects = key.split("|")
        # The published corrector takes one value more where it is a pseudo one.
        higher = "higher" if pseudo_corrects == "cpseudo1" else "same"
        times = arrays[f"timesteps|{grid}|{steps}"].tolist()
        solver = DPMSolverV3(
            len(times) - 1,
            _statistics(arrays, degenerate == "deg1"),
            int(order[1:]),
            higher if corrects == "corr1" else "none",
            pseudo == "ppseudo1",
            grid=Explicit(times),
            start=times[0],
            end=times[-1],
        )
        ends = stored.run(system, solver, arrays["x_T"]).state["x"]
        torch.testing.assert_close(ends, torch.tensor(arrays[key]), atol=1e-10, rtol=0, msg=key)


def test_without_statistics_it_is_the_exponential_solver(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    system = stored.mixture(arrays)
    for order in (1, 2, 3):
        v3 = make_solver("dpm-v3", 12, statistics="none", order=order, corrector="none", end=1e-3)
        plain = LinearSolver(Exponential(order), 12, end=1e-3)
        ends = [stored.run(system, solver, arrays["x_T"]) for solver in (v3, plain)]
        torch.testing.assert_close(ends[0].state["x"], ends[1].state["x"], atol=2e-4, rtol=0)
        assert ends[0].evaluations == 12


def _measured(arrays: stored.Stored, system: System, samples: int, points: int) -> EmpiricalModelStatistics:
    weights, frame = torch.tensor(arrays["weights"]), State({"x": torch.zeros(samples, 2, dtype=torch.float64)})
    labels = torch.multinomial(weights, samples, True, generator=torch.Generator().manual_seed(0))
    return EmpiricalModelStatistics.measure(system, system.network.data(frame, Seeded(0), labels), Seeded(1), points)


def test_measured_statistics_are_the_exact_ones(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    found = _measured(arrays, stored.mixture(arrays), 2048, 51).components["x"].at(arrays["ems_lambda"])
    for part, mean, most in (("l", 0.005, 0.05), ("s", 0.06, 0.5), ("b", 0.006, 0.05)):
        difference = np.abs(getattr(found, part) - arrays[f"ems_{part}"])
        assert difference.mean() < mean, part
        assert difference.max() < most, part


def test_measured_statistics_help_with_few_steps(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    system = stored.mixture(arrays)
    statistics = _measured(arrays, system, 256, 25)
    errors = {
        steps: [
            stored.rmse(system, DPMSolverV3(steps, given, end=1e-3), arrays["x_T"], arrays["x_exact"])
            for given in (statistics, None)
        ]
        for steps in (5, 8)
    }
    assert all(with_them < 0.6 * without for with_them, without in errors.values()), errors


def test_first_order_gains_what_is_known(shared_dir: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    system = stored.mixture(arrays)
    errors = [
        stored.rmse(system, DPMSolverV3(10, given, 1, "none", end=1e-3), arrays["x_T"], arrays["x_exact"])
        for given in (None, _statistics(arrays))
    ]
    assert errors == pytest.approx([0.334, 0.214], rel=0.02)


def test_samples_of_the_model_itself_serve(tmp_path: Path) -> None:
    system, start = make_system()
    solver = make_solver("dpm-v3", 6)
    with pytest.raises(InputError, match=r"no statistics of this model; give statistics=FILE"):
        sample(system, start, solver, Seeded(0))
    calls = _Counted(system)
    ready = solver.prepared(system, start, Seeded(0))
    assert calls.count == 95, "what `list solvers` says"
    assert ready.statistics.components["x"].l.shape[1:] == (4,), "one for each feature, shared by the nodes"
    assert ready.statistics.components["adj"].l.shape[1:] == (), "one for all pairs"
    ready.statistics.save(tmp_path / "v3.safetensors")
    read = make_solver("dpm-v3", 6, statistics=str(tmp_path / "v3.safetensors"))
    ends = [sample(system, start, s, Seeded(0), start=start) for s in (ready, read)]
    assert torch.equal(ends[0].state["adj"], ends[1].state["adj"])
    assert ends[0].evaluations == 6


class _Counted:
    """Counts a system's network calls."""

    def __init__(self, system: System) -> None:
        self.count = 0
        system.network.register_forward_pre_hook(self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1


def test_padding_does_not_show_in_statistics() -> None:
    system, start = make_system()
    system.network = _Padded(system.network)
    wide = State(
        {"x": torch.zeros(3, 8, 4).double(), "adj": torch.zeros(3, 8, 8).double()},
        {"mask": torch.cat([start.masks["mask"], torch.zeros(3, 3, dtype=torch.bool)], 1)},
    )
    data = start.to(dtype=torch.float64)
    wide.components["x"][:, :5], wide.components["adj"][:, :5, :5] = data["x"], data["adj"]
    system.double()
    draws = [torch.randn(3, 5, 4).double(), torch.randn(3, 5, 5).double()] * 2
    found = [
        EmpiricalModelStatistics.measure(system, frame, Replayed(_padded(draws, frame)), 5) for frame in (data, wide)
    ]
    for name in ("x", "adj"):
        for part in ("l", "s", "b"):
            tables = [getattr(s.components[name], part) for s in found]
            np.testing.assert_allclose(tables[0], tables[1], atol=1e-9, err_msg=f"{name} {part}")


def _padded(draws: list[torch.Tensor], frame: State) -> list[torch.Tensor]:
    wide = []
    for draw in draws:
        like = frame["x"] if draw.shape[-1] == 4 else frame["adj"]
        wide.append(torch.zeros_like(like))
        wide[-1][tuple(slice(0, size) for size in draw.shape)] = draw
    return wide


class _Padded(Network):
    """The small network on the first five nodes of wider states."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        wide = {name: torch.zeros_like(value) for name, value in state.components.items()}
        cut = State({"x": state["x"][:, :5], "adj": state["adj"][:, :5, :5]}, {"mask": state.masks["mask"][:, :5]})
        for name, value in self.network(cut, t).items():
            wide[name][tuple(slice(0, size) for size in value.shape)] = value
        return wide


def _save(path: Path, **tensors: torch.Tensor) -> str:
    safetensors.torch.save_file(tensors, path, metadata={"format": "scorefield-model-statistics-1"})
    return str(path)


def test_what_cannot_be_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    arrays = stored.load(shared_dir, "dpm_solver_v3")
    known, one = _statistics(arrays), torch.ones(3, dtype=torch.float64)
    system, _ = make_system()
    with pytest.raises(InputError, match="no such file"):
        make_solver("dpm-v3", 5, statistics=str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="holds no model statistics"):
        make_solver("dpm-v3", 5, statistics=_save(tmp_path / "half.safetensors", **{"x.l": one}))
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="not a safetensors file"):
        make_solver("dpm-v3", 5, statistics=str(tmp_path / "text"))
    flat = {f"x.{part}": one.clone() for part in ("log_snr", "l", "s", "b")}
    with pytest.raises(InputError, match="do not rise"):
        make_solver("dpm-v3", 5, statistics=_save(tmp_path / "flat.safetensors", **flat))
    flat["x.l"] = torch.ones((), dtype=torch.float64)
    with pytest.raises(InputError, match="do not fit"):
        make_solver("dpm-v3", 5, statistics=_save(tmp_path / "scalar.safetensors", **flat))
    with pytest.raises(InputError, match="lack component 'adj'"):
        DPMSolverV3(5, known, end=0.1).plan(system)
    with pytest.raises(InputError, match=r"reach over log_snr -5\.02 to 4\.56"):
        DPMSolverV3(5, known, end=1e-4).plan(stored.mixture(arrays))
    with pytest.raises(InputError, match="statistics of shape"):
        sample(System({"x": system.components["x"]}, _Narrow()), _three(), DPMSolverV3(5, known, end=0.1), Seeded(0))
    with pytest.raises(InputError, match=r"Linear has no signal at t = 1; start later"):
        DPMSolverV3(5, None, grid="uniform").plan(stored.mixture(arrays, Linear()))
    with pytest.raises(InputError, match=r"no statistics at 25 points from t = 1 to 0"):
        EmpiricalModelStatistics.measure(stored.mixture(arrays, Linear()), _three(), Seeded(0), start=1.0, end=0.0)


class _Narrow(Network):
    def forward(self, state: State, t: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": state["x"]}


def _three() -> State:
    return State({"x": torch.zeros(2, 3, dtype=torch.float64)})
