"""Two tasks of one step compared, part by part of their cache keys, in words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairway.dsl.picture import describe_expr
from fairway.engine.codediff import CodeChange, Snapshot, changed_files, compare
from fairway.engine.keys import input_part, packages_of, step_parts
from fairway.engine.recorded import get_inputs
from fairway.engine.state import RunState, Scope, TaskState
from fairway.engine.workspace import Workspace
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.attempt import Input
from fairway.spec.event import Index, address
from fairway.spec.graph import Guard, StepDef
from fairway.spec.layout import BUNDLES
from fairway.spec.record import Record, record

_DEFINED = (
    ("argv", "the command"),
    ("exit_codes", "the meaning of exit codes"),
    ("outputs", "the declared outputs"),
)
_GANG = ("framework", "number of replicas", "processes of each replica", "roles", "options")
SHOWN_CHANGES = 4
SHOWN_TEXT = 120


@record
class Reason(Record):
    """One cause. `part`: "code", "input", "package", "python", "environment", "image", "definition", "off", "first", "gone", "failed",
    "exit", "wait", "skip", "kept", "same". `text` says it in words; the other fields say it to programs."""

    part: str
    text: str
    name: str = ""
    before: str = ""
    after: str = ""
    where: str = ""
    chain: tuple[str, ...] = ()


class KeyedTask:
    """One task of a run as it was at some time, with all that its key was made of."""

    def __init__(self, workspace: Workspace, state: RunState, scope: str, node: str, index: Index) -> None:
        self.workspace = workspace
        self.state = state
        self.place = scope, node, index
        self.address = address(scope, node, index)
        self.scope: Scope = state.scopes[scope]
        self.node = self.scope.nodes[node].node
        self.task: TaskState = state.task(scope, node, index)
        self.step: StepDef = self.scope.graph.steps[self.node.step]

    def inputs(self) -> dict[str, Input]:
        """{} where one of them has not been made."""
        try:
            return get_inputs(self.state, *self.place, self.workspace.library)
        except FairwayError:
            return {}

    def guards(self) -> Sequence[Guard]:
        """Its conditions, as far as what they are made of is known."""
        return self.node.guards

    def parts(self) -> dict[str, Any]:
        """What its step adds to its key."""
        packages = packages_of(self.state.environment, self.scope.name, self.node.step, self.step)
        python = self.step.environment.python or str(self.state.environment.get("python", ""))
        return step_parts(self.step, python, packages)

    def snapshot(self) -> Snapshot | None:
        """Its run's code, None if it is not kept any more."""
        self.workspace.bring_code(self.state)
        folder = os.path.join(self.workspace.project.home, BUNDLES, self.state.bundle)
        if not self.state.bundle or not os.path.isdir(folder):
            return None
        return Snapshot(folder, [step.argv for step in self.state.graph.steps.values()])


def differences(one: KeyedTask, twin: KeyedTask) -> Iterator[Reason]:
    """What differs in the two keys."""
    old, new = twin.parts(), one.parts()
    if old["code"] != new["code"]:
        yield from _code(one, twin)
    if old.get("entry") != new.get("entry"):
        yield _changed("definition", "the step is another function", "entry", old.get("entry", ""), new.get("entry", ""))
    for name, said in _DEFINED:
        if old.get(name) != new.get(name):
            yield _changed("definition", f"{said} changed", name, old.get(name, ""), new.get(name, ""))
    yield from _gang(old.get("gang"), new.get("gang"))
    if old["returns"] != new["returns"] and old["outputs"] == new["outputs"]:
        yield _changed("definition", "what it returns changed", "returns", old["returns"], new["returns"])
    if old["kind"] != new["kind"]:
        yield _changed("definition", "the kind of step changed", "kind", old["kind"], new["kind"])
    yield from _inputs(one, twin)
    yield from _surroundings(one, old, new)


def _gang(old: Sequence[Any] | None, new: Sequence[Any] | None) -> Iterator[Reason]:
    """Each part of a gang by itself: with another number of ranks the same code trains on other batches."""
    if old is None or new is None:
        if old is not new:
            said = ("a plain step", "a gang")
            yield _changed("definition", "it is a gang now" if new else "it is no gang any more", "gang", said[bool(old)], said[bool(new)])
        return
    for what, was, now in zip(_GANG, old, new, strict=True):
        if was != now:
            yield _changed("definition", f"the gang's {what} changed", "gang", was, now)


def _code(one: KeyedTask, twin: KeyedTask) -> Iterator[Reason]:
    here, there = one.snapshot(), twin.snapshot()
    if here is None or there is None:
        lacking = one if here is None else twin
        yield Reason("code", f"its code was edited; the code of run {lacking.state.run} is not kept, so the line is not known")
        return
    changes = compare(there, twin.step, here, one.step)
    important = [change for change in changes if change.kind == "edited"] or changes
    for change in important[:SHOWN_CHANGES]:
        yield _edit(change)
    if len(important) > SHOWN_CHANGES:
        names = ", ".join(change.name for change in important[SHOWN_CHANGES:])
        yield Reason("code", f"and {len(important) - SHOWN_CHANGES} more: {names}")
    if not changes:
        yield Reason("code", f"its code differs: {', '.join(changed_files(there, here)) or 'it was read by another version of Fairway'}")


