"""ISO 8601 texts as numbers, many at once."""

from __future__ import annotations

import numpy as np

_ZERO = 48
_DAY_US = 86_400_000_000


def parse_times(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, bool] | None:
    """Microseconds since 1970 of texts such as `2026-03-02T10:00:05.25Z` (UTC, or of the wall clock if none names a zone), and whether they
    name a zone. None if a text that is not null is none, or some name a zone and some do not."""
    made = np.zeros(len(offsets) - 1, np.int64)
    lengths = np.diff(offsets)
    zones: set[bool] = set()
    present = np.ones(len(made), bool) if valid is None else valid
    for length in np.unique(lengths[present]).tolist() if len(made) else []:
        if length < 16:
            return None
        rows = np.flatnonzero((lengths == length) & present)
        whole = len(rows) * length == len(data)
        texts = data.reshape(-1, length) if whole else data[offsets[:-1][rows][:, None] + np.arange(length)]
        groups = _by_ending(texts)
        if groups is None:
            return None
        for which, digits, offset_us, aware in groups:
            parsed = _parse_wall(texts[which][:, :digits])
            if parsed is None:
                return None
            zones.add(aware)
            made[rows[which]] = parsed - offset_us
    return (made, zones == {True}) if len(zones) == 1 else None


def parse_dates(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray | None) -> np.ndarray | None:
    """Days since 1970 of texts such as `2026-03-02`; None if one that is not null is none."""
    made = np.zeros(len(offsets) - 1, np.int64)
    rows = np.arange(len(made)) if valid is None else np.flatnonzero(valid)
    if not len(rows) or (np.diff(offsets)[rows] != 10).any():
        return None
    days = _parse_days(data[offsets[:-1][rows][:, None] + np.arange(10)])
    if days is None:
        return None
    made[rows] = days
    return made


def _by_ending(texts: np.ndarray) -> list[tuple[np.ndarray, int, np.ndarray | int, bool]] | None:
    """Texts of one length by how they end: which rows, how long the wall clock's part is, the zone's offset in µs, is there one."""
    length, last = texts.shape[1], texts[:, -1]
    zulu = (last == ord("Z")) | (last == ord("z"))
    if zulu.all():
        return [(np.arange(len(texts)), length - 1, 0, True)]
    groups: list[tuple[np.ndarray, int, np.ndarray | int, bool]] = []
    left = ~zulu
    if zulu.any():
        groups.append((np.flatnonzero(zulu), length - 1, 0, True))
    for width, hour, minute in ((6, -5, -2), (5, -4, -2), (3, -2, 0)):
        if length < 16 + width:
            continue
        sign = texts[:, -width]
        here = left & ((sign == ord("+")) | (sign == ord("-")))
        if width == 6:
            here &= texts[:, -3] == ord(":")
        rows = np.flatnonzero(here)
        if not len(rows):
            continue
        tail = texts[rows]
        pieces = [tail[:, hour : hour + 2 or None]] + ([tail[:, minute:]] if minute else [])
        if not all(_are_digits(one) for one in pieces):
            return None
        minutes = _number(pieces[0]) * 60 + (_number(pieces[1]) if minute else 0)
        groups.append((rows, length - width, np.where(sign[rows] == ord("-"), -minutes, minutes) * 60_000_000, True))
        left &= ~here
    if left.any():
        groups.append((np.flatnonzero(left), length, 0, False))
    return groups


def _parse_wall(texts: np.ndarray) -> np.ndarray | None:
    """`YYYY-MM-DD?hh:mm[:ss[.fraction]]`, all of one length."""
    length = texts.shape[1]
    if length not in (16, 19) and not 21 <= length <= 29:
        return None
    between = texts[:, 10]
    if not ((between == ord("T")) | (between == ord(" ")) | (between == ord("t"))).all() or (texts[:, 13] != ord(":")).any():
        return None
    days = _parse_days(texts[:, :10])
    hours, minutes = texts[:, 11:13], texts[:, 14:16]
    if days is None or not _are_digits(hours) or not _are_digits(minutes):
        return None
    hour, minute = _number(hours), _number(minutes)
    second, fraction = np.zeros(len(texts), np.int64), 0
    if length >= 19:
        if (texts[:, 16] != ord(":")).any() or not _are_digits(texts[:, 17:19]):
            return None
        second = _number(texts[:, 17:19])
    if length > 19:
        point, digits = texts[:, 19], texts[:, 20:26]
        if not ((point == ord(".")) | (point == ord(","))).all() or not _are_digits(texts[:, 20:]):
            return None
        fraction = _number(digits) * 10 ** (6 - digits.shape[1])
    if (hour > 23).any() or (minute > 59).any() or (second > 60).any():
        return None
    return days * _DAY_US + (hour * 3600 + minute * 60 + second) * 1_000_000 + fraction


def _parse_days(texts: np.ndarray) -> np.ndarray | None:
    if (texts[:, 4] != ord("-")).any() or (texts[:, 7] != ord("-")).any():
        return None
    parts = texts[:, :4], texts[:, 5:7], texts[:, 8:10]
    if not all(_are_digits(one) for one in parts):
        return None
    year, month, day = (_number(one) for one in parts)
    if (month < 1).any() or (month > 12).any() or (day < 1).any() or (day > 31).any():
        return None
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return days if (days.astype("datetime64[D]").astype("datetime64[M]") == months).all() else None


def _are_digits(texts: np.ndarray) -> bool:
    return bool(((texts - np.uint8(_ZERO)) < 10).all())


def _number(digits: np.ndarray) -> np.ndarray:
    made = digits[:, 0].astype(np.int64) - _ZERO
    for place in range(1, digits.shape[1]):
        made = made * 10 + (digits[:, place].astype(np.int64) - _ZERO)
    return made
