"""Which artifact is meant, and what it is: found in the text of a run's journal, without folding the run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from fairway.engine.sketch import Sketch
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import address
from fairway.spec.ports import Journal, run_now
from fairway.spec.record import Record, from_plain, record
from fairway.web.access import check_run
from fairway.web.identity import Identity
from fairway.web.ports import Site
from fairway.web.previews.kinds import kind_of, kind_of_name, table_form
from fairway.web.previews.looker import Subject, as_error

_SLICE_BYTES = 1 << 20
_PLACES = 50
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])
PLACES_S = 600.0
_HEX = frozenset("0123456789abcdef")


@record
class Place(Record):
    """Where a run names an artifact: an `output` of a `task`; of the run itself if `task` is "", a parameter if `param`."""

    task: str
    output: str
    ref: ArtifactRef
    param: bool = False
    cached_run: str = ""
    cached_task: str = ""

    @property
    def name(self) -> str:
        """As `fairway artifacts get RUN` takes it; a parameter by its own name."""
        return f"{self.task}.{self.output}" if self.task else self.output


@record
class Meant(Record):
    """The artifact `ref` of `run`, or the `file` in it, or in the list `within`: what is looked at, as which `kind`."""

    run: str
    ref: ArtifactRef
    kind: str
    subject: Subject
    places: tuple[Place, ...] = ()
    file: str = ""
    within: str = ""
    form: str = ""

    @property
    def query(self) -> dict[str, str]:
        """What an address says of it beside the digest."""
        return {"run": self.run, "file": self.file, "within": self.within}

    @property
    def shown_name(self) -> str:
        """What people call it."""
        return self.file or (self.places[0].name if self.places else "") or str(self.ref.meta.get("name", "")) or self.ref.digest[:12]


async def find_meant(site: Site, identity: Identity, run: str, digest: str, *, file: str = "", within: str = "") -> Meant:
    """Raises NotFoundError for what the run does not name, or for a run that is not for these eyes."""
    check_digest(digest)
    await check_run(site, identity, run)
    named = check_digest(within) if within else digest
    places = await _get_places(site, run, named)
    if not places:
        raise NotFoundError(f"run {run} does not name the artifact {named[:12]}", hint=f"/artifacts lists what runs made; open run {run}")
    ref = places[0].ref
    if within:
        ref, places = await _find_item(site, ref, digest), list[Place]()
    if file:
        return await _find_file(site, Meant(run, ref, "folder", _subject(ref), tuple(places), within=within), file)
    kind = kind_of(ref)
    site.grants.remember(run, ref)
    return Meant(run, ref, kind, _subject(ref), tuple(places), within=within, form=table_form(ref) if kind == "table" else "")


async def _get_places(site: Site, run: str, digest: str) -> list[Place]:
    """A page asks for the same several times, and a large run takes a while to look through."""
    journal = site.services.journal
    key = ("places", run, digest, await journal.head(run))
    return await site.remembered.get(key, lambda: _look_for(site, run, digest), PLACES_S)


async def _look_for(site: Site, run: str, digest: str) -> list[Place]:
    """In the index of a run that has been looked at; else, or for what has been made anew since, in the text of its journal."""
    found = await site.overviews.read(run, lambda sketch: list_places(sketch, digest)) if site.overviews.is_at_hand(run) else []
    return found or await asyncio.to_thread(find_places, site.services.journal, run, digest)


async def names_artifact(site: Site, run: str, digest: str) -> bool:
    """Does the run name it? A long run that has ended is asked by its index."""
    if site.overviews.is_filed(run):
        return await site.overviews.read(run, lambda sketch: next(sketch.find_refs(digest), None) is not None)
    return await asyncio.to_thread(lambda: any(digest in text for text in texts(site.services.journal, run)))


def list_places(sketch: Sketch, digest: str) -> list[Place]:
    """Where the run names the artifact now, its own outputs first, then tasks, then parameters; at most _PLACES. For a thread."""
    state = sketch.state
    found = [Place("", name, ref) for name, ref in state.outputs.items() if ref.digest == digest]
    for made in islice(sketch.makers((digest,)), _PLACES):
        task = sketch.task(made)
        cached = task.cached or ("", "")
        refs = (task.outputs or {}).items()
        found += [Place(address(*made), name, ref, False, *cached) for name, ref in refs if ref.digest == digest]
    found += [Place("", name, ref, param=True) for name, ref in state.params.items() if ref.digest == digest]
    return found[:_PLACES]


async def _find_item(site: Site, ref: ArtifactRef, digest: str) -> ArtifactRef:
    seen = await asyncio.to_thread(site.looker.look, "items", _subject(ref), {"digest": digest})
    if not seen.get("item"):
        raise NotFoundError(f"there is no {digest[:12]} in the list {ref.digest[:12]}", hint="open the list again")
    return from_plain(ArtifactRef, seen["item"])


async def _find_file(site: Site, meant: Meant, file: str) -> Meant:
    seen = await asyncio.to_thread(site.looker.look, "folder", meant.subject, {"path": file})
    if "problem" in seen:
        raise as_error(seen)
    if not seen.get("file"):
        raise NotFoundError(f"there is no file {file[:200]!r} in this folder", hint="open the folder again")
    found = seen["file"]
    name = file.rpartition("/")[2]
    kind = kind_of_name(name)
    return Meant(
        meant.run,
        meant.ref,
        kind,
        Subject(found["digest"], found["size_bytes"], None, name),
        meant.places,
        file,
        meant.within,
        table_form(meant.ref, name) if kind == "table" else "",
    )


def _subject(ref: ArtifactRef) -> Subject:
    return Subject(ref.digest, ref.size_bytes, ref.inline, str(ref.meta.get("name", "")))


def check_digest(digest: str) -> str:
    """Itself. Raises NotFoundError for what is no digest."""
    if len(digest) != 64 or not set(digest) <= _HEX:
        raise NotFoundError(f"not the digest of an artifact: {digest[:80]!r}", hint="a digest is 64 hexadecimal digits")
    return digest


def texts(journal: Journal, run: str) -> Iterator[str]:
    """The run's journal as JSON texts of some events each; a small part of it is held at a time. For a thread."""
    after = 0
    while batches := run_now(journal.read_text(run, after, _SLICE_BYTES)):
        for _, text in batches:
            yield text
        first, text = batches[-1]
        after = first + len(_split(text)) - 1