def _edit(change: CodeChange) -> Reason:
    said = {"edited": "was edited", "added": "is reached now and was not before", "removed": "is not reached any more"}[change.kind]
    lines = [f"{change.name} {said} ({change.where})"]
    if len(change.chain) > 1:
        lines.append(f"reached through {' → '.join(change.chain)}")
    if change.kind == "edited":
        lines += [f"- {_clip(change.before)}"] if change.before else []
        lines += [f"+ {_clip(change.after)}"] if change.after else []
    return Reason("code", "\n".join(lines), change.name, change.before, change.after, change.where, change.chain)


def _inputs(one: KeyedTask, twin: KeyedTask) -> Iterator[Reason]:
    old, new = twin.inputs(), one.inputs()
    for name in dict.fromkeys([*new, *old]):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            said = "is new" if was is None else "is gone"
            value = spell_input(now or was)
            yield Reason("input", f"input {name} {said} ({value})", name, spell_input(was), spell_input(now))
        elif (was.ref and input_part(was.ref)) != (now.ref and input_part(now.ref)) or was.secret != now.secret:
            before, after = spell_input(was), spell_input(now)
            if before == after and was.ref and now.ref:
                before, after = f"{before}, {was.ref.digest[:12]}", f"{after}, {now.ref.digest[:12]}"
            yield Reason("input", f"input {name} changed: {before} → {after}{_origin(one, name)}", name, before, after)


def _origin(one: KeyedTask, name: str) -> str:
    """Where an input comes from, and where to look on."""
    expr = one.node.inputs.get(name)
    if expr is None or expr.kind == "const":
        return ""
    if expr.kind == "param":
        return f", the parameter {expr.name}"
    if expr.kind == "item":
        axis = one.scope.graph.axes[expr.name]
        expr = axis.sources[expr.position]
        return f", an item of {describe_expr(expr)}"
    return f", made by {describe_expr(expr)}" if expr.kind == "output" else f", from {describe_expr(expr)}"


def _surroundings(one: KeyedTask, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    if old["python"] != new["python"] and old["python"] and new["python"]:
        yield _changed("python", "Python changed", "python", old["python"], new["python"])
    if old.get("image", "") != new.get("image", ""):
        yield _changed("image", "the image changed", "image", old.get("image") or "none", new.get("image") or "none")
    for name, was, now in moved(old.get("variables", {}), new.get("variables", {})):
        yield _changed("environment", f"the variable {name} changed", name, was or "not set", now or "not set")
    for name, was, now in moved(old.get("packages", {}), new.get("packages", {})):
        yield _changed("package", f"{name} changed", name, was or "not used", now or "not used")
    if old.get("lock") != new.get("lock"):
        yield from _locks(one, old.get("lock") or "", new.get("lock") or "")
    if old.get("requirements") != new.get("requirements"):
        yield _changed("environment", "its requirements changed", "requirements", old.get("requirements", ""), new.get("requirements", ""))
    if old.get("secrets") != new.get("secrets"):
        yield _changed("environment", "the secrets it may use changed", "secrets", old.get("secrets", []), new.get("secrets", []))


def moved(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(name, before, after) of what differs; "" where there is none."""
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name, ""), new.get(name, "")


def _locks(one: KeyedTask, old: str, new: str) -> Iterator[Reason]:
    """The packages that differ in two locks, as far as these are kept."""
    home = one.workspace.project.home
    found = list(moved(pinned(old, home), pinned(new, home))) if old and new else []
    for name, was, now in found:
        yield _changed("package", f"{name} changed in the environment", name, was or "not in it", now or "not in it")
    if not found:
        yield _changed(
            "environment", "its environment changed", "lock", old[:12] or "your own interpreter", new[:12] or "your own interpreter"
        )


def pinned(lock: str, home: str) -> dict[str, str]:
    """Distribution -> version of a lock; {} if it is not kept."""
    from pathlib import Path

    from fairway.envs.resolve import get_lock_text

    try:
        text = get_lock_text(lock, Path(home))
    except NotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, version = line.partition("==")
        if equals and not line.startswith((" ", "#")):
            found[name.strip()] = version.split()[0].rstrip("\\;")
    return found


def _changed(part: str, said: str, name: str, old: Any, new: Any) -> Reason:
    before, after = (value if isinstance(value, str) else json.dumps(value) for value in (old, new))
    return Reason(part, f"{said}: {_clip(before)} → {_clip(after)}", name, before, after)


def spell_input(given: Input | None) -> str:
    """An input in a few words: its value if it is small."""
    if given is None:
        return ""
    ref = given.ref
    if ref is None:
        return f"the secret {given.secret}" if given.secret else "nothing"
    if ref.inline is not None and ref.format == "json":
        return _clip(ref.inline)
    facts = [str(ref.meta.get("name") or ref.name or ref.type or ref.format)]
    if "rows" in ref.meta:
        facts.append(f"{ref.meta['rows']:,} rows")
    return f"{', '.join([*facts, f'{ref.size_bytes:,} bytes'])}"


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_TEXT else text[: SHOWN_TEXT - 1] + "…"
