"""ChemNet activations for the Frechet ChemNet distance (Preuer et al. 2018), through the optional `fcd_torch`."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

__all__ = ["ActivationCache", "has_chemnet"]

_BATCH = 128
_PADDED_LENGTH = 350  # fcd_torch pads to this; the backward LSTM layers read the padding, so it is part of the feature
_WIDTH = 512


def has_chemnet() -> bool:
    """Whether `fcd_torch` (extra `chem-metrics`) is installed."""
    return importlib.util.find_spec("fcd_torch") is not None


@cache
def _network() -> Any:
    from fcd_torch import FCD

    return FCD(device="cpu", n_jobs=1).model.eval()


def _activations(smiles: Sequence[str]) -> npt.NDArray[np.float32]:
    from fcd_torch.utils import get_one_hot

    one_hot = np.stack([get_one_hot(text, _PADDED_LENGTH) for text in smiles]).astype(np.float32)
    one_hot /= one_hot.shape[2]  # ChemNet's input scale: ones divided by the size of the alphabet
    with torch.inference_mode():
        output = _network()(torch.from_numpy(one_hot).transpose(1, 2))
    return np.array(output.numpy(), dtype=np.float32)  # a copy: the output is a view of the states at all 350 places


class ActivationCache:
    """Activations of canonical SMILES, each computed once in a run (key: SHA-256 of the SMILES)."""

    def __init__(self) -> None:
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}

    def __call__(self, smiles: Sequence[str], *, progress: bool = False) -> npt.NDArray[np.float32]:
        """ChemNet activations (molecules, 512) of canonical SMILES."""
        keys = [hashlib.sha256(text.encode()).digest()[:16] for text in smiles]
        missing = {key: text for key, text in zip(keys, smiles, strict=True) if key not in self._known}
        todo = sorted(missing.items(), key=lambda item: (len(item[1]), item[1]))
        with tqdm(total=len(todo), desc="chemnet", unit="mol", disable=not progress or not todo) as bar:
            for start in range(0, len(todo), _BATCH):
                part = todo[start : start + _BATCH]
                rows = _activations([text for _, text in part])
                self._known.update(zip((key for key, _ in part), rows, strict=True))
                bar.update(len(part))
        rows_found = [self._known[key] for key in keys]
        return np.stack(rows_found) if rows_found else np.zeros((0, _WIDTH), dtype=np.float32)
