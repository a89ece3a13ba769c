"""The progress bar of generation: samples done, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

__all__ = ["SampleBar"]


class SampleBar:
    """A bar over samples that also moves inside a chunk.

    A process knows of its own chunks only and takes those of the others to come along as fast as its own.

    Args:
        shown: whether to show it where standard error is a terminal.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._bar: tqdm[None] | None = None
        self._processes = 1
        self._done = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def start(self, total: int, done: int = 0, processes: int = 1) -> None:
        """Show the bar; without this call nothing is shown.

        Args:
            total: samples in all.
            done: samples that were there already.
            processes: how many processes share the work.
        """
        self._processes, self._done = processes, float(done)
        if self._shown:
            self._bar = tqdm(total=total, initial=done, unit=" samples", leave=False, smoothing=0.1)

    def within(self, size: int) -> Callable[[float], None]:
        """What a chunk of `size` samples reports its share to."""
        before = self._done

        def report(share: float) -> None:
            self._done = before + share * size * self._processes
            if self._bar is not None:
                self._bar.update(min(int(self._done), self._bar.total) - self._bar.n)

        return report
