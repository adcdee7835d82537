"""A project that is edited and run again: its files, and `fairway` in this process."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway.cli import main
from fairway.engine.client import Run
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.spec.event import AttemptPlanned, RunStarted
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain, replace, to_plain
from fairway.spec.summary import RunSummary
from fairway.store import open_journal

HELPERS = """
SCALE = 2


def scale(x):
    return x * SCALE


def other(x):
    return x + 1
"""

FLOW = """
import fairway as fw
from helpers import other, scale


@fw.step
def load(count: int) -> list[int]:
    return list(range(count))


@fw.step
def train(x: int) -> int:
    return scale(x)


@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.step
def report(total: int) -> str:
    return f"{total}"


@fw.pipeline
def flow(count: int = 3):
    return report(total(train(fw.each(load(count)))))
"""

_times = itertools.count(1_700_000_000)


class Said:
    """What a command wrote, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def text(self) -> str:
        """All of it."""
        return self.out + self.err

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


class Project:
    """A folder with `flow.py` and `helpers.py`. Files get times of their own, so that no compiled form is taken for another's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("helpers.py", HELPERS)
        self.write("flow.py", FLOW)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        at = next(_times)
        os.utime(path, (at, at))
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that is there."""
        text = (self.root / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.write(name, text.replace(old, new))

    def ask(self, *words: str) -> Said:
        """`fairway WORDS` in the folder."""
        out, err = io.StringIO(), io.StringIO()
        self.forget()
        before, path = os.getcwd(), list(sys.path)
        os.chdir(self.root)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(words)
        finally:
            os.chdir(before)
            sys.path[:] = path
            self.forget()
        return Said(status, out.getvalue(), err.getvalue())

    def forget(self) -> None:
        """Modules of the folder are imported anew by the next command, as a new process would."""
        for name, module in list(sys.modules.items()):
            if str(self.root) in str(getattr(module, "__file__", None) or ""):
                del sys.modules[name]

    def run(self, *words: str) -> Run:
        """`fairway run flow.py WORDS`; the run."""
        said = self.ask("run", "flow.py", *words)
        assert said.status in (0, 3), said.text
        return self.last()

    def last(self) -> Run:
        return Run(self.workspace, self.workspace.get_run("last"))

    @property
    def workspace(self) -> Workspace:
        return Workspace(load_project(str(self.root), variables={}))


class Package:
    """A distribution `greet` in a folder of installed packages that this process and those it starts import from."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        self.folder = folder / "site-packages"
        (self.folder / "greet").mkdir(parents=True)
        (self.folder / "greet" / "__init__.py").write_text("def hello(x):\n    return x\n")
        monkeypatch.setenv("PYTHONPATH", str(self.folder))
        monkeypatch.syspath_prepend(str(self.folder))
        self.install(version)

    def install(self, version: str) -> None:
        """Put this version in the place of the one that is there."""
        info = self.folder / f"greet-{version}.dist-info"
        for old in self.folder.glob("greet-*"):
            old.rename(info)
        info.mkdir(exist_ok=True)
        (info / "RECORD").write_text("greet/__init__.py,,\n")


def done(run: Run) -> set[str]:
    """Addresses of the tasks that really ran in the run (as it is since its last resume)."""
    return {name for name, task in run.tasks.items() if task.attempts and task.status == "succeeded"}


def cached(run: Run) -> set[str]:
    """Addresses of the tasks whose results were taken from the cache."""
    return {name for name, task in run.tasks.items() if task.as_plain()["cached_from"]}


def copy_run(project: Project, run: str, change: Callable[[Any], Any]) -> None:
    """The last run once more, under another id, each event as `change` makes it (None: it and what follows never happened)."""
    last = project.last()
    events: list[Any] = []
    for _, event in project.workspace.events(last.id):
        changed = change(from_plain(type(event), to_plain(event)))
        if changed is None:
            break
        events.append(replace(changed, run=run) if isinstance(changed, RunStarted) else changed)
    journal = open_journal(project.workspace.project.journal)
    run_now(journal.append(run, 0, events, "copy", summary=RunSummary(run, "flow", "succeeded")))
    run_now(journal.close())


def planned(run: Run) -> dict[str, int]:
    """How often each task was tried, over all resumes."""
    from fairway.spec.event import address

    found: dict[str, int] = {}
    for _, event in run.workspace.events(run.id):
        if isinstance(event, AttemptPlanned):
            for index in event.items:
                task = address(event.scope, event.node, index)
                found[task] = found.get(task, 0) + 1
    return found
