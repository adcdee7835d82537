"""Which names a user's code may give to `fw.log`, as far as its text says."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator

from fairway.dsl.reach import open_sources

_HOME = "fairway"
_FUNCTION = "log"
_NEEDS = re.compile(rf"{_HOME}\b(?![-.])")


def find_logged(module: str, file: str) -> set[str] | None:
    """The names in all calls of `fw.log` in the user's modules that `module`, in `file`, imports, itself included.

    None if they may be any: a call takes a dict or `**values`, the function is handed on, or somebody else's code knows it.
    """
    if not os.path.isfile(file):
        return None
    modules = open_sources(file, os.path.dirname(file), [module]).closure([module])
    if not modules or _is_known_elsewhere():
        return None
    found: set[str] = set()
    for one in modules.values():
        try:
            names = _Names(ast.parse(one.text))
        except (SyntaxError, ValueError):
            return None
        if names.any:
            return None
        found |= names.found
    return found


class _Names(ast.NodeVisitor):
    """Of one module. `any`: the names cannot all be told."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: set[str] = set()
        self.any = False
        self._homes: set[str] = set()
        self._functions: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._homes.update(one.asname or _HOME for one in node.names if one.name.partition(".")[0] == _HOME)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _HOME and not node.level:
                self._functions.update(one.asname or one.name for one in node.names if one.name == _FUNCTION)
                self.any = self.any or any(one.name in ("*", "context") for one in node.names)
        self.visit(tree)

    def visit_Call(self, node: ast.Call) -> None:
        if not self._is_log(node.func):
            self.generic_visit(node)
            return
        for keyword in node.keywords:
            self._note([keyword.arg] if keyword.arg is not None else list(_keys(keyword.value)))
        for argument in node.args:
            self._note(list(_keys(argument)))
        for inner in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(inner)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.any = self.any or self._is_log(node)  # not called: handed on
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.any = self.any or self._is_log(node)

    def _is_log(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._functions
        if not isinstance(node, ast.Attribute) or node.attr != _FUNCTION:
            return False
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        return isinstance(root, ast.Name) and root.id in self._homes

    def _note(self, names: list[str | None]) -> None:
        self.any = self.any or None in names
        self.found.update(name for name in names if name is not None)


def _keys(node: ast.expr) -> Iterator[str | None]:
    """The keys of a dict that is written out; None for what is not."""
    if not isinstance(node, ast.Dict):
        yield None
        return
    for key in node.keys:
        yield key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None


def may_log_for_others() -> bool:
    """Does an installed library need Fairway? A step may load it only when it runs, and it may log for its users. Looks at all of them."""
    from importlib.metadata import distributions

    others = (each for each in distributions() if each.metadata["Name"] != _HOME)
    return any(_NEEDS.match(needed) for each in others for needed in each.requires or ())


def _is_known_elsewhere() -> bool:
    """Has an installed library that is loaded imported Fairway? It may log for its users."""
    home = sys.modules[_HOME]
    known = {id(home), id(vars(home).get(_FUNCTION, home))}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == _HOME or "-packages" not in (getattr(module, "__file__", None) or ""):
            continue
        if any(id(value) in known for value in list(vars(module).values())):
            return True
    return False
