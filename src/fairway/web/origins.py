"""Where an artifact comes from, for people: a sentence of its making, and a graph from the raw data to what was made of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from fairway.engine.resolve import Library
from fairway.engine.state import RunState
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import address
from fairway.spec.record import Record, field, record
from fairway.web.layered import layer
from fairway.web.lineage import Lineage, Place, find_refs
from fairway.web.previews.cells import clip
from fairway.web.previews.shown import facts_of

DEPTH_LIMIT = 100
SPOTS_LIMIT = 120
_ALIKE = 4
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 196, 46, 56, 16, 12


@record
class Named(Record):
    """An artifact as it is told of: `kind` "made" by `task`, "data" that a person gave, "param" with a value, "group" of `count`."""

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


def tell_origin(state: RunState, library: Library, digest: str) -> Origin:
    """The making of the artifact in this run. For a thread: it may read lists from the store."""
    places = list(_made_by(state, digest))
    lineage = Lineage(state, library)
    lineage.up(digest, DEPTH_LIMIT)
    names = Names(state, lineage)
    if not places:
        given = next((name for name, ref in state.params.items() if ref.digest == digest), "")
        raw, first = _roots(lineage, names)
        return Origin(inputs=tuple(names.inside(digest)), raw=raw, first=first, given=given)
    inputs: dict[str, Named] = {}
    params: dict[str, Named] = {}
    for name, ref in lineage.given(places[0]).items():
        for one in names.of_input(name, ref):
            (params if one.kind == "param" else inputs)[one.id] = one
    raw, first = _roots(lineage, names)
    task = state.task(*places[0])
    return Origin(
        address(*places[0]), tuple(inputs.values()), tuple(params.values()), raw, first, task.cached or ("", ""), "",
        lineage.complete,
    )  # fmt: skip


def _roots(lineage: Lineage, names: Names) -> tuple[tuple[Named, ...], tuple[str, ...]]:
    """(what people gave, tasks that began with no data at all) among what was followed."""
    raw: dict[str, Named] = {}
    first: list[str] = []
    for place in lineage.tasks:
        given = [one for name, ref in lineage.given(place).items() for one in names.of_input(name, ref)]
        raw.update({one.id: one for one in given if one.kind == "data"})
        if not any(one.kind in ("data", "made", "group") for one in given):
            first.append(address(*place))
    return tuple(raw.values()), tuple(first)


def draw_lineage(state: RunState, library: Library, digest: str, *, up: int, down: int) -> Drawing:
    """The graph around the artifact, `up` steps to where it comes from and `down` steps to what was made of it."""
    lineage = Lineage(state, library)
    if up:
        lineage.up(digest, up)
    if down:
        lineage.down(digest, down)
    names = Names(state, lineage)
    subject = names.of_digest(digest)
    spots: dict[str, Named] = {subject.id: subject}
    edges: dict[tuple[str, str], None] = {}
    for place in lineage.tasks:
        made = [names.of_output(place, name, ref) for name, ref in (state.task(*place).outputs or {}).items()]
        given = [one for name, ref in lineage.given(place).items() for one in names.of_input(name, ref)]
        made = [one for one in made if len(made) <= 2 or one.id == subject.id or one.digest in names.used] or made[:1]
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
    return _place(subject, spots, edges, complete=lineage.complete)


class Names:
    """What artifacts of a run are called. Many alike (the items of a mapped step) are told of as one group."""

    def __init__(self, state: RunState, lineage: Lineage) -> None:
        self._state, self._lineage = state, lineage
        self._makers: dict[str, tuple[Place, str, ArtifactRef]] = {}
        alike: Counter[tuple[str, str]] = Counter()
        for place in lineage.tasks:
            alike[place[:2]] += 1
            for name, ref in (state.task(*place).outputs or {}).items():
                self._makers.setdefault(ref.digest, (place, name, ref))
        self.used = {inner for place in lineage.tasks for ref in lineage.given(place).values() for inner in lineage.members(ref)}
        self._find_makers(self.used - self._makers.keys())
        self._groups = {key: count for key, count in alike.items() if count > _ALIKE}
        self._params = {ref.digest: (name, ref) for name, ref in state.params.items()}
        self._outputs = {ref.digest: name for name, ref in state.outputs.items()}
        self.subject = ""

    def _find_makers(self, digests: set[str]) -> None:
        """Of what the followed tasks took from others, which were not followed any more."""
        for scope in list(self._state.scopes.values()) if digests else ():
            for node in scope.nodes.values():
                for index, task in list(node.items.items()):
                    for name, ref in (task.outputs or {}).items():
                        if ref.digest in digests:
                            self._makers.setdefault(ref.digest, ((scope.name, node.node.id, index), name, ref))

    def of_digest(self, digest: str) -> Named:
        """What the subject itself is called: never one of a group."""
        self.subject = digest
        maker = self._makers.get(digest)
        if maker is not None:
            return self.of_output(*maker)
        for task, output, ref in find_refs(self._state, digest):
            if output.startswith("params."):
                return self._given(output[7:], ref)
            return self._named(ref, f"{task}.{output}" if task and output != "result" else task or output, "made", task=task)
        return Named(digest, digest[:12])

    def inside(self, digest: str) -> list[Named]:
        """What tasks made of the list `digest`, where it was only collected."""
        if digest in self._makers:
            return []
        ref = next((ref for _, _, ref in find_refs(self._state, digest)), None)
        found = [self._makers[inner] for inner in self._lineage.members(ref) if inner in self._makers] if ref is not None else []
        return list({one.id: one for one in (self.of_output(*maker) for maker in found)}.values())

    def of_output(self, place: Place, name: str, ref: ArtifactRef) -> Named:
        """What a task made."""
        count = self._groups.get(place[:2], 0)
        if count and ref.digest != self.subject:
            step = address(*place[:2])
            return Named(
                f"group {step} {name}", f"{step} × {count:,}", ref.type or ref.format, "group", step, self._run_url(step), "", count
            )
        task = address(*place)
        label = task if name == "result" else f"{task}.{name}"
        own = self._outputs.get(ref.digest, "")
        return self._named(ref, label if not own or own in label else f"{own} ({task})", "made", task=task)

    def of_input(self, name: str, ref: ArtifactRef) -> Iterator[Named]:
        """What a task took as `name`: of a list, the items that tasks made."""
        members = [self._makers[inner] for inner in self._lineage.members(ref) if inner in self._makers]
        if members:
            yield from {one.id: one for one in (self.of_output(*maker) for maker in members)}.values()
            return
        yield self._given(*self._params.get(ref.digest, (name, ref)))

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
        return f"/artifacts/{digest}?{urlencode({'run': self._state.run})}"

    def _run_url(self, task: str) -> str:
        from urllib.parse import quote

        return f"/runs/{quote(self._state.run)}?{urlencode({'task': task})}"


def _short_type(ref: ArtifactRef) -> str:
    """ "Model" of "fairway.Model", "list[Model]" of "list[fairway.Model]"."""
    return re.sub(r"[\w.]+\.(?=\w)", "", ref.type or ref.format)


def _made_by(state: RunState, digest: str) -> Iterator[Place]:
    for scope in list(state.scopes.values()):
        for node in scope.nodes.values():
            for index, task in list(node.items.items()):
                if any(ref.digest == digest for ref in (task.outputs or {}).values()):
                    yield scope.name, node.node.id, index


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
