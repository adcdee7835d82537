"""The objects that a target's server would make for a gang, before there is a run: what an administrator wants to see."""

from __future__ import annotations

from typing import Any

from fairway.executors.gangprograms import program_of
from fairway.kube.gangs import render_gang, render_gang_of_programs
from fairway.kube.manifests import Link, owner_name
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import StepDef
from fairway.spec.target import TargetSettings

RUN, ATTEMPT, TOKEN = "RUN", "attempt", "TOKEN"
"""What stands where a run has its id, an attempt's id, and the token with which its pods speak to the server."""


def render_objects(step: StepDef, target: TargetSettings) -> list[dict[str, Any]]:
    """A gang's Job, as the server of `target` makes it. Raises UnsupportedError for a program that cannot be one."""
    settings = ClusterSettings(target, target.namespace or "default", kueue=bool(step.placement.queue or target.queue))
    spec = AttemptSpec(ATTEMPT, RUN, step.name, 1, step, "", (AttemptItem(step.name),), resources=step.resources, timeout_s=step.timeout_s)
    given: dict[str, Any] = {
        "link": Link(f"http://{target.app}:8080", f"http://{target.app}:8081", "DIGEST"),
        "token": TOKEN,
        "owner": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": owner_name(RUN), "uid": "UID"}},
    }
    if step.kind == "container":
        return render_gang_of_programs(spec, settings, **given, program=program_of(spec, step.argv))
    return render_gang(spec, settings, **given)
