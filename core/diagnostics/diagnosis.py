"""All diagnostics of a run together: what `scorefield diagnose` prints, writes and draws."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scorefield.core.calculus import total_dimension
from scorefield.core.checkpoints import Which
from scorefield.core.diagnostics.conservativity import Asymmetry, asymmetry
from scorefield.core.diagnostics.denoising import Denoising, denoising_errors
from scorefield.core.diagnostics.dimension import flipd, normal_space, time_of_noise
from scorefield.core.diagnostics.endpoints import Endpoints, endpoint_errors
from scorefield.core.diagnostics.gap import Gap, ode_sde_gap
from scorefield.core.diagnostics.points import Points, spread_times
from scorefield.core.diagnostics.residual import Residual, fokker_planck
from scorefield.core.errors import InputError
from scorefield.core.files import atomic
from scorefield.core.generation import choose_device
from scorefield.core.interpolants.system import InterpolantSystem
from scorefield.core.state import State
from scorefield.core.states_file import read_states
from scorefield.core.system import System

if TYPE_CHECKING:
    from scorefield.core.model import Model

__all__ = ["Diagnosis", "Dimensions", "Settings", "diagnose"]

Report = Callable[[str, float], None]
"""Told what is being done, and the share of everything that is done."""


@dataclass(frozen=True)
class Settings:
    """What to look at.

    Attributes:
        num: samples at which everything is measured.
        steps: numbers of steps of the solvers.
        solvers: names of solvers; all deterministic ones by default.
        times: number of times at which the score field is looked at.
        probes: probes of derivatives.
        gap_steps: steps of the ODE and of the SDE that are compared.
        noise: sigma / alpha at which the local dimension is measured.
        seed: fixes everything random.
        weights: `raw` or `ema`; the run's default by default.
        states: a file of states, as `fit --export-states` writes it, to look at; by default samples of the run itself.
    """

    num: int = 64
    steps: tuple[int, ...] = (5, 10, 20, 50)
    solvers: tuple[str, ...] | None = None
    times: int = 8
    probes: int = 4
    gap_steps: int = 100
    noise: float = 0.05
    seed: int = 0
    weights: Which | None = None
    states: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("num", 2), ("times", 2), ("probes", 2), ("gap_steps", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name.replace('_', '-')} is {getattr(self, name)}", mend=f"give at least {least}")
        if not self.steps or min(self.steps) < 1:
            raise InputError(f"steps are {list(self.steps)}", mend="give positive numbers, as 5,10,20,50")
        if not 0 < self.noise < math.inf:
            raise InputError(f"noise is {self.noise:g}", mend="give a positive number, as 0.05")


@dataclass(frozen=True)
class Dimensions:
    """Local intrinsic dimensions.

    Attributes:
        time: time of the noise.
        noise: sigma / alpha of the first component there.
        free: free entries of each sample.
        flipd: FLIPD of each sample.
        normal_space: dimension by the count of normal directions, of the first samples.
    """

    time: float
    noise: float
    free: list[int]
    flipd: list[float]
    normal_space: list[int]


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        run: the run.
        facts: what was looked at, and how.
        endpoints: discretisation errors of the solvers.
        denoising: errors of the data predictions.
        residual: of the Fokker-Planck equation.
        asymmetry: of the score's Jacobian.
        gap: between the ODE and the SDE.
        dimensions: local intrinsic dimensions.
    """

    run: str
    facts: dict[str, Any]
    endpoints: Endpoints
    denoising: Denoising
    residual: Residual
    asymmetry: Asymmetry
    gap: Gap
    dimensions: Dimensions

    def __str__(self) -> str:
        from scorefield.core.diagnostics.text import text_table

        return text_table(self)

    def as_json(self) -> dict[str, Any]:
        """Everything, with `None` for what is no finite number."""
        content = asdict(self)
        content["residual"]["integral"] = self.residual.integral
        found: dict[str, Any] = _plain(content)
        return found

    def to_json(self, path: str | Path) -> None:
        """Write everything, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic(path) as temporary:
            text = json.dumps(self.as_json(), indent=1, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write a page that needs no other file.

        Raises:
            InputError: the file cannot be written.
        """
        from scorefield.core.report.diagnosis_page import write_diagnosis

        write_diagnosis(self, path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_NORMAL_POINTS, _NORMAL_ENTRIES = 8, 256
"""Samples whose normal space is counted, if they have at most this many free entries."""

_STAGES = {
    "sampling": 0.03, "solvers": 0.62, "Fokker-Planck residual": 0.12, "conservativity": 0.06, "ODE and SDE": 0.12,
    "local dimension": 0.05,
}  # fmt: skip
"""What is done, and the share of the time that it takes, about."""


def diagnose(
    model: Model, settings: Settings | None = None, device: str | None = None, report: Report | None = None
) -> Diagnosis:
    """Look at a trained model from all sides, in float64.

    Args:
        model: the model of a run.
        settings: what to look at.
        device: `cpu` or `cuda`; a GPU where there is one, by default.
        report: told the progress.

    Raises:
        InputError: a setting is not possible for this run.
    """
    settings, begin = settings or Settings(), time.monotonic()
    stage = _Stages(report)
    where = choose_device(device)
    system = model.system(settings.weights, "64-true").to(where)
    if isinstance(system, InterpolantSystem):
        what = "is a run of interpolants; what diagnose looks at belongs to Gaussian paths"
        raise InputError(what, file=model.folder, mend="compare samples of other steps and --solver-arg method=")
    data = _samples(model, settings, where).to(where, torch.float64)
    _check(system, data)
    points, times = Points(system, data, settings.seed), spread_times(system, settings.times)
    told = stage.next("solvers")
    endpoints = endpoint_errors(system, data, settings.steps, settings.solvers, settings.seed, progress=told)
    denoising = denoising_errors(points, times)
    residual = fokker_planck(points, times, settings.probes, progress=stage.next("Fokker-Planck residual"))
    uneven = asymmetry(points, times, max(settings.probes // 2, 1), progress=stage.next("conservativity"))
    gap = ode_sde_gap(system, data, settings.gap_steps, settings.seed, progress=stage.next("ODE and SDE"))
    stage.next("local dimension")
    dimensions = _dimensions(points, settings.noise)
    facts = {
        "domain": model.record.domain,
        "weights": settings.weights or model.record.sampling.get("weights") or "raw",
        "weights_hash": model.record.weights_hash,
        "points": f"rows of {settings.states}" if settings.states else "samples of the run",
        "num": len(data),
        "seed": settings.seed,
        "device": where,
        "seconds": round(time.monotonic() - begin, 1),
    }
    return Diagnosis(str(model.folder), facts, endpoints, denoising, residual, uneven, gap, dimensions)


class _Stages:
    """Turns the share of one stage into the share of all."""

    def __init__(self, report: Report | None) -> None:
        self._report, self._before, self._share = report, 0.0, 0.0
        self.next("sampling")

    def next(self, name: str) -> Callable[[float], None] | None:
        """Begin a stage; what it reports its share to."""
        self._before, self._share = self._before + self._share, _STAGES[name]
        if self._report is None:
            return None
        report, before, width = self._report, self._before, self._share
        report(name, before)
        return lambda share: report(name, before + share * width)


def _samples(model: Model, settings: Settings, device: str) -> State:
    if settings.states is not None:
        return read_states(settings.states, model.system(settings.weights), settings.num)
    if "solver" not in model.record.sampling:
        what = "names no default sampler, so that there are no samples to look at"
        raise InputError(what, file=model.folder, mend="give a file of states")
    made = model.generator(seed=settings.seed, weights=settings.weights, precision="64-true")
    return made.states(0, settings.num, torch.device(device))[0]


def _check(system: System, data: State) -> None:
    """Refuse states that the network cannot be asked about."""
    if not len(data):
        raise InputError("no samples to look at")
    if not bool(torch.isfinite(torch.stack([v.sum() for v in data.components.values()])).all()):
        raise InputError("the samples are not finite", mend="train the run on")


def _dimensions(points: Points, noise: float) -> Dimensions:
    system, data = points.system, points.data
    t = time_of_noise(system, noise)
    path = next(iter(system.components.values())).path
    level = float((-path.log_snr(torch.tensor(t, dtype=torch.float64))).exp())
    free = total_dimension(system, data).long()
    few = torch.nonzero(free <= _NORMAL_ENTRIES).flatten()[:_NORMAL_POINTS]
    counted = normal_space(Points(system, data.rows(few), points.seed), t).tolist() if len(few) else []
    return Dimensions(t, level, free.tolist(), flipd(points, t).tolist(), counted)
