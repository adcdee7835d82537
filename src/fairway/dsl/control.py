"""Control flow in a pipeline: maps, conditions, merging, order; secrets and artifacts that exist already."""

from __future__ import annotations

import os
from typing import Any

from fairway.dsl import types
from fairway.dsl.source import caller
from fairway.dsl.trace import Trace, current, require
from fairway.dsl.value import Value
from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.graph import Expr, Guard
from fairway.step.context import context, find_secret


def each(*lists: Any, max_parallel: int = 0, batch: int = 1, on_error: str = "fail") -> Any:
    """An item of a list: the step that takes it runs once for each. Several lists of equal length are zipped and give a tuple of items.

    `max_parallel` limits how many run at once (0: as many as fit), `batch` puts so many items into one attempt, `on_error="keep"` goes on
    without the items that failed. Two separate `each` in one call make a product, the first outermost.
    """
    trace = require("fw.each")
    if not lists:
        raise DefinitionError("fw.each needs a list", hint="write fw.each(depths)", where=caller())
    if type(batch) is not int or batch < 1:
        raise DefinitionError(
            f"batch must be a whole number from 1: {batch!r}", hint="batch=100 puts 100 items into one attempt", where=caller()
        )
    if type(max_parallel) is not int or max_parallel < 0:
        raise DefinitionError(f"max_parallel must be a whole number from 0: {max_parallel!r}", hint="0 means no limit", where=caller())
    if on_error not in ("fail", "keep"):
        raise DefinitionError(
            f'on_error must be "fail" or "keep": {on_error!r}', hint='"keep" goes on without the failed items', where=caller()
        )
    items = trace.each(lists, max_parallel, batch, on_error)
    return items[0] if len(items) == 1 else tuple(items)


def collect(value: Any) -> Any:
    """The list of all items of a mapped value, in order. (A step input annotated as a list collects by itself.)"""
    return require("fw.collect").collect(value)


def either(*values: Any) -> Any:
    """The first of the values that was not skipped: merges the branches of `fw.when` and `fw.otherwise`."""
    if len(values) < 2:
        raise DefinitionError("fw.either needs at least two values", hint="write fw.either(a, b)", where=caller())
    return require("fw.either").either(values)


def length(value: Any) -> Any:
    """The length of a list that does not exist yet."""
    return require("fw.length").operate("len", [value])


def contains(values: Any, item: Any) -> Any:
    """Whether a list, dict or text that does not exist yet contains `item`."""
    return require("fw.contains").operate("in", [item, values])


class _Block:
    """A `with` block whose steps run under a guard."""

    def __init__(self, trace: Trace, condition: Value, wanted: bool) -> None:
        self._trace, self._condition, self._wanted = trace, condition, wanted

    def __enter__(self) -> None:
        trace = self._trace
        assert self._condition.fw_expr is not None
        trace.guards.append(Guard(self._condition.fw_expr, self._wanted))
        trace.guard_axes.append(self._condition.fw_axes)
        trace.last_when.append(None)

    def __exit__(self, *exc: object) -> None:
        trace = self._trace
        trace.guards.pop()
        trace.guard_axes.pop()
        trace.last_when.pop()
        trace.last_when[-1] = self._condition if self._wanted else None


def when(condition: Any) -> Any:
    """`with fw.when(auc > 0.7):` the steps inside run only if the condition holds; else they are skipped."""
    trace = require("fw.when")
    value = trace.lift(condition, "the condition of fw.when")
    if value.fw_expr is not None and value.fw_expr.kind == "secret":
        raise DefinitionError("a secret cannot be a condition", hint="decide inside a step", where=caller())
    return _Block(trace, value, True)


def otherwise() -> Any:
    """`with fw.otherwise():` the other branch of the `fw.when` block before it."""
    trace = require("fw.otherwise")
    condition = trace.last_when[-1]
    if condition is None:
        raise DefinitionError(
            "fw.otherwise() has no `with fw.when(...):` before it",
            hint="write it right after the `when` block, equally indented",
            where=caller(),
        )
    return _Block(trace, condition, False)


class _After:
    """A `with` block whose steps wait for others."""

    def __init__(self, trace: Trace, nodes: list[str]) -> None:
        self._trace, self._nodes = trace, nodes

    def __enter__(self) -> None:
        self._trace.after += self._nodes

    def __exit__(self, *exc: object) -> None:
        del self._trace.after[len(self._trace.after) - len(self._nodes) :]


def after(*values: Any) -> Any:
    """`with fw.after(a, b):` the steps inside wait for the steps that make `a` and `b`."""
    trace = require("fw.after")
    return _After(trace, trace.nodes_of(values))


def secret(name: str) -> Any:
    """The secret called `name`: known only to the attempt that takes it, masked in its log.

    In a step that names it (`secrets=["API_KEY"]`) it is the value itself, which its programs find in the environment too. Outside of runs
    (a step called as a function) it is the environment variable of that name.
    """
    if not isinstance(name, str) or not name.replace("_", "").isalnum():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"not a secret's name: {name!r}", hint='write fw.secret("API_KEY")', where=caller())
    trace = current.get()
    if trace is not None:
        return trace.value(Expr("secret", name), "str", (), f"the secret {name}")
    value = find_secret(name)
    if value is not None:
        return value
    if context().run:
        hint = f'say so where the step is defined: @fw.step(secrets=["{name}"]), or pass fw.secret("{name}") to it as an argument'
        raise NotFoundError(f"this step was not given the secret {name}", hint=hint, where=caller())
    raise NotFoundError(f"there is no secret {name}", hint=f"set the environment variable {name}", where=caller())


def artifact(source: str | os.PathLike[str], type: Any = "fairway.File", *, digest: str = "") -> Any:
    """Data that exists already: a path or URL, imported by its digest when a run is submitted. `digest` (SHA-256) refuses other content."""
    trace = require("fw.artifact")
    if isinstance(source, Value):
        raise DefinitionError(
            "fw.artifact takes a path or URL that is known now", hint="pass the parameter itself to a fw.File input", where=caller()
        )
    text = os.fspath(source)
    if not text:
        raise DefinitionError("fw.artifact needs a path or URL", hint='write fw.artifact("data.csv")', where=caller())
    digest = digest.removeprefix("sha256:").lower()
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
        raise DefinitionError(f"not a SHA-256 digest: {digest!r}", hint="it has 64 hexadecimal digits", where=caller())
    kind = types.type_name(type)
    if kind not in types.FILES:
        raise DefinitionError(
            f"fw.artifact gives files and folders, not `{kind or type}`",
            hint="write fw.artifact(path) and read the file in a step, or fw.artifact(path, fw.Directory)",
            where=caller(),
        )
    if trace.save is None:
        return trace.value(Expr("artifact", kind, digest, value=text), kind, (), f"the artifact {text}")
    if "://" in text:
        raise DefinitionError(
            "addresses are fetched before a run, not in it",
            hint="call fw.artifact in the pipeline and pass it to this step",
            where=caller(),
        )
    return trace.import_path(text, kind, digest)
