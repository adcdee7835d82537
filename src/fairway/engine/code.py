"""The user's code of a submission: what each step reaches, the bundle, and which package versions count for its keys."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fairway
from fairway.dsl import bundle as bundles
from fairway.dsl.mainmodule import NOTEBOOK
from fairway.dsl.reach import IMPORTING, WHOLE, Code, Reach, open_sources
from fairway.engine import machine
from fairway.engine.keys import code_name
from fairway.engine.project import Project
from fairway.errors import DefinitionError
from fairway.spec.graph import Graph, StepDef
from fairway.spec.record import from_plain, replace
from fairway.spec.study import SEARCHED


def code_of(graph: Graph, pipeline: Any, project: Project, source: str) -> tuple[Graph, str, dict[str, Any], str]:
    """(graph with code digests, bundle digest, facts for `RunStarted.environment`, the folder the user edits). Writes the bundle to the
    home.

    The facts are the machine (`machine.record`), `packages` (step -> distribution -> version), and for steps that only a dynamic step
    will call, `codes` (their `code_name` -> digest). Raises DefinitionError, ConfigError, StoreUnavailable.
    """
    inner_steps = [step for searched in searched_graphs(graph) for step in searched.steps.values()]
    every = [*graph.steps.values(), *inner_steps]
    entries = list(dict.fromkeys((s.module, s.qualname) for s in every if s.module and not is_ours(s)))
    commands: list[Sequence[str]] = [s.argv for s in every if s.argv]
    grows = [(s.module, s.qualname) for s in every if s.kind == "dynamic" and not is_ours(s)]
    commands += [step.definition().argv for step in _command_steps(grows)]
    file = _entry_file(pipeline, project, source, entries)
    sources = open_sources(file, project.root, [m for m, _ in entries]) if file.endswith(".py") else None
    made = bundles.collect(file, project.root, project.include, modules=[m for m, _ in entries], commands=commands, sources=sources)
    bundles.write(made, project.home)
    found: dict[tuple[str, str], Reach] = {}
    if entries:
        code = Code(sources or open_sources(file, project.root, [m for m, _ in entries]), file)
        found = code.reach(entries, dict(made.includes()), made.programs())
        inner = [entry for entry in dict.fromkeys(_called_by(found, grows)) if entry not in found]
        found |= code.reach(inner, dict(made.includes()), made.programs()) if inner else {}
    by_path = {f.path: f.digest for f in made.files}
    steps: dict[str, StepDef] = {}
    packages: dict[str, dict[str, str]] = {}
    for name, step in graph.steps.items():
        if is_ours(step):
            steps[name] = replace(step, code=_own_digest(step, inner_steps, found))
            if step.qualname == "suggest" and not step.environment.lock:  # the others of a search need nothing but Python
                packages[name] = machine.versions(("optuna",), project.home)
        elif step.module:
            reached = found[step.module, step.qualname]
            steps[name] = replace(step, code=reached.digest)
            if reached.packages and not step.environment.lock:
                packages[name] = machine.versions(reached.packages, project.home)
        else:
            steps[name] = replace(step, code=_command_digest(step.argv, by_path, made.scripts))
    facts: dict[str, Any] = {**machine.record(), "packages": packages}
    if grows or inner_steps:
        facts["codes"] = {f"{module}:{qualname}": reached.digest for (module, qualname), reached in found.items()}
        facts["codes"] |= {code_name("", "", argv): _command_digest(argv, by_path, made.scripts) for argv in commands}
        packages |= {f"{m}:{q}": machine.versions(r.packages, project.home) for (m, q), r in found.items() if r.packages}
    return replace(graph, steps=steps), made.digest, facts, os.path.dirname(os.path.realpath(file))


def _own_digest(step: StepDef, inner: Sequence[StepDef], found: Mapping[tuple[str, str], Reach]) -> str:
    """Of a step that Fairway brings; one that makes a graph of the user's is another one when the code behind that is."""
    words = [f"{step.module}:{step.qualname}", fairway.__version__]
    if step.kind == "dynamic":
        words += [found[one.module, one.qualname].digest for one in inner if (one.module, one.qualname) in found]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def is_ours(step: StepDef) -> bool:
    """A step that Fairway brings itself: it travels with the runtime, and is another one with each version."""
    return step.module.startswith("fairway.")


def searched_graphs(graph: Graph) -> list[Graph]:
    """Graphs of files over which the graph's searches go."""
    given = [node.inputs[SEARCHED] for node in graph.nodes if SEARCHED in node.inputs and is_ours(graph.steps[node.step])]
    return [from_plain(Graph, expr.value) for expr in given]


def _called_by(found: Mapping[tuple[str, str], Reach], grows: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(module, qualified name) of every step that dynamic steps reach."""
    for entry in grows:
        for part in found[entry].parts:
            module, _, name = part.partition(":")
            names = vars(sys.modules.get(module, sys)) if name == WHOLE and module in sys.modules else (name,)
            for one in names if name != IMPORTING else ():
                step: Any = getattr(sys.modules.get(module), one, None)
                if hasattr(type(step), "fw_definition") and hasattr(step, "definition") and step.definition().module:
                    yield step.definition().module, step.definition().qualname


def foreseen(graph: Graph, facts: Mapping[str, Any]) -> list[StepDef]:
    """Definitions of the steps that the graph's dynamic steps may call, as far as `code_of` found them."""
    found: list[StepDef] = []
    for name in facts.get("codes", {}):
        module, _, qualname = name.partition(":")
        step: Any = getattr(sys.modules.get(module), qualname, None)
        if hasattr(type(step), "fw_definition") and hasattr(step, "definition"):
            found.append(step.definition())
    grows = [(s.module, s.qualname) for s in graph.steps.values() if s.kind == "dynamic" and not is_ours(s)]
    found += [step for searched in searched_graphs(graph) for step in searched.steps.values()]
    return found + [step.definition() for step in _command_steps(grows)]


def _command_steps(grows: Sequence[tuple[str, str]]) -> Iterator[Any]:
    """Command steps in the modules of dynamic steps: which of them will be called is not known yet."""
    for module in dict.fromkeys(m for m, _ in grows):
        for value in list(vars(sys.modules[module]).values()) if module in sys.modules else ():
            if hasattr(type(value), "fw_definition") and hasattr(value, "definition") and value.__wrapped__ is None:
                yield value


def _command_digest(argv: Sequence[str], files: Mapping[str, str], scripts: Mapping[str, Sequence[str]]) -> str:
    """The files of the bundle that a command's words name, and those that its scripts import."""
    words = {os.path.normpath(word) for word in argv if os.path.normpath(word) in files}
    named = sorted(words.union(*(scripts.get(word, ()) for word in words)))
    return hashlib.sha256("\n".join(f"{path} {files[path]}" for path in named).encode()).hexdigest() if named else ""


def _entry_file(pipeline: Any, project: Project, source: str, entries: Sequence[tuple[str, str]]) -> str:
    """The Python file that the steps come from: of a notebook one that is written now, for a graph file that of its first step's module,
    else the graph file itself."""
    of_session = list(dict.fromkeys(name.partition(".")[0] for module, name in entries if module == NOTEBOOK))
    if of_session:
        from fairway.dsl.notebook import write_module

        return write_module(vars(sys.modules["__main__"]), of_session, project.home)
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
