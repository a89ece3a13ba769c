"""Scores of a population of molecules itself: validity, uniqueness, novelty, internal diversity."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scorefield.core.statistics.statistic import Measurement, Score
from scorefield.core.statistics.uncertainty import normal_interval, wilson_interval
from scorefield.domains.graphs.statistics.population import MoleculePopulation

__all__ = ["SCORES"]

_NO_FLAGS = (
    "neither the file (as .csv and .parquet do) nor a FILE.json beside it says how many were valid before correction"
)
_NO_TRAIN = "no training molecules were given (--train)"


def _share(successes: int, number: int) -> Measurement | None:
    if number == 0:
        return None
    return Measurement(successes / number, wilson_interval(successes, number), number)


def _validity(flag: str) -> Callable[[MoleculePopulation, MoleculePopulation | None], Measurement | None]:
    def compute(generated: MoleculePopulation, train: MoleculePopulation | None) -> Measurement | None:
        counted = generated.validity(flag)
        return None if counted is None else _share(*counted)

    return compute


def _unique(generated: MoleculePopulation, train: MoleculePopulation | None) -> Measurement | None:
    return _share(len(set(generated.canonical)), len(generated.canonical))


def _novelty(generated: MoleculePopulation, train: MoleculePopulation | None) -> Measurement | None:
    if train is None:
        return None
    distinct = set(generated.canonical)
    return _share(len(distinct - set(train.canonical)), len(distinct))


def _novelty_without_stereo(generated: MoleculePopulation, train: MoleculePopulation | None) -> Measurement | None:
    if train is None:
        return None
    distinct = set(generated.without_stereo)
    return _share(len(distinct - set(train.without_stereo)), len(distinct))


def _internal_diversity(generated: MoleculePopulation, train: MoleculePopulation | None) -> Measurement | None:
    number = len(generated.molecules)
    if number < 2:
        return None
    similarity = generated.similarity()
    # A mean over pairs: each molecule enters as row and as column, hence twice its row's deviation.
    error = 2 * float(np.std(similarity, ddof=1)) / math.sqrt(number)
    value = 1 - float(similarity.mean())
    return Measurement(value, normal_interval(value, error, bounds=(0.0, 1.0)), number)


SCORES: tuple[Score[MoleculePopulation], ...] = (
    Score(
        "valid_ref",
        "valid before correction, as published (valences with the charge rule)",
        _validity("valid_ref"),
        absent=_NO_FLAGS,
    ),
    Score("valid_strict", "passes RDKit's sanitisation uncorrected", _validity("valid_strict"), absent=_NO_FLAGS),
    Score("valid_connected", "strictly valid and in one piece", _validity("valid_connected"), absent=_NO_FLAGS),
    Score("unique", "distinct among all molecules", _unique, real_is_floor=True),
    Score(
        "novelty",
        "distinct molecules not in the training set",
        _novelty,
        better="",
        real_is_floor=True,
        absent=_NO_TRAIN,
    ),
    Score(
        "novelty_nostereo",
        "the same with stereochemistry ignored",
        _novelty_without_stereo,
        better="",
        real_is_floor=True,
        absent=_NO_TRAIN,
    ),
    Score(
        "intdiv",
        "internal diversity: 1 - mean Tanimoto similarity",
        _internal_diversity,
        better="",
        real_is_floor=True,
    ),
)
