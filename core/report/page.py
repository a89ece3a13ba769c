"""The HTML report: one file that needs no other, no network and no JavaScript.

Several comparisons with the same real population stand side by side: their statistics in the columns of one
table, their figures in columns below it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scorefield.core.files import atomic
from scorefield.core.report.figures import GENERATED_COLOUR, REAL_COLOUR
from scorefield.core.statistics.table import Comparison, Figure, Row, all_notes, short

__all__ = ["report_html", "write_report"]

_MARK_WIDTH, _MARK_HEIGHT = 132, 16


@dataclass(frozen=True)
class _Cell:
    """One statistic of one generated population, ready to print."""

    value: str
    interval: str
    floor: str
    p_value: str
    mark: Markup
    strange: bool  # a small p-value: not the same distribution
    numbers: str


@dataclass(frozen=True)
class _Line:
    name: str
    description: str
    better: str
    cells: list[_Cell]


def report_html(comparisons: Sequence[Comparison]) -> str:
    """The report of one or several comparisons with the same real population."""
    environment = Environment(
        loader=PackageLoader("scorefield.core.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        comparisons=comparisons,
        labels=short_names([comparison.generated for comparison in comparisons]),
        lines=_lines(comparisons),
        notes=[all_notes(comparison) for comparison in comparisons],
        columns=[[(figure.title, _data_uri(figure), figure.wide) for figure in c.figures] for c in comparisons],
        real_colour=REAL_COLOUR,
        generated_colour=GENERATED_COLOUR,
    )


def write_report(comparisons: Sequence[Comparison], path: str | Path) -> None:
    """Write the report, whole or not at all, and beside `NAME.html` what is attached to it, as `NAME.ATTACHMENT`.

    Raises:
        InputError: a file cannot be written.
    """
    text, path = report_html(comparisons), Path(path)
    attachments = {name: content for comparison in comparisons for name, content in comparison.attachments.items()}
    for name, content in attachments.items():
        with atomic(path.with_name(f"{path.stem}.{name}")) as temporary:
            temporary.write_bytes(content)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def short_names(names: Sequence[str]) -> list[str]:
    """File names without the folders, unless they would be the same."""
    last = [Path(name).name or name for name in names]
    return last if len(set(last)) == len(last) else list(names)


def _lines(comparisons: Sequence[Comparison]) -> list[_Line]:
    """A line for each statistic of any comparison; what another lacks is empty there."""
    firsts: dict[str, Row] = {}
    for comparison in comparisons:
        for row in comparison.rows:
            firsts.setdefault(row.name, row)
    lines = []
    for name, first in firsts.items():
        rows = [{row.name: row for row in comparison.rows}.get(name, Row(name, None)) for comparison in comparisons]
        scale = max((_reach(row) for row in rows), default=0.0)
        lines.append(_Line(name, first.description, first.better, [_cell(row, scale) for row in rows]))
    return lines


def _cell(row: Row, scale: float) -> _Cell:
    interval = "" if row.low is None else f"{short(row.low)} … {short(row.high)}"
    numbers = " / ".join(f"{number:,}" for number in (row.n_generated, row.n_real) if number is not None)
    strange = row.p_value is not None and row.p_value <= 0.05
    return _Cell(short(row.value), interval, short(row.floor), short(row.p_value), _mark(row, scale), strange, numbers)


def _reach(row: Row) -> float:
    found = [value for value in (row.value, row.high, row.floor) if value is not None and math.isfinite(value)]
    return max(found, default=0.0)


def _mark(row: Row, scale: float) -> Markup:
    """A line from 0 to the largest number of the row: interval, value (dot) and floor (tick)."""
    if row.value is None or not math.isfinite(row.value) or scale <= 0:
        return Markup("")
    middle, right = _MARK_HEIGHT / 2, _MARK_WIDTH - 6

    def across(value: float) -> str:
        return f"{4 + (right - 4) * max(0.0, value) / scale:.1f}"

    parts = [f'<line x1="4" x2="{right}" y1="{middle}" y2="{middle}" stroke="#d9dde0" stroke-width="1"/>']
    if row.low is not None and row.high is not None:
        parts.append(
            f'<line x1="{across(row.low)}" x2="{across(row.high)}" y1="{middle}" y2="{middle}" '
            f'stroke="{GENERATED_COLOUR}" stroke-width="4" stroke-opacity=".35"/>'
        )
    if row.floor is not None:
        x = across(row.floor)
        parts.append(f'<line x1="{x}" x2="{x}" y1="2" y2="14" stroke="{REAL_COLOUR}" stroke-width="2"/>')
    parts.append(f'<circle cx="{across(row.value)}" cy="{middle}" r="3.4" fill="{GENERATED_COLOUR}"/>')
    size = f'width="{_MARK_WIDTH}" height="{_MARK_HEIGHT}" viewBox="0 0 {_MARK_WIDTH} {_MARK_HEIGHT}"'
    title = f"value {short(row.value)}, floor {short(row.floor)}"
    return Markup(f'<svg {size} role="img" aria-label="{title}">{"".join(parts)}</svg>')


def _data_uri(figure: Figure) -> str:
    kind, content = ("svg+xml", figure.image.encode()) if isinstance(figure.image, str) else ("png", figure.image)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
