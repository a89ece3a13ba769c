"""Two populations made comparable: windows of one length, as many of each, on the scale of the real ones.

The protocol is the published one (Li et al. 2025): values scaled to [0, 1] by the range of the real series, windows of
stride 1, as many of either set. What was cut, left out or chosen is said in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scorefield.core.errors import InputError
from scorefield.domains.series.statistics.population import HIGHEST, LOWEST, ScoredWindows, SeriesPopulation

__all__ = ["Pair", "make_pair"]

_SCALED = 1.001
_FEW = 5
_SHOWN_CLASSES = 12
_SCALES = {
    False: "each column to [0, 1] by the range of the real series",
    True: "each window divided by the mean size of its context; [0, 1] holds 99 % of "
    "the values in training, those beyond [-0.5, 1.5] count as at its ends",
}


@dataclass(frozen=True)
class Pair:
    """What statistics compare.

    Attributes:
        real: windows in [0, 1].
        generated: as many, of the same length, on the same scale.
        train: the training windows on that scale, all of them, or None.
        notes: what was cut or has to be known, in words.
        facts: what was compared on which scale, in words.
    """

    real: ScoredWindows
    generated: ScoredWindows
    train: ScoredWindows | None
    notes: tuple[str, ...]
    facts: dict[str, str]


def make_pair(
    real: SeriesPopulation,
    generated: SeriesPopulation,
    train: SeriesPopulation | None,
    names: tuple[str, str],
    seed: int,
) -> Pair:
    """Window, scale and cut two populations.

    Raises:
        InputError: lengths or columns differ, ranges differ grossly, or there are too few windows.
    """
    length = generated.length
    if length is None:
        lengths = generated.table.lengths
        what = f"series of {lengths.min()} to {lengths.max()} steps"
        raise InputError(what, file=names[1], mend="compare generated series of one length")
    generated = _same_columns(real, generated, names)
    _check_length(real, length, names[0])
    counts = len(real.starts(length)), len(generated)
    number = min(counts)
    if number < _FEW:
        few = names[0] if counts[0] <= counts[1] else names[1]
        raise InputError(f"{number} windows of {length} steps", file=few, mend=f"give at least {_FEW}")
    scaled = generated.scored(length, number, real.scaling)
    if real.panel is None:  # shapes have no units
        _check_range(real, generated, scaled, names)
    known = None if train is None else _training_windows(train, real, length)
    return Pair(
        real.scored(length, number, real.scaling, seed),
        scaled,
        known,
        (*_notes(real, counts, length, names), *_silent(real, generated, names)),
        _facts(real, counts, number, length) | _classes(real, generated),
    )


def _same_columns(real: SeriesPopulation, generated: SeriesPopulation, names: tuple[str, str]) -> SeriesPopulation:
    """The generated series with the real one's order of columns; unnamed columns are taken as they stand."""
    wide, made = len(real.columns), len(generated.columns)
    if wide != made:
        raise InputError(
            f"{made} columns, {wide} in {names[0]}", file=names[1], mend="compare series of the same columns"
        )
    plain = tuple(f"x{i}" for i in range(wide))
    if plain in (real.columns, generated.columns) or set(real.columns) == set(generated.columns):
        return generated.ordered(real.columns) if set(real.columns) == set(generated.columns) else generated
    strange = next(name for name in generated.columns if name not in real.columns)
    what = f"is not in {names[0]}"
    raise InputError(what, file=names[1], place=f"column {strange!r}", mend="compare series of the same columns")


def _check_length(real: SeriesPopulation, length: int, name: str) -> None:
    if real.is_windows and real.length != length:
        what = f"windows of {real.length} steps, the generated have {length}"
        raise InputError(what, file=name, mend="compare windows of the same length, or give the series they come from")
    longest = int(real.table.lengths.max())
    if longest < length:
        what = f"series of up to {longest} steps, the generated have {length}"
        raise InputError(what, file=name, mend="compare windows of the same length")


