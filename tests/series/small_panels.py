"""Small panels of waves, and the data module over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_data import PanelData
from scorefield.domains.series.tsdiff.panels import Panel

__all__ = ["lines_of", "ready", "table_of", "waves"]


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
