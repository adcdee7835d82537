"""One local executor behind many views: the promises of every executor, each view told of its own, a worker that dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.executors.local import LocalExecutor
from fairway.executors.shared import LocalView, SharedLocalExecutor
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import StepDef
from fairway.spec.layout import BLOBS, BUNDLES
from fairway.spec.outcome import outcome_key
from fairway.spec.record import replace
from fairway.step.bundles import bundle_key, pack_bundle
from fairway.step.folder import FolderArtifactStore
from fairway.step.processes import find_children
from fairway.testing.contracts import ExecutorContract
from fairway.testing.contracts.executor import ExecutorSubject
from tests.executors.test_local_contract import SOURCE, make


class TestLocalView(ExecutorContract):
    @pytest.fixture
    def loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        yield loop
        loop.close()

    @pytest.fixture
    def subject(self, tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[ExecutorSubject]:
        self._loop = loop
        folder = tmp_path / BUNDLES / "b"
        folder.mkdir(parents=True)
        (folder / "flow.py").write_text(SOURCE)
        store = FolderArtifactStore(tmp_path / BLOBS)

        async def open_view() -> tuple[SharedLocalExecutor, LocalView]:
            shared = SharedLocalExecutor(LocalExecutor(tmp_path, settings={"cpu": 4}), store)
            await shared.start()
            return shared, shared.view("r")

        shared, view = loop.run_until_complete(open_view())
        yield ExecutorSubject(view, store, make)
        loop.run_until_complete(shared.close())

    def run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)


class Place:
    """A shared executor in a running loop; command steps, which need no code of anybody's."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = FolderArtifactStore(home / BLOBS)
        self.shared = SharedLocalExecutor(LocalExecutor(home, settings={"cpu": 4}), self.store)

    def attempt(self, run: str, script: str, n: int = 1) -> AttemptSpec:
        step = StepDef("s", kind="command", argv=("sh", "-c", script), outputs=())
        return AttemptSpec(attempt_id(run, "s", n), run, "s", n, step, "", (AttemptItem("s"),))

    async def end(self, view: LocalView, id: str) -> None:
        """Wait until the view has told of the attempt's end, and of nothing else."""
        while self.store.stat(outcome_key(view.run, id)) is None:
            told = await view.wait(20)
            assert told in ([], [id]), "a view tells of its own attempts only"


def play(home: Path, scene: Any) -> None:
    async def run() -> None:
        place = Place(home)
        await place.shared.start()
        try:
            await asyncio.wait_for(scene(place), 60)
        finally:
            await place.shared.close()

    asyncio.run(run())


def test_each_view_is_told_of_its_own_attempts(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        views = [place.shared.view(f"r{n}") for n in range(3)]
        specs = [place.attempt(view.run, "true") for view in views]
        await asyncio.gather(*(view.submit([spec]) for view, spec in zip(views, specs, strict=True)))
        await asyncio.gather(*(place.end(view, spec.id) for view, spec in zip(views, specs, strict=True)))
        assert [place.shared.find_attempt(spec.id) for spec in specs] == [None] * 3

    play(tmp_path, scene)


def test_a_wait_ends_when_it_is_woken_and_lets_others_go_on(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        view = place.shared.view("r1")
        waiting = asyncio.create_task(view.wait(None))
        await asyncio.sleep(0)
        assert not waiting.done()
        view.wake()
        assert await waiting == []
        assert await view.wait(0.01) == []

    play(tmp_path, scene)


def test_a_worker_that_dies_is_replaced_and_what_it_ran_is_lost(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        view = place.shared.view("r1")
        fifo = tmp_path / "begun"
        os.mkfifo(fifo)
        spec = place.attempt("r1", f"echo > {fifo}; exec sleep 600")
        await view.submit([spec])
        assert await asyncio.to_thread(fifo.read_text) == "\n"
        assert (await view.observe([spec.id]))[spec.id].phase == "running"
        os.kill(worker_of(tmp_path), signal.SIGKILL)
        await place.end(view, spec.id)
        assert b'"lost"' in place.store.get(outcome_key("r1", spec.id))
        again = place.attempt("r1", "true", 2)
        await view.submit([again])
        await place.end(view, again.id)
        assert b'"succeeded"' in place.store.get(outcome_key("r1", again.id))

    play(tmp_path, scene)


def worker_of(home: Path) -> int:
    """Children of other tests may be there still, or end meanwhile."""
    for pid in find_children(os.getpid()):
        with contextlib.suppress(OSError):
            if str(home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
    raise AssertionError("there is no worker")


def test_what_waits_is_cancelled_and_what_runs_is_ended(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        view = place.shared.view("r1")
        specs = [place.attempt("r1", "exec sleep 600", n) for n in range(1, 8)]
        await view.submit(specs)
        for spec in specs:
            await view.cancel(spec.id, 0.0)
        while not all(place.store.stat(outcome_key("r1", spec.id)) for spec in specs):
            assert await view.wait(20)

    play(tmp_path, scene)


def test_closing_a_view_leaves_its_attempts_alone_and_the_next_view_hears_of_them(tmp_path: Path) -> None:
    async def scene(place: Place) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        first = place.shared.view("r1")
        spec = place.attempt("r1", f"read line < {gate}")
        await first.submit([spec])
        await first.close()
        second = place.shared.view("r1")
        await asyncio.to_thread(gate.write_text, "go\n")
        await place.end(second, spec.id)

    play(tmp_path, scene)


def test_code_that_came_with_a_run_is_taken_out_of_the_store(tmp_path: Path) -> None:
    from fairway.dsl import bundle as bundles

    elsewhere = tmp_path / "elsewhere"
    made = bundles.of_source("flow", SOURCE)
    bundles.write(made, elsewhere)

    async def scene(place: Place) -> None:
        place.store.put(bundle_key(made.digest), pack_bundle(made.digest, str(elsewhere)))
        from fairway.testing.contracts.executor import json_input

        spec = replace(make(1, {}, (AttemptItem("step", {"x": json_input(4)}),)), bundle=made.digest)
        view = place.shared.view("r")
        await view.submit([spec])
        await place.end(view, spec.id)
        assert b'"inline":"5"' in place.store.get(outcome_key("r", spec.id))

    play(tmp_path / "home", scene)