def _check_range(
    real: SeriesPopulation, generated: SeriesPopulation, scaled: ScoredWindows, names: tuple[str, str]
) -> None:
    """Find generated values in another unit than the real ones."""
    low, high = scaled.x.min(axis=(0, 1)), scaled.x.max(axis=(0, 1))
    beyond = np.maximum(LOWEST - low, high - HIGHEST)  # there units differ, or sampling has failed
    values, ranges = generated.table.values, real.scaling
    worst = int(np.argmax(beyond))
    looks_scaled = np.abs(values).max() <= _SCALED and np.abs(real.table.values).max() > 2
    flat = (high - low < 0.02) & ~ranges.constant
    if beyond[worst] > 0 or (looks_scaled and flat[~ranges.constant].all()):
        column = values[:, worst]
        what = (
            f"column {real.columns[worst]!r} spans {column.min():.4g} to {column.max():.4g}, "
            f"in {names[0]} {ranges.low[worst]:.4g} to {ranges.high[worst]:.4g}"
        )
        raise InputError(what, file=names[1], mend="compare both in the same units (not one scaled, one raw)")


def _training_windows(train: SeriesPopulation, real: SeriesPopulation, length: int) -> ScoredWindows:
    if len(train.columns) != len(real.columns):
        raise InputError(f"training series of {len(train.columns)} columns, the real ones have {len(real.columns)}")
    ordered = train.ordered(real.columns) if set(train.columns) == set(real.columns) else train
    starts = ordered.starts(length)
    if not len(starts):
        raise InputError(f"training series shorter than {length} steps", mend="give the data it was trained on")
    return ordered.scored(length, len(starts), real.scaling)


def _notes(real: SeriesPopulation, counts: tuple[int, int], length: int, names: tuple[str, str]) -> tuple[str, ...]:
    notes = []
    if counts[1] < counts[0]:
        notes.append(
            f"{counts[1]:,} generated windows, {counts[0]:,} real: {counts[1]:,} of the real ones are compared, "
            "chosen at random"
        )
    elif counts[1] > counts[0]:
        notes.append(
            f"{counts[1]:,} generated windows, {counts[0]:,} real: the first {counts[0]:,} generated are compared"
        )
    if real.overlapping or int(real.table.lengths.max()) > length:
        notes.append("windows of one series overlap: intervals and p-values take them for independent and are too sure")
    constant = [name for name, flat in zip(real.columns, real.scaling.constant, strict=True) if flat]
    if constant:
        notes.append(f"constant in {names[0]}: {', '.join(constant)}")
    return tuple(notes)


def _silent(real: SeriesPopulation, generated: SeriesPopulation, names: tuple[str, str]) -> list[str]:
    found = zip((real, generated), names, strict=True)
    said = "windows with a context of zeros have no shape and are left out"
    return [f"{part.silent} of {part.silent + len(part)} {said} ({name})" for part, name in found if part.silent]


def _facts(real: SeriesPopulation, counts: tuple[int, int], number: int, length: int) -> dict[str, str]:
    rows, features = real.table.values.shape
    cut = int(real.table.lengths.max()) > length
    source = f"stride 1 from {rows:,} rows in {len(real):,} series" if cut else "as given"
    return {
        "real windows": f"{counts[0]:,} ({source})",
        "generated windows": f"{counts[1]:,}",
        "protocol": f"{number:,} of each compared, {length} steps, {features} features",
        "scale": _SCALES[real.panel is not None],
    }


def _classes(real: SeriesPopulation, generated: SeriesPopulation) -> dict[str, str]:
    """Shares of the classes, where either set has some."""
    sides = (("real", real.table.labels), ("generated", generated.table.labels))
    return {f"classes, {side}": _shares(labels) for side, labels in sides if labels is not None}


def _shares(labels: tuple[str, ...]) -> str:
    names, counts = np.unique(np.array(labels), return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_SHOWN_CLASSES]
    told = [f"{names[place]}: {counts[place] / len(labels):.0%}" for place in np.sort(most)]
    return ", ".join(told) + (f" and {len(names) - len(most)} others" if len(names) > len(most) else "")
