"""Where an artifact comes from, for people: a sentence of its making, and a graph from the raw data to what was made of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from fairway.engine.nodecolumns import DONE_WELL
from fairway.engine.resolve import Library
from fairway.engine.sketch import Sketch, Source
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import address
from fairway.spec.record import Record, field, record
from fairway.web.layered import layer
from fairway.web.lineage import Lineage, Place, Served
from fairway.web.previews.cells import clip
from fairway.web.previews.shown import facts_of

DEPTH_LIMIT = 100
SPOTS_LIMIT = 120
_ALIKE = 4
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 196, 46, 56, 16, 12


@record
class Named(Record):
    """An artifact as it is told of: `kind` "made" by `task`, "data" that a person gave, "param" with a value, "group" of `count`; or an
    "endpoint" that serves it."""

    id: str
    label: str
    note: str = ""
    kind: str = "made"
    task: str = ""
    url: str = ""
    digest: str = ""
    count: int = 1


@record
class Origin(Record):
    """How it was made. `task` is "" for what a person gave. `inputs` are artifacts, `params` values; `raw` is what it all goes back to,
    `first` the tasks that began with no data at all. `cached`: (run, task) that had made it before."""

    task: str = ""
    inputs: tuple[Named, ...] = ()
    params: tuple[Named, ...] = ()
    raw: tuple[Named, ...] = ()
    first: tuple[str, ...] = ()
    cached: tuple[str, str] = ("", "")
    given: str = ""
    complete: bool = True


@record
class Spot(Record):
    """A node of the drawing."""

    named: Named
    x: float
    y: float
    subject: bool = False


@record
class Drawing(Record):
    """The graph as it is drawn: `edges` are paths of SVG. `left_out`: nodes that found no room."""

    width: float
    height: float
    spots: tuple[Spot, ...] = ()
    edges: tuple[str, ...] = ()
    left_out: int = 0
    complete: bool = True
    facts: dict[str, Any] = field(default_factory=dict)


def tell_origin(sketch: Sketch, library: Library, digest: str) -> Origin:
    """The making of the artifact in this run. For a thread: it may read lists from the store."""
    places = list(islice(sketch.makers((digest,)), 1))
    lineage = Lineage(sketch, library)
    lineage.up(digest, DEPTH_LIMIT)
    names = Names(sketch, lineage)
    if not places:
        given = next((name for name, ref in sketch.state.params.items() if ref.digest == digest), "")
        raw, first = _roots(lineage, names)
        return Origin(inputs=tuple(names.inside(digest)), raw=raw, first=first, given=given)
    inputs: dict[str, Named] = {}
    params: dict[str, Named] = {}
    for one in names.taken_by(places[0]):
        (params if one.kind == "param" else inputs)[one.id] = one
    raw, first = _roots(lineage, names)
    task = sketch.task(places[0])
    return Origin(
        address(*places[0]), tuple(inputs.values()), tuple(params.values()), raw, first, task.cached or ("", ""), "",
        lineage.complete,
    )  # fmt: skip


def _roots(lineage: Lineage, names: Names) -> tuple[tuple[Named, ...], tuple[str, ...]]:
    """(what people gave, tasks that began with no data at all) among what was followed."""
    raw: dict[str, Named] = {}
    first: list[str] = []
    for place in lineage.tasks:
        given = list(names.taken_by(place))
        raw.update({one.id: one for one in given if one.kind == "data"})
        if not any(one.kind in ("data", "made", "group") for one in given):
            first.append(address(*place))
    return tuple(raw.values()), tuple(first)


def draw_lineage(
    sketch: Sketch, library: Library, digest: str, *, up: int, down: int, served: Mapping[str, Sequence[Served]] | None = None
) -> Drawing:
    """The graph around the artifact, `up` steps to where it comes from and `down` steps to what was made of it. `served`: revisions of
    endpoints by the digest of what they serve."""
    lineage = Lineage(sketch, library)
    if up:
        lineage.up(digest, up)
    if down:
        lineage.down(digest, down)
    names = Names(sketch, lineage)
    subject = names.of_digest(digest)
    spots: dict[str, Named] = {subject.id: subject}
    edges: dict[tuple[str, str], None] = {}
    for place in lineage.tasks:
        outputs = {name: names.of_output(place, name, ref) for name, ref in lineage.outputs(place).items()}
        given = list(names.taken_by(place))
        shown = [one for name, one in outputs.items() if len(outputs) <= 2 or one.id == subject.id or (place, name) in names.used]
        made = shown or list(outputs.values())[:1]
        for one in made:
            spots.setdefault(one.id, one)
            for other in given:
                if other.kind == "param" and one.kind == "group":
                    continue
                spots.setdefault(other.id, other)
                edges[other.id, one.id] = None
    for one in names.inside(digest):
        spots.setdefault(one.id, one)
        edges[one.id, subject.id] = None
    for one in list(spots.values()) if down else ():
        for end in map(_name_served, (served or {}).get(one.digest, ())):
            spots[end.id] = end
            edges[one.id, end.id] = None
    return _place(subject, spots, edges, complete=lineage.complete)


def _name_served(one: Served) -> Named:
    name = f"{one.endpoint}, revision {one.revision}"
    note = f"endpoint, {one.weight:g} % of its traffic" if one.weight else "endpoint, no traffic"
    return Named(f"endpoint {name}", name, note, "endpoint", url=f"/endpoints/{one.endpoint}/revisions/{one.revision}")


class Names:
    """What artifacts of a run are called. Many alike (the items of a mapped step) are told of as one group."""

    def __init__(self, sketch: Sketch, lineage: Lineage) -> None:
        self._sketch, self._lineage = sketch, lineage
        self._makers: dict[str, tuple[Place, str, ArtifactRef]] = {}
        self._params = {ref.digest: (name, ref) for name, ref in sketch.state.params.items()}
        self._outputs = {ref.digest: name for name, ref in sketch.state.outputs.items()}
        self.subject = ""
        self.used: set[tuple[Place, str]] = set()
        self._whole: set[tuple[str, str]] = set()
        alike: dict[tuple[str, str], int] = Counter(place[:2] for place in lineage.tasks)
        taken: dict[tuple[str, str], set[Place]] = {}
        for place in lineage.tasks:
            for name, ref in lineage.outputs(place).items():
                self._makers.setdefault(ref.digest, (place, name, ref))
            for source in lineage.sources(place).values():
                for slot, output in source.outputs:
                    made = sketch.overview.place(slot)
                    self.used.add((made, output))
                    taken.setdefault(made[:2], set()).add(made)
                    if source.is_large:
                        self._whole.add(made[:2])
                        alike[made[:2]] = sketch.overview.scopes[made[0]].nodes[made[1]].total
        for key, places in taken.items():
            alike[key] = max(alike.get(key, 0), len(places))
        self._groups = {key: count for key, count in alike.items() if count > _ALIKE}

    def taken_by(self, place: Place) -> Iterator[Named]:
        """What a task took: what other tasks made, by who made it."""
        found: dict[str, Named] = {}
        for name, source in self._lineage.sources(place).items():
            members = list(self._made(source))
            given = self._lineage.given(place) if not members else {}
            if name in given:
                members = [self._given(*self._params.get(given[name].digest, (name, given[name])))]
            found.update((one.id, one) for one in members)
        yield from found.values()

    def _made(self, source: Source) -> Iterator[Named]:
        """What tasks made of it, alike ones once."""
        overview = self._sketch.overview
        seen: set[tuple[str, str, str]] = set()
        for slot, output in source.outputs:
            place = overview.place(slot)
            if overview.columns.status[slot] not in DONE_WELL or (*place[:2], output) in seen:
                continue
            ref = self._lineage.outputs(place).get(output)
            if ref is not None:
                one = self.of_output(place, output, ref)
                if one.kind == "group":
                    seen.add((*place[:2], output))
                yield one

    def of_digest(self, digest: str) -> Named:
        """What the subject itself is called: never one of a group."""
        self.subject = digest
        maker = self._makers.get(digest)
        if maker is not None:
            return self.of_output(*maker)
        for task, output, ref in self._sketch.find_refs(digest):
            if output.startswith("params."):
                return self._given(output[7:], ref)
            return self._named(ref, f"{task}.{output}" if task and output != "result" else task or output, "made", task=task)
        return Named(digest, digest[:12])

    def inside(self, digest: str) -> list[Named]:
        """What tasks made of the list `digest`, where it was only collected."""
        if digest in self._makers:
            return []
        found = self._lineage.collected(digest)
        return list({one.id: one for one in self._made(Source(found, len(found)))}.values())

    def of_output(self, place: Place, name: str, ref: ArtifactRef) -> Named:
        """What a task made."""
        count = self._groups.get(place[:2], 0)
        if count and ref.digest != self.subject:
            return self._group(place, name, ref, count)
        task = address(*place)
        label = task if name == "result" else f"{task}.{name}"
        own = self._outputs.get(ref.digest, "")
        return self._named(ref, label if not own or own in label else f"{own} ({task})", "made", task=task)

    def _group(self, place: Place, name: str, ref: ArtifactRef | None, count: int) -> Named:
        step = address(*place[:2])
        kind = (ref.type or ref.format) if ref is not None else ""
        more = "" if self._lineage.complete or place[:2] in self._whole else "+"
        return Named(f"group {step} {name}", f"{step} × {count:,}{more}", kind, "group", step, self._run_url(step), "", count)

    def _given(self, name: str, ref: ArtifactRef) -> Named:
        if ref.format == "json" and ref.inline is not None:
            return Named(
                f"param {name} {ref.digest}",
                f"{name} = {clip(ref.inline, 24)}",
                "parameter",
                "param",
                "",
                self._url(ref.digest),
                ref.digest,
            )
        return self._named(ref, str(ref.meta.get("name") or name), "data")

    def _named(self, ref: ArtifactRef, label: str, kind: str, task: str = "") -> Named:
        facts = facts_of(ref)
        note = " · ".join(part for part in (_short_type(ref), facts if facts != label else "") if part)
        return Named(ref.digest, label, note, kind, task, self._url(ref.digest), ref.digest)

    def _url(self, digest: str) -> str:
        return f"/artifacts/{digest}?{urlencode({'run': self._sketch.state.run})}"

    def _run_url(self, task: str) -> str:
        from urllib.parse import quote

        return f"/runs/{quote(self._sketch.state.run)}?{urlencode({'task': task})}"


def _short_type(ref: ArtifactRef) -> str:
    """ "Model" of "fairway.Model", "list[Model]" of "list[fairway.Model]"."""
    return re.sub(r"[\w.]+\.(?=\w)", "", ref.type or ref.format)


def _place(subject: Named, spots: dict[str, Named], edges: Iterable[tuple[str, str]], *, complete: bool) -> Drawing:
    """Coordinates for all of them."""
    chosen = list(spots)[:SPOTS_LIMIT]
    edges = [(start, end) for start, end in edges if start in spots and end in spots]
    layers = layer(chosen, edges)
    tallest = max((len(one) for one in layers), default=1)
    height = tallest * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE
    at: dict[str, tuple[float, float]] = {}
    for column, ids in enumerate(layers):
        top = (height - (len(ids) * (_HEIGHT + _GAP_Y) - _GAP_Y)) / 2
        for row, id in enumerate(ids):
            at[id] = (_EDGE + column * (_WIDTH + _GAP_X), top + row * (_HEIGHT + _GAP_Y))
    paths = [_curve(at[start], at[end]) for start, end in edges if start in at and end in at]
    width = len(layers) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    placed = tuple(Spot(spots[id], *at[id], id == subject.id) for id in chosen)
    return Drawing(width, height, placed, tuple(paths), len(spots) - len(chosen), complete, {"box": (_WIDTH, _HEIGHT)})


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    bend = max(_GAP_X / 2, (x2 - x1) / 2)
    return f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
