"""What a text is reduced to, for whole columns at once: length, words, shares of letters and digits, its shape, one of its trigrams."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fairway.data.batch import Values
from fairway.data.hashing import mixed

BUCKETS = 64
_OTHER, _UPPER, _LOWER, _DIGIT, _SPACE, _BEYOND = range(6)
_SIGNS = np.frombuffer(b"-Aa9 z", np.uint8)


def _classes() -> np.ndarray:
    made = np.full(256, _OTHER, np.uint8)
    made[ord("A") : ord("Z") + 1] = _UPPER
    made[ord("a") : ord("z") + 1] = _LOWER
    made[ord("0") : ord("9") + 1] = _DIGIT
    made[[9, 10, 13, 32]] = _SPACE
    made[128:] = _BEYOND
    return made


_CLASS = _classes()


class Texts:
    """A column of texts, and what its reductions share."""

    def __init__(self, values: Values) -> None:
        assert values.offsets is not None
        offsets = values.offsets.astype(np.int64)
        self.values = values
        self.offsets = offsets - offsets[0]
        self.data = values.data[int(offsets[0]) : int(offsets[-1])]
        self.lengths = np.diff(self.offsets)

    @cached_property
    def classes(self) -> np.ndarray:
        return _CLASS[self.data]

    @cached_property
    def firsts(self) -> np.ndarray:
        """Where each text begins that is not empty."""
        return self.offsets[:-1][self.lengths > 0]


def _counted(mask: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=sums[1:])
    return sums[offsets[1:]] - sums[offsets[:-1]]


def shares(texts: Texts, of: str) -> np.ndarray:
    """Share of each text's bytes that are `letters`, `digits` or `beyond` ASCII; 0 for an empty text."""
    classes = texts.classes
    mask = (classes == _UPPER) | (classes == _LOWER) if of == "letters" else classes == (_DIGIT if of == "digits" else _BEYOND)
    return _counted(mask, texts.offsets) / np.maximum(texts.lengths, 1)


def words(texts: Texts) -> np.ndarray:
    """Words of each text: runs of what is no white space."""
    solid = texts.classes != _SPACE
    begins = solid.copy()
    begins[1:] &= ~solid[:-1]
    begins[texts.firsts] = solid[texts.firsts]
    return _counted(begins, texts.offsets).astype(np.float64)


def shapes(texts: Texts) -> Values:
    """The shape of each text: `A`, `a`, `9` for runs of capitals, small letters, digits, a space for white space, `z` for runs of bytes
    beyond ASCII, `-` for runs of anything else; of the first 64 bytes."""
    offsets, classes, lengths = texts.offsets, texts.classes, texts.lengths
    kept = np.ones(len(classes), bool)
    kept[1:] = classes[1:] != classes[:-1]
    kept[texts.firsts] = True
    if len(lengths) and int(lengths.max()) > 64:
        kept &= np.arange(len(classes)) - np.repeat(offsets[:-1], lengths) < 64
    made = np.zeros(len(offsets), np.int64)
    np.cumsum(_counted(kept, offsets), out=made[1:])
    return Values("string", "string", _SIGNS[classes[kept]], texts.values.valid, made)


def trigrams(texts: Texts) -> np.ndarray:
    """A bucket (0 to `BUCKETS` - 1) of one trigram of each text, which one by the text's own hash: rows stay independent of each other, as
    counts of all trigrams would not. Texts of less than three bytes have bucket 0; so may nulls, whatever stands there."""
    offsets, data, room = texts.offsets, texts.data, texts.lengths - 2
    safe = np.maximum(room, 1).astype(np.uint64)
    place = offsets[:-1] + (mixed(texts.values.hashes()) % safe).astype(np.int64)
    last = max(len(data) - 1, 0)
    if not len(data):
        return np.zeros(len(room))
    picked = [data[np.minimum(place + step, last)].astype(np.uint64) for step in range(3)]
    codes = picked[0] << np.uint64(16) | picked[1] << np.uint64(8) | picked[2]
    return np.where(room > 0, mixed(codes) % np.uint64(BUCKETS), np.uint64(0)).astype(np.float64)
