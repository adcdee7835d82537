"""A local executor over a user's module in a bundle, and ways to see that nothing is left of it."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.executors.local import LocalExecutor
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.layout import BLOBS, BUNDLES, STREAMS
from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain
from fairway.spec.resources import Resources
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.step.processes import find_marked
from fairway.testing.contracts.executor import json_input
from tests.waiting import await_true

DEADLINE_S = 60.0
RUN = "20261124-000000-aaaaa"


class Bench:
    """A home with a bundle in it. `executor` is made when first used; its processes bear a mark of this bench."""

    def __init__(self, home: Path, mark: str) -> None:
        self.home = home
        self.mark = mark
        self.store = FolderArtifactStore(home / BLOBS)
        self.streams = FolderStreamStore(home / STREAMS)
        self.settings: dict[str, Any] = {"cpu": 4.0, "grace": 0.2}
        self.bundle = ""
        self.module = ""
        self._executors: list[LocalExecutor] = []

    @property
    def executor(self) -> LocalExecutor:
        if not self._executors:
            self.another()
        return self._executors[0]

    def another(self) -> LocalExecutor:
        self._executors.append(LocalExecutor(self.home, settings=self.settings))
        return self._executors[-1]

    def write(self, source: str, module: str = "work") -> None:
        """The user's module."""
        self.bundle, self.module = f"b{os.urandom(4).hex()}", module
        folder = self.home / BUNDLES / self.bundle
        folder.mkdir(parents=True)
        (folder / f"{module}.py").write_text(textwrap.dedent(source))

    def spec(self, function: str, *values: Any, n: int = 1, name: str = "", **more: Any) -> AttemptSpec:
        """An attempt of `function(x)` over the values."""
        step = StepDef(function, module=self.module, qualname=function, inputs=(Port("x"),), outputs=(Port("result"),), returns="one")
        items = tuple(AttemptItem(f"{function}[{i}]", {"x": json_input(v)}, seed=i + 1) for i, v in enumerate(values))
        return AttemptSpec(attempt_id(RUN, name or function, n), RUN, function, n, step, self.bundle, items, **more)

    def submit(self, *specs: AttemptSpec) -> None:
        run_now(self.executor.submit(specs))

    def wait(self, spec: AttemptSpec, executor: LocalExecutor | None = None) -> Outcome:
        """Until the executor has reported its end."""
        one, until = executor or self.executor, time.monotonic() + DEADLINE_S
        while run_now(one.observe([spec.id])):
            assert time.monotonic() < until, f"{spec.step.name} has not ended"
            run_now(one.wait(1.0))
        return self.outcome(spec)

    def outcome(self, spec: AttemptSpec) -> Outcome:
        return from_plain(Outcome, json.loads(self.store.get(outcome_key(spec.run, spec.id))))

    def run(self, function: str, *values: Any, **more: Any) -> Outcome:
        """Submit one attempt and wait for its end."""
        spec = self.spec(function, *(values or (1,)), **more)
        self.submit(spec)
        return self.wait(spec)

    def value(self, function: str, x: Any = 1, **more: Any) -> Any:
        """What `function(x)` returned in an attempt of its own."""
        return result_of(self.run(function, x, **more).items[0])

    def read_until(self, spec: AttemptSpec, text: str) -> None:
        """Until the attempt has printed `text`."""
        until = time.monotonic() + DEADLINE_S
        while text not in self.log(spec):
            assert time.monotonic() < until, f"{text!r} was never printed: {self.log(spec)}"
            run_now(self.executor.wait(0.02))

    def log(self, spec: AttemptSpec) -> str:
        lines = self.streams.read(f"{spec.run}/{spec.id}/log").decode().splitlines()
        return "\n".join(line.partition(" ")[2] for line in lines)

    def left(self) -> list[int]:
        """Processes that bear this bench's mark."""
        return find_marked(f"FAIRWAY_TEST_MARK={self.mark}")

    def close(self) -> None:
        for executor in self._executors:
            run_now(executor.close())
        self._executors.clear()


def result_of(item: ItemOutcome) -> Any:
    assert item.status == "succeeded", item.error
    text = item.outputs["result"].inline
    assert text is not None
    return json.loads(text)


CPU = Resources(cpu=1.0)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    mark = os.urandom(8).hex()
    monkeypatch.setenv("FAIRWAY_TEST_MARK", mark)
    made = Bench(tmp_path / "home", mark)
    yield made
    made.close()
    await_true(lambda: not made.left(), "a process was left behind")
