"""The local executor and the scripted one keep the promises of every executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.executors.local import LocalExecutor
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.layout import BLOBS, BUNDLES
from fairway.spec.ports import run_now
from fairway.step.folder import FolderArtifactStore
from fairway.testing.contracts import ExecutorContract
from fairway.testing.contracts.executor import ExecutorSubject
from fairway.testing.memory import MemoryArtifactStore
from fairway.testing.scripted import Call, ScriptedExecutor

SOURCE = """
import threading

def step(x):
    if x == -1:
        raise ValueError("minus one")
    if x == -2:
        threading.Event().wait()
    return x + 1
"""


def make(n: int, inputs: dict[str, Input], items: tuple[AttemptItem, ...]) -> AttemptSpec:
    step = StepDef("step", module="flow", qualname="step", inputs=(Port("x"),), outputs=(Port("result"),), returns="one")
    return AttemptSpec(attempt_id("r", "step", n), "r", "step", n, step, "b", items, inputs)


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[ExecutorSubject]:
        folder = tmp_path / BUNDLES / "b"
        folder.mkdir(parents=True)
        (folder / "flow.py").write_text(SOURCE)
        executor = LocalExecutor(tmp_path, settings={"cpu": 4})
        yield ExecutorSubject(executor, FolderArtifactStore(tmp_path / BLOBS), make)
        run_now(executor.close())


class TestScriptedExecutor(ExecutorContract):
    @pytest.fixture
    def subject(self) -> ExecutorSubject:
        store = MemoryArtifactStore()

        def compute(call: Call) -> Any:
            if call.inputs["x"] == -1:
                raise ValueError("minus one")
            return call.inputs["x"] + 1

        return ExecutorSubject(ScriptedExecutor(store, compute), store, make)
