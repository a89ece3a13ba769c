"""Classes of series in sampling: which a run knows, how often they come, and how a user names one.

In states a class is its number in the run's table `labels`; the number after the last stands for a class that is left
open (the null token of the network). Nothing heavy is imported here, for the lists of the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.core.errors import InputError
from scorefield.core.names import unknown

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from scorefield.core.domain import Tables

__all__ = ["OPEN", "check_labels", "draw_labels", "names_of"]

OPEN = "any"
"""How a user leaves the class open."""


def check_labels(tables: Tables, sizes: Mapping[str, int], file: Path) -> None:
    """Find tables of classes that cannot be sampled with.

    Raises:
        InputError: a table is missing or mistyped; the file and the key are named.
    """
    labels, counts = tables.get("labels", []), tables.get("label_counts")
    if not labels or len(set(labels)) != sizes.get("classes"):
        raise InputError("needs a name for each class", file=file, place="tables.labels")
    numbers = isinstance(counts, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts
    )
    if not numbers or len(counts or ()) != len(labels) or not any(counts or ()):
        raise InputError("needs a count for each class", file=file, place="tables.label_counts")


def draw_labels(num: int, wanted: Any, tables: Tables, generator: torch.Generator) -> Tensor:
    """Numbers of classes, int64 `[num]`: the one wanted, or drawn as often as the run was trained on them.

    Args:
        num: how many.
        wanted: name of a class, or its number from 0 where no name is a number; `any` leaves it open; None draws.
        tables: the run's tables.
        generator: of the draws.

    Raises:
        InputError: the run has no such class, or none at all.
    """
    import torch

    if not tables.get("conditional"):
        mend = "train it on labelled data" if "labels" not in tables else "train it with model.system.conditional=true"
        raise InputError(f"label = {wanted!r}: this run has not learnt any classes", mend=mend)
    if wanted is not None:
        return torch.full((num,), _number(wanted, tables["labels"]))
    weights = torch.tensor(tables["label_counts"], dtype=torch.float64)
    return torch.multinomial(weights, num, replacement=True, generator=generator)


def _number(wanted: Any, labels: list[str]) -> int:
    text = str(wanted)
    if text in labels:
        return labels.index(text)
    if text == OPEN:
        return len(labels)
    if text.isdecimal() and int(text) < len(labels) and not any(label.isdecimal() for label in labels):
        return int(text)
    raise unknown("label", text, labels)


def names_of(numbers: Tensor, tables: Tables) -> NDArray[np.str_] | None:
    """Names of classes, `(n,)`; None where all are open, which else have an empty name."""
    import numpy as np

    labels, found = tables["labels"], numbers.cpu().numpy()
    if (found == len(labels)).all():
        return None
    return np.asarray(np.array([*labels, ""], dtype=np.str_)[found])
