"""What can be wrong with steps that are gangs: one function for each rule, as in `lint`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module

from fairway.dsl.infer import Facts
from fairway.errors import FairwayError
from fairway.spec.graph import Graph

Found = Iterator[tuple[str, str, str]]
"""(message, hint, where) of each problem."""


def find_gang_problems(facts: Facts) -> Found:
    """A gang has a framework that there is, with options that it takes; it is no dynamic step, has no pool, and runs one item at a time."""
    graph = facts.graph
    for step in graph.steps.values():
        if not step.gang.replicas:
            continue
        yield from _find_framework_problems(step.name, step.gang, step.where)
        if step.kind == "dynamic":
            hint = "let the dynamic step call a step that is the gang"
            yield f"the dynamic step `{step.name}` cannot be a gang: it makes a graph, and that once", hint, step.where
        if step.pool.size:
            hint = "leave pool= out: a gang's pods start together and end together"
            yield f"the step `{step.name}` is a gang, and workers of a pool take one attempt each", hint, step.where
    for node in graph.nodes:
        step = graph.steps[node.step]
        wide = next((axis for axis in node.axes if graph.axes[axis].batch > 1), "") if step.gang.replicas else ""
        if wide:
            hint = f"write fw.each(…) without batch={graph.axes[wide].batch}: each item is a gang of its own"
            yield f"`{node.id}` is a gang and lies on the axis `{wide}` with batches", hint, node.where


def _find_framework_problems(name: str, gang: object, where: str) -> Found:
    table = import_module("fairway.train.frameworks")  # above this room: found as a plugin is
    try:
        table.check_gang(gang)
    except FairwayError as error:
        yield f"the step `{name}`: {error.message}", error.hint, where


def find_missing_capability(graph: Graph, have: Collection[str]) -> Found:
    """The target can run gangs, where a step is one."""
    for step in graph.steps.values():
        if step.gang.replicas and "gang" not in have:
            yield (
                f"the step `{step.name}` is a gang, which this target cannot run",
                "run it on another target, or leave gang= out",
                step.where,
            )
