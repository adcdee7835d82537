"""Warm workers: attempt after attempt, as isolated and as complete as on a laptop, over a network that comes and goes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.attempt import AttemptSpec, Input
from fairway.spec.graph import Port, StepDef
from fairway.spec.outcome import Outcome
from fairway.step.link import Link, Patience
from fairway.step.pool import LONGEST_WAIT_S
from fairway.step.processes import find_descendants
from tests.step.pods import Server, Yard, end_of, terminate, value
from tests.waiting import await_true, find_files

STEPS = """
import os, signal, sys, threading
import fairway as fw

def double(x):
    print("doubling", x)
    return 2 * x

def fails(x):
    raise ValueError(f"no {x}")

def big(x):
    return b"x" * x

def length(x):
    return len(x)

def crashes(x):
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def leaves(x):
    os._exit(3)

def blocks(x):
    print("blocking", flush=True)
    threading.Event().wait()

def ticks(x):
    while not threading.Event().wait(0.02):
        print("tick", flush=True)

def waits_for(x):
    print("waiting", flush=True)
    with open(x) as fifo:
        return fifo.read()

def counts(x):
    for n in range(x):
        fw.log(loss=float(n), step=n)
    fw.progress(1.0)
    return x

def variables(x):
    return sorted(name for name in os.environ if name.startswith("FAIRWAY"))

def tells(x):
    print("the word is", x)
    return len(x)

@fw.step
def half(x):
    return x / 2

@fw.dynamic
def grows(x: int):
    return half(b"y" * 4000)