def _split(text: str) -> list[Any]:
    """The batch's events, each as JSON that has not been read."""
    try:
        return _BATCH.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):  # lone surrogates, which only the standard library reads
        return [json.dumps(event).encode() for event in json.loads(text)]


def _events(text: str, word: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, fields) of those of the batch's events that have the word in them."""
    for raw in map(bytes, _split(text)):
        if word.encode() in raw:
            name, fields = json.loads(raw)
            yield name, fields


def find_places(journal: Journal, run: str, digest: str) -> list[Place]:
    """Everywhere the run names the artifact, its own outputs first, then tasks, then parameters; at most _PLACES. For a thread."""
    outputs: list[Place] = []
    params: list[Place] = []
    tasks: list[Place] = []
    late: list[tuple[str, int, str, ArtifactRef]] = []
    for text in texts(journal, run):
        if digest not in text:
            continue
        for name, fields in _events(text, digest):
            if name == "RunStarted":
                params += [Place("", key, ref, param=True) for key, ref in _named(fields.get("params"), digest)]
            elif name in ("RunEnded", "ScopeEnded"):
                found = _named(fields.get("outputs"), digest)
                task = address(fields["scope"], fields["node"], tuple(fields.get("index", ()))) if name == "ScopeEnded" else ""
                (tasks if task else outputs).extend(Place(task, key, ref) for key, ref in found)
            elif name == "TasksCached":
                tasks += _cached(fields, digest)
            elif name == "AttemptEnded":
                for number, item in enumerate(fields.get("outcome", {}).get("items", ())):
                    late += [(fields["attempt"], number, key, ref) for key, ref in _named(item.get("outputs"), digest)]
        if len(tasks) + len(late) >= _PLACES:
            break
    return [*outputs, *_settle(journal, run, late[:_PLACES]), *tasks, *params][:_PLACES]


def _cached(fields: dict[str, Any], digest: str) -> Iterator[Place]:
    for item in fields.get("items", ()):
        task = address(fields["scope"], fields["node"], tuple(item.get("index", ())))
        for key, ref in _named(item.get("outputs"), digest):
            yield Place(task, key, ref, cached_run=item.get("run", ""), cached_task=item.get("task", ""))


def _settle(journal: Journal, run: str, late: list[tuple[str, int, str, ArtifactRef]]) -> list[Place]:
    """Tasks by the attempts that made it."""
    wanted = {attempt for attempt, *_ in late}
    planned: dict[str, dict[str, Any]] = {}
    for text in texts(journal, run) if wanted else ():
        if "AttemptPlanned" in text and any(attempt in text for attempt in wanted):
            for name, fields in _events(text, "AttemptPlanned"):
                if name == "AttemptPlanned" and fields["attempt"] in wanted:
                    planned[fields["attempt"]] = fields
            if len(planned) == len(wanted):
                break
    found: list[Place] = []
    for attempt, number, key, ref in late:
        fields = planned.get(attempt)
        items = fields.get("items", ()) if fields else ()
        if fields and number < len(items):
            found.append(Place(address(fields["scope"], fields["node"], tuple(items[number])), key, ref))
    return found


def _named(outputs: Any, digest: str) -> list[tuple[str, ArtifactRef]]:
    if not isinstance(outputs, dict):
        return []
    return [(name, from_plain(ArtifactRef, ref)) for name, ref in outputs.items() if isinstance(ref, dict) and ref.get("digest") == digest]
