"""The objects that a target's server would make for a gang, before there is a run: what an administrator wants to see."""

from __future__ import annotations

from typing import Any

from fairway.engine.manifest_text import render_yaml
from fairway.executors.gangprograms import program_of
from fairway.kube.gangs import render_gang, render_gang_of_programs
from fairway.kube.manifests import Link, owner_name
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import StepDef
from fairway.spec.target import TargetSettings

RUN, ATTEMPT, TOKEN = "RUN", "attempt", "TOKEN"
"""What stands where a run has its id, an attempt's id, and the token with which its pods speak to the server."""


def render_comments(step: StepDef, target: TargetSettings, run: str) -> str:
    """The objects of a gang as lines that no `kubectl apply` reads: applied they would start ranks that belong to no run."""
    head = f"What the server makes for the gang {step.name}, for each try of each of its tasks, with ids and a token of its own:"
    return "".join(f"# {line}".rstrip() + "\n" for line in ["", head, "", *render_yaml(render_objects(step, target, run)).splitlines()])


def render_objects(step: StepDef, target: TargetSettings, run: str = RUN) -> list[dict[str, Any]]:
    """A gang's NetworkPolicy and its Job, as the server of `target` makes them. Raises UnsupportedError for what cannot be one."""
    settings = ClusterSettings(target, target.namespace or "default", kueue=bool(step.placement.queue or target.queue))
    spec = AttemptSpec(ATTEMPT, run, step.name, 1, step, "", (AttemptItem(step.name),), resources=step.resources, timeout_s=step.timeout_s)
    given: dict[str, Any] = {
        "link": Link(f"http://{target.app}:8080", f"http://{target.app}:8081", "DIGEST"),
        "token": TOKEN,
        "owner": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": owner_name(run), "uid": "UID"}},
    }
    if step.kind == "container":
        return render_gang_of_programs(spec, settings, **given, program=program_of(spec, step.argv))
    return render_gang(spec, settings, **given)