"""


@pytest.fixture
def pool(yard: Yard) -> Yard:
    """A yard with a worker of the pool at work."""
    yard.write(STEPS)
    yard.worker()
    return yard


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, runtime: tuple[bytes, str]) -> Iterator[Yard]:
    """A worker for the tests that neither end it nor leave it busy."""
    folder = tmp_path_factory.mktemp("warm")
    yard = Yard(folder, Server(folder / "server", runtime), shared=True)
    yard.write(STEPS)
    yard.worker()
    yield yard
    yard.close()
    yard.server.stop()


def run(yard: Yard, spec: AttemptSpec) -> Outcome:
    yard.work(spec)
    return yard.await_outcome(spec)


def test_attempt_after_attempt_in_one_worker(pool: Yard) -> None:
    specs = [pool.spec("double", n, name=f"double{n}") for n in range(8)]
    for spec in specs:
        run(pool, spec)
    assert [value(pool.server.outcome(spec)) for spec in specs] == [2 * n for n in range(8)]
    assert [pool.server.log(spec) for spec in specs] == [f"doubling {n}" for n in range(8)]
    assert {pool.server.outcome(spec).worker.partition(":")[0] for spec in specs} == {os.uname().nodename}
    bundles = [path for _, path in pool.server.requests if path == "/worker/v1/blobs"]
    assert len(bundles) == 1, "the bundle is fetched once, and inline values ask for nothing"


def test_how_an_attempt_ends_is_told_as_on_a_laptop(warm: Yard) -> None:
    failed = run(warm, warm.spec("fails", 7))
    error = failed.items[0].error
    assert error is not None and (error.kind, error.message) == ("ValueError", "no 7")
    assert error.frames[-1].own and error.frames[-1].source == 'raise ValueError(f"no {x}")'
    crashed = run(warm, warm.spec("crashes"))
    assert crashed.error is not None and crashed.error.kind == "crash" and "SIGSEGV" in crashed.error.message
    left = run(warm, warm.spec("leaves"))
    assert left.error is not None and left.error.kind == "exit:3"
    late = run(warm, warm.spec("blocks", timeout_s=0.2))
    assert late.error is not None and late.error.kind == "timeout"
    batch = run(warm, warm.spec("double", 1, 2, 3, name="batch"))
    assert [value(batch, n) for n in range(3)] == [2, 4, 6]


def test_outputs_and_inputs_travel_by_digest(pool: Yard) -> None:
    made = run(pool, pool.spec("big", 300_000)).items[0].outputs["result"]
    assert pool.server.store.get(blob_key(made.digest)) == b"x" * 300_000
    pool.worker(name="pool-2")
    await_true(lambda: any(worker == "pool-2" for worker, _, _ in pool.server.crew.polls), "the second worker did not come")
    counted = [run(pool, pool.spec("length", made, inputs_of=Input, name=f"length{n}")) for n in range(2)]
    assert [value(outcome) for outcome in counted] == [300_000] * 2


def test_what_a_dynamic_task_made_is_on_the_server(warm: Yard) -> None:
    step = StepDef("grows", "dynamic", module="work", qualname="grows", inputs=(Port("x", "int"),))
    item = run(warm, warm.spec("grows", 1, step=step)).items[0]
    assert item.status == "succeeded", item.error
    graph = json.loads(warm.server.store.get(blob_key(item.graph)))
    found = [ref for ref in _refs(graph) if "inline" not in ref]
    assert [warm.server.store.get(blob_key(ref["digest"])) for ref in found] == [b"y" * 4000]


def _refs(plain: object) -> list[dict[str, str]]:
    if isinstance(plain, list):
        return [ref for item in plain for ref in _refs(item)]
    if isinstance(plain, dict):
        return [plain] if "digest" in plain else [ref for item in plain.values() for ref in _refs(item)]
    return []


def test_points_progress_and_log_arrive_whole(warm: Yard) -> None:
    spec = warm.spec("counts", 500)
    assert run(warm, spec).metrics == {"loss": 499.0}
    streams = warm.server.streams
    assert streams.read(f"{spec.run}/{spec.id}/metrics").count(b"\n") >= 1
    assert b"1.0" in streams.read(f"{spec.run}/{spec.id}/progress")


def test_a_step_sees_neither_tokens_nor_other_secrets(warm: Yard) -> None:
    assert value(run(warm, warm.spec("variables"))) == ["FAIRWAY_TEST_MARK", "FAIRWAY_WORKER"]


def test_a_secret_reaches_its_step_and_no_log(yard: Yard) -> None:
    yard.write(STEPS)
    yard.worker(FAIRWAY_SECRET_WORD="open sesame")
    spec = yard.spec("tells", "WORD", inputs_of=lambda name: Input(secret=name), secrets=("WORD",))
    assert value(run(yard, spec)) == len("open sesame")
    assert yard.server.log(spec) == "the word is ***"
    missing = run(yard, yard.spec("tells", "OTHER", inputs_of=lambda name: Input(secret=name), secrets=("OTHER",), name="other"))
    assert missing.error is not None and "OTHER" in missing.error.message and not missing.error.retryable


def test_a_log_line_is_there_while_the_attempt_runs(pool: Yard) -> None:
    spec = pool.spec("blocks")
    pool.work(spec)
    await_true(lambda: pool.server.log(spec) == "blocking", "the line did not come")
    assert spec.id not in pool.server.crew.outcomes


def test_a_cancelled_attempt_says_so_and_the_worker_goes_on(warm: Yard) -> None:
    spec = warm.spec("blocks")
    warm.work(spec)
    await_true(lambda: warm.server.log(spec) == "blocking", "it did not begin")
    warm.server.crew.cancelled[spec.id] = 5.0
    warm.server.crew.tell()
    error = warm.await_outcome(spec).error
    assert error is not None and (error.kind, error.retryable) == ("cancelled", False)
    warm.server.crew.cancelled.clear()
    assert value(run(warm, warm.spec("double", 4))) == 8


def test_an_attempt_that_nobody_wants_any_more_is_ended(warm: Yard) -> None:
    spec = warm.spec("ticks")
    warm.work(spec)
    await_true(lambda: "tick" in warm.server.log(spec), "it did not begin")
    del warm.server.crew.live[spec.id]  # the server answers 410 from now on
    warm.server.channel.recent.clear()
    assert value(run(warm, warm.spec("double", 4))) == 8  # there is room for one at a time: the other is gone
    assert spec.id not in warm.server.crew.outcomes


def test_several_at_once(yard: Yard, tmp_path: Path) -> None:
    yard.write(STEPS)
    yard.worker(FAIRWAY_SLOTS="2")
    fifos = [tmp_path / f"fifo{n}" for n in range(2)]
    specs = [yard.spec("waits_for", str(fifo), name=fifo.name) for fifo in fifos]
    for fifo in fifos:
        os.mkfifo(fifo)
    yard.work(*specs)
    await_true(lambda: all(yard.server.log(spec) == "waiting" for spec in specs), "both run at once")
    for fifo in reversed(fifos):
        fifo.write_text(fifo.name)
    assert [value(yard.await_outcome(spec)) for spec in specs] == ["fifo0", "fifo1"]


def waiting_attempt(pool: Yard, folder: Path) -> tuple[Path, AttemptSpec]:
    """One whose step waits for what is written into a FIFO."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    spec = pool.spec("waits_for", str(fifo))
    pool.work(spec)
    await_true(lambda: pool.server.log(spec) == "waiting", "it did not begin")
    return fifo, spec


def test_a_restart_of_the_server_is_survived_by_what_runs(pool: Yard, tmp_path: Path) -> None:
    fifo, spec = waiting_attempt(pool, tmp_path)
    pool.server.stop()
    fifo.write_text("meanwhile")  # it ends while nobody hears it
    pool.server.crew.polls.clear()
    pool.server.start()
    assert value(pool.await_outcome(spec)) == "meanwhile"
    assert value(run(pool, pool.spec("double", 4))) == 8
    assert pool.server.crew.outcomes.count(spec.id) == 1


