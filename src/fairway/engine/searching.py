"""Where a search's suggestions are made: in an environment that has Optuna, found before anything runs.

That of the trials, if its lock names Optuna; else the project's own; where that is nothing but a cluster's image, the image of the trials,
if they have one of their own. Trials themselves need it only to be ended early.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from fairway.engine.project import Project
from fairway.errors import UnsupportedError
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph, Node, StepDef
from fairway.spec.record import replace

_ALSO = {"cmaes": ("cmaes",), "qmc": ("scipy",)}
_OURS = "fairway.train.tune."
_GROWING = "fairway.train.tune.growing"


def free_suggestions(graph: Graph) -> Graph:
    """The graph before its environments are locked: its searches' own steps have the project's."""
    own = {key: replace(step, environment=Environment(), image="") for key, step in graph.steps.items() if _is_own(step)}
    return replace(graph, steps={**graph.steps, **own}) if own else graph


def place_suggestions(graph: Graph, project: Project) -> Graph:
    """The graph, locked, with each search's suggestions where they can be made. Raises UnsupportedError if that is nowhere."""
    steps = dict(graph.steps)
    for suggesting, trial in _searches(graph):
        names = ("optuna", *_ALSO.get(suggesting.inputs["search"].value["sampler"]["kind"], ()))
        step, tried = steps[suggesting.step], graph.steps[trial.step]
        lacks = _lacking(tried.environment, names, project) if tried.environment.lock else list(names)
        if tried.environment.lock and not lacks:
            steps[suggesting.step] = replace(step, environment=tried.environment)
        elif step.environment.lock or project.target == "local":
            lacks = _lacking(step.environment, names, project)
            if lacks:
                raise _nowhere(tried, lacks, suggesting.where, "the project's environment" if step.environment.lock else "this Python")
        elif tried.environment.image and not tried.environment.lock and tried.kind in ("python", "dynamic"):
            beside = suggesting.id.removesuffix("suggest") + "best"  # which runs in the same worker
            for own in {node.step for node in graph.nodes if node.id in (suggesting.id, beside)}:
                steps[own] = replace(steps[own], environment=tried.environment)
        pruner = suggesting.pace.told.get("pruner") if suggesting.pace is not None else None
        if pruner and tried.kind == "python" and tried.environment.lock and _lacking(tried.environment, ("optuna",), project):
            raise UnsupportedError(
                f"the environment of `{tried.name}` has no optuna, which decides there when a trial is ended early",
                hint=f'add "optuna" to its packages, or leave the pruner ({pruner["kind"]}) out: suggestions need it elsewhere only',
                where=tried.where,
            )
    return replace(graph, steps=steps)


def _is_own(step: StepDef) -> bool:
    return step.module.startswith(_OURS) and step.module != _GROWING


def _searches(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """(node that suggests, node of its trials) of each search."""
    nodes = {node.id: node for node in graph.nodes}
    for node in graph.nodes:
        if node.pace is not None and _is_own(graph.steps[node.step]):
            yield node, nodes[node.pace.by]


def _lacking(environment: Environment, names: Sequence[str], project: Project) -> list[str]:
    """Which of these distributions a locked environment does not have, or this Python for one that is not locked."""
    if not environment.lock:
        return [name for name in names if find_spec(name) is None]
    from pathlib import Path

    from fairway.envs import get_lock_text

    text = get_lock_text(environment.lock, Path(project.home))
    return [name for name in names if not re.search(rf"^{name}(?![\w.-])", text, re.MULTILINE | re.IGNORECASE)]


def _nowhere(tried: StepDef, lacks: Sequence[str], where: str, place: str) -> UnsupportedError:
    named = " and ".join(lacks)
    also = f", or add it to the packages of `{tried.name}`" if tried.environment.lock else ""
    return UnsupportedError(
        f"hyperparameter search needs {named}, and {place} does not have it", hint=f'pip install "fairway[tune]"{also}', where=where
    )
