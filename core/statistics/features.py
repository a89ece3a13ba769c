"""Features: what a distance sees of a population, one row per object.

Three forms: an array (rows,) of numbers, an array (rows, dimensions), and `TokenCounts`, sparse rows over an
open vocabulary (substructure hashes, fragment names), whose columns exist only once two samples are pooled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["Features", "TokenCounts", "number_of_rows", "pool", "take_rows"]

Features: TypeAlias = Any  # (rows,) or (rows, dimensions) array, scipy.sparse CSR matrix, or TokenCounts


@dataclass(frozen=True)
class TokenCounts:
    """Sparse rows over an open vocabulary.

    Args:
        indptr: (rows + 1,) where each row begins in `tokens`.
        tokens: (entries,) what is counted, unsigned 64-bit hashes or strings; at most once per row.
        values: (entries,) how much of it.
    """

    indptr: npt.NDArray[np.int64]
    tokens: npt.NDArray[Any]
    values: npt.NDArray[np.float64]

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[str]]) -> TokenCounts:
        """Count the strings of each row."""
        indptr, tokens, values = [0], [], []
        for row in lists:
            names, counts = np.unique(np.asarray(row, dtype=str), return_counts=True)
            tokens.append(names)
            values.append(counts.astype(np.float64))
            indptr.append(indptr[-1] + len(names))
        empty = not tokens
        return cls(
            np.array(indptr, dtype=np.int64),
            np.array([], dtype=str) if empty else np.concatenate(tokens),
            np.array([]) if empty else np.concatenate(values),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[TokenCounts]) -> TokenCounts:
        """All rows of the parts, in order."""
        lengths = np.concatenate([np.diff(part.indptr) for part in parts])
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        tokens = np.concatenate([part.tokens for part in parts])
        return cls(indptr, tokens, np.concatenate([part.values for part in parts]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of stored entries."""
        return len(self.indptr) - 1, len(self.tokens)

    def matrix(self) -> sparse.csr_matrix:
        """The rows as a CSR matrix; columns are the sorted distinct tokens."""
        vocabulary, columns = np.unique(self.tokens, return_inverse=True)
        shape = (len(self.indptr) - 1, max(1, len(vocabulary)))
        return sparse.csr_matrix((self.values, columns.ravel(), self.indptr), shape=shape)


def number_of_rows(features: Features) -> int:
    """How many rows a sample of features has."""
    return int(features.shape[0])


def pool(real: Features, generated: Features) -> Features:
    """Both samples below one another, real first; token counts get common columns."""
    if isinstance(real, TokenCounts):
        return TokenCounts.concatenate([real, generated]).matrix()
    if sparse.issparse(real):
        return sparse.vstack([real, generated], format="csr")
    return np.concatenate([np.asarray(real), np.asarray(generated)])


def take_rows(features: Features, rows: npt.NDArray[np.int64]) -> Features:
    """The rows with these numbers."""
    return features.matrix()[rows] if isinstance(features, TokenCounts) else features[rows]
