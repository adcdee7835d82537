"""Dates and times as people write them in different places: which order of day and month a column has."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from fairway.errors import ConfigError

_ORDERS = ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%Y{s}%m{s}%d", "%d{s}%m{s}%y", "%m{s}%d{s}%y")
_DATES = (
    *(order.format(s=mark) for mark in "/.-" for order in _ORDERS if not (mark == "-" and order.startswith("%Y"))),
    "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f", ", %H:%M", ", %H:%M:%S")
PATTERNS = tuple(date + clock for date in _DATES for clock in _CLOCKS)
_LIKELY = re.compile(r"[0-9A-Za-z]{1,9}[-/. ][0-9A-Za-z]{1,9}[-/., ]{1,2}[0-9]{2,4}(,? [0-9]{1,2}:.*)?")
_TRIED = 300
_SWAPPED = {"d": "m", "m": "d"}


def find_formats(columns: Mapping[str, set[str]], pinned: Any, notes: list[str]) -> dict[str, str]:
    """The layout (strptime's) of each column whose texts are dates, but not ISO 8601. Where day and month cannot be told, it is said."""
    if pinned is not None and not isinstance(pinned, str | Mapping):
        raise ConfigError(f"dates={pinned!r}", hint='dates="%d/%m/%Y", dates="dmy", dates="mdy" or dates={"column": "%d/%m/%Y"}')
    fitting: dict[str, list[str]] = {}
    for name, values in columns.items():
        said = pinned.get(name) if isinstance(pinned, Mapping) else pinned
        if said and "%" in said:
            if isinstance(pinned, Mapping) or _all_fit(_tried(values), said):
                fitting[name] = [said]
            continue
        tried = _tried(values)
        if tried and all(_LIKELY.fullmatch(value) for value in tried[:20]):
            fits = [layout for layout in PATTERNS if _all_fit(tried, layout)]
            if said in ("dmy", "mdy"):
                fits = [layout for layout in fits if _order(layout) in (said, "")] or fits
            if fits:
                fitting[name] = fits
    sure = {_order(fits[0]) for fits in fitting.values() if len({_order(one) for one in fits}) == 1} - {""}
    made: dict[str, str] = {}
    for name, fits in fitting.items():
        told = [layout for layout in fits if len(sure) == 1 and _order(layout) in sure]
        chosen = (told or fits)[0]
        made[name] = chosen
        doubtful = len({_order(one) for one in fits}) > 1 and not told
        other = next((one for one in fits if _order(one) != _order(chosen)), "")
        if doubtful:
            notes.append(f"dates of {name!r} may be {chosen} or {other}: read as {chosen}; if wrong: dates={{{name!r}: {other!r}}}")
        elif not pinned:
            notes.append(f"dates of {name!r} are written {chosen}; pin it with dates={{{name!r}: {chosen!r}}}")
    return made


def _tried(values: set[str]) -> list[str]:
    return [value for one in sorted(values)[:: max(1, len(values) // _TRIED)] if (value := one.strip())]


def _order(layout: str) -> str:
    """ "dmy" or "mdy" where the two can be mistaken for each other."""
    return "dmy" if layout[:2] == "%d" and layout[3:5] == "%m" else "mdy" if layout[:2] == "%m" else ""


def _all_fit(values: list[str], layout: str) -> bool:
    return bool(values) and all(_fits(value, layout) for value in values)


def _fits(value: str, layout: str) -> bool:
    try:
        dt.datetime.strptime(value, layout)  # noqa: DTZ007 - only whether it can be read
    except ValueError:
        return False
    return True
