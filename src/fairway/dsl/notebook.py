"""Definitions that live in no file (a notebook, a console) as the source of a module: what the steps reach, and nothing else of the
session."""

from __future__ import annotations

import _ast
import builtins
import hashlib
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from fairway.dsl.mainmodule import NOTEBOOK
from fairway.dsl.normalise import scan
from fairway.errors import DefinitionError
from fairway.spec.layout import SCRATCH

_LITERAL_LIMIT = 20_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def synthesise(namespace: Mapping[str, Any], names: Sequence[str]) -> str:
    """The source of a module that defines `names` and whatever of `namespace` they use, in an order in which it can run.

    Functions and classes come from their cells, modules and imported names as imports, plain values as literals. Raises DefinitionError for
    what has no source, and for values that should be passed to the step as inputs.
    """
    writer = _Writer(namespace)
    for name in names:
        writer.need(name, "")
    return "\n\n".join(["\n".join([*writer.future, *writer.imports]), *writer.blocks]).strip() + "\n"


def write_module(namespace: Mapping[str, Any], names: Sequence[str], home: str) -> str:
    """The file, under the home, with the module that `synthesise` makes; the same definitions are the same file."""
    text = synthesise(namespace, names).encode()
    folder = os.path.join(home, SCRATCH, f"notebook-{hashlib.sha256(text).hexdigest()[:16]}")
    path = os.path.join(folder, f"{NOTEBOOK}.py")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(path):
        part = f"{path}.{os.getpid()}"
        with open(part, "wb") as out:
            out.write(text)
        os.rename(part, path)
    return path


class _Writer:
    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.namespace = namespace
        self.imports: list[str] = []
        self.future: list[str] = []
        self.blocks: list[str] = []
        self.done: set[str] = set()

    def need(self, name: str, user: str) -> None:
        """Write what defines `name`, after what that needs."""
        if name in self.done or name not in self.namespace:
            return
        self.done.add(name)
        value = self.namespace[name]
        if hasattr(builtins, name) and value is getattr(builtins, name):
            return
        inner = _unwrapped(value)
        if isinstance(value, ModuleType):
            self.imports.append(f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}")
        elif isinstance(inner, FunctionType | type) and inner.__module__ == "__main__":
            self.definition(name, inner, user)
        elif _is_literal(value):
            self.blocks.append(f"{name} = {value!r}")
        elif (origin := _origin(value)) is not None:
            self.imports.append(f"from {origin[0]} import {origin[1]}" + (f" as {name}" if origin[1] != name else ""))
        elif type(value).__module__.partition(".")[0] in {*sys.stdlib_module_names, "fairway"}:
            self.assignment(name, user)
        else:
            raise DefinitionError(
                f"{user or 'a step'} uses `{name}`, a {_kind_of(value)} that exists only in this session",
                hint=f"give `{name}` to the step as an argument, or make it inside the step",
            )

    def definition(self, name: str, inner: Any, user: str) -> None:
        if inner.__name__ != name and inner.__name__ in self.namespace:  # another name for the same thing
            self.need(inner.__name__, user)
            self.blocks.append(f"{name} = {inner.__name__}")
            return
        lines, node = _find_definition(inner)
        if node is None:
            raise DefinitionError(
                f"the source of `{name}` is not known", hint="put steps into a file, or define them in a notebook or in IPython"
            )
        self.write(name, lines, node)

    def write(self, name: str, lines: list[str], node: Any) -> None:
        made = scan([node], lambda _: False)
        for chain in dict.fromkeys(made.loads):
            self.need(chain[0], f"`{name}`")
        first = node.decorator_list[0].lineno if getattr(node, "decorator_list", None) else node.lineno
        if any(line.startswith("from __future__") and "annotations" in line for line in lines) and not self.future:
            self.future.append("from __future__ import annotations")
        self.blocks.append("".join(lines[first - 1 : node.end_lineno]).rstrip())

    def assignment(self, name: str, user: str) -> None:
        """A value that only its own statement can make again (`fw.env(...)`, `re.compile(...)`)."""
        for text in reversed(self.cells()):
            lines = text.splitlines(keepends=True)
            for node in reversed(_parse(text)):
                if node.__class__ is _ast.Assign and any(t.__class__ is _ast.Name and t.id == name for t in node.targets):
                    self.write(name, lines, node)
                    return
        raise DefinitionError(f"{user} uses `{name}`, and no cell shows how it is made", hint=f"give `{name}` to the step as an argument")

    def cells(self) -> list[str]:
        given = self.namespace.get("In")
        if isinstance(given, list):
            return [str(cell) for cell in given]  # type: ignore[misc]
        return ["".join(entry[2]) for file, entry in linecache.cache.items() if len(entry) == 4 and file.startswith("<")]


def _unwrapped(value: Any) -> Any:
    """The function of a step or pipeline; other values as they are."""
    inner = getattr(value, "function", None)
    return inner if isinstance(inner, FunctionType) and type(value).__module__.startswith("fairway.dsl") else value


def _origin(value: Any) -> tuple[str, str] | None:
    """(module, name) that an imported function, class or object can be imported from again."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name or module == "__main__" or "." in name:
        return None
    return (module, name) if getattr(sys.modules.get(module), name, None) is value else None


def _kind_of(value: Any) -> str:
    """Its type as people write it: pandas.DataFrame, though pandas 2 keeps it in pandas.core.frame."""
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    shown = home if getattr(sys.modules.get(home), kind.__name__, None) is kind else kind.__module__
    return f"{shown}.{kind.__qualname__}".removeprefix("__main__.")


def _is_literal(value: Any) -> bool:
    """Plain data that its own `repr` writes down, and not too much of it."""
    return _is_plain(value, 0) and len(repr(value)) < _LITERAL_LIMIT


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return kind is not float or value - value == 0  # not inf, not nan
    if depth > 20:
        return False
    if kind is list or kind is tuple or (kind is set and value):
        return all(_is_plain(v, depth + 1) for v in value)
    return kind is dict and all(_is_plain(k, depth + 1) and _is_plain(v, depth + 1) for k, v in value.items())


def _find_definition(inner: Any) -> tuple[list[str], Any]:
    """(lines of the cell, definition) of a function or class."""
    if isinstance(inner, FunctionType):
        codes = [inner.__code__]
    else:
        codes = [f.__code__ for f in vars(inner).values() if isinstance(f, FunctionType) and f.__module__ == "__main__"]
    files = [code.co_filename for code in codes]
    if isinstance(inner, type):  # a dataclass has methods that stand in no cell, other classes may have none at all
        files += [f for f in reversed(linecache.cache) if f.startswith("<") or "ipykernel" in f]
    for file in dict.fromkeys(files):
        lines = linecache.getlines(file)
        matches = [n for n in _parse("".join(lines)) if getattr(n, "name", None) == inner.__name__]
        if matches:
            return lines, matches[-1]
    return [], None


def _parse(text: str) -> list[Any]:
    try:
        tree: Any = compile(text, "<cell>", "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    except (SyntaxError, ValueError):  # a cell with magics, or not Python at all
        return []
    return list(tree.body)