def test_what_runs_is_named_in_the_first_question_to_a_new_server(pool: Yard) -> None:
    spec = pool.spec("blocks")
    pool.work(spec)
    await_true(lambda: pool.server.log(spec) == "blocking", "it did not begin")
    pool.server.stop()
    pool.server.crew.polls.clear()
    pool.server.start()
    await_true(lambda: pool.server.crew.polls, "the worker did not come back")
    assert pool.server.crew.polls[0] == ("pool-1", (spec.id,), 0)


def test_a_server_that_was_away_for_long_is_asked_every_second() -> None:
    class Clocked(Link):
        waited: list[float] = []

        def pause(self, seconds: float) -> None:
            self.waited.append(seconds)

    link = Clocked(patience_s=3600.0)
    patience = Patience(link, LONGEST_WAIT_S)
    for _ in range(50):
        patience.wait("asking", ConnectionRefusedError())
    assert max(link.waited) <= 1.0 and link.waited[0] <= 0.05


def test_a_worker_that_is_told_to_leaves_once_its_attempt_has_ended(pool: Yard, tmp_path: Path) -> None:
    fifo, spec = waiting_attempt(pool, tmp_path)
    pool.server.crew.leave = True
    pool.server.crew.tell()
    fifo.write_text("last")
    code, said = end_of(pool.pods[0])
    assert (code, said) == (0, "")
    assert value(pool.server.outcome(spec)) == "last"


def test_a_worker_whose_pod_is_ended_lets_its_attempt_say_what_it_can(pool: Yard) -> None:
    spec = pool.spec("blocks")
    pool.work(spec)
    await_true(lambda: pool.server.log(spec) == "blocking", "it did not begin")
    terminate(pool.pods[0])
    code, _ = end_of(pool.pods[0])
    assert code == 143
    assert pool.server.crew.outcomes == [], "why the pod was ended is for the server to say"


def test_a_killed_worker_process_loses_its_attempt_and_makes_room_for_another_pod(pool: Yard) -> None:
    spec = pool.spec("blocks")
    pool.work(spec)
    await_true(lambda: pool.server.log(spec) == "blocking", "it did not begin")
    inner = next(pid for pid in find_descendants(pool.pods[0].pid) if b"worker" in command_of(pid))
    os.kill(inner, signal.SIGKILL)
    code, said = end_of(pool.pods[0])
    assert code == 1 and "the worker died" in said
    error = pool.server.outcome(spec).error
    assert error is not None and (error.kind, error.retryable) == ("lost", True)


def command_of(pid: int) -> bytes:
    """Nothing if it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_pool_that_is_no_more_ends_its_workers(yard: Yard) -> None:
    code, said = end_of(yard.worker(FAIRWAY_TOKEN="w1.abc.9999999999.00"))
    assert code == 1 and "401" in said and len(said.strip().splitlines()) == 1


def test_an_input_that_is_gone_is_named(warm: Yard) -> None:
    gone = ArtifactRef("ab" * 32, 5000, "bytes")
    item = run(warm, warm.spec("length", gone, inputs_of=Input)).items[0]
    assert item.error is not None and "input 'x' is gone from the store" in item.error.message


def test_code_that_was_changed_on_its_way_does_not_run(warm: Yard) -> None:
    good, warm.bundle = warm.bundle, "0" * 64
    spec = warm.spec("double")
    warm.server.store.put(f"bundle/{warm.bundle}", b"no archive")
    error = run(warm, spec).error
    warm.bundle = good
    assert error is not None and "damaged" in error.message and error.retryable


def test_a_workers_disk_does_not_grow_with_what_it_has_run(yard: Yard) -> None:
    yard.write(STEPS)
    yard.worker(FAIRWAY_CACHE_BYTES="1000000")
    home = yard.folder / "pool-1"
    for n in range(6):
        run(yard, yard.spec("big", 400_000 + n, name=f"big{n}"))
    await_true(lambda: sum(map(size_of, find_files(home / "blobs" / "sha256", "*"))) <= 1_000_000, "it grew")
    await_true(lambda: not find_files(home / "streams", "log") and not find_files(home / "blobs" / "outcome", "a*"), "something is left")


def size_of(path: Path) -> int:
    """0 if it has gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_code_that_the_image_brings_along_is_not_fetched(yard: Yard, tmp_path: Path) -> None:
    yard.write(STEPS)
    packed = tmp_path / "image"
    (packed / yard.bundle).mkdir(parents=True)
    (packed / yard.bundle / "work.py").write_text(STEPS)
    yard.worker(FAIRWAY_BUNDLES=str(packed))
    assert value(run(yard, yard.spec("double", 4))) == 8
    assert "/worker/v1/blobs" not in [path for _, path in yard.server.requests]
