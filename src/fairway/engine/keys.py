"""Cache keys: what a task's result depends on, as one SHA-256.

A key is made of the step's part (the digest of the code it reaches, its outputs, command, environment or package versions, Python's minor
version) and the digests of its inputs. Libc, CPU, GPU and host are recorded with a run but not part of a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.errors import DefinitionError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph, StepDef
from fairway.spec.record import from_plain, replace, to_plain

KEY_VERSION = 1


def minor(python: str) -> str:
    """ "3.12" of "3.12.4"."""
    return ".".join(python.split(".")[:2])


def code_name(module: str, qualname: str, argv: Sequence[str] = ()) -> str:
    """What a step's code goes by in a run's facts: "flow:train", or its command's words."""
    return f"{module}:{qualname}" if module else " ".join(argv)


def fill_codes(graph: Graph, facts: Mapping[str, Any], owner: StepDef) -> Graph:
    """The graph that the dynamic step `owner` made, its steps with the digests that the run's facts have for them.

    A step that was not foreseen (made while the body ran) has the owner's: the body reaches all that it can be made of.
    """
    codes: Mapping[str, str] = facts.get("codes", {})
    steps: dict[str, StepDef] = {}
    for key, step in graph.steps.items():
        steps[key] = replace(step, code=codes.get(code_name(step.module, step.qualname, step.argv), owner.code))
    return replace(graph, steps=steps)


def environment_name(environment: Environment) -> str:
    """What an environment that is not locked goes by in a run's facts."""
    return json.dumps(to_plain(environment), sort_keys=True)


def needs_lock(environment: Environment) -> bool:
    """It asks for packages or a Python, and which ones it gets is not fixed yet."""
    return bool(environment.packages or environment.project or environment.python) and not environment.lock


def fill_environments(graph: Graph, facts: Mapping[str, Any]) -> Graph:
    """A dynamic step's graph with the locks that were made when the run was submitted.

    Raises DefinitionError for an environment that was not foreseen then.
    """
    locked: Mapping[str, Any] = facts.get("environments", {})
    steps: dict[str, StepDef] = {}
    for key, step in graph.steps.items():
        if needs_lock(step.environment):
            found = locked.get(environment_name(step.environment))
            if found is None:
                raise DefinitionError(
                    f"the environment of step {step.name!r} was not known when the run started",
                    hint="define the step, with its environment, at the top level of the module of the dynamic step that calls it",
                    where=step.where,
                )
            steps[key] = replace(step, environment=from_plain(Environment, found))
    return replace(graph, steps={**graph.steps, **steps}) if steps else graph


def packages_of(facts: Mapping[str, Any], scope: str, key: str, step: StepDef) -> Mapping[str, str]:
    """The versions that count for the step `key` of a run's scope: none where a lock pins them."""
    if step.environment.lock:
        return {}
    packages: Mapping[str, Mapping[str, str]] = facts.get("packages", {})
    return packages.get(code_name(step.module, step.qualname) if scope else key, {})


def step_parts(step: StepDef, python: str, packages: Mapping[str, str]) -> dict[str, Any]:
    """The step's own part of its keys, as JSON. `packages` (distribution -> version) count only where no lock pins them."""
    environment = step.environment
    parts: dict[str, Any] = {"version": KEY_VERSION, "kind": step.kind, "code": step.code}
    if step.kind in ("python", "dynamic"):
        parts["entry"] = f"{step.module}:{step.qualname}"
    else:
        parts["argv"] = list(step.argv)
        parts["exit_codes"] = dict(sorted(step.exit_codes.items()))
    parts["outputs"] = [[port.name, port.type] for port in step.outputs]
    parts["returns"] = step.returns
    parts["python"] = minor(python)
    if image := step.image or environment.image:
        parts["image"] = image
    if environment.variables:
        parts["variables"] = dict(sorted(environment.variables.items()))
    if environment.lock:
        parts["lock"] = environment.lock
    elif environment.packages or environment.project:
        parts["requirements"] = [*sorted(environment.packages), environment.project]
    else:
        parts["packages"] = dict(sorted(packages.items()))
    if step.secrets:
        parts["secrets"] = sorted(step.secrets)
    if step.gang.replicas:  # with another world size the same code trains on other batches; what only places it does not count
        asked = step.gang
        parts["gang"] = [asked.framework, asked.replicas, asked.processes, list(asked.roles.items()), dict(sorted(asked.options.items()))]
    return parts


def input_part(ref: ArtifactRef) -> str:
    """How an input stands in a key. Equal bytes of different formats are different values; JSON says its type itself."""
    return ref.digest if ref.format == "json" else f"{ref.format} {ref.type} {ref.digest}"


class StepKey:
    """Keys of one step's tasks: everything but the inputs is hashed once."""

    __slots__ = ("_base", "parts")

    def __init__(self, step: StepDef, python: str, packages: Mapping[str, str]) -> None:
        self.parts = step_parts(step, python, packages)
        text = json.dumps(self.parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        self._base = hashlib.sha256(text.encode() + b"\n")

    def key(self, inputs: Mapping[str, ArtifactRef]) -> str:
        """The hex key of a task with these inputs, in whatever order they are given."""
        made = self._base.copy()
        lines = [
            f"{n}={r.digest if r.format == 'json' else f'{r.format} {r.type} {r.digest}'}\n"
            for n, r in (sorted(inputs.items()) if len(inputs) > 1 else inputs.items())
        ]
        made.update("".join(lines).encode())
        return made.hexdigest()


def cache_key(
    step: StepDef, inputs: Mapping[str, ArtifactRef], python: str, packages: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """(key, parts) of one task; `parts` is what `explain` compares."""
    made = StepKey(step, python, packages or {})
    return made.key(inputs), {**made.parts, "inputs": {name: input_part(ref) for name, ref in sorted(inputs.items())}}
