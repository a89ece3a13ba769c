"""Panels with their gaps filled, written as they came: tables cell by cell, JSON lines with their other keys.

What came as something else is written as a long table (`item_id`, `timestamp` or `step`, `target`) or as JSON lines.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.files import atomic
from scorefield.domains.series.observed import insert
from scorefield.domains.series.tables import SUFFIXES, suffix
from scorefield.domains.series.tsdiff.panel_files import LINES, json_lines
from scorefield.domains.series.tsdiff.panel_tables import PanelTable
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.writing import write_table

__all__ = ["FILLED_SUFFIXES", "filled_panel", "write_filled_panel"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
FILLED_SUFFIXES = (*SUFFIXES, *LINES)


def filled_panel(panel: Panel, rows: Rows, values: Array) -> Panel:
    """The panel with these values in these of its rows."""
    whole = panel.values.copy()
    whole[rows] = values
    return replace(panel, values=whole)


def write_filled_panel(
    panel: Panel, rows: Rows, path: Path, table: PanelTable | None, source: Path | None, target: str
) -> None:
    """Write a filled panel.

    Args:
        panel: all its values.
        rows: which of them were filled.
        path: `.csv`, `.tsv`, `.parquet` or JSON lines.
        table: where the values stand, if they came in a table.
        source: the file that they came from.
        target: the key of JSON lines with the values.

    Raises:
        InputError: the folder cannot be written to.
    """
    if suffix(path) not in LINES:
        write_table(_long(panel) if table is None else _table(panel, rows, table), path)
        return
    same = source is not None and suffix(source) in LINES
    entries = json_lines(source) if source is not None and same else _entries(panel, target)
    for number, entry in enumerate(entries):
        first = panel.bounds[number]
        values = panel.series(number)
        for row in rows[(rows >= first) & (rows < panel.bounds[number + 1])] - first:
            entry[target][row] = float(values[row])
    content = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    with atomic(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _table(panel: Panel, rows: Rows, table: PanelTable) -> pd.DataFrame:
    frame = table.frame.copy()
    owners = np.searchsorted(panel.bounds, rows, side="right") - 1
    for name in dict.fromkeys(table.columns):
        here = rows[[table.columns[owner] == name for owner in owners]]
        insert(frame, name, table.rows[here], panel.values[here])
    return frame


def _long(panel: Panel) -> pd.DataFrame:
    parts = []
    for number, name in enumerate(panel.names):
        start, length = panel.starts[number], int(panel.lengths[number])
        known = not np.isnat(start)
        times: Any = panel.frequency.stamps(start, length) if known else np.arange(length)
        columns = {"item_id": name, "timestamp" if known else "step": times, "target": panel.series(number)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _entries(panel: Panel, target: str) -> list[dict[str, Any]]:
    entries = []
    for number, name in enumerate(panel.names):
        start = panel.starts[number]
        told = {} if np.isnat(start) else {"start": str(pd.Timestamp(start))}
        values = [None if np.isnan(value) else float(value) for value in panel.series(number)]
        entries.append({**told, target: values, "item_id": name, "freq": str(panel.frequency)})
    return entries
