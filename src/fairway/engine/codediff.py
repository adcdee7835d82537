"""Two versions of a step's code compared: which function or constant was edited, at which line, and how the step reaches it.

Works on the bundles that runs keep, so nothing need be recorded for it while a run starts.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from fairway.dsl.normalise import chain_of, is_remark
from fairway.dsl.reach import IMPORTING, WHOLE, Code, Reach
from fairway.dsl.sources import Module, Sources
from fairway.errors import FairwayError
from fairway.spec.graph import StepDef
from fairway.spec.record import Record, record

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_FILE = "file:"
_PATH_LIMIT = 64


@record
class CodeChange(Record):
    """One difference. `kind`: "edited", "added" (only now reached), "removed". `name` is the part as people write it ("features.scale"),
    `where` its edited line ("features.py:12"; of the older code for what was removed), `before` and `after` that line's text; `chain` names
    the parts from the step's own to this one, each as "name (file:line)"."""

    kind: str
    name: str
    where: str
    before: str = ""
    after: str = ""
    chain: tuple[str, ...] = ()


class Snapshot:
    """The user's code of one run, as its bundle in `folder` keeps it. `commands` are the words of the run's command steps: a script is the
    code of the steps that name it."""

    def __init__(self, folder: str, commands: Iterable[Sequence[str]] = ()) -> None:
        self.folder = folder
        self.programs = frozenset(os.path.normpath(word) for argv in commands for word in argv)
        self.sources = Sources([folder])
        self.code = Code(self.sources)

    @cached_property
    def files(self) -> dict[str, str]:
        """Path in the bundle -> file, of all of it."""
        found: dict[str, str] = {}
        for here, folders, names in os.walk(self.folder):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            found |= {os.path.relpath(os.path.join(here, name), self.folder): os.path.join(here, name) for name in sorted(names)}
        return found

    def reach(self, step: StepDef) -> Reach | None:
        """What the step reaches; None if the bundle does not have it."""
        others = {name: path for name, path in self.files.items() if not name.endswith(".py")}
        best: Reach | None = None
        for files in (others, self._not_imported(step)):
            try:
                found = self.code.reach([(step.module, step.qualname)], dict(files), self.programs)[step.module, step.qualname]
            except FairwayError:
                return None
            if best is None or found.digest == step.code:
                best = found
            if found.digest == step.code:
                break
        return best

    def _not_imported(self, step: StepDef) -> dict[str, str]:
        modules = {os.path.realpath(m.path) for m in self.sources.closure([step.module]).values()}
        return {name: path for name, path in self.files.items() if os.path.realpath(path) not in modules}

    def read(self, name: str) -> list[str]:
        """The lines of a file of the bundle; [] if it is not there or no text."""
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                return file.read().splitlines()
        except (OSError, ValueError):
            return []

    def lines(self, part: str) -> list[tuple[str, int, str]]:
        """(normalised text, line, source line) of each statement of a part, in order."""
        name, _, inner = part.partition(":")
        module = self.sources.find(name)
        if module is None:
            return []
        source = module.text.decode("utf-8", "replace").splitlines()
        nodes = [*_imports_of(module, inner), *self.code.statements((name, inner))]
        made: list[tuple[str, int, str]] = []
        for text, line in _flatten(nodes, module):
            made.append((text, line, source[line - 1].strip() if 0 < line <= len(source) else text))
        return made

    def is_definition(self, part: str) -> bool:
        """Is the part a function, class or constant: not an import, not a file?"""
        name, _, inner = part.partition(":")
        module = self.sources.find(name)
        return module is not None and inner in module.table

    def path_of(self, part: str) -> str:
        """The file of a part, as people know it."""
        module = self.sources.find(part.partition(":")[0])
        return os.path.relpath(module.path, self.folder) if module else ""


def compare(before: Snapshot, old: StepDef, after: Snapshot, new: StepDef) -> list[CodeChange]:
    """How the code that a step reaches differs: what was edited first, nearest to the step first."""
    if not new.module:
        return _compare_files(before, old.argv, after, new.argv)
    was, now = before.reach(old), after.reach(new)
    if was is None or now is None:
        return []
    edited = [part for part in now.parts if part in was.parts and was.parts[part] != now.parts[part]]
    added = [part for part in now.parts if part not in was.parts]
    removed = [part for part in was.parts if part not in now.parts]
    found = [_change("edited", part, before, after, now) for part in edited]
    found += [_change("added", part, before, after, now) for part in added]
    found += [_change("removed", part, before, after, was) for part in removed]
    return found


