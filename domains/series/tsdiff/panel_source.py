"""The series of a panel that a run completes: read from whatever holds them, and named in results.

Items are series, or a series cut at some places (the entries of a rolling test).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.files import check_format
from scorefield.core.names import unknown
from scorefield.domains.series.tables import Layout, read_frame, suffix
from scorefield.domains.series.tsdiff.frequency import Frequency
from scorefield.domains.series.tsdiff.panel_files import LINES, TABLES, PanelFile, read_panel
from scorefield.domains.series.tsdiff.panel_filled import FILLED_SUFFIXES, filled_panel, write_filled_panel
from scorefield.domains.series.tsdiff.panel_tables import PanelLayout, PanelTable, read_panel_frame
from scorefield.domains.series.tsdiff.panels import Panel
from scorefield.domains.series.tsdiff.raw_files import gathered

if TYPE_CHECKING:
    from scorefield.domains.series.answers import Answer, Completions

__all__ = ["READING", "PanelSource", "panel_layout", "read_source"]

Array = NDArray[np.float64]
READING = ("item", "time", "target", "frequency")
"""Arguments of reading that a user may give; by default those with which the run's own data were read."""
ITEM_ID, TIMESTAMP, STEP, ENTRY = "item_id", "timestamp", "step", "entry"
_UNNAMED = Path("data")  # what messages call what is no file


@dataclass(frozen=True)
class PanelSource:
    """Series to complete; see `SeriesFile`.

    Attributes:
        panel: the series.
        rows: the series of each item, int64 `(items,)`.
        found: what the file holds, with its test set if it has one.
        table: where the values stand, if the series come from a table.
        file: where they come from.
        target: the key of JSON lines with the values.
    """

    panel: Panel
    rows: NDArray[np.int64]
    found: PanelFile
    table: PanelTable | None = None
    file: Path | None = None
    target: str = "target"

    @property
    def columns(self) -> tuple[str, ...]:
        """See `SeriesFile`."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """See `SeriesFile`."""
        return tuple(self.panel.names[row] for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, panel: Panel, rows: NDArray[np.int64]) -> PanelSource:
        """The same with other items."""
        return replace(self, panel=panel, rows=rows)

    def series(self, number: int) -> Array:
        """See `SeriesFile.series`."""
        return self.panel.series(int(self.rows[number]))[:, None]

    def place(self, number: int) -> str | None:
        """See `SeriesFile.place`."""
        return f"series {self.panel.names[self.rows[number]]}" if len(self.panel) > 1 else None

    def digest(self) -> str:
        """See `SeriesFile.digest`."""
        panel = self.panel
        hashed = hashlib.sha256(repr((panel.names, str(panel.frequency), self.target)).encode())
        for part in (panel.values, panel.bounds, panel.starts.astype(np.int64), self.rows):
            hashed.update(np.ascontiguousarray(part).tobytes())
        if self.table is not None:
            frame = self.table.frame
            hashed.update(repr((list(frame.columns), self.table.columns)).encode() + self.table.rows.tobytes())
            hashed.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        elif self.file is not None and suffix(self.file) in LINES:
            hashed.update(self.file.read_bytes())
        return hashed.hexdigest()

    def keys(self, answer: Answer) -> dict[str, Any]:
        """See `SeriesFile.keys`: `item_id` and `timestamp`; `step`, and of a rolling test `entry`, without times."""
        steps = answer.before + np.flatnonzero(answer.holes[:, 0])
        row = int(self.rows[answer.number])
        values: dict[str, Any] = {ITEM_ID: [self.panel.names[row]] * len(steps)}
        stamps = self.stamps(answer)
        if stamps is not None:
            return {**values, TIMESTAMP: stamps[steps - answer.before]}
        if len(np.unique(self.rows)) < len(self.rows):
            values[ENTRY] = int((self.rows[: answer.number] == row).sum())
        return {**values, STEP: steps}

    def stamps(self, answer: Answer) -> pd.DatetimeIndex | None:
        """Times of an answer's rows, None where they are not known."""
        start = self.panel.starts[self.rows[answer.number]]
        if np.isnat(start):
            return None
        return self.panel.frequency.stamps(start, answer.before + len(answer.x))[answer.before :]

    def axis(self, answer: Answer) -> NDArray[Any]:
        """See `SeriesFile.axis`."""
        stamps = self.stamps(answer)
        return answer.before + np.arange(len(answer.x)) if stamps is None else stamps.to_numpy()

    def title(self, answer: Answer, column: int) -> str:
        """See `SeriesFile.title`."""
        return str(self.panel.names[self.rows[answer.number]])

    def check_filled(self, path: Path) -> None:
        """See `SeriesFile.check_filled`."""
        check_format(suffix(path), FILLED_SUFFIXES, "filled panels", path)

    def write_filled(self, found: Completions, fill: str, path: Path) -> None:
        """See `SeriesFile.write_filled`."""
        holes, values = [], []
        for answer in found:
            first = int(self.panel.bounds[self.rows[answer.number]])
            rows = np.flatnonzero(answer.holes[:, 0])
            holes.append(first + rows)
            values.append(answer.summary(fill)[rows, 0])
        whole = filled_panel(self.panel, np.concatenate(holes), np.concatenate(values))
        write_filled_panel(whole, np.concatenate(holes), path, self.table, self.file, self.target)


