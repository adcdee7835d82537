"""Which slow libraries a pipeline's file imports before anything else: a worker may import them while the file is being loaded here."""

from __future__ import annotations

import os
import sys
from typing import Any

from fairway.step.forks import BEARS_FORK, UNSAFE_TO_FORK
from fairway.step.importing import find_modules

Imports = list[tuple[str, list[str]]]
"""(module, the names that are taken from it)."""


def find_slow_imports(path: str, slow: tuple[str, ...] = BEARS_FORK, root: str = "") -> Imports:
    """Those that stand in the file above everything that could change what they do: a variable that is set, a module of the user's.

    `root`: the folder that it is imported from as a module of a package, whose own files come first; "" = by its name alone. [] for a
    file that cannot be read: whoever loads it says so. [] too if all of them are imported here already.
    """
    try:
        texts = [_read(file) for file in (*_packages(path, root), path)]
        if not any(name.encode() in text for name in slow for text in texts):
            return []
        near = find_modules(root or os.path.dirname(path) or ".")
        bodies = [_parse(text) for text in texts]
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    every = [one for body in bodies for statement in body for one in _imports(statement)]
    if any(_top(name) in UNSAFE_TO_FORK for name, _ in every):
        return []
    found: Imports = []
    for body in bodies:
        leading, is_all = _leading(body, near, slow)
        found += leading
        if not is_all:
            break
    return [] if all(name in sys.modules for name, _ in found) else found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _packages(path: str, root: str) -> list[str]:
    """The files that Python runs before it imports `path` from `root`, the outermost first."""
    parts = os.path.relpath(path, root).split(os.sep)[:-1] if root else []
    files = [os.path.join(root, *parts[: count + 1], "__init__.py") for count in range(len(parts))]
    return [file for file in files if os.path.exists(file)]


def _parse(text: bytes) -> list[Any]:
    """The file's statements. What the parser has to warn of is said when the file is imported."""
    import ast
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body: list[Any] = ast.parse(text).body
    return body[1:] if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body


def _leading(body: list[Any], near: set[str], slow: tuple[str, ...]) -> tuple[Imports, bool]:
    """And whether there is nothing else in the body."""
    found: Imports = []
    for statement in body:
        imports = _imports(statement)
        for name, names in imports:
            top = _top(name)
            if top in near or not (top in slow or top == "fairway" or top in sys.stdlib_module_names):
                return found, False
            if top in slow:
                found.append((name, names))
        if not imports:
            return found, False
    return found, True


def _imports(statement: Any) -> Imports:
    """[] for a statement that is no import, or one of a module beside this one."""
    kind = type(statement).__name__
    if kind == "Import":
        return [(alias.name, []) for alias in statement.names]
    if kind == "ImportFrom" and not statement.level:
        return [(statement.module, [alias.name for alias in statement.names])]
    return []


def _top(name: str) -> str:
    return name.partition(".")[0]
