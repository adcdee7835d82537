"""The source that some functions of the user's need, cut out of their module, so that it travels without the rest of it.

Of the functions' own module come the definitions that they reach by name, and the imports these use; other modules of the user's that are
imported come whole. Libraries stay where they are: their names are told.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import ModuleType

from fairway.errors import DefinitionError

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = tuple({os.path.realpath(path) for path in sysconfig.get_paths().values()} | {os.path.realpath(sys.base_prefix + "/lib")})


def cut_out(module: ModuleType, names: Iterable[str]) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """(source of `names` and of what they reach in `module`, {relative path: source} of the user's modules that it imports, top-level
    names of libraries). Raises DefinitionError if a name is not defined at the module's top level."""
    text = read_source(module)
    tree = ast.parse(text)
    statements = _by_name(tree)
    missing = [name for name in names if name not in statements]
    if missing:
        raise DefinitionError(
            f"{missing[0]!r} is not defined at the top level of {module.__name__}",
            hint="what a model takes along is a function of a module: move its def out of the function or class around it",
        )
    kept: set[ast.stmt] = {one for one in tree.body if isinstance(one, ast.ImportFrom) and one.module == "__future__"}
    waiting = [one for name in names for one in statements[name]]
    while waiting:
        one = waiting.pop()
        if one in kept:
            continue
        kept.add(one)
        waiting += [reached for name in _names_used(one) for reached in statements.get(name, ())]
    parts = [_source(text, one) for one in tree.body if one in kept]
    modules, libraries = _imported(kept, module)
    return "\n".join(parts) + "\n", modules, libraries


def read_source(module: ModuleType) -> str:
    """The text of a module's file. Raises DefinitionError where there is none (a notebook's cells, a prompt)."""
    path = getattr(module, "__file__", None)
    if not path or not os.path.isfile(path):
        raise DefinitionError(f"the code of {module.__name__} is in no file", hint="put the function into a .py file and import it")
    with open(path, encoding="utf-8") as file:
        return file.read()


def is_users(module: ModuleType | None) -> bool:
    """Is the module neither Python's, nor installed, nor Fairway's?"""
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py"):
        return False
    real = os.path.realpath(path)
    return not real.startswith((_OURS + os.sep, *(folder + os.sep for folder in _LIBRARIES)))


def _by_name(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """The statements at the top level that give each name its value."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _names_given(statement):
            found.setdefault(name, []).append(statement)
    return found


def _names_given(statement: ast.AST) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif node is not statement and isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
                yield from _names_given(node)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            chain = statement.value.func
            while isinstance(chain, ast.Attribute):
                chain = chain.value
            if isinstance(chain, ast.Name):  # `TABLE.update(…)`: what it does to the name belongs to it
                yield chain.id


def _names_used(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id


def _source(text: str, statement: ast.stmt) -> str:
    """A statement as it was written, with its decorators and the comment lines above it."""
    lines = text.splitlines()
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 : statement.end_lineno])


def _imported(statements: Iterable[ast.stmt], module: ModuleType) -> tuple[dict[str, str], tuple[str, ...]]:
    """The user's modules that the statements import, and what those import, as files; the libraries' names."""
    files: dict[str, str] = {}
    libraries: set[str] = set()
    seen: set[str] = set()
    waiting = list(_imports(statements, module.__package__ or ""))
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        found = sys.modules.get(name)
        if not is_users(found):
            libraries.add(name.partition(".")[0])
            continue
        assert found is not None
        waiting += [name[:n] for n, letter in enumerate(name) if letter == "."]
        text = read_source(found)
        is_package = hasattr(found, "__path__")
        files[name.replace(".", "/") + ("/__init__.py" if is_package else ".py")] = text
        waiting += _imports(ast.walk(ast.parse(text)), name if is_package else name.rpartition(".")[0])
    return files, tuple(sorted(libraries - set(sys.stdlib_module_names) - {"fairway"}))


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Full names of the modules that the nodes import; of `from package import name` also package.name, if that is a module."""
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                if base:
                    yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in sys.modules)
