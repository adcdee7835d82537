"""Graph files: a Graph as YAML or JSON, written for people and read back with errors that name file, line, field and what was expected."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from fairway.dsl.lint import STRUCTURE
from fairway.dsl.order import sort_nodes
from fairway.dsl.source import shown, suggest
from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.graph import GRAPH_VERSION, Graph
from fairway.spec.record import Record, from_plain, replace, to_plain

Spot = tuple[str | int, ...]
"""Where a field stands in the data: keys and positions from the top."""


class _Bad(Exception):
    """A field that is wrong: where in the data, what is wrong, what to do."""

    def __init__(self, path: Spot, message: str, hint: str) -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def load(path: str) -> Graph:
    """The graph in a file. Raises NotFoundError, or DefinitionError with file, line and field for what is not a graph."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}", hint="`fairway graph churn.py --to graph.yaml` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}", hint="give a text file in UTF-8") from None
    return parse(text, path)


def parse(text: str, name: str = "graph.yaml") -> Graph:
    """The graph in a text; `name` is the file's, for messages and (".json") for the format."""
    data = _read_json(text, name) if name.endswith(".json") else _read_yaml(text, name)
    try:
        _check(Graph, data, ())
        if data.get("version", GRAPH_VERSION) > GRAPH_VERSION:
            raise _Bad(
                ("version",),
                f"`version` is {data['version']}, this Fairway knows {GRAPH_VERSION}",
                "upgrade Fairway: pip install -U fairway",
            )
    except _Bad as bad:
        raise DefinitionError(bad.message, hint=bad.hint, where=f"{shown(name)}:{_line(text, bad.path)}") from None
    graph = _with_places(from_plain(Graph, data), text, name)
    for rule in STRUCTURE:
        if any(True for _ in rule(graph)):
            again = next(rule(_with_places(graph, text, name, anew=True)))  # the line of this file, not of the code it was made from
            raise DefinitionError(again.message, hint=again.hint, where=again.where)
    return replace(graph, nodes=sort_nodes(graph.nodes, graph.axes))


def render_yaml(graph: Graph) -> str:
    """The graph as YAML; `parse` reads it back."""
    return _dump_yaml(to_plain(graph))


def render_json(graph: Graph) -> str:
    """The graph as JSON; `parse` reads it back."""
    text = json.dumps(to_plain(graph), indent=2, ensure_ascii=False) + "\n"
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # UTF-8 has no bytes for half a character, JSON a spelling


_SURROGATE = re.compile("[\ud800-\udfff]")
_ONLY_ESCAPED = re.compile("[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML reads back as written only from between double quotes: line breaks other than \\n, which it folds, marks, controls."""


def _dump_yaml(data: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """The safe one, which quotes too little."""

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _ONLY_ESCAPED.search(text) else None)

    Dumper.add_representer(str, represent_text)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _yaml_loader(text: str) -> Any:
    """The quick loader, but for half characters, which it refuses."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader) if not _SURROGATE_ESCAPE.search(text) else yaml.SafeLoader


_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def _read_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DefinitionError(f"not JSON: {error.msg}", hint="mend the syntax", where=f"{shown(name)}:{error.lineno}") from None


def _read_yaml(text: str, name: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_yaml_loader(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(
            f"not YAML: {error.problem or error.context}", hint="mend the syntax", where=f"{shown(name)}:{line}"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DefinitionError(f"not YAML: {error}", hint="mend the syntax", where=f"{shown(name)}:1") from None


# fields ------------------------------------------------------------------------------------------------------

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _check(hint: Any, data: Any, path: Spot) -> None:
    """Raise _Bad where `data` cannot be of the type `hint`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Record):
        _check_record(hint, data, path)
    elif origin in (typing.Union, types.UnionType):
        if data is not None:
            _check(next(arg for arg in args if arg is not types.NoneType), data, path)
    elif origin is tuple:
        if not isinstance(data, list):
            raise _expected(path, data, "a list")
        for position, item in enumerate(data):
            _check(args[0], item, (*path, position))
    elif origin is dict:
        if not isinstance(data, dict):
            raise _expected(path, data, "a mapping")
        for key, item in data.items():
            if not isinstance(key, str):
                raise _expected((*path, key), key, "text as a key", "put it into quotes")
            _check(args[1], item, (*path, key))
    elif hint in _WORDS:
        _check_scalar(hint, data, path)
    elif hint is Any:
        _check_json(data, path)


