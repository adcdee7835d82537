"""A folder with pipelines written as a user would, run by the real local executor: in this process through the client, or as `fairway`."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.client import Run
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.spec.ports import run_now
from tests.waiting import PATIENCE_S

FAIRWAY = Path(sys.executable).with_name("fairway")
_numbers = itertools.count()


class Rig:
    """A project folder. Every file that `write` makes has a name of its own, so that this process can import all of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []
        self.bells: list[Bell] = []

    def close(self) -> None:
        """End what `start` began and a failed test left, close the bells."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for bell in self.bells:
            bell.close()

    def bell(self, name: str) -> Bell:
        """A FIFO in the folder, for a step to write to."""
        self.bells.append(Bell(self.root / name))
        return self.bells[-1]

    def write(self, source: str, name: str = "") -> Path:
        """A user's file; `import fairway as fw` stands above it."""
        path = self.root / (name or f"flow_{next(_numbers)}.py")
        path.write_text("import fairway as fw\n\n" + textwrap.dedent(source).lstrip("\n"))
        return path

    def load(self, source: str, name: str = "") -> Any:
        """The pipeline of a text."""
        return load_pipeline(f"{self.write(source)}:{name}" if name else str(self.write(source)))

    def run(self, source: str, params: dict[str, Any] | None = None, **options: Any) -> Run:
        """Run a text's pipeline to its end. The run may fail: look at its status. Why it did is shown with a test that fails."""
        run = fw.run(self.load(source), params or {}, check=False, **options)
        if run.status != "succeeded":
            print(story(run))
        return run

    def result(self, source: str, params: dict[str, Any] | None = None, **options: Any) -> Any:
        """The one output of a text's pipeline, which must succeed."""
        (output,) = outputs(self.run(source, params, **options)).values()
        return output

    def fairway(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """`fairway WORDS` in the folder, as a process."""
        return subprocess.run(
            [FAIRWAY, *words],
            cwd=self.root,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, *words: str | Path, **variables: str) -> subprocess.Popen[str]:
        """The same, not waited for; the leader of a process group."""
        process = subprocess.Popen(
            [FAIRWAY, *words],
            cwd=self.root,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def python(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """`python WORDS` in the folder."""
        return subprocess.run(
            [sys.executable, *words], cwd=self.root, env=environment(**variables), capture_output=True, text=True, timeout=180, check=False
        )

    def last(self) -> Run:
        """The latest run of the project."""
        return Run(self.workspace, self.workspace.get_run("last"))

    def await_event(self, kind: str) -> None:
        """Wait until the latest run's journal holds an event of that kind."""
        run = self.last()
        journal = run.workspace.journal
        while not events(run, kind):
            assert run_now(journal.watch(run.id, run_now(journal.head(run.id)), 30.0)), f"no {kind} came"

    @property
    def workspace(self) -> Workspace:
        return Workspace(load_project(str(self.root), variables={}))

    def count_runs(self) -> int:
        return 0 if self.workspace.is_new else sum(1 for _ in self.workspace.all_summaries())


class Bell:
    """A FIFO by which a step of a run in another process says how far it has come.

    It is open for writing here, too: it would be at its end else between two that write, and what the poller says of it out of date by the
    time it is read.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._poller = select.poll()
        self._poller.register(self._reader, select.POLLIN)

    def wait(self) -> str:
        """What was written, once something is."""
        assert self._poller.poll(PATIENCE_S * 1000), "nobody rang the bell"
        return os.read(self._reader, 4096).decode()

    def close(self) -> None:
        os.close(self._reader)


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
    return kept | {"PATH": f"{FAIRWAY.parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"} | variables


def outputs(run: Run, *, status: str = "succeeded") -> dict[str, Any]:
    """The outputs, as values, of a run that ended so."""
    assert run.status == status, story(run)
    return {name: output.load() for name, output in run.outputs.items()}


def story(run: Run, lines: int = 60) -> str:
    """How a run ended, why, and the last lines of its log."""
    state = run.state()
    first = state.first_failure()
    error = state.error or (first[1] if first else None)
    why = f"; {first[0] if first else 'the run'}: {error.kind}: {error.message}\n{error.traceback}" if error else ""
    return f"run {run.id}: {run.status}{why}\n" + "\n".join(run.logs().splitlines()[-lines:])


def statuses(run: Run) -> dict[str, str]:
    """How each task ended, by address."""
    return {name: task.status for name, task in run.tasks.items()}


def events(run: Run, kind: str = "") -> list[Any]:
    """The run's journal, or its events of one kind."""
    found = [event for _, event in run_now(run.workspace.journal.read(run.id))]
    return [event for event in found if not kind or type(event).__name__ == kind]


def error_of(run: Run) -> Any:
    """The error of the task that failed first."""
    found = run.state().first_failure()
    assert found is not None, f"no task failed; the run ended {run.status}"
    return found[1]
