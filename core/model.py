"""A trained model in Python: load it, sample it, ask for its score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor

from scorefield.core.checkpoints import RECORD_FILE, Which, load_record, load_system
from scorefield.core.completer import Completer, Observe
from scorefield.core.completion import Task, TaskName, open_items
from scorefield.core.diffusion import Diffusion, Precision, Settings
from scorefield.core.domain import Samples
from scorefield.core.domains import load_domain
from scorefield.core.drawing import drawn
from scorefield.core.errors import InputError
from scorefield.core.generation import CHUNK_SIZE, Generator, choose_chunk_size, choose_device
from scorefield.core.guidance.potentials import Potential
from scorefield.core.guide import Guide
from scorefield.core.names import unknown
from scorefield.core.runs import open_run
from scorefield.core.state import State
from scorefield.core.states_layout import check_layout
from scorefield.core.system import System

if TYPE_CHECKING:
    from scorefield.core.likelihood import Likelihood

__all__ = ["Model", "load"]

Guidance = str | Guide | Potential | Sequence[str | Guide | Potential]
"""What to guide by: one thing or several."""


class Model:
    """A run's model.

    Args:
        run: a run folder, else the name of a packaged run.

    Attributes:
        folder: the run folder.
        record: what its `model.json` says.
        domain: the domain it belongs to.

    Raises:
        InputError: there is no such run, or its files are damaged.
    """

    def __init__(self, run: str | Path) -> None:
        self.folder = open_run(run).folder
        self.record = load_record(self.folder)
        self.domain = load_domain(self.record.domain)
        if hasattr(self.domain, "check_tables"):
            self.domain.check_tables(self.record.tables, self.record.sizes, self.folder / RECORD_FILE)
        self._systems: dict[tuple[Which, bool], System] = {}
        self._loaded(self._weights(None), False)

    def system(self, weights: Which | None = None, precision: Precision = "32-true") -> System:
        """The system with its weights, frozen.

        Args:
            weights: `raw` or `ema`; the run's default by default.
            precision: `64-true` gives a system in float64.

        Raises:
            InputError: there are no such weights, or they are damaged, or the run is no diffusion.
        """
        system = self._loaded(self._weights(weights), precision == "64-true")
        if not isinstance(system, System):
            what = f"a run of {type(system).__name__} has no score"
            raise InputError(what, file=self.folder, mend="it can be sampled and compared only")
        return system

    def _loaded(self, weights: Which, double: bool) -> System:
        key = (weights, double)
        if key not in self._systems:
            system = load_system(self.folder, weights)
            self._systems[key] = system.double() if double and isinstance(system, System) else system
        return self._systems[key]

    def _weights(self, weights: Which | None) -> Which:
        chosen: Which = weights or self.record.sampling.get("weights") or "raw"
        return chosen

    def generator(
        self,
        solver: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        weights: Which | None = None,
        precision: Precision = "32-true",
        tile_size: int = Settings.tile_size,
        conditions: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        guide: Guidance = (),
        way: str | None = None,
        way_arguments: Mapping[str, Any] | None = None,
        teleport: str | None = None,
    ) -> Diffusion:
        """What makes this model's samples chunk by chunk.

        Arguments as in `sample`, and `way_arguments`, those of the way; a solver other than the run's own does not
        take over the run's arguments for it.

        Raises:
            InputError: a setting is unknown or not possible for this run.
        """
        defaults = self.record.sampling
        solver = solver or defaults.get("solver")
        steps = defaults.get("steps") if steps is None else steps
        if solver is None or steps is None:
            raise InputError("names no default sampler", file=self.folder, mend="give a solver and its steps")
        wanted = [guide] if isinstance(guide, str | Guide | Potential) else list(guide)
        known = defaults.get("arguments", {}) if solver == defaults.get("solver") else {}
        settings = Settings(
            solver=solver,
            steps=steps,
            arguments={**known, **(arguments or {})},
            seed=seed,
            weights=self._weights(weights),
            precision=precision,
            tile_size=tile_size,
            conditions=dict(conditions or {}),
            guide=tuple(item for item in wanted if isinstance(item, str)),
            way=way,
            way_arguments=dict(way_arguments or {}),
            teleport=teleport,
        )
        objects = [item for item in wanted if not isinstance(item, str)]
        return Diffusion(self.system(settings.weights, precision), self.domain, self.record, settings, objects)

    def source(self, seed: int = 0, conditions: Mapping[str, Any] | None = None, **settings: Any) -> Generator:
        """What makes this model's samples: a diffusion, or what its system brings; `settings` as of `generator`.

        Raises:
            InputError: a setting is unknown or not possible for this run; one that is no diffusion takes none.
        """
        system: Any = self._loaded(self._weights(None), False)
        if isinstance(system, System):
            return self.generator(seed=seed, conditions=conditions, **settings)
        for name, value in settings.items():
            if value and value not in ("32-true", self._weights(None)):
                what = f"this run is no diffusion: it takes no {name.replace('_', ' ')}"
                raise InputError(what, mend="leave it out; --condition says what can be chosen")
        generator: Generator = system.generator(self.record, seed, dict(conditions or {}))
        return generator

    @overload
    def sample(self, num: int, solver: str | None = ..., *, decode: Literal[False], **rest: Any) -> State: ...

    @overload
    def sample(self, num: int, solver: str | None = ..., **rest: Any) -> Samples: ...

    def sample(
        self,
        num: int,
        solver: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        weights: Which | None = None,
        decode: bool = True,
        device: str | None = None,
        progress: bool = False,
        precision: Precision = "32-true",
        tile_size: int = Settings.tile_size,
        conditions: Mapping[str, Any] | None = None,
        guide: Guidance = (),
        way: str | None = None,
        teleport: str | None = None,
        **solver_arguments: Any,
    ) -> Samples | State:
        """Generate in this process; with equal settings and threads, the samples of the command `sample`.

        Args:
            num: number of samples.
            solver: name of a solver; the run's default by default.
            steps: number of steps; the run's default by default.
            seed: fixes everything random.
            chunk_size: samples that share a random stream, 256 by default; another size gives other samples.
            weights: `raw` or `ema`; the run's default by default.
            decode: whether to build the domain's objects; else the state is returned, padded to the run's sizes.
            device: `cpu` or `cuda`; a GPU where there is one, by default.
            progress: whether to show a bar on a terminal.
            precision: `32-true`, `bf16-mixed` or `64-true`.
            tile_size: rows of one network call.
            conditions: what is fixed in place of being drawn (`{"num_nodes": 7}`).
            guide: names as on the command line (`"atoms.N=0.2:5"`), potentials or guides, one or several.
            way: how to use them; by default by their gradient, those that have none by particles.
            teleport: `FILE:TIME`: start at this time, by the statistics in the file; see `core.teleport`.
            solver_arguments: further arguments of the solver.

        Returns the domain's objects, with the tensors as `.state` where their class has such a field.

        Raises:
            InputError: a setting is unknown or not possible for this run.
        """
        self._check_misplaced(solver_arguments)
        settings: dict[str, Any] = {} if tile_size == Settings.tile_size else {"tile_size": tile_size}
        settings |= {"solver": solver, "steps": steps, "weights": weights, "precision": precision, "guide": guide}
        settings |= {"arguments": solver_arguments, "way": way, "teleport": teleport, "seed": seed}
        generator = self.source(conditions=conditions, **settings)
        return drawn(generator, num, choose_chunk_size(generator, chunk_size), device, decode, progress)

    def completer(
        self,
        task: Task,
        num: int = 100,
        solver: str | None = None,
        steps: int | None = None,
        *,
        observe: Observe | None = None,
        chunk_size: int = CHUNK_SIZE,
        arguments: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Completer:
        """What completes partly known items chunk by chunk; see `forecast`, `impute` and `interpolate`.

        Args:
            task: which items, and what of them.
            num: sample paths of each.
            solver: the domain's default for this by default, and so are steps, way and error.
            steps: its steps.
            observe: how given values are used.
            chunk_size: paths that share a random stream, about.
            arguments: further arguments of the solver.
            settings: as of `generator`.

        Raises:
            InputError: the domain has no such task, its file or options do not fit, or a setting is not possible.
        """
        items = open_items(self.domain, task, self.record)
        best = items.observing()
        known = best.solver_arguments if solver in (None, best.solver) else {}
        steps, wanted = best.steps if steps is None else steps, {**known, **(arguments or {})}
        diffusion = self.generator(solver or best.solver, steps, arguments=wanted, **settings)
        return Completer(diffusion, items, num, observe, chunk_size)

    def forecast(
        self,
        data: Any,
        horizon: int | None = None,
        num: int = 100,
        *,
        holdout: bool = False,
        missing: str | None = None,
        **settings: Any,
    ) -> Any:
        """Paths of what comes after a history; with equal settings those of the command `forecast`.

        Args:
            data: a file, a data frame, or an array as the domain takes it (series: `[T, D]` or `[n, T, D]`; panels:
                `[T]` or `[n, T]`).
            horizon: steps; the domain's default by default.
            num: sample paths.
            holdout: whether the last steps of `data` are held back as the truth.
            missing: steps of the history to hide, as `RM`, `BM-B:24`; panels only.
            settings: those of `Observe` (`way`, `way_arguments`, ...), `reading`, `device`, `progress`, and those of
                `completer`.

        Returns:
            The domain's results (series: a sequence with `.paths`, `.summary()`, `.quantiles()`, `.scores()`).

        Raises:
            InputError: as `completer` raises.
        """
        options = {"horizon": horizon, "holdout": holdout or None, "missing": missing}
        return self._completed("forecast", data, options, num, **settings)

    def impute(self, data: Any, num: int = 100, *, given: str | None = None, **settings: Any) -> Any:
        """Paths of what is missing (NaN), or of all but `given` steps of windows (`"0:8,16:24"`); see `forecast`."""
        return self._completed("impute", data, {"given": given}, num, **settings)

    def interpolate(self, data: Any, num: int = 100, *, given: str | None = None, **settings: Any) -> Any:
        """Paths of whole steps between given ones; arguments as of `impute`."""
        return self._completed("interpolate", data, {"given": given}, num, **settings)

    def refine(self, data: Any, base: Any, num: int = 100, *, holdout: bool = False, **settings: Any) -> Any:
        """Paths of base forecasts (a file, an array `[n, S, steps]`, or the name of one), refined; see `forecast`.

        `settings`: `device`, `progress`, `reading`, and those of `core.refiner.refiner_of`, of trajectories those of
        `core.renoising.renoiser_of`.
        """
        from scorefield.core.refiner import refiner_of
        from scorefield.core.renoising import renoiser_of

        device, progress = choose_device(settings.pop("device", None)), settings.pop("progress", False)
        options = {"base": base, **({"holdout": True} if holdout else {})}
        task = Task("refine", data, options, dict(settings.pop("reading", None) or {}))
        make = renoiser_of if getattr(self.domain, "refining", "") == "sdedit" else refiner_of
        return make(self, task, num, **settings).completed(torch.device(device), progress)

    def _completed(
        self,
        name: TaskName,
        data: Any,
        options: Mapping[str, Any],
        num: int,
        *,
        reading: Mapping[str, Any] | None = None,
        device: str | None = None,
        progress: bool = False,
        **settings: Any,
    ) -> Any:
        wanted = {option: value for option, value in options.items() if value is not None}
        task = Task(name, data, wanted, dict(reading or {}))
        completer = self.completer(task, num, observe=Observe.taken(settings), **settings)
        return completer.completed(torch.device(choose_device(device)), progress)

    def _check_misplaced(self, solver_arguments: Mapping[str, Any]) -> None:
        for name, value in solver_arguments.items():
            if name in getattr(self.domain, "conditions", ()):
                what = f"{name} is a condition, not an argument of the solver"
                raise InputError(what, mend=f"give conditions={{{name!r}: {value!r}}}")

    def score(
        self, values: Mapping[str, Any] | State, t: Tensor | float, weights: Which | None = None
    ) -> dict[str, Tensor]:
        """The score of each component at x_t.

        Args:
            values: components `[B, ...]`, masks and condition by name, or a state; computed in the weights' type.
            t: times in [0, 1], `[B]`, or one for all rows.
            weights: `raw` or `ema`; the run's default by default.

        Returns:
            The score by component, shaped like the components; gradients flow to `values`.

        Raises:
            InputError: a component, or a mask or condition that the network needs, is missing or of a wrong shape; or
                times do not fit or are outside [0, 1], or have no score.
        """
        system = self.system(weights)
        state = system.state(values)
        check_layout(state, system, self.domain, self.record)
        state = state.to(dtype=next((p.dtype for p in system.parameters()), state.dtype))
        times = torch.as_tensor(t, dtype=state.dtype, device=state.device)
        if times.ndim and times.shape != (len(state),):
            what = f"times of shape {tuple(times.shape)} for {len(state)} rows"
            raise InputError(what, mend="give one for each row, or one for all")
        times = times.expand(len(state))
        if bool(((times < 0) | (times > 1) | times.isnan()).any()):
            raise InputError("a time lies outside [0, 1]", mend="0 is the data, 1 the noise")
        try:
            return system.to(state.device).score(state, times)
        except KeyError as error:
            if error.args[0] in state.as_dict():
                raise
            raise InputError(f"the state lacks {error.args[0]}", mend="give it beside the components") from error

    def log_likelihood(
        self,
        values: Mapping[str, Any] | State,
        weights: Which | None = None,
        precision: Precision = "64-true",
        progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> Likelihood:
        """Log-densities of encoded samples by the probability-flow ODE, in nats; needs torchdiffeq.

        Args:
            values: components `[B, ...]`, masks and condition by name, or a state; on the device to compute on.
            weights: `raw` or `ema`; the run's default by default.
            precision: number type of the network and of the integration.
            progress: called with the samples done and their number.
            settings: fields of `core.likelihood.Settings` (`exact_up_to`, `probes`, `rtol`, `atol`, `t_min`, ...).

        Raises:
            InputError: the state does not fit the run, or a setting cannot be.
        """
        from scorefield.core.likelihood import Settings as Integration
        from scorefield.core.likelihood import log_likelihood

        known = [field.name for field in dataclasses.fields(Integration)]
        for name in settings:
            if name not in known:
                raise unknown("setting", name, known)
        system = self.system(weights, precision)
        state = system.state(values)
        check_layout(state, system, self.domain, self.record)
        state = state.to(dtype=torch.float64 if precision == "64-true" else torch.float32)
        return log_likelihood(system.to(state.device), state, Integration(**settings), progress=progress)


def load(run: str | Path) -> Model:
    """Load a run.

    Args:
        run: what `fit` wrote or `import` made, else the name of a packaged run.

    Raises:
        InputError: there is no such run, or its files are damaged.
    """
    return Model(run)
