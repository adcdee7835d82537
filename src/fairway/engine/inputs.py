"""Files and folders that a run is given, by its parameters or in its pipeline: looked for all at once, then stored by what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fairway.engine.library import StoreLibrary
from fairway.engine.project import Project
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Expr, Graph, Node
from fairway.spec.layout import SCRATCH
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import replace

PATH_TYPES = {"fairway.File": "file", "fairway.Directory": "folder"}
_LINES = 3
"""So many has the message of an error on a terminal."""


class _Problem(NamedTuple):
    """What is wrong with one path."""

    path: str
    message: str
    hint: str
    where: str

    def error(self) -> NotFoundError:
        return NotFoundError(self.message, hint=self.hint, where=self.where)


def check_inputs(graph: Graph, values: Mapping[str, Any]) -> None:
    """Look for all files and folders that parameters (their `values`) and the pipeline name. Raises NotFoundError that names all that are
    missing or of the wrong kind: who gives them again wants to do it once."""
    found = list({problem.message: problem for problem in _find_problems(graph, values)}.values())
    if not found:
        return
    lines = [problem.message for problem in found]
    if len(lines) > _LINES:
        rest = [problem.path for problem in found[_LINES - 1 :]]
        lines[_LINES - 1 :] = [f"nor is there what was asked for at {', '.join(rest)}"]
    hints = dict.fromkeys(problem.hint for problem in found)
    raise NotFoundError("\n  ".join(lines), hint="; ".join(hints), where=next((one.where for one in found if one.where), ""))


def _find_problems(graph: Graph, values: Mapping[str, Any]) -> Iterator[_Problem]:
    for param in graph.params:
        for path, kind in _paths_in(param.type, values.get(param.name)):
            yield from _look_at(path, kind, f"parameter {param.name!r}")
    for node in graph.nodes:
        types = {port.name: port.type for port in graph.steps[node.step].inputs}
        for name, expr in node.inputs.items():
            for path, kind in _paths_in(types.get(name, ""), expr.value) if expr.kind == "const" else ():
                yield from _look_at(path, kind, f"input {name!r} of {node.id!r}", node.where)
            yield from _look_at_artifacts(expr, node.where)
    for axis in graph.axes.values():
        for source in axis.sources:
            yield from _look_at_artifacts(source, axis.where)
    for expr in graph.outputs.values():
        yield from _look_at_artifacts(expr, graph.where)


def _paths_in(kind: str, value: Any) -> Iterator[tuple[str, str]]:
    """(path, type) of each that a value of a type names."""
    if isinstance(value, str) and _path_type(kind):
        yield value, _path_type(kind)
    elif isinstance(value, list) and _path_type(_listed(kind)):
        yield from ((path, _path_type(_listed(kind))) for path in value if isinstance(path, str))


def _look_at(path: str, kind: str, what: str, where: str = "") -> Iterator[_Problem]:
    full = os.path.expanduser(path)
    noun = PATH_TYPES[kind]
    if not os.path.exists(full):
        hint = f"relative paths count from {os.getcwd()}"
        yield _Problem(path, f"{what} names a {noun} that does not exist: {path}", hint, where)
    elif not (os.path.isdir(full) if noun == "folder" else os.path.isfile(full)):
        other = "a folder" if os.path.isdir(full) else "a file" if os.path.isfile(full) else "neither a file nor a folder"
        types = " or ".join(f"fw.{name.partition('.')[2]}" for name, one in PATH_TYPES.items() if one != noun)
        hint = f"name a {noun}, or annotate it {types}"
        yield _Problem(path, f"{what} must name a {noun}, and {path} is {other}", hint, where)


def _look_at_artifacts(expr: Expr, where: str) -> Iterator[_Problem]:
    if expr.kind == "artifact" and expr.ref is None:
        from fairway.engine.importing import find_local

        source = str(expr.value)
        path = find_local(source)
        if path and not os.path.exists(path):
            yield _Problem(source, f"there is no {source}", f"relative paths count from {os.getcwd()}", where)
    for arg in expr.args:
        yield from _look_at_artifacts(arg, where)


def store_param(name: str, kind: str, value: Any, library: StoreLibrary, store: ArtifactStore, project: Project) -> ArtifactRef:
    """A parameter's value as an artifact; a file or folder as what it holds. Raises NotFoundError."""
    if isinstance(value, str) and _path_type(kind):
        return _import(value, _path_type(kind), store, project, f"parameter {name!r}")
    if isinstance(value, list) and _path_type(inner := _listed(kind)):
        return library.collect([_import(path, _path_type(inner), store, project, f"parameter {name!r}") for path in value])
    return library.constant(value)


