"""The edges of a simple graph from a stream of raw ones, in memory or, where they are too many, on disk.

Edges are sorted into buckets by a hash of both ends, whichever is first, so that repetitions of an edge, and its
reverse, meet in one bucket; buckets are then cleaned one by one. Nodes are numbered in increasing order of their ids.
What has to fit in memory are the ids of the nodes and one bucket.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from scorefield.core.errors import InputError

__all__ = ["EdgeStore"]

Ids = NDArray[np.int64]
Batch = tuple[Ids, Ids]
_BUCKETS = 64
_DENSE = 1 << 27  # ids below this are marked in an array of bytes
_MIX = np.uint64(0x9E3779B97F4A7C15)


class EdgeStore:
    """Distinct edges without loops.

    Args:
        batches: raw sources and targets.
        n: number of nodes, whose ids are then 0 to n - 1; by default the ids seen are the nodes.
        in_memory: edges up to which nothing is written to disk.
        file: where the edges come from, for messages.

    Attributes:
        n: number of nodes.
        m: number of edges.
        loops: raw edges from a node to itself, left out.
        duplicates: repetitions of an edge, left out.
        is_symmetric: whether there are edges and each has its reverse.

    Raises:
        InputError: an id that no node has; whatever reading raises.
    """

    def __init__(
        self, batches: Iterable[Batch], n: int | None = None, in_memory: int = 50_000_000, file: Path | None = None
    ) -> None:
        self.loops = self.m = self.duplicates = 0
        self._folder: Path | None = None
        self._keys: list[NDArray[np.int64]] = []
        self._raw: list[Batch] = []
        self._ids = _Ids(n, file)
        held = 0
        for src, dst in batches:
            self._ids.add(src, dst)
            apart = src != dst
            self.loops += int(src.size - np.count_nonzero(apart))
            self._raw.append((src[apart], dst[apart]))
            held += self._raw[-1][0].size
            if held > in_memory:
                self._spill()
                held = 0
        self._ids.finish()
        self.n = self._ids.n
        self.is_symmetric = True
        self._clean()
        self.is_symmetric &= self.m > 0

    @property
    def on_disk(self) -> bool:
        """Whether the edges are kept in files."""
        return self._folder is not None

    def batches(self, size: int) -> Iterator[Batch]:
        """Sources and targets of up to `size` edges each, numbered 0 to n - 1."""
        for keys in self._keys:
            for first in range(0, keys.size, size):
                part = np.asarray(keys[first : first + size])
                src = part // max(self.n, 1)
                yield src, part - src * self.n

    def number_of_batches(self, size: int) -> int:
        """How many `batches` makes."""
        return sum(-(-keys.size // size) for keys in self._keys)

    def close(self) -> None:
        """Remove what is on disk; the store is empty afterwards."""
        self._keys = []
        if self._folder is not None:
            self._remove()
            self._folder = None

    def _path(self, bucket: int, suffix: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="scorefield-edges-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / f"{bucket:03d}{suffix}"

    def _spill(self) -> None:
        """Append what is held to the files of its buckets."""
        src, dst = (np.concatenate(ends) for ends in zip(*self._raw, strict=True))
        self._raw = []
        bucket = _bucket(src, dst)
        order = np.argsort(bucket, kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1))
        for number in range(_BUCKETS):
            part = order[bounds[number] : bounds[number + 1]]
            with self._path(number, ".raw").open("ab") as file:
                _append(file, src[part], dst[part])

    def _clean(self) -> None:
        """Number the nodes of every bucket and drop repetitions."""
        if self._folder is None:
            ends = zip(*self._raw, strict=True) if self._raw else ((), ())
            empty = np.zeros(0, np.int64)
            src, dst = (np.concatenate([empty, *end]) for end in ends)
            self._raw = []
            self._keys = [self._distinct(src, dst)]
            return
        if self._raw:
            self._spill()
        for number in range(_BUCKETS):
            raw = np.fromfile(self._path(number, ".raw"), np.int64).reshape(-1, 2)
            keys = self._distinct(raw[:, 0], raw[:, 1])
            self._path(number, ".raw").unlink()
            if keys.size:
                np.save(self._path(number, ".npy"), keys)
                self._keys.append(np.load(self._path(number, ".npy"), mmap_mode="r"))

    def _distinct(self, src: Ids, dst: Ids) -> NDArray[np.int64]:
        keys = self._ids.rank(src) * self.n
        keys += self._ids.rank(dst)
        keys.sort()
        fresh = np.ones(keys.size, bool)
        fresh[1:] = keys[1:] != keys[:-1]
        kept = keys[fresh]
        self.m += kept.size
        self.duplicates += keys.size - kept.size
        self.is_symmetric = self.is_symmetric and self._has_reverses(kept)
        return kept

    def _has_reverses(self, keys: NDArray[np.int64]) -> bool:
        src = keys // max(self.n, 1)
        dst = keys - src * self.n
        if not np.array_equal(np.bincount(src), np.bincount(dst)):
            return False
        return np.array_equal(np.sort(dst * self.n + src), keys)


class _Ids:
    """The ids of the nodes: those of 0 to n - 1, or those seen."""

    def __init__(self, n: int | None, file: Path | None) -> None:
        self._fixed, self._file = n, file
        self._seen = np.zeros(0, bool)
        self._large = np.zeros(0, np.int64)
        self._edges = 0
        self.n = n or 0

    def add(self, *ends: Ids) -> None:
        if self._fixed is not None:
            self._check(*ends)
            return
        for ids in ends:
            top = int(ids.max(initial=-1)) + 1
            if top > _DENSE:
                self._large = np.union1d(self._large, ids[ids >= _DENSE])
                ids = ids[ids < _DENSE]
                top = int(ids.max(initial=-1)) + 1
            if top > self._seen.size:
                grown = np.zeros(min(max(top, 2 * self._seen.size), _DENSE), bool)
                grown[: self._seen.size] = self._seen
                self._seen = grown
            self._seen[ids] = True

    def _check(self, src: Ids, dst: Ids) -> None:
        wrong = np.flatnonzero((src >= self.n) | (dst >= self.n) | (src < 0) | (dst < 0))
        if wrong.size:
            edge = int(wrong[0])
            what = f"{src[edge]} -> {dst[edge]} has an id that is not of 0 to {self.n - 1}"
            place = f"edge {self._edges + edge + 1}"
            raise InputError(what, file=self._file, place=place, mend="give the right n, or none")
        self._edges += src.size

    def finish(self) -> None:
        if self._fixed is not None:
            return
        self._labels = np.concatenate([np.flatnonzero(self._seen), self._large])
        self.n = self._labels.size
        if self._large.size or self._seen.size > 16 * self.n + 1024:
            self._seen = np.zeros(0, bool)
        self._ranks = np.cumsum(self._seen, dtype=np.int64) - 1  # empty where ids are too far apart

    def rank(self, ids: Ids) -> Ids:
        if self._fixed is not None:
            return ids.astype(np.int64)
        if self._ranks.size:
            return self._ranks[ids]
        return np.searchsorted(self._labels, ids).astype(np.int64)


def _bucket(src: Ids, dst: Ids) -> NDArray[np.int64]:
    mixed = (np.minimum(src, dst).astype(np.uint64) * _MIX) ^ np.maximum(src, dst).astype(np.uint64)
    mixed = (mixed * _MIX) >> np.uint64(58)
    return mixed.astype(np.int64)


def _append(file: BinaryIO, src: Ids, dst: Ids) -> None:
    np.stack([src, dst], axis=1).tofile(file)
