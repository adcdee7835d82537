"""How records are written in a database: JSON text, one array of [name, fields] for a batch of events.

The standard library's JSON is quick enough here (a batch of two events takes 20 µs), and it is imported anyway. Text is ASCII, so that
what no database stores as it is (lone surrogates, NUL) travels escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fairway.errors import StoreUnavailable, UnsupportedError
from fairway.spec.event import Event, parse_event, render_event
from fairway.spec.record import from_plain, to_plain
from fairway.spec.summary import CacheEntry, RunSummary

render_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
parse_json = json.loads
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def render_events(events: Sequence[Event]) -> str:
    """The text of one batch."""
    return render_json([render_event(event) for event in events])


def parse_events(text: str, first: int, after: int = 0) -> list[tuple[int, Event]]:
    """(number, event) of those numbered above `after`, in a batch that begins with number `first`."""
    out: list[tuple[int, Event]] = []
    for number, (name, fields) in enumerate(parse_json(text), first):
        if number > after:
            try:
                out.append((number, parse_event(name, fields)))
            except KeyError as error:
                raise UnsupportedError(
                    f"the journal holds an event that this version of Fairway does not know: {error.args[0]!r}",
                    hint="a newer Fairway wrote it: upgrade with `pip install -U fairway`",
                ) from None
    return out


def render_summary(summary: RunSummary) -> str:
    return render_json(to_plain(summary))


def parse_summary(text: str) -> RunSummary:
    return from_plain(RunSummary, parse_json(text))


def render_cached(entry: CacheEntry) -> str:
    return render_json(to_plain(entry))


def parse_cached(text: str) -> CacheEntry:
    return from_plain(CacheEntry, parse_json(text))


def find_digests(texts: Iterable[str]) -> set[str]:
    """Whatever in these texts could be a SHA-256. Asking the text and not its meaning errs on the side of keeping."""
    found: set[str] = set()
    for text in texts:
        found.update(_DIGEST.findall(text))
    return found


def read_migrations(folder: str) -> list[tuple[int, str]]:
    """(number, SQL) of the files `NNNN_name.sql` in `folder`, in order."""
    import os

    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    out: list[tuple[int, str]] = []
    for name in names:
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            out.append((int(name[:4]), file.read()))
    return out


def newer_schema(place: str, found: int, known: int) -> StoreUnavailable:
    """The error for a database that a newer version has migrated."""
    return StoreUnavailable(
        f"{place} has schema {found}, this version of Fairway knows up to {known}",
        hint="a newer Fairway has used it: upgrade with `pip install -U fairway`, or choose another FAIRWAY_HOME",
    )


def as_body(body: Any) -> str:
    return render_json(to_plain(dict(body)))
