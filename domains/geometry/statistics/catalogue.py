"""Every statistic of trajectories: a feature times a distance, what the laws of motion keep, and trained networks.

Sources: Han et al. 2024 (GeoTDM: marginal, classification and prediction score), Jing et al. 2024 (MDGen: divergences
of dihedrals and slow components).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError
from scorefield.core.statistics.bags import BagWasserstein1, JensenShannon, Marginal, ProfileDistance
from scorefield.core.statistics.distances import Distance, Wasserstein1
from scorefield.core.statistics.statistic import Score, Statistic, generator_of
from scorefield.core.statistics.table import Row
from scorefield.core.statistics.uncertainty import Resampling, t_interval
from scorefield.domains.geometry.simulators.systems import SYSTEMS
from scorefield.domains.geometry.statistics.conservation import (
    LEAST_FRAMES,
    energy_drift,
    median_of,
    momentum_drift,
)
from scorefield.domains.geometry.statistics.pairing import Pair
from scorefield.domains.geometry.statistics.population import ComparedTrajectories
from scorefield.domains.geometry.statistics.surrogate_scores import (
    Classified,
    SurrogateTraining,
    classification_score,
    prediction_score,
)
from scorefield.domains.geometry.statistics.tica import SlowComponents

__all__ = ["CATALOGUE", "Entry", "Work"]

_REPEATS = 3
_LEAST_CLASSIFIED = 10  # trajectories of either set
_FLOOR_WORK = 20_000_000  # values in all evaluations behind a floor: some seconds
_GROUPS = 10_000
_CELLS = 50
Feature = Callable[[ComparedTrajectories], NDArray[Any]]


@dataclass
class Work:
    """One comparison.

    Args:
        pair: the trajectories.
        settings: how much to resample.
        seed: of everything random.
        progress: show progress bars.
        strict: names that the user asked for: what cannot be computed of these is an error.
        training: of the networks.
    """

    pair: Pair
    settings: Resampling
    seed: int = 0
    progress: bool = False
    strict: frozenset[str] = frozenset()
    training: SurrogateTraining | None = None


@dataclass(frozen=True)
class Entry:
    """A statistic of trajectories.

    Args:
        name: lower case, the field's abbreviation.
        description: what it is, in a few words.
        compute: its row, without the description.
        long: takes a minute or more; computed only if asked for.
        better: "lower", "higher" or "" (no direction).
        lacks: why it cannot be computed of a pair, or nothing.
    """

    name: str
    description: str
    compute: Callable[[Entry, Work], Row]
    long: bool = False
    better: str = "lower"
    lacks: Callable[[Pair], str] = lambda pair: ""

    def row(self, work: Work) -> Row:
        """The statistic of a pair; without a value where it does not apply.

        Raises:
            InputError: it does not apply, and was asked for by name.
        """
        reason = self.lacks(work.pair)
        if reason and self.name in work.strict:
            raise InputError(f"{self.name} {reason}")
        row = Row(self.name, None, note=reason) if reason else self.compute(self, work)
        return replace(row, description=self.description, better=self.better)


def _alike(real: NDArray[Any], generated: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bags with as many places."""
    if real.ndim < 3 or real.shape[2] == generated.shape[2]:
        return real, generated
    places = max(real.shape[2], generated.shape[2])
    parts = [np.pad(b, ((0, 0), (0, 0), (0, places - b.shape[2])), constant_values=np.nan) for b in (real, generated)]
    return parts[0], parts[1]


def _by_distance(feature: Feature, distance: Distance) -> Callable[[Entry, Work], Row]:
    def compute(entry: Entry, work: Work) -> Row:
        return _distance_row(entry, work, feature(work.pair.real), feature(work.pair.generated), distance)

    return compute