def panel_layout(reading: Mapping[str, Any], frequency: str, trained: Mapping[str, Any]) -> PanelLayout:
    """How to read a file, as the user says, else as the run's data were read.

    A run looks at steps, not at dates: it takes series of any days of the week, if each step is a week as in its own.

    Args:
        reading: what the user says.
        frequency: the run's.
        trained: arguments with which the run's data were read.

    Raises:
        InputError: an unknown argument, or a frequency of other steps.
    """
    for name in reading:
        if name not in READING:
            raise unknown("argument of --read", name, READING)
    asked = str(reading.get("frequency") or frequency)
    if Frequency.parse(asked).step != Frequency.parse(frequency).step:
        raise InputError(f"--read frequency={asked}", mend=f"the run knows the frequency {frequency} only")
    known = {name: reading.get(name, trained.get(name)) for name in READING[:3]}
    return PanelLayout(asked, **known, option="--read ")


def read_source(data: Any, layout: PanelLayout, prediction: int, asked: Mapping[str, Any]) -> PanelSource:
    """Read series.

    Args:
        data: a file as of `read_panel`, a data frame, or numbers `[T]`, `[n, T]`, or a list of `[T]`.
        layout: how; columns that it names are needed only if `asked` names them as well.
        prediction: steps that the run forecasts, by which a test set is cut.
        asked: what the user says of reading.

    Raises:
        InputError: data that cannot be read, or are of another frequency.
    """
    if isinstance(data, pd.DataFrame):
        return _of_frame(data.copy(), _UNNAMED, ".parquet", layout, asked)
    if not isinstance(data, str | Path):
        panel = _of_arrays(data, Frequency.parse(layout.frequency or "D"))
        return PanelSource(panel, np.arange(len(panel)), PanelFile(panel))
    path = Path(data)
    if not path.is_dir() and suffix(path) in TABLES and path.is_file():
        frame = read_frame(path, suffix(path), Layout())
        return replace(_of_frame(frame, path, suffix(path), layout, asked), file=path)
    found = gathered(read_panel(path, layout, prediction))
    whole = found.train if found.test is None or len(found.test.panel) != len(found.train) else found.test.panel
    return PanelSource(whole, np.arange(len(whole)), found, file=path, target=layout.target or "target")


def _of_frame(frame: pd.DataFrame, path: Path, kind: str, layout: PanelLayout, asked: Mapping[str, Any]) -> PanelSource:
    there = {str(name) for name in frame.columns}
    item, time, target = (
        None if name not in asked and wanted not in there else wanted
        for name, wanted in (("item", layout.item), ("time", layout.time), ("target", layout.target))
    )
    table = read_panel_frame(frame, path, kind, replace(layout, item=item, time=time, target=target))
    return PanelSource(table.panel, np.arange(len(table.panel)), PanelFile(table.panel), table)


def _of_arrays(data: Any, frequency: Frequency) -> Panel:
    """Rows of numbers; NaN behind the last value of a row fills it up."""
    try:
        rows: Any = data if isinstance(data, list | tuple) and np.ndim(data[0]) else np.asarray(data, float)
        rows = [rows] if np.ndim(rows[0]) == 0 else rows
        series = [np.asarray(row, dtype=np.float64) for row in rows]
        series = [row[:, 0] if row.ndim == 2 and row.shape[1] == 1 else row for row in series]
    except (TypeError, ValueError, IndexError):
        raise InputError("holds no numbers", file=_UNNAMED, mend="give [T], [n, T], or a list of series") from None
    for number, row in enumerate(series):
        place = f"series {number}"
        if row.ndim != 1 or np.isnan(row).all():
            what = f"has the shape {row.shape}" if row.ndim != 1 else "the series is empty"
            raise InputError(what, file=_UNNAMED, place=place, mend="give one number a step")
        if np.isinf(row).any():
            place += f", value {int(np.argmax(np.isinf(row))) + 1}"
            mend = "write NaN for what is missing"
            raise InputError("infinity is no finite number", file=_UNNAMED, place=place, mend=mend)
    ends = [int(np.flatnonzero(~np.isnan(row))[-1]) + 1 for row in series]
    kept = [row[:end] for row, end in zip(series, ends, strict=True)]
    return Panel.of(kept, [str(k) for k in range(len(kept))], [None] * len(kept), frequency)
