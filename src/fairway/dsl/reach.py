"""Which of the user's code a step reaches: a digest that changes when any of it does, and with nothing else.

The code is cut into parts: a function, class or constant at module level ("features:scale"), what a module does when it is imported
("features:(import)"), a module as a whole ("plugins:*") where a reference cannot be followed. A part refers to other parts by the names it
uses; a step reaches what follows from its own part. Third-party modules end as names of packages.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fairway.dsl.normalise import Chain, Scan
from fairway.dsl.sources import BUILTINS, Module, Sources, Target, parents, user_folders
from fairway.errors import DefinitionError
from fairway.spec.record import Record, field, record

if TYPE_CHECKING:
    from pathlib import Path

IMPORTING = "(import)"
WHOLE = "*"
_WHOLE_MODULE_CALLS = frozenset({"globals", "eval", "exec", "__import__"})
_LIMIT = 64

PartId = tuple[str, str]


@record
class Reach(Record):
    """What one step reaches. `parts`: part -> digest; `via`: part -> the part that refers to it first; `where`: part -> "path:line", the
    path relative to the import folder, line 0 for a file that is not code. `packages`: third-party top-level import names, sorted."""

    digest: str
    parts: dict[str, str] = field(default_factory=dict)
    via: dict[str, str] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


class _Part:
    """One part, before anybody asked who reaches it. `text` "" means that it is only a way to other parts."""

    __slots__ = ("digest", "line", "mutations", "packages", "refs", "strings")

    def __init__(self) -> None:
        self.digest = ""
        self.line = 0
        self.refs: dict[PartId, None] = {}
        self.packages: set[str] = set()
        self.strings: set[str] = set()
        self.mutations: set[str] = set()


def reach(
    entry_file: str | Path, root: str | Path, entries: Sequence[tuple[str, str]], files: dict[str, Path | str] | None = None
) -> dict[tuple[str, str], Reach]:
    """What each entry (module, qualified name) reaches. `files` are declared includes (name -> path): they count for the steps whose code
    names them, and for all steps if no code does. Raises DefinitionError for a module that cannot be parsed."""
    sources = open_sources(entry_file, root, [module for module, _ in entries])
    return Code(sources, entry_file).reach(entries, files or {})


def open_sources(entry_file: str | Path, root: str | Path, modules: Iterable[str] = ()) -> Sources:
    """The user's modules around an entry file. A dotted module name tells which folder above the file is the import folder."""
    path = os.path.realpath(entry_file)
    base = os.path.dirname(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    for module in modules:
        inner = module.replace(".", "/")
        for ending in (f"/{inner}.py", f"/{inner}/__init__.py"):
            if "." in module and path.endswith(ending):
                base = path[: -len(ending)]
    sources = Sources(user_folders(base, os.fspath(root)))
    if base == os.path.dirname(path) and stem != "__init__" and os.path.exists(path):
        sources.add(stem, path)
    return sources


class Code:
    """The parts of the user's modules, made when first asked for."""

    def __init__(self, sources: Sources, entry_file: str | Path = "") -> None:
        self.sources = sources
        self.main = os.path.splitext(os.path.basename(os.fspath(entry_file)))[0]
        self._parts: dict[PartId, _Part] = {}
        self._attached: dict[PartId, list[PartId]] = {}

    def reach(
        self, entries: Sequence[tuple[str, str]], files: dict[str, Path | str], programs: frozenset[str] = frozenset()
    ) -> dict[tuple[str, str], Reach]:
        """See the function of the same name. Of `files`, `programs` count only for the steps whose code names them."""
        modules = [self._module_name(m) for m, _ in entries]
        self._attach(self.sources.closure(modules))
        walks = [self._walk(self._entry(module, name)) for module, (_, name) in zip(modules, entries, strict=True)]
        named = [self._files_named(walk, files) for walk in walks]
        orphans = set(files).difference(programs, *named)
        found: dict[tuple[str, str], Reach] = {}
        for (module, name), walk, own in zip(entries, walks, named, strict=True):
            found[module, name] = self._result(f"{self._module_name(module)}:{name}", walk, {n: files[n] for n in sorted(own | orphans)})
        return found

    def _module_name(self, module: str) -> str:
        return self.main if module == "__main__" and self.sources.find("__main__") is None else module

    def _entry(self, module: str, qualname: str) -> PartId:
        found = self.sources.find(module)
        if found is None:
            raise DefinitionError(f"the module {module!r} is not among your own files", hint="define steps in a file of your project")
        first = qualname.partition(".")[0]
        return (module, first) if first in found.table else (module, WHOLE)

    def _walk(self, start: PartId) -> dict[PartId, PartId | None]:
        """Every part reached, breadth first, with the part it was reached from."""
        found: dict[PartId, PartId | None] = {start: None}
        waiting = [start]
        for here in waiting:
            for ref in (*self._part(here).refs, *self._attached.get(here, ())):
                if ref not in found:
                    found[ref] = here
                    waiting.append(ref)
        return found

    def _result(self, entry: str, walk: dict[PartId, PartId | None], files: dict[str, Path | str]) -> Reach:
        parts: dict[str, str] = {}
        via: dict[str, str] = {}
        where: dict[str, str] = {}
        packages: set[str] = set()
        for (module, name), origin in walk.items():
            part = self._parts[module, name]
            packages |= part.packages
            if not part.digest:
                continue
            spelled = f"{module}:{name}"
            parts[spelled] = part.digest
            where[spelled] = f"{self._shown_path(module)}:{part.line}"
            while origin is not None and not self._parts[origin].digest:
                origin = walk[origin]
            if origin is not None:
                via[spelled] = f"{origin[0]}:{origin[1]}"
        for name, path in files.items():
            with open(path, "rb") as file:
                parts[f"file:{name}"] = hashlib.sha256(file.read()).hexdigest()
            where[f"file:{name}"] = f"{name}:0"
        text = "\n".join([entry, *(f"{name} {parts[name]}" for name in sorted(parts))])
        return Reach(hashlib.sha256(text.encode()).hexdigest(), parts, via, where, tuple(sorted(packages)))

    def _shown_path(self, module: str) -> str:
        found = self.sources.find(module)
        return module if found is None else os.path.relpath(found.path, self.sources.folder_of(found))

    def _files_named(self, walk: dict[PartId, PartId | None], files: dict[str, Path | str]) -> set[str]:
        if not files:
            return set()
        strings = {text for key in walk for text in self._parts[key].strings}
        return {name for name in files if name in strings or os.path.basename(name) in strings}

    # --- parts

    def statements(self, key: PartId) -> list[Any]:
        """The statements that a part is made of."""
        module = self.sources.find(key[0])
        if module is None:
            return []
        if key[1] == IMPORTING:
            return module.effects
        return module.statements if key[1] == WHOLE else [*module.table.get(key[1], ()), *module.touches.get(key[1], ())]

    def _part(self, key: PartId) -> _Part:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part()
            self._fill(key, part)
        return part

    def _fill(self, key: PartId, part: _Part) -> None:
        module = self.sources.find(key[0])
        if module is None:
            return
        name = key[1]
        statements = self.statements(key)
        if name == IMPORTING:
            for loaded in module.loaded:
                for full in parents(loaded):
                    if full != key[0] and self.sources.find(full) is not None:
                        part.refs[full, IMPORTING] = None
        else:
            for full in parents(key[0]):
                part.refs[full, IMPORTING] = None
        if name in module.imports:
            target = module.imports[name]
            part.digest = _digest(f"import {target.module} {target.name}")
            part.line = 1
        if name == WHOLE:
            for target in module.imports.values():
                if target.name:
                    self._follow(target, (), part)
        if statements:
            made = module.scan(statements)
            if made.text:
                part.digest = _digest(part.digest + made.text)
            part.line = statements[0].lineno
            if getattr(statements[0], "decorator_list", None):
                part.line = statements[0].decorator_list[0].lineno
            part.strings = made.strings
            part.mutations = made.mutations
            self._link(module, made, part)

    def _link(self, module: Module, made: Scan, part: _Part) -> None:
        for chain in dict.fromkeys(made.loads):
            self._resolve(module, chain, part)
            if chain[:2] == ("sys", "modules"):
                part.refs[module.name, WHOLE] = None
        for one, rest in made.local_loads:
            self._follow(Target(module.absolute(one.module, one.level), one.name), rest, part)
        for one in made.local_imports:
            full = module.absolute(one.module, one.level)
            self._import_effects(f"{full}.{one.name}" if one.name else full, part)
        for name in made.dynamic:
            for full in self.sources.matching(name, module):
                if self.sources.find(full) is not None and full != module.name:
                    part.refs[full, WHOLE] = None

    def _resolve(self, module: Module, chain: Chain, part: _Part) -> None:
        """Follow a name used in `module`."""
        name = chain[0]
        if name in module.imports:
            part.refs[module.name, name] = None
            self._follow(module.imports[name], chain[1:], part)
        elif name in module.table:
            part.refs[module.name, name] = None
        elif name in _WHOLE_MODULE_CALLS:
            part.refs[module.name, WHOLE] = None
        elif not self._star(module, chain, part) and name not in BUILTINS and not name.startswith("__"):
            part.packages.update(self._foreign_stars(module))

    def _star(self, module: Module, chain: Chain, part: _Part, seen: frozenset[str] = frozenset()) -> bool:
        for name in reversed(module.stars):
            found = self.sources.find(name)
            if found is None or name in seen or chain[0].startswith("__"):
                continue
            if chain[0] in found.table or chain[0] in found.imports:
                self._resolve(found, chain, part)
                return True
            if self._star(found, chain, part, seen | {module.name}):
                return True
        return False

    def _foreign_stars(self, module: Module) -> Iterable[str]:
        for name in module.stars:
            top = name.partition(".")[0]
            if self.sources.find(name) is None and _is_package(top):
                yield top

    def _follow(self, target: Target, rest: Chain, part: _Part) -> None:
        """Follow an imported name and the attributes asked of it, through packages and re-exports, to a part or a package."""
        here = target.module
        chain: Chain = (target.name, *rest) if target.name else rest
        for _ in range(_LIMIT):
            module = self.sources.find(here)
            if module is None:
                self._foreign(here, chain, part)
                return
            self._import_effects(here, part)
            if not chain:
                part.refs[here, WHOLE] = None
                return
            name = chain[0]
            if name in module.imports and name not in module.table:
                part.refs[here, name] = None
                again = module.imports[name]
                here, chain = again.module, (again.name, *chain[1:]) if again.name else chain[1:]
                if not again.name and not chain and again.module == target.module:
                    return
            elif name in module.table:
                part.refs[here, name] = None
                if name in module.imports:
                    self._follow(module.imports[name], chain[1:], part)
                return
            elif self.sources.find(f"{here}.{name}") is not None:
                here, chain = f"{here}.{name}", chain[1:]
            elif self._star(module, chain, part):
                return
            else:
                self._unknown_attribute(here, name, part)
                return

    def _unknown_attribute(self, module: str, name: str, part: _Part) -> None:
        if name == "__path__":
            for full in self.sources.submodules(module):
                part.refs[full, WHOLE] = None
        elif name not in ("__name__", "__file__", "__doc__"):
            part.refs[module, WHOLE] = None

    def _foreign(self, module: str, chain: Chain, part: _Part) -> None:
        top = module.partition(".")[0]
        if _is_package(top):
            part.packages.add(top)

    def _import_effects(self, name: str, part: _Part) -> None:
        for full in parents(name):
            if self.sources.find(full) is not None:
                part.refs[full, IMPORTING] = None

    # --- registries: a definition may be reached through a container that its decorator or base class puts it into

    def _attach(self, modules: dict[str, Module]) -> None:
        uses_subclasses = any(
            b"__subclasses__" in m.text or b"__init_subclass__" in m.text or b"metaclass" in m.text for m in modules.values()
        )
        for module in modules.values():
            for name, statements in module.table.items():
                for statement in statements:
                    for decorator in getattr(statement, "decorator_list", ()):
                        self._attach_decorated(module, name, decorator)
                    if uses_subclasses and getattr(statement, "bases", None):
                        self._attach_subclass(module, name, statement)

    def _attach_decorated(self, module: Module, name: str, decorator: object) -> None:
        probe = module.scan([decorator])
        for chain in probe.loads[:1]:
            if module.is_setting(chain):
                return
            for owner in self._targets(module, chain):
                found = self.sources.find(owner[0])
                if found is None or owner == (module.name, name):
                    continue
                statements = found.table.get(owner[1], [])
                is_method = len(chain) > 1 and chain[-1] != owner[1]  # `@registry.register`, `@Registry.register`, `@generic.register`
                if is_method or not all(hasattr(s, "args") or hasattr(s, "bases") for s in statements):
                    self._attached.setdefault(owner, []).append((module.name, name))
                for container in self._containers_changed_by(owner):
                    self._attached.setdefault(container, []).append((module.name, name))

    def _containers_changed_by(self, decorator: PartId) -> Iterator[PartId]:
        """What a decorator, or anything that it calls, puts things into."""
        for key in list(self._walk(decorator)):
            module = self.sources.find(key[0])
            if module is not None:
                for changed in self._part(key).mutations:
                    yield from self._targets(module, (changed,))

    def _attach_subclass(self, module: Module, name: str, statement: object) -> None:
        for base in statement.bases:  # type: ignore[attr-defined]
            for chain in module.scan([base]).loads:
                for owner in self._targets(module, chain):
                    self._attached.setdefault(owner, []).append((module.name, name))

    def _targets(self, module: Module, chain: Chain) -> list[PartId]:
        """The user's definitions that a name stands for."""
        probe = _Part()
        self._resolve(module, chain, probe)
        found: list[PartId] = []
        for owner, name in probe.refs:
            target = self.sources.find(owner)
            if target is not None and name in target.table:
                found.append((owner, name))
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_package(top: str) -> bool:
    return bool(top) and top != "fairway" and top not in sys.stdlib_module_names