def _distance_row(entry: Entry, work: Work, real: NDArray[Any], generated: NDArray[Any], distance: Distance) -> Row:
    """Bags are grouped into cells for p-values and intervals; where there are many values, floors are fewer."""
    real, generated = _alike(real, generated)
    floors = max(3, _FLOOR_WORK // max(real.size, 1))
    rough = replace(distance, cells=_GROUPS) if isinstance(distance, BagWasserstein1 | Marginal) else None
    statistic: Statistic[Any] = Statistic(entry.name, "", lambda part: part, distance, rough, most_floors=floors)
    return statistic.row_of_features(real, generated, work.settings, work.seed)


def _has_range(feature: Feature) -> Callable[[Pair], str]:
    def lacks(pair: Pair) -> str:
        bag = feature(pair.real)
        if not (np.nanmax(bag, axis=(0, 2)) > np.nanmin(bag, axis=(0, 2))).all():
            return "needs real values that differ: those of one axis or bond are all the same"
        return ""

    return lacks


def _needs(what: str, there: Callable[[Pair], bool]) -> Callable[[Pair], str]:
    return lambda pair: "" if there(pair) else f"needs {what}"


def _either(*checks: Callable[[Pair], str]) -> Callable[[Pair], str]:
    """The first of several reasons."""
    return lambda pair: next((reason for reason in (check(pair) for check in checks) if reason), "")


def _columns(feature: Feature) -> Callable[[Pair], bool]:
    return lambda pair: feature(pair.real).size > 0


_PAIRS = _needs("two nodes", lambda pair: all(part.x.shape[1] > 1 for part in (pair.real, pair.generated)))
_THREE = _needs("three frames", lambda pair: pair.real.frames > 2)
_MOLECULE = "one molecule with atomic numbers"
_BONDS = _needs(_MOLECULE, _columns(lambda part: part.lengths))
_ANGLES = _needs(f"{_MOLECULE} and two bonds of an atom", _columns(lambda part: part.bends))
_DIHEDRALS = _needs(f"{_MOLECULE} and three bonds in a row", _columns(lambda part: part.torsions))
_PARTICLES = _either(
    _needs(f"particles of a known law ({', '.join(SYSTEMS)})", lambda pair: pair.real.kind in SYSTEMS),
    _needs(f"{LEAST_FRAMES} frames", lambda pair: pair.real.frames >= LEAST_FRAMES),
)
_ENERGY = _either(
    _PARTICLES,
    _needs(
        "edges with features in both files",
        lambda pair: pair.real.energies is not None and pair.generated.energies is not None,
    ),
)
_NETWORK = _either(
    _needs(
        f"{_LEAST_CLASSIFIED} trajectories of either", lambda p: min(len(p.real), len(p.generated)) >= _LEAST_CLASSIFIED
    ),
    _needs("4 frames", lambda pair: pair.real.frames >= 4),
)


def _drift(of: Callable[[ComparedTrajectories], NDArray[np.float64]]) -> Callable[[Entry, Work], Row]:
    """The median over generated trajectories; the floor is that over real ones."""

    def compute(entry: Entry, work: Work) -> Row:
        score: Score[ComparedTrajectories] = Score(
            entry.name, "", lambda part, _: median_of(of(part), work.settings.level), "lower", True
        )
        floor = work.pair.real if work.settings.floors else None
        return replace(score.row(work.pair.generated, None, floor), n_real=len(work.pair.real))

    return compute


def _energy_drift(part: ComparedTrajectories) -> NDArray[np.float64]:
    found = part.energies
    return np.full(len(part), np.nan) if found is None else energy_drift(*found)


def _momentum_drift(part: ComparedTrajectories) -> NDArray[np.float64]:
    return momentum_drift(part.x, part.trajectories.mask.astype(np.float64))


def _energy(part: ComparedTrajectories) -> NDArray[np.float64]:
    """Mean energy over frames, per particle."""
    found = part.energies
    if found is None:
        return np.full(len(part), np.nan)
    return np.asarray((found[0] + found[1]).mean(1) / part.trajectories.mask.sum(1))


def _slow(entry: Entry, work: Work) -> Row:
    """Jensen-Shannon divergence of the slowest components of the real dihedrals."""
    slow = SlowComponents.of(work.pair.real.torsions)
    pair = [slow.project(part.torsions) for part in (work.pair.real, work.pair.generated)]
    both = np.concatenate(pair)
    low, high = both.min((0, 2), keepdims=True), both.max((0, 2), keepdims=True)
    width = np.where(high > low, high - low, 1.0)
    cells = [np.minimum(np.floor((part - low) / width * _CELLS), _CELLS - 1) for part in pair]
    shares = [(part[..., None] == np.arange(_CELLS)).mean(2) for part in cells]
    row = _distance_row(entry, work, shares[0], shares[1], JensenShannon())
    return replace(row, p_value=None)  # the components are those of the real set: it has no twin under exchange


def _halves(number: int, name: str, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Real trajectories against other real ones, as often as there are repeats."""
    orders = [generator_of(seed, f"{name} halves {repeat}").permutation(number) for repeat in range(_REPEATS)]
    return [(order[: number // 2], order[number // 2 :]) for order in orders]


def _repeated(
    entry: Entry, work: Work, train: Callable[[NDArray[np.int64], NDArray[np.int64], np.random.Generator], Any]
) -> tuple[list[Any], list[Any]]:
    """Results of repeats with other seeds, and of real halves in place of the two sets."""
    n = len(work.pair.real)
    rows = np.arange(n), np.arange(n, n + len(work.pair.generated))
    halves = _halves(n, entry.name, work.seed) if work.settings.floors else []
    found = [train(*rows, generator_of(work.seed, f"{entry.name} {repeat}")) for repeat in range(_REPEATS)]
    floors = [
        train(*half, generator_of(work.seed, f"{entry.name} floor {repeat}")) for repeat, half in enumerate(halves)
    ]
    return found, floors


def _mean_row(entry: Entry, work: Work, values: Sequence[float], floors: Sequence[float], note: str) -> Row:
    interval = t_interval(values, work.settings.level)
    n, floor = len(work.pair.real), float(np.mean(floors)) if floors else None
    said = f"{note}standard deviation {np.std(values, ddof=1):.2g} over {_REPEATS} seeds"
    said += f"; floor of {n // 2} real objects against the {n - n // 2} others" if floors else ""
    ends = max(interval.low, 0.0), interval.high
    return Row(entry.name, float(np.mean(values)), *ends, floor, None, n, len(work.pair.generated), note=said)


def _classification(entry: Entry, work: Work) -> Row:
    def train(real: NDArray[np.int64], generated: NDArray[np.int64], generator: np.random.Generator) -> Classified:
        return classification_score(
            work.pair.motions, real, generated, generator, work.training, progress=work.progress
        )

    found, floors = (cast("list[Classified]", part) for part in _repeated(entry, work, train))
    right = float(np.mean([one.accuracy for one in found]))
    note = f"{right:.1%} of the test part taken for what they are; {log(2):.3f} is chance; "
    return _mean_row(entry, work, [one.score for one in found], [one.score for one in floors], note)


def _prediction(entry: Entry, work: Work) -> Row:
    def train(real: NDArray[np.int64], generated: NDArray[np.int64], generator: np.random.Generator) -> float:
        return prediction_score(work.pair.motions, generated, real, generator, work.training, progress=work.progress)

    found, floors = _repeated(entry, work, train)
    given = work.pair.real.frames // 2
    return _mean_row(entry, work, found, floors, f"{given} frames to {work.pair.real.frames - given}; ")


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "marginal",
        "marginal score: densities of coordinates in 50 bins; in 1 / unit of length",
        _by_distance(lambda part: part.positions, Marginal()),
        lacks=_has_range(lambda part: part.positions),
    ),
    Entry(
        "marginal_tv",
        "total variation of coordinates in these bins, from 0 to 1",
        _by_distance(lambda part: part.positions, Marginal(total_variation=True)),
        lacks=_has_range(lambda part: part.positions),
    ),
    Entry(
        "marginal_as_given",
        "marginal score of positions as they stand in the files, as published",
        _by_distance(lambda part: part.positions_as_given, Marginal()),
        True,
        lacks=_has_range(lambda part: part.positions_as_given),
    ),
    Entry(
        "w1_pair_distance",
        "Wasserstein-1 distance of distances between nodes",
        _by_distance(lambda part: part.pair_distances, BagWasserstein1()),
        lacks=_PAIRS,
    ),
    Entry(
        "w1_speed",
        "Wasserstein-1 distance of speeds",
        _by_distance(lambda part: part.speeds, BagWasserstein1()),
    ),
    Entry(
        "w1_acceleration",
        "Wasserstein-1 distance of sizes of accelerations",
        _by_distance(lambda part: part.accelerations, BagWasserstein1()),
        lacks=_THREE,
    ),
    Entry(
        "velocity_spectrum",
        "mean power of velocities by frequency, relative difference",
        _by_distance(lambda part: part.spectrum(1), ProfileDistance()),
    ),
    Entry(
        "acceleration_spectrum",
        "mean power of accelerations by frequency, relative difference",
        _by_distance(lambda part: part.spectrum(2), ProfileDistance()),
        lacks=_THREE,
    ),
    Entry(
        "marginal_bonds",
        "marginal score of bond lengths, mean over bonds; in 1 / unit of length",
        _by_distance(lambda part: part.lengths, Marginal()),
        lacks=_either(_BONDS, _has_range(lambda part: part.lengths)),
    ),
    Entry(
        "w1_bonds",
        "Wasserstein-1 distance of bond lengths, mean over bonds",
        _by_distance(lambda part: part.lengths, BagWasserstein1()),
        lacks=_BONDS,
    ),
    Entry(
        "w1_angles",
        "Wasserstein-1 distance of angles between bonds, in degrees, mean over angles",
        _by_distance(lambda part: part.bends, BagWasserstein1()),
        lacks=_ANGLES,
    ),
    Entry(
        "js_dihedrals",
        "Jensen-Shannon divergence of dihedrals, mean over dihedrals, from 0 to 1",
        _by_distance(lambda part: part.torsion_cells, JensenShannon()),
        lacks=_DIHEDRALS,
    ),
    Entry(
        "js_slow",
        "Jensen-Shannon divergence of the two slowest components of dihedrals (TICA)",
        _slow,
        lacks=_either(_DIHEDRALS, _THREE),
    ),
    Entry(
        "energy_drift",
        "range of the energy along a trajectory over its kinetic energy, median; floor: of real ones",
        _drift(_energy_drift),
        lacks=_ENERGY,
    ),
    Entry(
        "momentum_drift",
        "change of total momentum over the size of momenta, median; floor: of real ones",
        _drift(_momentum_drift),
        lacks=_PARTICLES,
    ),
    Entry(
        "w1_energy",
        "Wasserstein-1 distance of energies per particle",
        _by_distance(_energy, Wasserstein1()),
        lacks=_ENERGY,
    ),
    Entry(
        "classification",
        "classification score: test cross-entropy of a network that tells real from generated",
        _classification,
        True,
        "higher",
        _NETWORK,
    ),
    Entry(
        "prediction",
        "prediction score: squared error on real ones of a network trained on generated ones",
        _prediction,
        True,
        lacks=_NETWORK,
    ),
)
