"""Endpoints in memory: `web.ports.Endpoints` as the keeper implements it, with traffic that is made up, the same every time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from fairway.engine.bus import Bus
from fairway.errors import ConfigError, NotFoundError
from fairway.serve.control.changes import Change, Deployed, Doing, add_revision
from fairway.serve.control.view import (
    Accuracy,
    Answered,
    Asked,
    ColdStart,
    EndpointView,
    Figures,
    KeyUse,
    Point,
    RefusedView,
    ReplicaView,
    RevisionView,
    RolloutView,
    ShadowExample,
    ShadowView,
)
from fairway.spec.endpoint import Capture, Endpoint, Key, Revision, Rollout, Scaling, ServeSpec, find_revision
from fairway.spec.record import replace

NOW = 1_790_000_000.0
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["age", "job", "balance"],
                "properties": {
                    "age": {"type": "integer", "minimum": 18, "maximum": 110, "description": "Years, at the time of the call"},
                    "job": {"enum": ["admin", "services", "retired", "student"]},
                    "balance": {"type": "number"},
                    "housing": {"type": "boolean"},
                    "previous": {"type": ["number", "null"], "description": "Days since the last contact, if there was any"},
                    "address": {
                        "type": "object",
                        "required": ["city"],
                        "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"], "maxLength": 10}},
                    },
                    "scores": {"type": "array", "items": {"type": "number"}},
                },
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"subscribes": {"type": "number"}}}},
    },
}
EXAMPLE = {
    "inputs": [
        {
            "age": 41,
            "job": "services",
            "balance": 1320.5,
            "housing": True,
            "previous": None,
            "address": {"city": "Delft", "zip": None},
            "scores": [1, 2],
        }
    ]
}


def figures(rate: float, span_s: float = 60.0, *, errors: float = 0.0, slow: float = 1.0) -> Figures:
    """Of a span in which that many requests came a second."""
    if rate <= 0:
        return Figures()
    return Figures(round(rate * span_s), rate, errors, 0.004, 4.1 * slow, 9.8 * slow, 17.5 * slow)


def series(now: float, rate: float) -> tuple[Point, ...]:
    """Half an hour: ten seconds a point, the last three minutes a second each."""
    found: list[Point] = []
    spans = [(now - 1800 + 10 * n, 10.0) for n in range(1, 163)] + [(now - 180 + n, 1.0) for n in range(1, 181)]
    for at, span_s in spans:
        wave = 1 + 0.45 * math.sin(at / 170) + 0.12 * math.sin(at / 7)
        one = rate * max(wave, 0.0)
        burst = 3.0 if now - 900 < at < now - 760 else 1.0
        ready = min(8, max(1, math.ceil(one * burst / 60))) if rate else 0
        point = Point(
            at, span_s, figures(one * burst, span_s, errors=0.02 if burst > 1 else 0.001, slow=1 + 0.5 * (burst - 1) + 0.2 * math.sin(at)),
            ready, ready + (burst > 1), int(burst > 1) * 4, one / 40, ((3, one * burst * 0.95), (4, one * burst * 0.05)),
        )  # fmt: skip
        found.append(point)
    return tuple(found)


def make_revision(number: int, now: float, run: str = "", digest: str = "") -> Revision:
    package = {"digest": digest or f"{number}" * 64, "size_bytes": 482_113, "format": "folder", "type": "Model"}
    lineage = {"run": run, "task": "best", "output": "winner", "artifact": package["digest"]} if run else {}
    spec = ServeSpec("runs/42/winner" if run else "models/risk", package, framework="scikit-learn 1.7.2", lineage=lineage)
    return Revision(number, spec, now - 86_400 * (6 - number), "ann" if number % 2 else "ben", "depth 16" if number == 4 else "")


def busy(name: str = "risk", now: float = NOW, *, run: str = "", digest: str = "", project: str = "") -> EndpointView:
    """An endpoint in the midst of a canary, with something in every part of its page."""
    document = Endpoint(
        name,
        project,
        revisions=tuple(make_revision(number, now, run, digest if number == 4 else "") for number in (1, 2, 3, 4)),
        traffic=((3, 95.0), (4, 5.0)),
        shadow=2,
        scaling=Scaling(0, 8, target=8.0),
        capture=Capture(0.25),
        keys=(Key("app", "0" * 64, 50.0, 100, now - 9e5, "ann"), Key("batch", "1" * 64, 0.0, 0, now - 8e5, "ben")),
        rollout=Rollout(4, ((3, 100.0),), max_latency_ms=50.0, max_slowdown=1.5, metric="accuracy", min_metric=0.8, step_began_at=now - 26),
        history=(
            {"at": now - 86_400, "by": "ben", "what": "all traffic to revision 3"},
            {"at": now - 300, "by": "ann", "what": "rollout of revision 4 by 5, 25, 50, 100 %"},
        ),
        created_at=now - 6 * 86_400,
        created_by="ann",
        version=9,
    )
    return EndpointView(
        document,
        f"http://127.0.0.1:8455/{name}",
        "127.0.0.1:8456",
        "ready",
        replicas=3,
        wanted=3,
        figures=figures(142.0, errors=0.0012),
        revisions=(
            RevisionView(4, 5.0, "ready", "", 1, 1, figures(7.1, errors=0.0, slow=1.1)),
            RevisionView(3, 95.0, "ready", "", 2, 2, figures(134.9, errors=0.0013)),
            RevisionView(2, 0.0, "ready", "shadow", 1, 1, figures(142.0, slow=2.2)),
            RevisionView(1, 0.0, "unused"),
        ),
        running=(
            ReplicaView(f"{name}-3-a1", 3, "ready", now - 4000, "", "process 4711", 168 << 20, 0.052),
            ReplicaView(f"{name}-3-a2", 3, "ready", now - 700, "", "process 4722", 151 << 20, 0.049),
            ReplicaView(f"{name}-4-b1", 4, "ready", now - 300, "", "process 4739", 170 << 20, 1.31),
            ReplicaView(f"{name}-4-b2", 4, "failed", now - 280, "the model process ended with signal 9: out of memory", "process 4740"),
        ),
        series=series(now, 120.0),
        refused=(
            RefusedView(now - 12, 422, "the request does not fit the schema", "FW-SCHEMA", "8f2c", "app", 3,
                        ("row 3, field 'age': came the text 'old', expected a number", "row 7, field 'job': came 'king'")),
            RefusedView(now - 75, 429, "too many requests for the key 'app'", "FW-LIMIT", "77ab", "app"),
            RefusedView(now - 420, 413, "the body is larger than 32 MiB", "FW-TOO-LARGE", "61d0"),
        ),
        cold_starts=(
            ColdStart(now - 700, 3, 0.049, (("process", 0.006), ("libraries", 0.0), ("model", 0.031), ("warm-up", 0.012)), 2, True),
            ColdStart(now - 300, 4, 1.31, (("process", 0.05), ("libraries", 0.92), ("model", 0.28), ("warm-up", 0.06)), 0, False),
        ),
        rollout=RolloutView(document.rollout or Rollout(4, ()), figures(7.1, 26.0, slow=1.1), figures(134.9, 26.0), "", now + 34, 0.861),
        shadow=ShadowView(2, now - 3600, 48_211, 322, 4, figures(142.0, slow=2.2),
                          (ShadowExample(now - 40, "5e1a", '{"inputs": [{"age": 41}]}', '{"is": 0.12}', '{"is": 0.31}'),)),
        accuracy=tuple(
            Accuracy(now - 3600 * n, number, 90 + n, 0.86 + 0.01 * math.sin(n + number)) for n in range(24, 0, -1) for number in (3, 4)
        ),
        keys=(KeyUse("app", now - 2, 254_113, 12), KeyUse("batch")),
        schema=SCHEMA,
        example=EXAMPLE,
        zygote_bytes=148 << 20,
    )  # fmt: skip


def cold(name: str = "churn", now: float = NOW, project: str = "") -> EndpointView:
    """An endpoint that nobody has called for a while."""
    document = Endpoint(name, project, (make_revision(1, now),), ((1, 100.0),), scaling=Scaling(0, 4), is_open=True, created_at=now - 9e4)
    start = ColdStart(now - 1500, 1, 0.048, (("process", 0.006), ("model", 0.03), ("warm-up", 0.012)), 1, True)
    return EndpointView(document, f"http://127.0.0.1:8455/{name}", revisions=(RevisionView(1, 100.0, "idle"),), cold_starts=(start,),
                        schema=SCHEMA, example=EXAMPLE)  # fmt: skip


def broken(name: str = "prices", now: float = NOW, project: str = "") -> EndpointView:
    """An endpoint whose model cannot be loaded."""
    why = "score.py:14: ModuleNotFoundError: no module named 'lightgbm'"
    document = Endpoint(name, project, (make_revision(1, now),), ((1, 100.0),), created_at=now - 120, created_by="ben")
    replica = ReplicaView(f"{name}-1-a1", 1, "failed", now - 100, why, "process 4800")
    return EndpointView(document, f"http://127.0.0.1:8455/{name}", state="failed", why=why, wanted=1, running=(replica,),
                        revisions=(RevisionView(1, 100.0, "failed", why, 0, 1),))  # fmt: skip


class MemoryEndpoints:
    """`web.ports.Endpoints` over views that a test has put there. What was asked of it stands in `done`, what was sent in `asked`."""

    def __init__(self, *views: EndpointView) -> None:
        self.bus: Bus | None = None
        self.done: list[tuple[Any, ...]] = []
        self.asked: list[Asked] = []
        self.answer = Answered(
            200, json.dumps({"predictions": [0.42], "id": "c0ffee", "model": "risk"}).encode(), "application/json", "c0ffee", 3, 4.2
        )
        self._views = {view.name: view for view in views}
        self._stands: dict[str, int] = {}

    async def views(self) -> Sequence[EndpointView]:
        return [self._views[name] for name in sorted(self._views)]

    async def view(self, name: str) -> EndpointView | None:
        return self._views.get(name)

    def stand(self, name: str = "") -> int:
        return self._stands.get(name, 0)

    def put(self, view: EndpointView) -> None:
        """It is so from now on, and whoever listens is told."""
        self._views[view.name] = view
        for name in (view.name, ""):
            self._stands[name] = self._stands.get(name, 0) + 1
        if self.bus is not None:
            self.bus.publish(f"endpoint:{view.name}")
            self.bus.publish("endpoints")

    async def send(self, name: str, asked: Asked) -> Answered:
        self._find(name)
        self.asked.append(asked)
        return self.answer

    async def set_traffic(self, name: str, traffic: Sequence[tuple[int, float]], *, by: str) -> None:
        if sum(weight for _, weight in traffic) != 100:
            raise ConfigError("weights must add up to 100", hint="3=95 4=5")
        self.done.append(("traffic", name, tuple(traffic), by))
        self._change(name, lambda one: replace(one, traffic=tuple(traffic), rollout=None))

    async def set_shadow(self, name: str, revision: int, *, by: str) -> None:
        self.done.append(("shadow", name, revision, by))
        self._change(name, lambda one: replace(one, shadow=revision))

    async def start_rollout(self, name: str, revision: int, *, by: str) -> None:
        self.done.append(("rollout", name, revision, by))
        self._change(name, lambda one: replace(one, rollout=Rollout(revision, one.traffic)))

    async def pause_rollout(self, name: str, paused: bool, *, by: str) -> None:
        self.done.append(("pause-rollout", name, paused, by))
        state = "paused" if paused else "going"
        self._change(name, lambda one: replace(one, rollout=replace(one.rollout, state=state) if one.rollout else None))

    async def promote(self, name: str, revision: int, *, by: str) -> None:
        self.done.append(("promote", name, revision, by))
        self._change(name, lambda one: replace(one, traffic=((revision, 100.0),), rollout=None))

    async def rollback(self, name: str, revision: int = 0, *, by: str) -> None:
        self.done.append(("rollback", name, revision, by))
        self._change(name, lambda one: replace(one, traffic=((revision or 3, 100.0),), rollout=None))

    async def pause(self, name: str, paused: bool, *, by: str) -> None:
        self.done.append(("pause", name, paused, by))
        self._change(name, lambda one: one, state="paused" if paused else "ready")

    async def add_key(self, name: str, key: str, rate: float, burst: int, *, by: str) -> str:
        if any(one.name == key for one in self._find(name).endpoint.keys):
            raise ConfigError(f"there is a key {key!r} already", hint="remove it first, or take another name")
        self.done.append(("add-key", name, key, rate, burst, by))
        self._change(name, lambda one: replace(one, keys=(*one.keys, Key(key, "2" * 64, rate, burst, NOW, by))))
        return f"fk1.{key}.s3cret"

    async def remove_key(self, name: str, key: str, *, by: str) -> None:
        self.done.append(("remove-key", name, key, by))
        self._change(name, lambda one: replace(one, keys=tuple(each for each in one.keys if each.name != key)))

    async def delete(self, name: str, *, by: str) -> None:
        self.done.append(("delete", name, by))
        del self._views[name]

    async def deploy(
        self, name: str, spec: ServeSpec, change: Change, *, by: str, note: str = "", with_key: bool | None = None
    ) -> Deployed:
        view = self._views.get(name)
        after, number = add_revision(view.endpoint if view is not None else None, name, spec, Doing(by, NOW), note=note)
        after = change(after, Doing(by, NOW))
        self.done.append(("deploy", name, number, by))
        self.put(replace(view or EndpointView(after), endpoint=after))
        return Deployed(after, number, "fk1.first.s3cret" if with_key else "", view is None)

    async def change(self, name: str, change: Change, *, by: str) -> Endpoint:
        after = change(self._find(name).endpoint, Doing(by, NOW))
        self.done.append(("change", name, by))
        self.put(replace(self._find(name), endpoint=after))
        return after

    async def logs(self, name: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        self._find(name)
        found = [
            f"2026-09-21 14:13:{n:02} {one.id}  {text}" for n, one in enumerate(self._views[name].running) for text in ("loaded", "ready")
        ]
        return [line for line in found if replica in line][-lines:]

    def _find(self, name: str) -> EndpointView:
        if name not in self._views:
            raise NotFoundError(f"there is no endpoint {name!r}", hint="fairway endpoints lists them")
        return self._views[name]

    def _change(self, name: str, change: Callable[[Endpoint], Endpoint], **more: Any) -> None:
        view = self._find(name)
        document = change(view.endpoint)
        weights = dict(document.traffic)
        for number in weights:
            assert find_revision(document, number) is not None
        revisions = tuple(replace(one, weight=weights.get(one.number, 0.0)) for one in view.revisions)
        rollout = replace(view.rollout, rollout=document.rollout) if view.rollout and document.rollout else None
        self.put(replace(view, endpoint=document, revisions=revisions, rollout=rollout, **more))