def store_constants(graph: Graph, store: ArtifactStore, project: Project) -> Graph:
    """Paths written in the pipeline for File and Directory inputs, and `fw.artifact(...)`, become artifacts."""
    nodes: list[Node] = []
    importer = _Importer(store, project)
    for node in graph.nodes:
        types = {port.name: _path_type(port.type) for port in graph.steps[node.step].inputs}
        listed = {port.name: _path_type(_listed(port.type)) for port in graph.steps[node.step].inputs}
        changed: dict[str, Expr] = {}
        for name, expr in node.inputs.items():
            kind = types.get(name, "")
            if expr.kind == "const" and kind and isinstance(expr.value, str):
                changed[name] = Expr(
                    "artifact", ref=_import(expr.value, kind, store, project, f"input {name!r} of {node.id!r}", node.where)
                )
            elif expr.kind == "const" and isinstance(expr.value, list) and (kind := listed.get(name, "")):
                what = f"input {name!r} of {node.id!r}"
                refs = [_import(path, kind, store, project, what, node.where) for path in expr.value if isinstance(path, str)]
                changed[name] = Expr("list", args=tuple(Expr("artifact", ref=ref) for ref in refs))
            elif _unresolved(expr):
                changed[name] = importer.resolve(expr, node.where)
        nodes.append(replace(node, inputs={**node.inputs, **changed}) if changed else node)
    axes = {id: axis for id, axis in graph.axes.items() if any(map(_unresolved, axis.sources))}
    outputs = {name: expr for name, expr in graph.outputs.items() if _unresolved(expr)}
    if not axes and not outputs and nodes == list(graph.nodes):
        return graph
    for id, axis in axes.items():
        axes[id] = replace(axis, sources=tuple(importer.resolve(source, axis.where) for source in axis.sources))
    for name, expr in outputs.items():
        outputs[name] = importer.resolve(expr, graph.where)
    return replace(graph, nodes=tuple(nodes), axes={**graph.axes, **axes}, outputs={**graph.outputs, **outputs})


def _unresolved(expr: Expr) -> bool:
    return (expr.kind == "artifact" and expr.ref is None) or any(_unresolved(arg) for arg in expr.args)


class _Importer:
    """Imports what the graph names with `fw.artifact`, each of it once however often it is used."""

    def __init__(self, store: ArtifactStore, project: Project) -> None:
        self._store, self._project = store, project
        self._known: dict[tuple[str, str, str], ArtifactRef] = {}

    def resolve(self, expr: Expr, where: str) -> Expr:
        """`expr` with the artifacts themselves in place of their paths and addresses."""
        if expr.kind != "artifact" or expr.ref is not None:
            return replace(expr, args=tuple(self.resolve(arg, where) for arg in expr.args))
        from fairway.engine.importing import import_artifact

        key = (str(expr.value), expr.name, expr.output)
        if key not in self._known:
            self._known[key] = import_artifact(expr, self._store, self._project, where)
        return Expr("artifact", ref=self._known[key])


def _import(path: str, kind: str, store: ArtifactStore, project: Project, what: str, where: str = "") -> ArtifactRef:
    from fairway.step.artifacts import import_path

    for problem in _look_at(path, kind, what, where):  # it went since they were looked for
        raise problem.error()
    scratch = os.path.join(project.home, SCRATCH)
    os.makedirs(scratch, exist_ok=True)
    return import_path(os.path.expanduser(path), store, kind, scratch=scratch)


def _listed(kind: str) -> str:
    """ "fairway.File" of "list[fairway.File]", "" for what is no list."""
    bare = kind.removesuffix(" | None")
    return bare[5:-1] if bare.startswith("list[") else ""


def _path_type(kind: str) -> str:
    bare = kind.removesuffix(" | None")
    return bare if bare in PATH_TYPES else ""
