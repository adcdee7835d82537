"""What differs between two runs: code, pipeline, parameters, inputs, packages, hardware, results, metrics, durations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from difflib import unified_diff
from typing import Any

from fairway.dsl.picture import describe_expr, describe_node
from fairway.engine.codediff import Snapshot, changed_files
from fairway.engine.keydiff import moved, pinned
from fairway.engine.state import RunState
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import address
from fairway.spec.graph import Expr, Graph, StepDef
from fairway.spec.layout import BUNDLES
from fairway.spec.record import Record, record, replace, to_plain

SECTIONS = ("code", "pipeline", "parameters", "inputs", "packages", "environment", "results", "metrics", "durations")
SAME_DURATION_S = 0.5
SAME_DURATION_SHARE = 0.2
_HARDWARE = ("python", "implementation", "platform", "host", "libc", "cpu", "cpus", "memory_bytes", "gpus")
_SETTINGS = ("kind", "argv", "image", "exit_codes", "resources", "retry", "timeout_s", "environment", "cache", "trust", "secrets")


@record
class Difference(Record):
    """One difference: `what` it is, its value `before` and `after` (None where there is none). Code has a unified diff as `text`."""

    section: str
    what: str
    before: Any = None
    after: Any = None
    text: str = ""


def diff(first: RunState, second: RunState, home: str, times: Callable[[RunState], Mapping[str, float]] | None = None) -> list[Difference]:
    """All differences, by section in the order of `SECTIONS`. Durations count if they differ by more than half a second and a fifth;
    `times` gives the seconds that each step took, which are else added up from its attempts."""
    return [
        *_code(first, second, home),
        *_pipeline(first, second),
        *_values("parameters", _params(first), _params(second)),
        *_values("inputs", _inputs(first), _inputs(second)),
        *_packages(first, second, home),
        *_values("environment", _machine(first), _machine(second)),
        *_results(first, second),
        *_values("metrics", first.metrics, second.metrics),
        *_durations(first, second, times or _times),
    ]


def _values(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Difference(section, name, old.get(name), new.get(name))


def _code(first: RunState, second: RunState, home: str) -> Iterator[Difference]:
    if first.bundle == second.bundle:
        return
    folders = [os.path.join(home, BUNDLES, state.bundle) for state in (first, second)]
    if not all(state.bundle and os.path.isdir(folder) for state, folder in zip((first, second), folders, strict=True)):
        yield Difference("code", "bundle", first.bundle[:12], second.bundle[:12])
        return
    old, new = (Snapshot(folder) for folder in folders)
    for path in changed_files(old, new):
        before, after = old.read(path), new.read(path)
        names = [f"a/{path}" if path in old.files else "/dev/null", f"b/{path}" if path in new.files else "/dev/null"]
        text = "\n".join(unified_diff(before, after, *names, lineterm="", n=2))
        yield Difference("code", path, _line_count(before, path in old.files), _line_count(after, path in new.files), text)


def _line_count(lines: list[str], there: bool) -> str | None:
    return f"{len(lines)} line{'' if len(lines) == 1 else 's'}" if there else None


def _pipeline(first: RunState, second: RunState) -> Iterator[Difference]:
    """Other steps, other wiring, other settings, other options of the run."""
    old, new = first.graph, second.graph
    if old.name != new.name:
        yield Difference("pipeline", "name", old.name, new.name)
    yield from _values("pipeline", _nodes(old), _nodes(new))
    for key, step in new.steps.items():
        if key in old.steps:
            yield from _values("pipeline", _settings(key, old.steps[key]), _settings(key, step))
    yield from _values("pipeline", to_plain(first.options), to_plain(second.options))


def _nodes(graph: Graph) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in graph.nodes:
        given = ", ".join(f"{name}={describe_expr(_unnamed(expr))}" for name, expr in node.inputs.items())
        facts = describe_node(graph, node)
        found[node.id] = f"{node.step}({given})" + (f", {facts}" if facts else "")
    return found


def _unnamed(expr: Expr) -> Expr:
    """The wiring without the contents of artifacts: these stand under "inputs"."""
    if expr.ref is not None:
        return Expr("artifact", value=str(expr.ref.meta.get("name") or expr.ref.type or expr.ref.format))
    return replace(expr, args=tuple(_unnamed(arg) for arg in expr.args)) if expr.args else expr


def _settings(key: str, step: StepDef) -> dict[str, Any]:
    plain = to_plain(step)
    found: dict[str, Any] = {}
    for name in _SETTINGS:
        value = plain.get(name)
        if name == "environment" and isinstance(value, dict):
            value = {field: inner for field, inner in value.items() if field != "lock"}  # its packages stand in a section of their own
        if value not in (None, {}, [], ""):
            found[f"{key}.{name}"] = value
    return found


def _params(state: RunState) -> dict[str, Any]:
    return {name: shown(ref) for name, ref in state.params.items()}


def shown(ref: ArtifactRef) -> Any:
    """A small JSON value itself, anything else by its name, size and digest."""
    if ref.inline is not None and ref.format == "json":
        return json.loads(ref.inline)
    return f"{ref.meta.get('name') or ref.name or ref.type or ref.format} ({ref.size_bytes:,} bytes, {ref.digest[:12]})"


def _inputs(state: RunState) -> dict[str, Any]:
    """Artifacts that the pipeline itself names."""
    found: dict[str, Any] = {}
    for node in state.graph.nodes:
        for name, expr in node.inputs.items():
            for position, ref in enumerate(_artifacts(expr)):
                found[f"{node.id}.{name}" + (f"[{position}]" if position else "")] = shown(ref)
    return found


def _artifacts(expr: Expr) -> Iterator[ArtifactRef]:
    if expr.ref is not None:
        yield expr.ref
    for arg in expr.args:
        yield from _artifacts(arg)


def _packages(first: RunState, second: RunState, home: str) -> Iterator[Difference]:
    """Installed distributions of the user's own interpreter, then those of locked environments, by step."""
    installed: list[Mapping[str, str]] = []
    for state in (first, second):
        found: Any = state.environment.get("distributions") or {}
        installed.append(found)
    yield from _values("packages", *installed)
    for key, step in second.graph.steps.items():
        old = first.graph.steps.get(key)
        if old is None or old.environment.lock == step.environment.lock:
            continue
        for name, before, after in moved(pinned(old.environment.lock, home), pinned(step.environment.lock, home)):
            yield Difference("packages", f"{key}: {name}", before or None, after or None)


