"""Hashes of many values at once, the same on every machine, in every process, in every version of every library."""

from __future__ import annotations

import numpy as np

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SALT = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_PIECE = 1 << 20


def mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014) of uint64s, one step on: a bijection that spreads every bit over all."""
    made = bits + _SALT
    made ^= made >> np.uint64(30)
    made *= _FIRST
    made ^= made >> np.uint64(27)
    made *= _SECOND
    made ^= made >> np.uint64(31)
    return made


class _Powers:
    """Powers of a base modulo 2**64, as many as were ever needed."""

    def __init__(self, base: int) -> None:
        self.base, self.known = base, np.ones(1, np.uint64)

    def upto(self, count: int) -> np.ndarray:
        while len(self.known) < count:
            step = np.uint64(pow(self.base, len(self.known), 1 << 64))
            self.known = np.concatenate([self.known, self.known * step])
        return self.known[:count]


_POWERS, _INVERSES = _Powers(_BASE), _Powers(_INVERSE)


def hash_texts(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """A hash of each text `data[offsets[i]:offsets[i + 1]]` (uint8): a polynomial of its bytes modulo 2**64, from prefix sums, then mixed
    with its length. Texts are taken in pieces of about a megabyte, so that the tables of powers stay small."""
    count = len(offsets) - 1
    made = np.empty(count, np.uint64)
    start = 0
    while start < count:
        end = int(np.searchsorted(offsets, int(offsets[start]) + _PIECE, side="right")) - 1
        end = min(max(end, start + 1), count)
        made[start:end] = _hash_piece(offsets[start : end + 1], data)
        start = end
    return made


def _hash_piece(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    first, last = int(offsets[0]), int(offsets[-1])
    local = offsets.astype(np.int64) - first
    sums = np.zeros(last - first + 1, np.uint64)
    np.cumsum((data[first:last].astype(np.uint64) + np.uint64(1)) * _POWERS.upto(last - first), out=sums[1:])
    begins, ends = local[:-1], local[1:]
    polynomial = (sums[ends] - sums[begins]) * _INVERSES.upto(last - first + 1)[begins]
    return mixed(polynomial + (ends - begins).astype(np.uint64))


def first_words(offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, skip: int = 0) -> np.ndarray:
    """Eight bytes of the texts of some rows, from byte `skip` on, as numbers that stand in the order of the texts; zeros follow a text."""
    starts = offsets[:-1][rows].astype(np.int64) + skip
    left = np.clip(offsets[1:][rows] - starts, 0, 8)
    first, last = int(offsets[0]), int(offsets[-1])
    padded = np.zeros(last - first + 8, np.uint8)
    padded[: last - first] = data[first:last]
    every = np.ndarray((last - first + 1,), "<u8", padded.data, strides=(1,))
    words = every[np.minimum(starts - first, last - first)]
    return (words & _MASKS[left]).byteswap()


_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)
