"""Every statistic of molecules, and the comparison of two populations by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import rdkit
from tqdm import tqdm

import scorefield
from scorefield.core.errors import InputError
from scorefield.core.statistics.distances import CosineSimilarity, LinearMMD, Wasserstein1
from scorefield.core.statistics.features import Features
from scorefield.core.statistics.frechet import Frechet
from scorefield.core.statistics.statistic import Score, Statistic, generator_of
from scorefield.core.statistics.table import Comparison, Row
from scorefield.core.statistics.uncertainty import Resampling
from scorefield.domains.graphs.molecules import Molecules
from scorefield.domains.graphs.statistics.chemnet import has_chemnet
from scorefield.domains.graphs.statistics.figures import molecule_figures
from scorefield.domains.graphs.statistics.population import MoleculePopulation
from scorefield.domains.graphs.statistics.properties import PROPERTIES, has_synthetic_accessibility
from scorefield.domains.graphs.statistics.scores import SCORES

__all__ = ["DISTANCES", "STATISTICS", "compare_molecules"]

_FRECHET_DRAWS = 99  # each costs an eigendecomposition
_FRECHET_DIMENSIONS = 192  # of 512; on QM9 98 % of the variance of the activations


def _property(name: str) -> Callable[[MoleculePopulation], Features]:
    return lambda population: population.values(name)


DISTANCES: tuple[Statistic[MoleculePopulation], ...] = (
    Statistic("nspdk", "NSPDK MMD: pairs of neighbourhoods", MoleculePopulation.nspdk, LinearMMD()),
    Statistic(
        "fcd",
        "Fréchet ChemNet distance",
        MoleculePopulation.chemnet,
        Frechet(),
        resampled=Frechet(_FRECHET_DIMENSIONS),
        most_draws=_FRECHET_DRAWS,
    ),
    Statistic(
        "scaffold", "cosine of scaffold counts (two rings or more)", MoleculePopulation.scaffolds, CosineSimilarity()
    ),
    Statistic("fragment", "cosine of BRICS fragment counts", MoleculePopulation.fragments, CosineSimilarity()),
    *(
        Statistic(f"w1_{name}", f"Wasserstein-1 distance of {title}", _property(name), Wasserstein1())
        for name, (title, _) in PROPERTIES.items()
    ),
)

STATISTICS: tuple[Statistic[MoleculePopulation] | Score[MoleculePopulation], ...] = (*SCORES, *DISTANCES)

_MISSING: dict[str, tuple[Callable[[], bool], str]] = {
    "fcd": (has_chemnet, "not computed: fcd_torch is not installed (pip install 'scorefield[chem-metrics]')"),
    "w1_sa": (has_synthetic_accessibility, "not computed: this RDKit comes without its SA_Score contribution"),
}


def compare_molecules(
    real: Molecules | Sequence[str] | MoleculePopulation,
    generated: Molecules | Sequence[str] | MoleculePopulation,
    train: Molecules | Sequence[str] | MoleculePopulation | None = None,
    *,
    names: tuple[str, str] = ("real", "generated"),
    seed: int = 0,
    resampling: Resampling | None = None,
    only: Sequence[str] | None = None,
    figures: bool = True,
    progress: bool = False,
) -> Comparison:
    """Compare generated molecules with real ones.

    Args:
        real: molecules, SMILES, or a `MoleculePopulation`, which keeps its features for the next comparison.
        generated: likewise.
        train: likewise, what the model was trained on, for novelty.
        names: what the two are called in tables.
        seed: seed of all resampling.
        resampling: how much to resample.
        only: names of the statistics wanted; all by default, and for `all`.
        figures: draw the figures of a report.
        progress: show progress bars.

    Raises:
        InputError: a population without a molecule that RDKit can read, or an unknown statistic.
    """
    settings = Resampling() if resampling is None else resampling
    populations = [_population(part, progress) for part in (real, generated)]
    training = None if train is None else _population(train, progress)
    for population, name in zip(populations, names, strict=True):
        if not population.molecules:
            raise InputError("holds no molecule that RDKit can read", file=name)
    rows = _rows(populations[0], populations[1], training, settings, seed, _chosen(only), progress)
    return Comparison(
        "graphs",
        *names,
        tuple(rows),
        molecule_figures(*populations, names=names, seed=seed) if figures else (),
        tuple(
            _unread(population, name)
            for population, name in zip(populations, names, strict=True)
            if len(population.molecules) < len(population)
        ),
        _facts(populations, training, seed, settings),
    )


def _population(part: Molecules | Sequence[str] | MoleculePopulation, progress: bool) -> MoleculePopulation:
    return part if isinstance(part, MoleculePopulation) else MoleculePopulation(part, progress=progress)


def _chosen(only: Sequence[str] | None) -> list[Statistic[MoleculePopulation] | Score[MoleculePopulation]]:
    known = {entry.name: entry for entry in STATISTICS}
    for name in only or ():
        if name not in (*known, "all"):
            raise InputError(f"unknown statistic {name!r}", mend=f"known: {', '.join(known)}")
    return [entry for entry in STATISTICS if only is None or "all" in only or entry.name in only]


def _rows(
    real: MoleculePopulation,
    generated: MoleculePopulation,
    train: MoleculePopulation | None,
    settings: Resampling,
    seed: int,
    entries: Sequence[Statistic[MoleculePopulation] | Score[MoleculePopulation]],
    progress: bool,
) -> list[Row]:
    size = min(len(generated.molecules), len(real.molecules))
    subsample = real.subsample(size, generator_of(seed, "subsample")) if settings.floors else None
    rows = []
    bar = tqdm(entries, desc="statistics", disable=not progress)
    for entry in bar:
        bar.set_postfix_str(entry.name)
        if isinstance(entry, Score):
            rows.append(entry.row(generated, train, subsample))
            continue
        available, reason = _MISSING.get(entry.name, (lambda: True, ""))
        compute = partial(entry.row, real, generated, settings, seed)
        rows.append(compute() if available() else entry.empty_row(reason))
    return rows


def _unread(population: MoleculePopulation, name: str) -> str:
    lost = len(population) - len(population.molecules)
    return f"{name}: {lost} of {len(population)} entries are no molecule that RDKit can read; they are left out"


def _facts(
    populations: Sequence[MoleculePopulation],
    train: MoleculePopulation | None,
    seed: int,
    settings: Resampling,
) -> dict[str, str]:
    real, generated = populations
    return {
        "real molecules": f"{len(real.molecules):,}",
        "generated molecules": f"{len(generated.molecules):,}",
        "training molecules": "not given" if train is None else f"{len(train.canonical):,}",
        "seed": str(seed),
        "resampling": f"{settings.permutations} permutations, {settings.bootstrap} bootstrap draws, "
        f"{settings.floors} real subsamples; fcd at most {_FRECHET_DRAWS}",
        "versions": f"scorefield {scorefield.__version__}, RDKit {rdkit.__version__}, numpy {np.__version__}",
    }