def _check_scalar(hint: type, data: Any, path: Spot) -> None:
    fits = isinstance(data, int | float) if hint is float else isinstance(data, hint)
    if not fits or (hint is not bool and isinstance(data, bool)):
        raise _expected(path, data, _WORDS[hint], "put it into quotes" if hint is str and not isinstance(data, dict | list) else "")


def _check_json(data: Any, path: Spot) -> None:
    """Anything that JSON can hold (YAML also knows dates, sets and keys that are not text)."""
    if isinstance(data, dict):
        for key, item in data.items():
            if not isinstance(key, str):
                raise _expected((*path, key), key, "text as a key", "put it into quotes")
            _check_json(item, (*path, key))
    elif isinstance(data, list):
        for position, item in enumerate(data):
            _check_json(item, (*path, position))
    elif not (data is None or isinstance(data, str | int | float)) or data != data or data in (float("inf"), float("-inf")):
        raise _expected(path, data, "a JSON value", "put it into quotes")


def _check_record(cls: Any, data: Any, path: Spot) -> None:
    what = cls.__name__.lower()
    if not isinstance(data, dict):
        raise _expected(path, data, f"the fields of a {what} ({', '.join(cls.record_fields)})")
    hints = typing.get_type_hints(cls)
    for name in data:
        if name not in cls.record_fields:
            known = list(cls.record_fields)
            raise _Bad(
                (*path, name),
                f"`{_spell((*path, name))}` is not a field of a {what}",
                f"its fields: {', '.join(known)}.{suggest(str(name), known)}",
            )
    for name in cls.record_fields:
        if name in data:
            _check(hints[name], data[name], (*path, name))
        elif _is_required(cls, name):
            raise _Bad(path, f"`{_spell(path) or what}` lacks the field `{name}`", f"add `{name}:`")


def _is_required(cls: Any, name: str) -> bool:
    from fairway.spec import record

    return cls.record_fields[name] is record._MISSING


def _expected(path: Spot, data: Any, wanted: str, hint: str = "") -> _Bad:
    text = "nothing" if data is None else repr(data)
    return _Bad(
        path,
        f"`{_spell(path) or 'the file'}` is {text if len(text) <= 60 else text[:57] + '...'}; expected {wanted}",
        hint or f"write {wanted}",
    )


def _spell(path: Sequence[str | int]) -> str:
    """ "nodes[2].inputs.data"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


# places ------------------------------------------------------------------------------------------------------


def _compose(text: str) -> Any:
    import yaml

    try:
        return yaml.compose(text, Loader=_yaml_loader(text))
    except yaml.YAMLError:  # JSON that is not YAML (tabs, for one): then lines are not known
        return None


def _line(text: str, path: Spot) -> int:
    """The line of the field at `path`, or of what is nearest around it."""
    node = _compose(text)
    line = 1
    for part in path:
        if node is None:
            break
        found = None
        if node.id == "mapping":
            for key, value in node.value:
                if key.value == str(part):
                    found, line = value, key.start_mark.line + 1
        elif node.id == "sequence" and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line + 1
        node = found
    return line


def _with_places(graph: Graph, text: str, name: str, *, anew: bool = False) -> Graph:
    """The graph with its own file's lines where it does not say where it was written (`anew`: everywhere)."""
    nodes, steps, axes = graph.nodes, graph.steps, graph.axes
    if not anew and all(node.where for node in nodes) and all(step.where for step in steps.values()) and graph.where:
        return graph
    root = _compose(text)
    sections = {key.value: value for key, value in root.value} if root is not None and root.id == "mapping" else {}
    file = shown(name)
    if "nodes" in sections:
        marks = [item.start_mark.line + 1 for item in sections["nodes"].value]
        nodes = tuple(
            node if node.where and not anew else replace(node, where=f"{file}:{line}") for node, line in zip(nodes, marks, strict=True)
        )
    lines = {
        part: {key.value: key.start_mark.line + 1 for key, _ in sections[part].value} if part in sections else {}
        for part in ("steps", "axes")
    }
    steps = {
        key: step if step.where and not anew else replace(step, where=f"{file}:{lines['steps'].get(key, 1)}") for key, step in steps.items()
    }
    axes = {
        key: axis if axis.where and not anew else replace(axis, where=f"{file}:{lines['axes'].get(key, 1)}") for key, axis in axes.items()
    }
    return replace(graph, nodes=nodes, steps=steps, axes=axes, where=f"{file}:1" if anew or not graph.where else graph.where)
