"""Errors that a user can mend: the commands print them as one line and exit with code 2; and warnings for users."""

from __future__ import annotations

from pathlib import Path

__all__ = ["InputError", "InputWarning"]


class InputError(ValueError):
    """Wrong usage or bad input.

    Args:
        what: what is wrong, in a few words.
        file: the file it is in.
        place: the place in the file (row, key, ...).
        mend: what to do about it.

    Attributes:
        problem: the text without the mend, for callers who know a better one.
    """

    def __init__(
        self, what: str, *, file: str | Path | None = None, place: str | None = None, mend: str | None = None
    ) -> None:
        where = ": ".join(str(part) for part in (file, place) if part is not None)
        self.problem = f"{where}: {what}" if where else what
        super().__init__(f"{self.problem}; {mend}" if mend else self.problem)


class InputWarning(UserWarning):
    """What a user should know of his settings; the commands print it as one line."""
