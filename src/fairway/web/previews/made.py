"""What runs made, the newest first: their own outputs, read from the ends of their journals."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol

from fairway.spec.artifact import ArtifactRef
from fairway.spec.ports import Journal, run_now
from fairway.spec.record import Record, from_plain, record
from fairway.spec.summary import RunSummary
from fairway.web.access import visible
from fairway.web.identity import Identity
from fairway.web.ports import Site
from fairway.web.previews.finding import names_artifact, texts
from fairway.web.previews.kinds import kind_of
from fairway.web.previews.outputs import OutputReader
from fairway.web.previews.shown import facts_of

ROWS = 60
LOOK_RUNS = 300
LOOK_S = 0.25
OTHER_RUNS = 40
_STEP = 50
_HEX = frozenset("0123456789abcdef")
_PREFIX = 6


class Asked(Protocol):
    """What is looked for."""

    q: str
    pipeline: str
    type: str
    before: str


@record
class Row(Record):
    """One output of a run."""

    name: str
    ref: ArtifactRef
    kind: str
    facts: str
    run: RunSummary


@record
class Made(Record):
    """`next`: the run to go on before, "" at the end. `looked`: how many runs were looked at."""

    rows: tuple[Row, ...]
    next: str
    looked: int


async def find_made(site: Site, identity: Identity, asked: Asked) -> Made:
    """A page of outputs that fit what is asked for; at most LOOK_RUNS runs are looked at."""
    return await asyncio.to_thread(_find, site.services.journal, site.outputs, identity, asked)


def _find(journal: Journal, outputs: OutputReader, identity: Identity, asked: Asked) -> Made:
    words = asked.q.lower().split()
    digest = words[0] if len(words) == 1 and len(words[0]) >= _PREFIX and set(words[0]) <= _HEX else ""
    rows: list[Row] = []
    looked, before, until = 0, asked.before, time.monotonic() + LOOK_S
    while len(rows) < ROWS and looked < LOOK_RUNS and (looked < _STEP or time.monotonic() < until):
        found = run_now(journal.summaries(pipeline=asked.pipeline, limit=min(_STEP, LOOK_RUNS - looked), before=before))
        if not found:
            before = ""
            break
        for run in found:
            looked, before = looked + 1, run.run
            if not identity.sees(run.project):
                continue
            made = _named(journal, run, digest) if digest else outputs.read(run)
            rows += [row for name, ref in made if _fits(row := _row(run, name, ref), asked.type, [] if digest else words)]
            if len(rows) >= ROWS:
                break
    return Made(tuple(rows), before, looked)


@record
class Others(Record):
    """Runs that name an artifact too; the newest `looked` were looked at."""

    runs: tuple[RunSummary, ...]
    looked: int


async def find_others(site: Site, identity: Identity, run: str, digest: str) -> Others:
    """Other runs that name the artifact, among the newest OTHER_RUNS that may be seen."""
    rows = visible(identity, await site.services.journal.summaries(archived=True, limit=OTHER_RUNS))
    found = [row for row in rows if row.run != run and await names_artifact(site, row.run, digest)]
    return Others(tuple(found), len(rows))


def _row(run: RunSummary, name: str, ref: ArtifactRef) -> Row:
    return Row(name, ref, kind_of(ref), facts_of(ref), run)


def _fits(row: Row, kind: str, words: list[str]) -> bool:
    if kind and kind not in (row.kind, row.ref.type, row.ref.format):
        return False
    text = f"{row.name} {row.ref.type} {row.ref.format} {row.kind} {row.run.pipeline} {row.run.run} {row.run.name}".lower()
    return all(word in text for word in words)


def _named(journal: Journal, run: RunSummary, digest: str) -> Iterator[tuple[str, ArtifactRef]]:
    """Every artifact of the run whose digest begins so."""
    seen: set[str] = set()
    for text in texts(journal, run.run):
        if f'"{digest}' not in text:
            continue
        for name, ref in _refs(json.loads(text), ""):
            if ref["digest"].startswith(digest) and ref["digest"] not in seen:
                seen.add(ref["digest"])
                yield name, from_plain(ArtifactRef, ref)


def _refs(value: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if isinstance(value.get("digest"), str) and isinstance(value.get("format"), str):
            yield name, value
            return
        for key, inner in value.items():
            yield from _refs(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _refs(inner, name)