def _machine(state: RunState) -> dict[str, Any]:
    return {name: state.environment[name] for name in _HARDWARE if state.environment.get(name) not in (None, "", [])}


def _results(first: RunState, second: RunState) -> Iterator[Difference]:
    if first.status != second.status:
        yield Difference("results", "status", first.status, second.status)
    for kind in (_endings, _outputs):
        yield from _values("results", kind(first), kind(second))


def _endings(state: RunState) -> dict[str, Any]:
    """Steps with tasks that did not end well, counted."""
    found: dict[str, Any] = {}
    for scope in state.scopes.values():
        for name, node in scope.nodes.items():
            counts = {status: n for status, n in node.counts.items() if n and status in ("failed", "skipped", "cancelled")}
            if counts:
                several = sum(node.counts.values()) > 1
                found[address(scope.name, name)] = ", ".join(f"{n} {status}" if several else status for status, n in counts.items())
    return found


def _outputs(state: RunState) -> dict[str, Any]:
    return {name: shown(ref) for name, ref in state.outputs.items()}


def _durations(first: RunState, second: RunState, times: Callable[[RunState], Mapping[str, float]]) -> Iterator[Difference]:
    """Of the runs, and of each step that really ran in both."""
    yield from _duration("run", first.ended_at - first.started_at, second.ended_at - second.started_at)
    old, new = times(first), times(second)
    for name in old:
        if name in new:
            yield from _duration(name, old[name], new[name])


def _times(state: RunState) -> dict[str, float]:
    found: dict[str, float] = {}
    for attempt in state.attempts.values():
        if attempt.outcome is not None and attempt.scope in state.scopes and attempt.node in state.scopes[attempt.scope].nodes:
            name = address(attempt.scope, attempt.node)
            found[name] = found.get(name, 0.0) + attempt.outcome.usage.wall_s
    return found


def _duration(name: str, old_s: float, new_s: float) -> Iterator[Difference]:
    if min(old_s, new_s) >= 0 and abs(new_s - old_s) > max(SAME_DURATION_S, SAME_DURATION_SHARE * max(old_s, new_s)):
        yield Difference("durations", name, round(old_s, 3), round(new_s, 3))
