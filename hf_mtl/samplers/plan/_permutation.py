"""Pseudo-random permutations of 0 .. size - 1 that are computed, not stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["mix", "permute", "uniforms"]

# Enough for every order of 3 to 6 rows to come equally often; with 6 rounds some came several times as often as others.
_ROUNDS = 12


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit integers so that each bit of the input flips about half of the output's.

    Source: the finaliser of SplitMix64: G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number
    Generators, OOPSLA 2014, figure 12.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def permute(
    positions: npt.NDArray[np.int64], size: int | npt.NDArray[np.int64], key: tuple[int | npt.NDArray[np.int64], ...]
) -> npt.NDArray[np.int64]:
    r"""Return where each position goes in the permutation of ``range(size)`` that belongs to ``key``.

    A Feistel network permutes the pairs (l, r) of :math:`\mathbb{Z}_a \times \mathbb{Z}_b`, where a is the root of
    ``size`` and a b the first multiple of it that reaches ``size``; the few pairs past ``size`` are sent through
    again until they fall inside (cycle-walking), which keeps it a permutation. Time and memory are O(1) a position.

    Args:
        positions: int64 [B] in [0, size).
        size: Length of the permutation, at least 1; one for all positions, or int64 [B].
        key: Integers that name the permutation, such as (seed, dataset, pass); each one for all positions, or
            int64 [B].

    Returns:
        int64 [B].

    Source: J. Black, P. Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002, sections 4 and 5.

    >>> sorted(permute(np.arange(5), 5, key=(1, 2)).tolist())
    [0, 1, 2, 3, 4]
    """
    round_keys = mix(_seed_of(key) + np.arange(_ROUNDS, dtype=np.uint64)[:, None])
    sizes = np.atleast_1d(np.asarray(size, dtype=np.uint64))
    a = np.ceil(np.sqrt(sizes)).astype(np.uint64)
    b = (sizes + a - np.uint64(1)) // a
    values = positions.astype(np.uint64)
    round_keys, sizes, a, b = (np.broadcast_to(x, (*x.shape[:-1], *values.shape)) for x in (round_keys, sizes, a, b))
    result = _network(values, a, b, round_keys)
    while len(outside := np.flatnonzero(result >= sizes)):
        result[outside] = _network(result[outside], a[outside], b[outside], round_keys[:, outside])
    return result.astype(np.int64)


def uniforms(key: tuple[int, ...], count: int) -> npt.NDArray[np.float64]:
    """Return numbers in [0, 1) that belong to a key: the same ones wherever and whenever they are asked for.

    Args:
        key: Integers that name them.
        count: How many; the first ones are those of any smaller count.

    >>> uniforms((1, 2), 2).round(2).tolist() == uniforms((1, 2), 5)[:2].round(2).tolist()
    True
    """
    bits = mix(_seed_of(key) + np.arange(count).astype(np.uint64)) >> np.uint64(11)
    return bits.astype(np.float64) * np.float64(2.0**-53)


def _seed_of(key: tuple[int | npt.NDArray[np.int64], ...]) -> npt.NDArray[np.uint64]:
    seed = np.zeros(1, dtype=np.uint64)
    for entry in key:
        bits = entry.astype(np.uint64) if isinstance(entry, np.ndarray) else np.uint64(entry % (1 << 64))
        seed = mix(seed ^ bits)
    return seed


def _network(
    values: npt.NDArray[np.uint64],
    a: npt.NDArray[np.uint64],
    b: npt.NDArray[np.uint64],
    round_keys: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]:
    left, right = np.divmod(values, b)
    for number, round_key in enumerate(round_keys):
        if number % 2 == 0:
            left = (left + mix(right ^ round_key) % a) % a
        else:
            right = (right + mix(left ^ round_key) % b) % b
    return left * b + right
