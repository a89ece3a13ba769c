"""Small panels of waves, and the data module over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from scorefield.core.checkpoints import ModelRecord, save_model
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.tsdiff.recipe import TSDiff

__all__ = ["lines_of", "panel_run", "ready", "table_of", "waves"]


def waves(number: int = 3, length: int = 60, frequency: str = "h") -> Panel:
    steps = np.arange(length)
    series = [5 + k + np.sin(steps / (2 + k)) for k in range(number)]
    start = pd.Timestamp("2024-01-01")
    return Panel.of(series, [f"s{k}" for k in range(number)], [start] * number, Frequency.parse(frequency))


def lines_of(panel: Panel) -> str:
    rows = [
        {"start": str(panel.starts[k]), "target": panel.series(k).tolist(), "item_id": name}
        for k, name in enumerate(panel.names)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def table_of(panel: Panel) -> pd.DataFrame:
    parts = []
    for k, name in enumerate(panel.names):
        times = panel.frequency.stamps(panel.starts[k], int(panel.lengths[k]))
        parts.append(pd.DataFrame({"item_id": name, "timestamp": times, "target": panel.series(k)}))
    return pd.concat(parts, ignore_index=True)


def ready(path: Path | str | None, **options: Any) -> PanelData:
    settings: dict[str, Any] = {"context": 8, "prediction": 4, "lags": "none", "batch_size": 4, "epoch_batches": 5}
    data = PanelData(None if path is None else str(path), **{**settings, **options})
    data.setup("fit")
    return data


def panel_run(folder: Path, panel: Panel, lags: tuple[int, ...] = ()) -> Path:
    """A run of windows of 12 + 4 steps with the first weights of a network; these series count as its training data."""
    file = folder / "panel.jsonl"
    file.write_text(lines_of(panel))
    given: Any = list(lags) or "none"
    arguments = {"path": str(file), "frequency": str(panel.frequency), "context": 12, "prediction": 4, "lags": given}
    data = {"class_path": "scorefield.domains.series.tsdiff.panel_data.PanelData", "init_args": arguments}
    tables: dict[str, Any] = {
        "kind": "panel", "columns": ["target"], "frequency": str(panel.frequency), "season": 6, "context": 12,
        "prediction": 4, "lags": list(lags), "fallback_scale": 1.0, "scales": [1.0],
    }  # fmt: skip
    init = {"width": 4, "blocks": 1, "embedding": 4, "states": 4, "num_steps": 10}
    recipe = {"class_path": "scorefield.domains.series.tsdiff.recipe.TSDiff", "init_args": init}
    sampling = {"solver": "ddpm", "steps": 4, "weights": "raw"}
    record = ModelRecord("series", recipe, {"length": 16, "features": 1 + len(lags)}, tables, sampling, data=data)
    torch.manual_seed(0)
    save_model(folder / "run", record, TSDiff(**init).build(record.sizes).state_dict(), None)
    return folder / "run"
