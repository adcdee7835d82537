"""Hashes of many values at once, the same on every machine, in every process, in every version of every library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SALT = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_BLOCK = 1 << 15
_PIECE = 1 << 20
_SHORT = 256
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(9)], np.uint64)


def mixed(bits: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014) of uint64s, one step on: a bijection that spreads every bit over all."""
    made = bits + _SALT
    for start in range(0, len(made), _BLOCK):  # a block and its scratch stay in the nearest cache
        part = made[start : start + _BLOCK]
        scratch = part >> _30
        part ^= scratch
        part *= _FIRST
        np.right_shift(part, _27, out=scratch)
        part ^= scratch
        part *= _SECOND
        np.right_shift(part, _31, out=scratch)
        part ^= scratch
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
    """A hash of each text `data[offsets[i]:offsets[i + 1]]` (uint8). Up to 256 bytes: of eight bytes after the other, each multiplied and
    folded in, of all texts at once. Longer ones: a polynomial of their bytes modulo 2**64, from prefix sums."""
    starts = offsets[:-1].astype(np.int64, copy=False)
    left = offsets[1:] - starts
    made = np.full(len(starts), _SALT)
    if not len(starts):
        return made
    longest = int(left.max())
    read = _words_of(data)
    rows: np.ndarray | None = None
    for skip in range(0, max(1, min(longest, _SHORT)), 8):
        if skip:
            going = np.flatnonzero(left > skip)
            rows = None if len(going) == len(left) else going
        at, rest = (starts, left) if rows is None else (starts[rows], left[rows])
        part = read(at + skip, rest - skip)
        folded = part + made if rows is None else part + made[rows]
        folded *= _FIRST
        folded ^= folded >> np.uint64(32)
        if rows is None:
            made = folded
        else:
            made[rows] = folded
    made += left.astype(np.uint64)
    made = mixed(made)
    if longest > _SHORT:
        rows = np.flatnonzero(left > _SHORT)
        made[rows] = _hash_long(starts[rows], left[rows], data)
    return made


def _words_of(data: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What reads eight bytes from any place, as numbers whose lowest byte is the first; beyond `left` bytes they are zeros."""
    if len(data) < 8:
        data = np.concatenate([data, np.zeros(8, np.uint8)])
    last = len(data) - 8
    every = np.ndarray((last + 1,), "<u8", np.ascontiguousarray(data).data, strides=(1,))

    def read(starts: np.ndarray, left: np.ndarray) -> np.ndarray:
        words = every[np.minimum(starts, last)]
        beyond = np.flatnonzero(starts > last)  # the last few bytes of all
        if len(beyond):
            words[beyond] >>= (8 * np.minimum(starts[beyond] - last, 7)).astype(np.uint64)
        words &= _MASKS[np.clip(left, 0, 8)]
        return words

    return read


def _hash_long(starts: np.ndarray, counts: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Texts are taken in pieces of about a megabyte, so that the tables of powers stay small."""
    made = np.empty(len(starts), np.uint64)
    upto = np.concatenate([[0], np.cumsum(counts)])
    begin = 0
    while begin < len(starts):
        end = max(int(np.searchsorted(upto, upto[begin] + _PIECE, side="right")) - 1, begin + 1)
        part = np.concatenate([data[start : start + count] for start, count in zip(starts[begin:end], counts[begin:end], strict=True)])
        made[begin:end] = _hash_piece(upto[begin : end + 1] - upto[begin], part)
        begin = end
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
    starts = offsets[:-1][rows].astype(np.int64)
    return _words_of(data)(starts + skip, offsets[1:][rows] - starts - skip).byteswap()
