"""The query language of runs: `failed churn tag:best auc>0.8 by:ann since:2d`.

A query is words, filters and comparisons with blanks between them; all must hold.

    churn  "two words"       the text is in the id, name, note, tags, pipeline, user or error
    failed                   in this state: running, succeeded, failed, cancelled, timeout
    status:failed,timeout    in one of these states; status!=succeeded
    pipeline:churn           also tag:, by: (or user:), on: (or target:), project:; one of several: tag:a,b
    auc>0.8  depth=4         a parameter or metric of this name; = != > >= < <=, and model~forest for a text that contains it
    param.depth=4            only a parameter; metric.auc>0.8: only a metric
    since:2d  until:12h      started in the last two days; before the last twelve hours (s, m, h, d, w)
    started>=2026-11-01      also > < <= =; a date is a whole day of UTC, 2026-11-01T12:30 a moment
    duration>10m             ended after that long; also >= < <=
    archived                 only archived ones; archived:any these too; -archived none of them, which holds unless asked
    sort:duration            longest first, duration-asc: shortest first; also newest, oldest, started, pipeline, status
    sort:metric.auc          the largest first; also param.NAME

What is written in quotes is never a filter or a state; within them \\" is a quote and \\\\ a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from fairway.errors import ConfigError, DefinitionError
from fairway.spec.query import FILTERS, NUMBER, OPERATORS, RUN_STATUSES, SORTS, Comparison, RunQuery, render_query, render_sort
from fairway.spec.resources import parse_duration

__all__ = ["parse_query", "parse_sort", "render_query", "render_sort"]

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_AGE_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BARE = re.compile(r'(?:[^\s"=<>~:!]|!(?!=))+')
_LISTED = re.compile(r'[^\s",]+')
_VALUE = re.compile(r'[^\s"]+')
_BLANKS = re.compile(r"\s*")
_DIRECTION = re.compile(r"-(?:asc|desc)$")
_SORTED_KIND = re.compile(r"(metric|param)[.:]")
_DAY_S = 86400.0
_ORDERS = "write newest, oldest, started, duration, pipeline, status, metric.NAME or param.NAME; turned round: duration-asc"
_QUOTES = 'to look for it as a text, write it in quotes: "…"'
_SEVERAL = {
    "pipeline": "pipelines",
    "tag": "tags",
    "by": "users",
    "user": "users",
    "on": "targets",
    "target": "targets",
    "project": "projects",
}


def parse_query(text: str, now: float) -> RunQuery:
    """The query that `text` means at `now` (epoch seconds). Raises ConfigError that says where it cannot be read."""
    return _Reader(text, now).read()


def parse_sort(text: str) -> tuple[str, bool]:
    """(sort, ascending) of what may stand after `sort:`; "" = newest first. Raises ConfigError."""
    query = parse_query(f"sort:{text}", 0.0) if text else RunQuery()
    if query != RunQuery(sort=query.sort, ascending=query.ascending):
        raise ConfigError(f"not an order: {text!r}", hint=_ORDERS)
    return query.sort, query.ascending


class _Reader:
    """Reads one query from left to right."""

    def __init__(self, text: str, now: float) -> None:
        self.text, self.now, self.at = text, now, 0
        self.several: dict[str, list[Any]] = {}
        self.single: dict[str, Any] = {}

    def read(self) -> RunQuery:
        while self._skip():
            self._read_part()
        several = {
            name: tuple({repr(value): value for value in values}.values()) for name, values in self.several.items()
        }  # 0 is not false
        return RunQuery(**several, **self.single)

    def _read_part(self) -> None:
        start = self.at
        turned = self.text[self.at] == "-"
        self.at += turned
        name, quoted = self._read_text(_BARE, start)
        prefix = ""
        if not quoted:
            prefix = next((each for each in ("param.", "metric.") if name.startswith(each)), "")
            if prefix and name == prefix and self.text[self.at : self.at + 1] == '"':
                name = prefix + self._read_text(_BARE, start)[0]
        before = self.at
        self._skip()
        op = next((each for each in (*OPERATORS, ":") if self.text.startswith(each, self.at)), "")
        if turned:
            self._read_turned(start, name, quoted, op)
        elif not op:
            self.at = before
            self._add_word(name, quoted)
        else:
            self.at += len(op)
            if not quoted and name in FILTERS:
                self._read_filter(start, name, op)
            elif op == ":":
                self._refuse(start, f"there is no filter {name!r}", f"there are {', '.join(FILTERS)}; {_QUOTES}")
            else:
                self._read_comparison(start, prefix, name.removeprefix(prefix), op)

    def _read_turned(self, start: int, name: str, quoted: bool, op: str) -> None:
        if name != "archived" or quoted or op:
            hint = f"write status!={name}" if name in RUN_STATUSES else "for a parameter or metric write name!=value"
            self._refuse(start, "only -archived can be left out this way", f"{hint}; {_QUOTES}")
        self.single["archived"] = False

    def _add_word(self, word: str, quoted: bool) -> None:
        if quoted or word not in (*RUN_STATUSES, "archived"):
            if word:
                self._add("words", [word])
        elif word == "archived":
            self.single["archived"] = True
        else:
            self._add("statuses", [word])

    def _read_filter(self, start: int, name: str, op: str) -> None:
        if name in ("started", "since", "until", "duration"):
            read: Callable[[int, str, str], None] = self._read_duration if name == "duration" else self._read_time
            read(start, name, op)
            return
        allowed = (":", "=", "!=") if name in ("status", "state") else (":", "=")
        if op not in allowed:
            self._refuse(start, f"{name} cannot be compared with {op}", f"write {name}:…; a parameter of that name is param.{name}")
        self._skip()
        if name == "sort":
            self.single["sort"], self.single["ascending"] = self._read_sort()
        elif name == "archived":
            self._read_archived()
        elif name in _SEVERAL:
            self._add(_SEVERAL[name], self._read_list(start))
        else:
            self._read_statuses(op == "!=")

    def _read_statuses(self, other: bool) -> None:
        start = self.at
        statuses = self._read_list(start)
        for status in statuses:
            if status not in RUN_STATUSES:
                self._refuse(start, f"there is no state {status!r}", f"a run is {', '.join(RUN_STATUSES)}")
        self._add("statuses", [each for each in RUN_STATUSES if each not in statuses] if other else statuses)

    def _read_archived(self) -> None:
        start = self.at
        value, _ = self._read_text(_VALUE, start)
        found: dict[str, bool | None] = {"only": True, "yes": True, "true": True, "any": None, "no": False, "false": False}
        if value not in found:
            self._refuse(start, f"not a choice of archived: {value!r}", "write archived:only, archived:any or archived:no")
        self.single["archived"] = found[value]

    def _read_sort(self) -> tuple[str, bool]:
        start = self.at
        text, quoted = self._read_text(_VALUE, start)
        kind = None if quoted else _SORTED_KIND.match(text)
        if kind and kind.end() == len(text) and self.text[self.at : self.at + 1] == '"':
            name, tail = self._read_quoted(), _VALUE.match(self.text, self.at)
            direction = tail[0] if tail else ""
            self.at += len(direction)
        else:
            name, direction = _split_direction(text[kind.end() :] if kind else text)
        allowed = (kind is not None) if name not in (*SORTS, "newest", "oldest") else True
        if quoted or not name or not allowed or direction not in ("", "-asc", "-desc"):
            self._refuse(start, f"not an order: {text + direction if kind else text!r}", _ORDERS)
        if kind:
            return f"{kind[1]}:{name}", direction == "-asc"
        if name in ("newest", "oldest"):
            return "", (name == "oldest") != (direction == "-asc")
        return name, direction == "-asc"

    def _read_time(self, start: int, name: str, op: str) -> None:
        allowed = (">", ">=", "<", "<=", "=") if name == "started" else (":", "=")
        if op not in allowed:
            example = "started>=2026-11-01" if name == "started" else f"{name}:2d"
            self._refuse(start, f"{name} cannot be used with {op}", f"write it as in {example}")
        self._skip()
        at = self.at
        text, _ = self._read_text(_VALUE, start)
        first, last = self._parse_time(at, text, ages=name != "started")
        if op in (":", "="):
            since, until = name != "until", name != "since"
            after, before = first, last
            if since and until and first == last:
                self._refuse(at, f"no run starts at exactly {text}", "give a day, as in started=2026-11-01, or use >= and <")
        else:
            since, until = op[0] == ">", op[0] == "<"
            after, before = (last if op == ">" else first), (last if op == "<=" else first)
        if since:
            self.single["since"] = max(after, self.single.get("since", 0.0))
        if until:
            self.single["until"] = min(before, self.single.get("until", before))

    def _parse_time(self, start: int, text: str, *, ages: bool) -> tuple[float, float]:
        """(beginning, end) of what a time names: a day, or no more than a moment."""
        age = _AGE.fullmatch(text)
        if age and ages:
            at = self.now - float(age[1]) * _AGE_UNITS_S[age[2]]
            return at, at
        if text.startswith("@") and NUMBER.fullmatch(text[1:]) and "inf" not in text:
            return float(text[1:]), float(text[1:])
        from datetime import UTC, datetime

        try:
            found = datetime.fromisoformat(text)
            at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self._refuse(
                start,
                f"not a time: {text!r}",
                "write 2d, 12h, 30m, or a date such as 2026-11-01" if ages else "write a date such as 2026-11-01, or since:2d for an age",
            )
        return at, at + (_DAY_S if len(text) == 10 else 0.0)

    def _read_duration(self, start: int, name: str, op: str) -> None:
        if op not in (">", ">=", "<", "<="):
            self._refuse(start, f"{name} cannot be used with {op}", "write it as in duration>10m")
        self._skip()
        at = self.at
        text, _ = self._read_text(_VALUE, start)
        try:
            number = text.removesuffix("s")
            seconds = parse_duration(float(number) if NUMBER.fullmatch(number) else text)
        except DefinitionError as error:
            self._refuse(at, error.message, error.hint)
        if op[0] == ">":
            self.single["longer_s"] = max(seconds, self.single.get("longer_s", 0.0))
        else:
            self.single["shorter_s"] = min(seconds, self.single.get("shorter_s", seconds))

    def _read_comparison(self, start: int, prefix: str, name: str, op: str) -> None:
        if not name:
            self._refuse(start, f"a name is missing before {op!r}", "write it as in auc>0.8")
        self._skip()
        at = self.at
        text, quoted = self._read_text(_VALUE, start)
        value: float | str | bool = text
        if not quoted and op != "~":
            if NUMBER.fullmatch(text):
                value = float(text)
            elif text in ("true", "false"):
                value = text == "true"
        if op in (">", ">=", "<", "<=") and type(value) is not float:
            self._refuse(at, f"{op} compares numbers, and {text!r} is none", "for texts there are = != and ~ (contains)")
        self._add({"param.": "params", "metric.": "metrics"}.get(prefix, "names"), [Comparison(name, op, value)])

    def _read_list(self, start: int) -> list[str]:
        values = [self._read_text(_LISTED, start)[0]]
        while self.text[self.at : self.at + 1] == ",":
            self.at += 1
            values.append(self._read_text(_LISTED, start)[0])
        return values

    def _read_text(self, bare: re.Pattern[str], start: int) -> tuple[str, bool]:
        """(text, was it in quotes) of what stands here; `start` is where its part of the query begins."""
        if self.text[self.at : self.at + 1] == '"':
            return self._read_quoted(), True
        found = bare.match(self.text, self.at)
        if found is None:
            there = self.text[start : self.at].strip()
            if there:
                self._refuse(self.at, f"a value is missing after {there!r}", f"write it as in auc>0.8 or tag:best; {_QUOTES}")
            self._refuse(self.at, f"a name is missing before {self.text[self.at]!r}", f"write it as in auc>0.8 or tag:best; {_QUOTES}")
        self.at = found.end()
        return found[0], False

    def _read_quoted(self) -> str:
        start, out = self.at, list[str]()
        self.at += 1
        while True:
            letter = self.text[self.at : self.at + 1]
            self.at += 1
            if letter == '"':
                return "".join(out)
            if not letter:
                self._refuse(start, "a quote is not closed", 'write another " where the text ends')
            if letter == "\\" and self.text[self.at : self.at + 1] in ('"', "\\"):
                letter = self.text[self.at]
                self.at += 1
            out.append(letter)

    def _add(self, name: str, values: list[Any]) -> None:
        self.several.setdefault(name, []).extend(values)

    def _skip(self) -> bool:
        """Go past blanks; is there more?"""
        found = _BLANKS.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def _refuse(self, at: int, message: str, hint: str) -> NoReturn:
        raise ConfigError(f"the query cannot be read at character {at + 1}: {message}", hint=hint)


def _split_direction(text: str) -> tuple[str, str]:
    found = _DIRECTION.search(text)
    return (text[: found.start()], found[0]) if found else (text, "")
