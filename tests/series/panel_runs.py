"""Small runs of panels: untrained networks, and the exact denoiser of Gaussian windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scorefield.core.analytic import mixture_system
from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.completer import Completer, Observe
from scorefield.core.completion import Task
from scorefield.core.diffusion import Diffusion, Settings
from scorefield.core.paths import DiscreteChain
from scorefield.core.spaces import Masked
from scorefield.core.system import Component, System
from scorefield.domains.series.domain import SeriesDomain
from scorefield.domains.series.tsdiff.recipe import TSDiff

__all__ = ["CONTEXT", "FALLBACK", "PREDICTION", "completed", "gaussian_windows", "panel_record", "untrained"]

CONTEXT, PREDICTION = 8, 4
FALLBACK = 7.5


def panel_record(lags: tuple[int, ...] = (3,), given: bool = False, **reading: str) -> ModelRecord:
    """A run of hourly windows of 8 + 4 steps."""
    channels = 1 + len(lags)
    sizes = {"length": CONTEXT + PREDICTION, "features": 1 if given else channels}
    tables: dict[str, Any] = {
        "kind": "panel", "columns": ["target"], "frequency": "h", "season": 4, "context": CONTEXT,
        "prediction": PREDICTION, "lags": list(lags), "fallback_scale": FALLBACK, "scales": [1.0, 2.0],
    }  # fmt: skip
    init = {"width": 8, "blocks": 1, "embedding": 8, "states": 8, "num_steps": 10}
    recipe = {"class_path": "scorefield.domains.series.tsdiff.recipe.TSDiff", "init_args": init}
    sampling = {"solver": "ddpm", "steps": 4, "weights": "raw"}
    whole = {**sizes, "given": channels + 1} if given else sizes
    return ModelRecord("series", recipe, whole, tables, sampling, data={"init_args": reading})


def untrained(folder: Path, lags: tuple[int, ...] = (3,), given: bool = False, **reading: str) -> Path:
    """A run folder with the first weights of a network."""
    made = panel_record(lags, given, **reading)
    torch.manual_seed(0)
    save_model(folder, made, TSDiff(**made.system["init_args"]).build(made.sizes).state_dict(), None)
    return folder


def gaussian_windows(lags: tuple[int, ...] = (3,)) -> tuple[System, np.ndarray, np.ndarray]:
    """The exact denoiser of windows as `encode` would make them, their mean and covariance over all channels.

    The series is Gaussian around a wave; channels are the series itself, shifted, and thus not independent.
    """
    first, length = max(lags, default=0), CONTEXT + PREDICTION
    steps = np.arange(first + length)
    covariance = 0.05 * 0.9 ** np.abs(steps[:, None] - steps) + 0.002 * np.eye(len(steps))
    mean = 1 + 0.3 * np.sin(steps / 2)
    places = (np.arange(length)[:, None] + first - np.array([0, *lags])).ravel()
    centre, spread = mean[places], covariance[np.ix_(places, places)] + 1e-4 * np.eye(len(places))
    components = {"x": Component(DiscreteChain("cosine", 250), Masked(), "data")}
    shape = (1, length, 1 + len(lags))
    means, covariances = {"x": torch.tensor(centre).reshape(shape)}, {"x": torch.tensor(spread)[None]}
    return mixture_system(components, torch.ones(1), means, covariances), centre, spread


def completed(
    system: System, task: Task, paths: int, settings: Settings, observe: Observe | None = None, **record: Any
) -> Any:
    """The results of a task with a system in place of a run's own."""
    made, domain = panel_record(**record), SeriesDomain()
    items = domain.open_items(task, made)
    return Completer(Diffusion(system, domain, made, settings), items, paths, observe).completed(torch.device("cpu"))
