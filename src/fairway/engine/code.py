"""The user's code of a submission: what each step reaches, the bundle, and which package versions count for its keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from fairway.dsl import bundle as bundles
from fairway.dsl.reach import reach
from fairway.engine.machine import versions
from fairway.engine.project import Project
from fairway.errors import DefinitionError
from fairway.spec.graph import Graph, StepDef
from fairway.spec.record import replace


def code_of(graph: Graph, pipeline: Any, project: Project, source: str) -> tuple[Graph, str, dict[str, Any], str]:
    """(graph with code digests, bundle digest, facts for `RunStarted.environment`, the folder the user edits). Writes the bundle to the
    home.

    Raises DefinitionError, ConfigError, StoreUnavailable.
    """
    entries = list(dict.fromkeys((s.module, s.qualname) for s in graph.steps.values() if s.module))
    commands: list[Sequence[str]] = [s.argv for s in graph.steps.values() if s.argv]
    file = _entry_file(pipeline, project, source, entries)
    made = bundles.collect(file, project.root, project.include, modules=[m for m, _ in entries], commands=commands)
    bundles.write(made, project.home)
    includes = made.includes()
    found = reach(file, project.root, entries, dict(includes)) if entries else {}
    by_path = {f.path: f.digest for f in made.files}
    steps: dict[str, StepDef] = {}
    packages: dict[str, dict[str, str]] = {}
    for name, step in graph.steps.items():
        if step.module:
            reached = found[step.module, step.qualname]
            steps[name] = replace(step, code=reached.digest)
            if reached.packages and not step.environment.lock:
                packages[name] = versions(reached.packages, project.home)
        else:
            steps[name] = replace(step, code=_command_digest(step, by_path))
    return replace(graph, steps=steps), made.digest, {"packages": packages}, os.path.dirname(os.path.realpath(file))


def _command_digest(step: StepDef, files: dict[str, str]) -> str:
    """The files of the bundle that a command's words name."""
    named = sorted({os.path.normpath(word) for word in step.argv if os.path.normpath(word) in files})
    return hashlib.sha256("\n".join(f"{path} {files[path]}" for path in named).encode()).hexdigest() if named else ""


def _entry_file(pipeline: Any, project: Project, source: str, entries: Sequence[tuple[str, str]]) -> str:
    """The Python file that the steps come from; for a graph file, the file of its first step's module, else the graph file itself."""
    function = getattr(pipeline, "function", None)
    if function is not None and os.path.isfile(function.__code__.co_filename):
        return function.__code__.co_filename
    path = source.partition(":")[0]
    full = path if os.path.isabs(path) else os.path.join(project.root, path)
    for module, _ in entries:
        inner = module.replace(".", os.sep) + ".py"
        for folder in (os.path.dirname(full), project.root, os.getcwd()):
            if os.path.isfile(os.path.join(folder, inner)):
                return os.path.join(folder, inner)
        raise DefinitionError(
            f"no file of module {module!r} was found beside {path or 'the graph'}",
            hint="keep the graph file beside the Python file it came from",
        )
    return full
