"""Figures of a molecule report: property densities, and a grid of molecules of either population."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from scorefield.core.report.figures import Distribution, distributions_svg
from scorefield.core.statistics.statistic import generator_of
from scorefield.core.statistics.table import Figure
from scorefield.domains.graphs.statistics.population import MoleculePopulation
from scorefield.domains.graphs.statistics.properties import PROPERTIES, has_synthetic_accessibility

__all__ = ["grid_svg", "molecule_figures"]

_COLUMNS, _ROWS, _PANEL = 4, 4, 150


def grid_svg(molecules: Sequence[Chem.Mol], columns: int = _COLUMNS, panel: int = _PANEL) -> str:
    """Drawings of molecules in a grid, SVG."""
    rows = max(1, -(-len(molecules) // columns))
    drawer = rdMolDraw2D.MolDraw2DSVG(columns * panel, rows * panel, panel, panel)
    options = drawer.drawOptions()
    options.padding = 0.08
    options.fixedBondLength = 32
    options.bondLineWidth = 2
    drawn = [Chem.Mol(molecule) for molecule in molecules]
    for molecule in drawn:
        rdDepictor.Compute2DCoords(molecule)
    drawer.DrawMolecules(drawn)
    drawer.FinishDrawing()
    return str(drawer.GetDrawingText())


def _some(population: MoleculePopulation, seed: int) -> list[Chem.Mol]:
    rows = generator_of(seed, "grid").permutation(len(population.molecules))[: _COLUMNS * _ROWS]
    return [population.molecules[row] for row in np.sort(rows)]


def molecule_figures(
    real: MoleculePopulation, generated: MoleculePopulation, *, names: tuple[str, str], seed: int
) -> tuple[Figure, ...]:
    """The figures of a comparison; the molecules of the grids are drawn at random."""
    shown = [name for name in PROPERTIES if name != "sa" or has_synthetic_accessibility()]
    panels = [Distribution(PROPERTIES[name][0], real.values(name), generated.values(name)) for name in shown]
    short_names = Path(names[0]).name, Path(names[1]).name
    return (
        Figure("Properties", distributions_svg(panels, short_names), wide=True),
        Figure(f"Generated molecules, drawn at random from {names[1]}", grid_svg(_some(generated, seed))),
        Figure(f"Real molecules, drawn at random from {names[0]}", grid_svg(_some(real, seed))),
    )
