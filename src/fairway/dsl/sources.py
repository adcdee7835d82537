"""The user's modules as source: where they lie, what each defines, imports and does at import. Nothing is imported to find out."""

from __future__ import annotations

import _ast
import builtins
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fairway.dsl.normalise import MUTATORS, Scan, chain_of, is_remark, root_name, scan
from fairway.errors import DefinitionError

BUILTINS = frozenset(dir(builtins))
_DEFINITIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)
_CONTAINERS = (_ast.Dict, _ast.List, _ast.Set, _ast.DictComp, _ast.ListComp, _ast.SetComp)
_CONTAINER_CALLS = frozenset({"dict", "list", "set", "defaultdict", "OrderedDict", "Counter", "deque"})
_MAIN_TEST = "__name__"


class Target:
    """What an import binds: `module`, or `name` in it."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str = "") -> None:
        self.module = module
        self.name = name


class Module:
    """One file of the user's. `table`: the statements that bind a name. `touches`: those that change the content of a name bound to a
    container. `effects`: those that do something else when the module is imported. `import_count`: statements that import. `loaded`:
    modules whose import this one causes."""

    __slots__ = (
        "containers",
        "effects",
        "import_count",
        "imports",
        "is_package",
        "loaded",
        "name",
        "path",
        "stars",
        "statements",
        "table",
        "text",
        "touches",
    )

    def __init__(self, name: str, path: str, text: bytes, is_package: bool) -> None:
        self.name = name
        self.path = path
        self.text = text
        self.is_package = is_package
        self.statements: list[Any] = []
        self.table: dict[str, list[Any]] = {}
        self.containers: set[str] = set()
        self.touches: dict[str, list[Any]] = {}
        self.imports: dict[str, Target] = {}
        self.import_count = 0
        self.stars: list[str] = []
        self.effects: list[Any] = []
        self.loaded: list[str] = []
        if text:
            self._index()

    def _index(self) -> None:
        try:
            tree: Any = compile(self.text, self.path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            where = f"{self.path}:{getattr(error, 'lineno', None) or 1}"
            raise DefinitionError(f"cannot read the module {self.name}: {error}", hint="mend the syntax error", where=where) from None
        for statement in tree.body:
            if b"run(" in self.text and self._runs_pipeline(statement):
                return  # an import ends there: see `fairway.step.importing`
            if not is_remark(statement) and not _is_main_guard(statement):
                self.statements.append(statement)
                self._place(statement)

    def _runs_pipeline(self, statement: Any) -> bool:
        """`fw.run(...)` at module level."""
        if statement.__class__ in (*_DEFINITIONS, _ast.Import, _ast.ImportFrom) or _is_main_guard(statement):
            return False
        for chain in self.scan([statement]).loads:
            target = self.imports.get(chain[0])
            if target is not None and target.module == "fairway" and "run" in (target.name, *chain[1:2]):
                return True
        return False

    def absolute(self, module: str, level: int) -> str:
        """The full name of a module imported from here with `level` dots."""
        if not level:
            return module
        parts = self.name.split(".")
        keep = len(parts) - level + (1 if self.is_package else 0)
        return ".".join([*parts[: max(keep, 0)], *([module] if module else [])])

    def _place(self, node: Any) -> None:
        kind = node.__class__
        if kind is _ast.Import or kind is _ast.ImportFrom:
            self._import(node)
        elif kind in _DEFINITIONS:
            self.table.setdefault(node.name, []).append(node)
        elif kind is _ast.Assign or kind is _ast.AnnAssign or kind is _ast.AugAssign:
            self._assignment(node, node)
        elif kind is _ast.Expr:
            self._expression(node, node)
        elif kind is _ast.Pass or kind.__name__ == "TypeAlias":
            if kind is not _ast.Pass:
                self.table.setdefault(node.name.id, []).append(node)
        else:
            self._compound(node, node)

    def _compound(self, node: Any, whole: Any) -> None:
        """`if`, `try`, `with`, `for`, … at module level: the whole statement stands for every name that it binds."""
        bound = False
        for inner in _walk_statements(node):
            kind = inner.__class__
            if kind is _ast.Import or kind is _ast.ImportFrom:
                self._import(inner)
                bound = True
                for alias in inner.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    if kind is _ast.ImportFrom or alias.asname:
                        name = alias.asname or alias.name
                    self._bind(name, whole)
            elif kind in _DEFINITIONS:
                self._bind(inner.name, whole)
                bound = True
            elif kind is _ast.Assign or kind is _ast.AnnAssign or kind is _ast.AugAssign:
                self._assignment(inner, whole)
                bound = True
            elif kind is _ast.Expr and not is_remark(inner):
                self._expression(inner, whole)
                bound = True
            elif kind in (_ast.For, _ast.AsyncFor):
                for name in _target_names(inner.target):
                    self._bind(name, whole)
            elif kind in (_ast.With, _ast.AsyncWith):
                for item in inner.items:
                    for name in _target_names(item.optional_vars) if item.optional_vars is not None else ():
                        self._bind(name, whole)
            elif kind in (_ast.Delete, _ast.Assert, _ast.Raise):
                self._effect(whole)
                bound = True
        if not bound:
            self._effect(whole)

    def _bind(self, name: str, whole: Any) -> None:
        found = self.table.setdefault(name, [])
        if not any(s is whole for s in found):
            found.append(whole)

    def _effect(self, whole: Any) -> None:
        if not any(s is whole for s in self.effects):
            self.effects.append(whole)

    def _assignment(self, node: Any, whole: Any) -> None:
        targets = node.targets if node.__class__ is _ast.Assign else [node.target]
        for target in targets:
            names = list(_target_names(target))
            for name in names:
                self._bind(name, whole)
                if node.value.__class__ in _CONTAINERS or _is_container_call(node.value):
                    self.containers.add(name)
            if not names or any(_is_place(t) for t in getattr(target, "elts", ())):
                self._touch(root_name(target), whole)

    def _expression(self, node: Any, whole: Any) -> None:
        call = node.value
        chain = chain_of(call.func) if call.__class__ is _ast.Call else ()
        if len(chain) == 2 and chain[1] in MUTATORS and chain[0] in self.containers:
            self._touch(chain[0], whole)
        elif chain != ("print",):
            self._effect(whole)

    def _touch(self, name: str, whole: Any) -> None:
        if name in self.containers:
            found = self.touches.setdefault(name, [])
            if not any(s is whole for s in found):
                found.append(whole)
        else:
            self._effect(whole)

    def _import(self, node: Any) -> None:
        self.import_count += 1
        if node.__class__ is _ast.Import:
            for alias in node.names:
                self.loaded.append(alias.name)
                if alias.asname:
                    self.imports[alias.asname] = Target(alias.name)
                else:
                    self.imports[alias.name.partition(".")[0]] = Target(alias.name.partition(".")[0])
            return
        module = self.absolute(node.module or "", node.level or 0)
        self.loaded.append(module)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                self.loaded.append(f"{module}.{alias.name}")
                self.imports[alias.asname or alias.name] = Target(module, alias.name)

    def is_setting(self, chain: tuple[str, ...]) -> bool:
        """The decorator is one of Fairway's: it says how to run a step, not what it computes."""
        target = self.imports.get(chain[0])
        return target is not None and target.module.partition(".")[0] == "fairway"

    def scan(self, statements: Sequence[Any]) -> Scan:
        """Normalised text and references of some of the module's statements."""
        return scan(statements, self.is_setting)


