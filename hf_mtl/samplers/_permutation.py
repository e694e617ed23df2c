"""A pseudo-random permutation of 0 .. size - 1 that is computed, not stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["mix", "permute"]

_ROUNDS = 6


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit integers so that each bit of the input flips about half of the output's.

    Source: the finaliser of SplitMix64: G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number
    Generators, OOPSLA 2014, figure 12.
    """
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def permute(positions: npt.NDArray[np.int64], size: int, key: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return where each position goes in the permutation of ``range(size)`` that belongs to ``key``.

    A Feistel network permutes the smallest square power of two that holds ``size``; what falls outside is sent
    through again until it falls inside (cycle-walking), which keeps it a permutation. Time and memory are O(1) a
    position.

    Args:
        positions: int64 values in [0, size).
        size: Length of the permutation, at least 1.
        key: Integers that name the permutation, such as (seed, dataset, pass).

    Source: J. Black, P. Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002, sections 4 and 5.

    >>> sorted(permute(np.arange(5), 5, key=(1, 2)).tolist())
    [0, 1, 2, 3, 4]
    """
    half_bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    seed = np.zeros(1, dtype=np.uint64)
    for part in key:
        seed = mix(seed ^ np.uint64(part % (1 << 64)))
    keys = [mix(seed + np.uint64(i)) for i in range(_ROUNDS)]

    def network(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> half_bits, values & mask
        for round_key in keys:
            left, right = right, left ^ (mix(right ^ round_key) & mask)
        return (left << half_bits) | right

    result = network(positions.astype(np.uint64))
    while (outside := result >= np.uint64(size)).any():
        result[outside] = network(result[outside])
    return result.astype(np.int64)
