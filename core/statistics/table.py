"""The result of a comparison: a row per statistic, as a frame, as JSON and as a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield.core.files import atomic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Figure", "Row", "write_json"]

_JSON_FIELDS = ("name", "value", "low", "high", "floor", "p_value", "n_real", "n_generated")


@dataclass(frozen=True)
class Row:
    """One statistic; None where a field does not apply.

    Args:
        name: lower case, the field's abbreviation.
        value: the statistic.
        low: lower end of its interval.
        high: upper end of its interval.
        floor: what real data gives at the generated set's size.
        p_value: two-sample permutation p-value.
        n_real: number of real objects behind the value.
        n_generated: number of generated objects behind the value.
        description: what it is, in a few words.
        better: "lower", "higher" or "" (no direction).
        note: what has to be known to read this row.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    p_value: float | None = None
    n_real: int | None = None
    n_generated: int | None = None
    description: str = ""
    better: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields of the file format; what is not finite becomes null."""
        return {name: _finite(getattr(self, name)) for name in _JSON_FIELDS}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Args:
        title: what it shows.
        image: SVG text, or PNG bytes.
        wide: takes the width of the page; others stand two in a row.
    """

    title: str
    image: str | bytes
    wide: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two populations compared.

    Args:
        domain: name of the domain.
        real: name or file of the real population.
        generated: name or file of the generated population.
        rows: the statistics.
        figures: figures of the domain, for the report.
        notes: what was left out, and why.
        facts: further lines for the report's header (seed, versions, counts).
        attachments: files that belong to a report, by name (what is needed to get the same numbers again, pages that
            show more); it writes them beside itself.
    """

    domain: str
    real: str
    generated: str
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Row:
        """The row of a statistic.

        Raises:
            KeyError: there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        """A plain-text table."""
        return text_table(self)

    def as_json(self) -> dict[str, Any]:
        """What `to_json` writes."""
        statistics = [row.as_json() for row in self.rows]
        return {"domain": self.domain, "real": self.real, "generated": self.generated, "statistics": statistics}

    def to_frame(self) -> pd.DataFrame:
        """A row per statistic, indexed by name."""
        import pandas as pd

        return pd.DataFrame([row.as_json() for row in self.rows], columns=list(_JSON_FIELDS)).set_index("name")

    def to_json(self, path: str | Path) -> None:
        """Write the statistics, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        write_json([self], path)

    def to_html(self, path: str | Path) -> None:
        """Write a report: one file that needs nothing else.

        Raises:
            InputError: the file cannot be written.
        """
        from scorefield.core.report.page import write_report

        write_report([self], path)


def write_json(comparisons: Sequence[Comparison], path: str | Path) -> None:
    """Write one comparison as an object, several as a list.

    Raises:
        InputError: the file cannot be written.
    """
    content = [comparison.as_json() for comparison in comparisons]
    with atomic(path) as temporary:
        text = json.dumps(content[0] if len(content) == 1 else content, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def short(value: float | int | None) -> str:
    """A number with three or four digits; a dash for None."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{value:.{max(0, min(6, 2 - math.floor(math.log10(abs(value)))))}f}"


def text_table(comparison: Comparison) -> str:
    """The table of the command line."""
    header = ["statistic", "value", "95 % interval", "floor", "p", "n real", "n generated", ""]
    lines = [header]
    for row in comparison.rows:
        interval = "–" if row.low is None else f"{short(row.low)} … {short(row.high)}"
        cells = [row.name, short(row.value), interval, short(row.floor), short(row.p_value)]
        lines.append([*cells, short(row.n_real), short(row.n_generated), _arrow(row.better)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    table = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    table.insert(1, "-" * max(len(line) for line in table))
    title = f"{comparison.generated} against {comparison.real}"
    return "\n".join([title, *table, *(f"note: {note}" for note in all_notes(comparison))])


def _arrow(better: str) -> str:
    return {"lower": "lower is better", "higher": "higher is better"}.get(better, "")


def all_notes(comparison: Comparison) -> list[str]:
    """Notes of the comparison and of its rows; rows with the same note share a line."""
    by_note: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.note:
            by_note.setdefault(row.note, []).append(row.name)
    return [*comparison.notes, *(f"{', '.join(names)}: {note}" for note, names in by_note.items())]
