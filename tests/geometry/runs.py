"""Small untrained runs of springs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.core.model import Model
from scorefield.domains.geometry.data import NBodyData
from scorefield.domains.geometry.geotdm import GeoTDM

__all__ = ["springs_data", "untrained"]

_RECIPE: dict[str, Any] = {
    "hidden": 8, "embedding": 8, "layers": 1, "prior_layers": 1, "data_std": 0.5,
    "path": {"class_path": "scorefield.core.paths.EDM", "init_args": {"sigma_min": 0.002, "sigma_max": 20.0}},
}  # fmt: skip
_SAMPLING = {"solver": "dpmpp-2m", "steps": 4, "weights": "raw", "arguments": {"grid": "karras"}}


def springs_data(given: str | None = None, **more: Any) -> NBodyData:
    """Ten trajectories of 12 frames."""
    settings = {"frames": 12, "train": 6, "validation": 1, "test": 3, "nodes": 4, **more}
    data = NBodyData("springs", given=given, **settings)
    data.setup()
    return data


def untrained(folder: Path, given: str | None = None, **more: Any) -> Model:
    """A run of springs whose network has seen nothing."""
    data = springs_data(given, **more)
    init = {"system": "springs", "given": given, "frames": 12, "train": 6, "validation": 1, "test": 3, "nodes": 4}
    source = {"class_path": "scorefield.domains.geometry.data.NBodyData", "init_args": {**init, **more}}
    recipe = {"class_path": "scorefield.domains.geometry.geotdm.GeoTDM", "init_args": _RECIPE}
    record = ModelRecord("geometry", recipe, data.sizes, data.tables, _SAMPLING, data=source)
    from scorefield.core.checkpoints import instantiate

    with torch.random.fork_rng():
        torch.manual_seed(1)
        built: GeoTDM = instantiate(recipe)
        system = built.build(data.sizes)
    save_model(folder, record, system.state_dict(), None)
    return Model(folder)