class Sources:
    """The user's modules, found by name in `folders` (in order); everything else is the standard library or third-party."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = [f for f in dict.fromkeys(os.path.realpath(f) for f in folders) if os.path.isdir(f)]
        self._modules: dict[str, Module | None] = {}
        self._listed = [frozenset(os.listdir(folder)) for folder in self.folders]

    def find(self, name: str) -> Module | None:
        """The user's module of that full name, read and indexed once."""
        if name not in self._modules:
            self._modules[name] = self._load(name)
        return self._modules[name]

    def add(self, name: str, path: str) -> Module:
        """A module whose file is known."""
        with open(path, "rb") as file:
            made = Module(name, path, file.read(), False)
        self._modules[name] = made
        return made

    def folder_of(self, module: Module) -> str:
        """The folder on the import path that the module was found in."""
        steps = module.name.count(".") + (2 if module.is_package else 1)
        folder = module.path
        for _ in range(steps):
            folder = os.path.dirname(folder)
        return folder

    def _load(self, name: str) -> Module | None:
        first, _, rest = name.partition(".")
        if first == "fairway" or not name:
            return None
        if rest and self.find(first) is None:
            return None
        inner = name.replace(".", "/")
        for folder, listed in zip(self.folders, self._listed, strict=True):
            if first not in listed and f"{first}.py" not in listed:
                continue
            for path, is_package in ((f"{folder}/{inner}/__init__.py", True), (f"{folder}/{inner}.py", False)):
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        return Module(name, path, file.read(), is_package)
            if os.path.isdir(f"{folder}/{inner}") and self._is_namespace(name, f"{folder}/{inner}"):
                return Module(name, f"{folder}/{inner}/__init__.py", b"", True)
        return None

    @staticmethod
    def _is_namespace(name: str, folder: str) -> bool:
        """A folder of Python files without `__init__.py`. A library of that name, wherever it is, comes before it."""
        known = sys.modules.get(name)
        if known is not None and getattr(known, "__file__", None) is not None:
            return False
        if "." not in name and name in sys.stdlib_module_names:
            return False
        with os.scandir(folder) as entries:
            return any(e.name.endswith(".py") or (e.is_dir() and os.path.exists(f"{e.path}/__init__.py")) for e in entries)

    def closure(self, roots: Sequence[str]) -> dict[str, Module]:
        """The modules that importing `roots` imports, directly or not, by name; also those imported inside functions."""
        found: dict[str, Module] = {}
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            for full in parents(name):
                module = self.find(full)
                if module is None or full in found:
                    continue
                found[full] = module
                waiting.extend(module.loaded)
                waiting.extend(self._inner_imports(module))
        return found

    def _inner_imports(self, module: Module) -> Iterator[str]:
        if module.text.count(b"import") <= module.import_count and b"import_module" not in module.text and b"__import__" not in module.text:
            return
        made = module.scan(module.statements)
        for one in made.local_imports:
            full = module.absolute(one.module, one.level)
            yield full
            if one.name:
                yield f"{full}.{one.name}"
        for name in made.dynamic:
            yield from self.matching(name, module)

    def matching(self, name: str, module: Module) -> Iterator[str]:
        """The user's modules that a computed import may mean: those that begin as it does; all beside `module` if nothing is known."""
        if not name.endswith("*"):
            yield module.absolute(name.lstrip("."), len(name) - len(name.lstrip(".")))
            return
        package, _, start = name[:-1].rpartition(".")
        package = package or (module.name if module.is_package else module.name.rpartition(".")[0])
        yield from (full for full in self.submodules(package) if full.rpartition(".")[2].startswith(start))

    def submodules(self, package: str) -> Iterator[str]:
        """The modules straight inside a package of the user's ("" for the first import folder)."""
        owner = self.find(package) if package else None
        if package and (owner is None or not owner.is_package):
            return
        folder = os.path.dirname(owner.path) if owner is not None else self.folders[0]
        for entry in sorted(os.listdir(folder)):
            if entry.endswith(".py") and entry != "__init__.py":
                yield f"{package}.{entry[:-3]}" if package else entry[:-3]


