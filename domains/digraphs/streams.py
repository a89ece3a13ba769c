"""Random streams that belong to one purpose of one sample: xoshiro256++ inside kernels, NumPy's generators outside.

A stream is the array of four 64-bit words that xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number
generators", ACM TOMS 47, 2021) advances. Streams are split off a seed by keys, so sample k has the same numbers
whatever else is drawn. Integers below a bound are drawn without bias (Lemire, ACM TOMACS 29, 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorefield.core.compiled import compiled
from scorefield.core.errors import InputError

__all__ = ["Stream", "below", "generator", "next_word", "shuffle", "stream", "uniform"]

Stream = NDArray[np.uint64]

_WORD = np.uint64(0xFFFFFFFF)
_HALF, _LOW = np.uint64(32), np.uint64(11)
_TWO_32 = np.uint64(1 << 32)


def _sequence(seed: int, keys: tuple[int, ...]) -> np.random.SeedSequence:
    if seed < 0 or any(key < 0 for key in keys):
        raise InputError(f"seed {seed} with keys {keys} is negative", mend="take seeds from 0 up")
    return np.random.SeedSequence(seed, spawn_key=keys)


def stream(seed: int, *keys: int) -> Stream:
    """The stream of a seed for the purpose that the keys name, uint64 `(4,)`.

    Raises:
        InputError: the seed or a key is negative.
    """
    return _sequence(seed, keys).generate_state(4, np.uint64).astype(np.uint64)


def generator(seed: int, *keys: int) -> np.random.Generator:
    """The same for work on whole arrays.

    Raises:
        InputError: the seed or a key is negative.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, keys)))


@compiled
def next_word(state: Stream) -> np.uint64:
    """The next 64 random bits; the state advances."""
    total = state[0] + state[3]
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
    return np.uint64(word)


@compiled
def uniform(state: Stream) -> float:
    """A number in [0, 1) with 53 random bits."""
    return float(np.float64(next_word(state) >> _LOW) * (1.0 / 9007199254740992.0))


@compiled
def below(state: Stream, bound: int) -> int:
    """A uniform integer in [0, bound); the bound is positive."""
    size = np.uint64(bound)
    if size > _WORD:
        reach = np.uint64(0xFFFFFFFFFFFFFFFF) // size * size
        word = next_word(state)
        while word >= reach:
            word = next_word(state)
        return int(np.int64(word % size))
    product = (next_word(state) >> _HALF) * size
    if (product & _WORD) < size:
        least = (_TWO_32 - size) % size
        while (product & _WORD) < least:
            product = (next_word(state) >> _HALF) * size
    return int(np.int64(product >> _HALF))


@compiled
def shuffle(values: NDArray[np.int64], start: int, stop: int, state: Stream) -> None:
    """Permute `values[start:stop]` in place, every order equally likely (Fisher and Yates)."""
    for last in range(stop - 1, start, -1):
        other = start + below(state, last - start + 1)
        kept = values[last]
        values[last] = values[other]
        values[other] = kept
