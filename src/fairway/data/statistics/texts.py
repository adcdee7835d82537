"""What texts look like: shapes, damaged encoding, numbers and dates that came as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_LONGEST_SHAPE = 40
_NUMBER = re.compile(r"\s*[+-]?(\d{1,3}([,' ]\d{3})+|\d+)?([.,]\d*)?([eE][+-]?\d+)?\s*%?\s*")
_DAY = r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}/\d{1,2}/\d{1,2})"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
_DATE = re.compile(rf"\s*{_DAY}([T ]{_CLOCK})?\s*")


@dataclass(slots=True)
class EncodingCounts:
    """Texts with signs of a damaged encoding. `replacement`: U+FFFD, left where bytes could not be read; `mojibake`: UTF-8 that was read as
    Latin-1 or Windows-1252 ("Ã©" for "é"); `controls`: control characters other than tabs and line ends; `nul`: U+0000; `invalid`: bytes
    that are no UTF-8."""

    replacement: int = 0
    mojibake: int = 0
    controls: int = 0
    nul: int = 0
    invalid: int = 0

    @property
    def damaged(self) -> int:
        """The largest of the counts: at least so many texts are damaged."""
        return max(self.replacement, self.mojibake, self.controls, self.nul, self.invalid)

    def merged(self, other: EncodingCounts) -> EncodingCounts:
        return EncodingCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def count_encoding(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray | None) -> EncodingCounts:
    """Of one batch's texts."""
    first, last = int(offsets[0]), int(offsets[-1])
    part = data[first:last]
    if not len(part) or (part.min() >= 0x20 and part.max() < 0x7F):  # nearly every batch is printable ASCII
        return EncodingCounts()
    made = EncodingCounts()

    def rows(places: np.ndarray) -> int:
        found = np.unique(np.searchsorted(offsets, places + first, side="right") - 1)
        return len(found) if valid is None else int(np.count_nonzero(valid[found]))

    if part.min() < 0x20 or (part == 0x7F).any():
        made.nul = rows(np.flatnonzero(part == 0))
        made.controls = rows(np.flatnonzero(((part < 0x20) & (part != 9) & (part != 10) & (part != 13) & (part != 0)) | (part == 0x7F)))
    if part.max() >= 0x80:
        made.replacement = rows(_places(part, (0xEF, 0xBF, 0xBD)))
        made.mojibake = rows(_mojibake(part))
        made.invalid = _invalid(offsets, data, part, valid)
    return made


def _places(part: np.ndarray, word: tuple[int, ...]) -> np.ndarray:
    found = np.flatnonzero(part[: len(part) - len(word) + 1] == word[0]) if len(part) >= len(word) else np.empty(0, np.int64)
    for place, byte in enumerate(word[1:], 1):
        found = found[part[found + place] == byte]
    return found


def _mojibake(part: np.ndarray) -> np.ndarray:
    """C3 and a continuation byte of UTF-8 that were taken for characters: "Ã" or "Â" and one of U+0080 to U+00BF; "â€"."""
    lead = np.concatenate([_places(part, (0xC3, 0x83, 0xC2)), _places(part, (0xC3, 0x82, 0xC2))])
    return np.concatenate(
        [lead, _places(part, (0xC3, 0xA2, 0xE2, 0x82, 0xAC)), _places(part, (0xC3, 0x83, 0xC6)), _places(part, (0xC3, 0x83, 0xE2))]
    )


def _invalid(offsets: np.ndarray, data: np.ndarray, part: np.ndarray, valid: np.ndarray | None) -> int:
    try:
        part.tobytes().decode("utf-8")
        return 0
    except UnicodeDecodeError:
        pass
    count = 0
    for row in range(len(offsets) - 1):
        if valid is None or valid[row]:
            try:
                data[offsets[row] : offsets[row + 1]].tobytes().decode("utf-8")
            except UnicodeDecodeError:
                count += 1
    return count


def shape_of(text: str) -> str:
    """ "Aaa-999" style: A for capitals, a for small letters, 9 for digits, runs of equal signs as one; other signs as they are."""
    made: list[str] = []
    for sign in text[:400]:
        one = "9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else " " if sign.isspace() else sign
        if not made or made[-1] != one:
            made.append(one)
        if len(made) > _LONGEST_SHAPE:
            return "".join(made[:_LONGEST_SHAPE]) + "…"
    return "".join(made)


def reads_as(text: str) -> str:
    """ "number", "date", or "" for any other text."""
    if any(sign.isdigit() for sign in text[:40]):
        if _DATE.fullmatch(text):
            return "date"
        if _NUMBER.fullmatch(text):
            return "number"
    return ""