def parents(name: str) -> Iterator[str]:
    """ "a", "a.b", "a.b.c" of "a.b.c"."""
    position = name.find(".")
    while position > 0:
        yield name[:position]
        position = name.find(".", position + 1)
    yield name


def user_folders(base: str, root: str) -> list[str]:
    """Where the user's own modules are looked for: the pipeline's folder, the project's root and its `src`, and what PYTHONPATH or an
    editable install adds; not the standard library, not installed packages."""
    folders = [base, root, f"{root}/src"]
    inside = (os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix), os.path.realpath(os.path.dirname(os.__file__)))
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in sys.path:
        full = os.path.realpath(folder or ".")
        if "site-packages" in full or "dist-packages" in full or full == own or not os.path.isdir(full):
            continue
        if any(full == prefix or full.startswith(f"{prefix}/lib") for prefix in inside):
            continue
        folders.append(full)
    return folders


def _walk_statements(node: Any) -> Iterator[Any]:
    """The statements inside a compound statement, itself first; not those inside functions and classes."""
    yield node
    for field in ("body", "orelse", "finalbody"):
        for inner in getattr(node, field, ()):
            if inner.__class__ in _DEFINITIONS:
                yield inner
            else:
                yield from _walk_statements(inner)
    for handler in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        for inner in handler.body:
            if inner.__class__ in _DEFINITIONS:
                yield inner
            else:
                yield from _walk_statements(inner)


def _target_names(node: Any) -> Iterator[str]:
    if node.__class__ is _ast.Name:
        yield node.id
    elif node.__class__ is _ast.Starred:
        yield from _target_names(node.value)
    elif node.__class__ in (_ast.Tuple, _ast.List):
        for inner in node.elts:
            yield from _target_names(inner)


def _is_place(node: Any) -> bool:
    return node.__class__ in (_ast.Attribute, _ast.Subscript)


def _is_container_call(node: Any) -> bool:
    return node.__class__ is _ast.Call and (chain_of(node.func) or ("",))[-1] in _CONTAINER_CALLS


def _is_main_guard(node: Any) -> bool:
    """`if __name__ == "__main__":` never holds where a step is imported from."""
    if node.__class__ is not _ast.If or node.test.__class__ is not _ast.Compare or node.orelse:
        return False
    sides = [node.test.left, *node.test.comparators]
    names = {s.id for s in sides if s.__class__ is _ast.Name} | {s.value for s in sides if s.__class__ is _ast.Constant}
    return names == {_MAIN_TEST, "__main__"}
