"""What attempts of a step import only while they run, so that the process which the next ones are forked from can load it once for all.

PyTorch loads a second's worth of itself with its first optimizer, and many people import a library in the function that uses it: each trial
of a search, each item of a map would pay for that again. An attempt notes such imports and tells them to its zygote when it ends; the
zygote loads them when the next attempt of the same step comes, which would have to wait for them anyhow. Only libraries that are known to
do nothing but define things when they are imported are told, never modules of the user's.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from _thread import get_ident
from collections.abc import Collection, Generator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from typing import Any

from fairway.spec.graph import StepDef
from fairway.step.forks import BEARS_FORK, UNSAFE_TO_FORK, bears_fork, count_threads, has_opened_gpu
from fairway.step.seeding import find_after, have_drawn, read_generators

_MAX_NAMES = 64
_MAX_BYTES = 1 << 16
Surroundings = tuple[dict[str, str], list[str]]
"""The variables and the module path of a process."""
_SET_BY_LIBRARIES = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"})  # by scikit-learn, whoever imports it


class LateImports:
    """A zygote's memory of them, and the socket over which its attempts tell them. Nobody ever waits for it: what is not heard costs time
    later, and nothing else."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._told: dict[str, list[str]] = {}
        self._given: set[str] = set()
        self.look_around()

    def look_around(self) -> None:
        """Remember the variables and the module path that this process has from now on: its attempts begin with the same."""
        self._surroundings = _look_around()

    def take(self, step: StepDef) -> list[str]:
        """What earlier attempts of this step have imported late. Each module is given once."""
        while True:
            try:
                told: dict[str, list[str]] = json.loads(self._ours.recv(_MAX_BYTES))
            except OSError:
                break
            for name, modules in told.items():
                self._told.setdefault(name, []).extend(modules)
        found = [name for name in dict.fromkeys(self._told.pop(_name(step), ())) if name not in self._given and name not in sys.modules]
        self._given.update(found)
        return found

    def leave_to_zygote(self) -> None:
        """In a child: only the zygote hears."""
        self._ours.close()

    @contextmanager
    def noted(self, step: StepDef, roots: Collection[str], hidden: Collection[str] = ()) -> Generator[None]:
        """Around an attempt of the step: note what it imports, and tell it at the end. `roots`: where the user's modules are; `hidden`:
        variables that were taken from it. It costs microseconds until something is imported."""
        watch = ImportWatch(self._surroundings, roots, (*step.secrets, *hidden))
        sys.meta_path.insert(0, watch)
        yield
        if watch.names:
            try:
                self._theirs.send(json.dumps({_name(step): watch.names}).encode())
            except OSError:
                return


class ImportWatch:
    """Notes which of the libraries this process imports from now on; it finds nothing itself.

    It leaves out what the zygote, which has the `surroundings`, could not import with the same result, because a variable (but for
    `own_variables`) or the module path was changed before; what another thread imports; and what opens a GPU, starts threads that no fork
    bears, brings a module of the user's, or draws random numbers: those that follow must be the same in each attempt.
    """

    def __init__(self, surroundings: Surroundings, roots: Collection[str], own_variables: Collection[str]) -> None:
        self.names: list[str] = []
        self._surroundings, self._roots, self._own = surroundings, roots, own_variables
        self._folders: tuple[str, ...] | None = None
        self._thread = get_ident()
        self._busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Contract of `sys.meta_path`."""
        if self._busy or name.partition(".")[0] not in BEARS_FORK or len(self.names) >= _MAX_NAMES:
            return None
        if get_ident() != self._thread or self._are_changed():
            return None
        spec = find_after(self, name, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader | ExtensionFileLoader) or self._is_users(spec.origin):
            return None
        self._note_after(name, spec.loader)
        return spec

    def _note_after(self, name: str, loader: Any) -> None:
        """Note the module once it is loaded. What it imports in turn comes with it."""
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            known, threads, gpu, drawn = set(sys.modules), count_threads(), has_opened_gpu(), read_generators()
            self._busy = True
            try:
                execute(module)
            finally:
                self._busy = False
            if self._may_be_loaded_ahead(known, threads) and has_opened_gpu() == gpu and not have_drawn(drawn):
                self.names.append(name)

        loader.exec_module = exec_module

    def _may_be_loaded_ahead(self, known: set[str], threads: int) -> bool:
        """Judge an import by what it has left: the modules beyond `known`, and how many threads there were before."""
        new = sys.modules.keys() - known
        if not new.isdisjoint(UNSAFE_TO_FORK) or any(self._is_users(getattr(sys.modules.get(name), "__file__", None)) for name in new):
            return False
        return count_threads() <= threads or (threads == 1 and bears_fork())

    def _is_users(self, path: Any) -> bool:
        if self._folders is None:
            self._folders = tuple({os.path.join(one, "") for root in self._roots if root for one in (root, os.path.realpath(root))})
        return isinstance(path, str) and path.startswith(self._folders)

    def _are_changed(self) -> bool:
        (variables, folders), (before, folders_before) = _look_around(), self._surroundings
        own = {*self._own, *_SET_BY_LIBRARIES}
        changed = {name for name in variables.keys() | before.keys() if variables.get(name) != before.get(name)}
        return folders != folders_before or not changed <= own


def _look_around() -> Surroundings:
    return dict(os.environ), list(sys.path)


def load(names: Collection[str]) -> bool:
    """Import them here; True if there was anything. What fails is for the attempt to say, which imports it again."""
    for name in names:
        try:
            __import__(name)
        except BaseException:  # noqa: BLE001 - of a library that was imported before in an attempt
            continue
    return bool(names)


def _name(step: StepDef) -> str:
    return f"{step.module}:{step.qualname}"
