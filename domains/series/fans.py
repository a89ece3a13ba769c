"""The picture of completed series: a panel for each column of the first ones, around what was missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scorefield.core.completion import Task
from scorefield.core.report.fans import Fan, draw_fans
from scorefield.domains.series.answers import Answer, Completions
from scorefield.domains.series.observed import Observed

__all__ = ["draw_answers"]

_PANELS = 12
_ROWS = 300  # of a longer series, those around what is missing first
_BEFORE = 3  # horizons of history that are shown


def draw_answers(found: Completions, file: Path, table: Observed, task: Task) -> None:
    """Write the picture; of many series and columns the first ones, evenly."""
    columns = len(found.columns)
    series = max(1, _PANELS // columns)
    panels = [
        _fan(answer, d, found.columns[d], table)
        for answer in found.answers[:series]
        for d in range(columns)
        if answer.holes[:, d].any()
    ][:_PANELS]
    total = sum(int(answer.holes.any(0).sum()) for answer in found)
    source = "" if table.file is None else f" of {table.file.name}"
    some = f", {len(panels)} of {total} columns" if len(panels) < total else ""
    title = f"{task.name.capitalize()}{source}: {len(found[0].sampled)} paths{some}"
    scores = found.scores()
    note = "" if scores is None else ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    draw_fans(panels, file, title, note)


def _fan(answer: Answer, column: int, name: str, table: Observed) -> Fan:
    rows = _shown(answer)
    paths = np.full((len(answer.sampled), *answer.x.shape), np.nan)
    paths[:, answer.holes] = answer.sampled
    place = f", series {table.names[answer.number]}" if len(table) > 1 else ""
    steps = np.arange(len(answer.x))[rows]
    return Fan(name + place, steps, answer.x[rows, column], paths[:, rows, column], answer.truth[rows, column])


def _shown(answer: Answer) -> slice:
    """The forecast with some history; of an imputed series everything, or the rows from the first gap on."""
    total, horizon = len(answer.x), answer.rows.stop - answer.rows.start
    if answer.rows.start:
        return slice(max(0, answer.rows.start - max(_BEFORE * horizon, 1)), total)
    first = int(np.argmax(answer.holes.any(1)))
    start = max(0, min(first - _ROWS // 10, total - _ROWS))
    return slice(start, min(total, start + _ROWS))
