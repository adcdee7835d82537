"""Recorded loads from files: captured traffic, or times as CSV, JSON or JSON lines."""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from fairway.errors import ConfigError, NotFoundError
from fairway.serve.control.simulate import Recording
from fairway.step.traffic import ABOUT, Traffic

_TIMES = ("at", "time", "timestamp", "date", "datetime")
_SECONDS = ("seconds", "took_s", "duration_s", "service_s", "latency_s")
_MILLISECONDS = ("latency_ms", "duration_ms", "ms")


def read_recording(path: str, *, sampled: float = 1.0) -> Recording:
    """The load in a file or in a folder of captured traffic.

    CSV: `time` or `time,seconds`, with or without a header; JSON: a list of times, of [time, seconds], or of objects with `at` and
    `seconds` or `latency_ms`; `.jsonl`: one of these a line. A time is a number of seconds or ISO text. `sampled`: the share of all
    requests that it holds. Raises ConfigError with the line, NotFoundError.
    """
    if not 0 < sampled <= 1:
        raise ConfigError(f"a share of {sampled:g} cannot have been recorded", hint="it is above 0 and at most 1: --sampled 0.1")
    place = Path(path)
    if not place.exists():
        raise NotFoundError(f"there is no recording {path}", hint="name a CSV or JSON file of times, or what fw.traffic gives")
    if place.is_dir():
        return _of_traffic(place, sampled)
    try:
        text = place.read_text(encoding="utf-8-sig")
        rows = list(_read_json(text) if text.lstrip()[:1] in ("[", "{") else _read_csv(text))
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a recording: {error}", hint="lines of `time` or `time,seconds`") from error
    return make_recording(rows, sampled=sampled, where=path)


def make_recording(rows: Iterable[tuple[float, float | None]], *, sampled: float = 1.0, where: str = "the recording") -> Recording:
    """Of (time, seconds or None) in any order; seconds count where all have some."""
    found = sorted(rows, key=lambda row: row[0])
    if not found:
        raise ConfigError(f"there is no request in {where}", hint="lines of `time` or `time,seconds`")
    zero = found[0][0]
    arrivals = array("d", (at - zero for at, _ in found))
    seconds = array("d", (took for _, took in found if took is not None and took > 0))
    return Recording(arrivals, seconds if len(seconds) == len(arrivals) else (), zero if zero > 1e8 else 0.0, sampled)


def _of_traffic(folder: Path, sampled: float) -> Recording:
    if not (folder / ABOUT).exists():
        raise NotFoundError(f"{folder} is a folder without captured traffic", hint='fw.traffic("NAME") gives one that has some')
    table = Traffic(folder).table()
    times = [at / 1e6 for at in table["at"].cast("int64").to_pylist()]
    took = [ms / 1e3 if ms else None for ms in table["latency_ms"].to_pylist()]
    return make_recording(zip(times, took, strict=True), sampled=sampled, where=str(folder))


def _read_csv(text: str) -> Iterator[tuple[float, float | None]]:
    time_at, took_at, scale = 0, 1, 1.0
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        if not row or not "".join(row).strip():
            continue
        names = [cell.strip().lower() for cell in row]
        if number == 1 and any(name in _TIMES for name in names):
            time_at = next(place for place, name in enumerate(names) if name in _TIMES)
            took_at = next((place for place, name in enumerate(names) if name in (*_SECONDS, *_MILLISECONDS)), -1)
            scale = 1e-3 if took_at >= 0 and names[took_at] in _MILLISECONDS else 1.0
            continue
        try:
            took = row[took_at].strip() if 0 <= took_at < len(row) else ""
            yield _time(row[time_at].strip()), float(took) * scale if took else None
        except (ValueError, IndexError) as error:
            raise ValueError(f"line {number}: {','.join(row)[:60]!r}") from error


def _read_json(text: str) -> Iterator[tuple[float, float | None]]:
    try:
        whole: Any = json.loads(text)
        items: list[Any] = whole if isinstance(whole, list) else [whole]
    except ValueError:
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
    for number, item in enumerate(items, 1):
        try:
            yield _read_item(item)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"item {number}: {json.dumps(item)[:60]}") from error


def _read_item(item: Any) -> tuple[float, float | None]:
    if isinstance(item, dict):
        at = next(item[name] for name in (*_TIMES, "") if name in item or not name)
        seconds = next((item[name] for name in _SECONDS if item.get(name) is not None), None)
        milliseconds = next((item[name] for name in _MILLISECONDS if item.get(name) is not None), None)
        return _time(at), float(seconds) if seconds is not None else float(milliseconds) / 1e3 if milliseconds is not None else None
    if isinstance(item, list):
        return _time(item[0]), float(item[1]) if len(item) > 1 and item[1] is not None else None
    return _time(item), None


def _time(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return datetime.fromisoformat(value).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no time")
    return float(value)
