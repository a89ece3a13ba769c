"""Properties of molecules, one number each: QED, Crippen logP, synthetic accessibility, weight, rings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors
from tqdm import tqdm

__all__ = ["PROPERTIES", "has_synthetic_accessibility", "property_values"]


@cache
def _sascorer() -> Any:
    """RDKit's contributed scorer (Ertl and Schuffenhauer 2009), or None where this RDKit lacks it."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("scorefield_sascorer", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def has_synthetic_accessibility() -> bool:
    """Whether this RDKit brings the synthetic accessibility score."""
    return _sascorer() is not None


def _synthetic_accessibility(molecule: Chem.Mol) -> float:
    return float(_sascorer().calculateScore(molecule))


PROPERTIES: dict[str, tuple[str, Callable[[Chem.Mol], float]]] = {
    "qed": ("QED", QED.qed),
    "logp": ("logP (Crippen)", Crippen.MolLogP),
    "sa": ("synthetic accessibility", _synthetic_accessibility),
    "weight": ("molecular weight / Da", Descriptors.MolWt),
    "rings": ("rings", rdMolDescriptors.CalcNumRings),
}


def property_values(molecules: Sequence[Chem.Mol], name: str, *, progress: bool = False) -> npt.NDArray[np.float64]:
    """The property `name` of each molecule, (molecules,)."""
    compute = PROPERTIES[name][1]
    bar = tqdm(molecules, desc=name, unit="mol", disable=not progress)
    return np.array([float(compute(molecule)) for molecule in bar])