def _change(kind: str, part: str, before: Snapshot, after: Snapshot, reach: Reach) -> CodeChange:
    chain = tuple(f"{spell_part(p)} ({reach.where[p]})" for p in chain_to(part, reach))
    name = spell_part(part)
    if part.startswith(_FILE):
        path = part.removeprefix(_FILE)
        line, old, new = _first_difference(_numbered(before.read(path)), _numbered(after.read(path)))
        return CodeChange(kind, name, f"{path}:{line}" if line else path, old, new, chain)
    line, old, new = _first_difference(before.lines(part), after.lines(part))
    path = (before if kind == "removed" else after).path_of(part)
    where = f"{path}:{line}" if line else reach.where[part]
    return CodeChange(kind, name, where, old, new, chain)


def _numbered(lines: Sequence[str]) -> list[tuple[str, int, str]]:
    return [(text, number, text) for number, text in enumerate(lines, 1)]


def _first_difference(old: Sequence[tuple[str, int, str]], new: Sequence[tuple[str, int, str]]) -> tuple[int, str, str]:
    """(line, text before, text after) where two lists of statements first differ."""
    matcher = SequenceMatcher(None, [text for text, _, _ in old], [text for text, _, _ in new], autojunk=False)
    for kind, old_first, old_last, new_first, new_last in matcher.get_opcodes():
        if kind == "equal":
            continue
        was = old[old_first] if old_first < old_last else None
        now = new[new_first] if new_first < new_last else None
        line = now[1] if now else was[1] if was else 0
        return line, was[2] if was else "", now[2] if now else ""
    return 0, "", ""


def chain_to(part: str, reach: Reach) -> list[str]:
    """The parts from the step's own to `part`."""
    chain = [part]
    while chain[-1] in reach.via and len(chain) < _PATH_LIMIT:
        chain.append(reach.via[chain[-1]])
    return chain[::-1]


def spell_part(part: str) -> str:
    """ "features.scale" for "features:scale"."""
    if part.startswith(_FILE):
        return part.removeprefix(_FILE)
    module, _, name = part.partition(":")
    if name == IMPORTING:
        return f"what importing {module} does"
    return f"the module {module}" if name == WHOLE else f"{module}.{name}"


def _flatten(nodes: Sequence[Any], module: Module) -> Iterator[tuple[str, int]]:
    """Simple statements, and the heads of compound ones, as normalised text with their lines."""
    for node in nodes:
        if is_remark(node):
            continue
        blocks = [getattr(node, name) for name in _BLOCKS if isinstance(getattr(node, name, None), list)]
        head = copy.copy(node)
        for name in _BLOCKS:
            if isinstance(getattr(node, name, None), list):
                setattr(head, name, [])
        decorators = [d for d in getattr(node, "decorator_list", ()) if not _is_setting(d, module)]
        for decorator in decorators:
            yield f"@{ast.unparse(decorator)}", decorator.lineno
        if hasattr(head, "decorator_list"):
            head.decorator_list = []
        yield _spell_head(head), node.lineno if hasattr(node, "lineno") else node.pattern.lineno
        for block in blocks:
            yield from _flatten(block, module)


def _spell_head(node: Any) -> str:
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(node.type) if node.type else ''} as {node.name}"
    if node.__class__ is ast.match_case:
        return f"case {ast.unparse(node.pattern)} if {ast.unparse(node.guard) if node.guard else ''}"
    return ast.unparse(node)


def _is_setting(decorator: Any, module: Module) -> bool:
    chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return bool(chain) and module.is_setting(chain)


def _imports_of(module: Module, name: str) -> list[Any]:
    """The import statements at module level that bind `name`."""
    found: list[Any] = []
    for statement in module.statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            bound = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
            if name in bound:
                found.append(statement)
    return found


def _compare_files(before: Snapshot, old: Sequence[str], after: Snapshot, new: Sequence[str]) -> list[CodeChange]:
    """Files of the project that a command's words name."""
    found: list[CodeChange] = []
    for word in dict.fromkeys(map(os.path.normpath, [*new, *old])):
        was, now = before.files.get(word), after.files.get(word)
        if not was and not now:
            continue
        kind = "edited" if was and now else "added" if now else "removed"
        if was and now and _digest(was) == _digest(now):
            continue
        line, one, other = _first_difference(_numbered(before.read(word)), _numbered(after.read(word)))
        found.append(CodeChange(kind, word, f"{word}:{line}" if line else word, one.strip(), other.strip()))
    return found


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def changed_files(before: Snapshot, after: Snapshot) -> list[str]:
    """Paths whose content differs between two bundles, or that only one of them has."""
    old: Mapping[str, str] = before.files
    new: Mapping[str, str] = after.files
    return [path for path in sorted({*old, *new}) if path not in old or path not in new or _digest(old[path]) != _digest(new[path])]
