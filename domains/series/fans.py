"""The picture of completed series: a panel for each column of the first ones, around what was missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scorefield.core.report.fans import Fan, draw_fans
from scorefield.domains.series.answers import Answer, Completions
from scorefield.domains.series.series_file import SeriesFile

__all__ = ["draw_answers"]

_PANELS = 12
_ROWS = 300  # of a longer series, those around what is missing first
_BEFORE = 3  # horizons of history that are shown


def draw_answers(
    found: Completions, file: Path, source: SeriesFile, what: str, note: str = "", figures: Sequence[str] = ()
) -> None:
    """Write the picture of `what`; of many series and columns the first ones, evenly.

    A page says `note` and shows `figures` below.
    """
    columns = len(found.columns)
    series = max(1, _PANELS // columns)
    panels = [
        _fan(answer, d, source) for answer in found.answers[:series] for d in range(columns) if answer.holes[:, d].any()
    ][:_PANELS]
    total = sum(int(answer.holes.any(0).sum()) for answer in found)
    of = "" if source.file is None else f" of {source.file.name}"
    of_what = "series" if columns == 1 else "columns"
    some = f", {len(panels)} of {total} {of_what}" if len(panels) < total else ""
    title = f"{what}{of}: {len(found[0].sampled)} paths{some}"
    draw_fans(panels, file, title, note, figures)


def _fan(answer: Answer, column: int, source: SeriesFile) -> Fan:
    rows = _shown(answer)
    paths = np.full((len(answer.sampled), *answer.x.shape), np.nan)
    paths[:, answer.holes] = answer.sampled
    axis = source.axis(answer)[rows]
    title = source.title(answer, column)
    return Fan(title, axis, answer.x[rows, column], paths[:, rows, column], answer.truth[rows, column])


def _shown(answer: Answer) -> slice:
    """The forecast with some history; of an imputed series everything, or the rows from the first gap on."""
    total, horizon = len(answer.x), answer.rows.stop - answer.rows.start
    if answer.rows.start:
        return slice(max(0, answer.rows.start - max(_BEFORE * horizon, 1)), total)
    first = int(np.argmax(answer.holes.any(1)))
    start = max(0, min(first - _ROWS // 10, total - _ROWS))
    return slice(start, min(total, start + _ROWS))
