"""What a table row of the quality benchmarks holds: sample, compare, keep."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scorefield.core.comparison import Comparing
from scorefield.core.files import atomic
from scorefield.core.statistics.table import Row

__all__ = ["Kept", "cell", "quality"]


def quality(
    domain: Comparing, make: Callable[[], Any], real: Any, statistics: Iterable[str], seed: int = 0
) -> dict[str, Any]:
    """CPU seconds of making samples, and their statistics against a real population as [value, low, high, floor]."""
    begin = time.process_time()
    samples = make()
    seconds = time.process_time() - begin
    rows = domain.compare(real, domain.population(samples), only=tuple(statistics), figures=False, seed=seed).rows
    return {"seconds": seconds, **{row.name: _numbers(row) for row in rows}}


def _numbers(row: Row) -> list[float | None]:
    return [row.value, row.low, row.high, row.floor]


def cell(numbers: list[float | None] | None) -> str:
    """A value with its interval, as a table shows it."""
    if numbers is None or numbers[0] is None:
        return "-"
    value, low, high, *_ = numbers
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


class Kept:
    """Rows by name in a JSON file, so that a stopped benchmark goes on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def row(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The kept row, else a new one."""
        if name not in self.rows:
            self.rows[name] = make()
            with atomic(self.file) as temporary:
                temporary.write_text(json.dumps(self.rows, indent=1))
        found: dict[str, Any] = self.rows[name]
        return found
