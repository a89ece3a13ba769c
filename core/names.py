"""Names that a user types: an unknown one becomes an error that says which known one was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

from scorefield.core.errors import InputError

__all__ = ["nearest", "unknown"]

_SIMILAR = 0.6  # below this ratio two names have little to do with each other
_LISTED = 40  # more names than this make the line unreadable; `scorefield list` shows them


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where none is like it.

    The last part of a path-like name counts as a name too: `qm9_gds` finds `graphs/qm9_gdss`.
    """
    best, best_ratio = None, _SIMILAR
    for candidate in known:
        ratio = max(_ratio(name, candidate), _ratio(name, candidate.rpartition("/")[2]))
        if ratio > best_ratio or (best is None and ratio == best_ratio):
            best, best_ratio = candidate, ratio
    return best


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio()


def unknown(
    kind: str,
    name: str,
    known: Iterable[str],
    *,
    file: str | Path | None = None,
    place: str | None = None,
) -> InputError:
    """The error for a name that is not known; raise it.

    Args:
        kind: what is named, such as "solver".
        name: what the user typed.
        known: every name that would have been right.
        file: the file it stands in.
        place: the place in the file.
    """
    names = list(known)
    guess = nearest(name, names)
    hints = [] if guess is None else [f"did you mean {guess!r}?"]
    if len(names) <= _LISTED:
        hints.append(f"known: {', '.join(names)}" if names else "there is none")
    return InputError(f"unknown {kind} {name!r}", file=file, place=place, mend=" ".join(hints) or None)
