"""What is wrong with a graph that somebody sends is said before anything is recorded."""

from __future__ import annotations

from fairway.dsl.lint import check
from fairway.engine.apply import apply
from fairway.engine.state import RunState
from fairway.errors import ConfigError, DefinitionError
from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph
from fairway.step.artifacts import can_store
from fairway.web.ports import Site


def check_started(started: RunStarted, site: Site) -> RunStarted:
    """The same, if it can run here. Raises DefinitionError, ConfigError."""
    check_graph(started.graph, site)
    for param in started.graph.params:
        if param.name not in started.params:
            raise ConfigError(f"parameter {param.name!r} has no value", hint="send an artifact for it", where="body.started.params")
    for name in started.params:
        if name not in {param.name for param in started.graph.params}:
            raise ConfigError(f"pipeline {started.graph.name!r} has no parameter {name!r}", where="body.started.params")
    return started


def check_graph(graph: Graph, site: Site) -> None:
    """Raises DefinitionError for a graph that does not hold together or that this target cannot run."""
    try:
        problems = check(graph, can_store, site.services.executor.capabilities)
        if not problems:
            apply(RunState(""), RunStarted("check", graph, {}, "", 0.0))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:  # of data that only hands could write
        raise DefinitionError(f"the graph does not hold together: {error}", hint="trace the pipeline with `fairway graph`") from None
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DefinitionError(first.message + more, hint=first.hint, where=first.where)
