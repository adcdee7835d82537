"""One pod, one attempt: what a laptop's worker does, over a network, with agents and servers that are killed at any point."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from fairway.spec.artifact import blob_key
from fairway.spec.attempt import AttemptSpec
from fairway.web.ports import KeySigner
from tests.signals import signal_another_thread
from tests.step.pods import Yard, end_of, terminate, value
from tests.waiting import await_true

STEPS = """
import json, os, signal, threading
import fairway as fw

def double(x):
    print("doubling", x)
    return 2 * x

def marks(x):
    with open(x, "a") as file:
        file.write("ran\\n")
    print("marked", flush=True)
    return "done"

def marks_and_waits(x):
    with open(x + ".ran", "a") as file:
        file.write("ran\\n")
    print("waiting", flush=True)
    with open(x) as fifo:
        return fifo.read()

def blocks(x):
    print("blocking", flush=True)
    threading.Event().wait()

def tidies_up(x):
    def leave(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, leave)
    print("working", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return "tidied up"

def first_is_quick(x):
    if x == "slow":
        print("slow one", flush=True)
        threading.Event().wait()
    return x

def trains(x):
    state = fw.checkpoint.load({"epoch": 0, "weights": ""})
    (fw.checkpoint.dir / "notes.txt").write_text(f"from {state['epoch']}")
    if state["epoch"] == 0:
        fw.checkpoint.save(7, {"epoch": 7, "weights": "w" * 100_000})
        print("saved", flush=True)
        if x == "dies":
            os._exit(9)
        threading.Event().wait()
    return [state["epoch"], len(state["weights"])]

def raises(x):
    raise ValueError("broken")
"""


@pytest.fixture
def yard(yard: Yard) -> Yard:
    yard.write(STEPS)
    return yard


def await_log(yard: Yard, spec: AttemptSpec, text: str) -> None:
    await_true(lambda: text in yard.server.log(spec), f"{text!r} never came")


def waiting_pod(yard: Yard, folder: Path) -> tuple[Path, AttemptSpec, subprocess.Popen[bytes]]:
    """One whose step waits for what is written into a FIFO."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    spec = yard.spec("marks_and_waits", str(fifo))
    pod = yard.pod(spec)
    await_log(yard, spec, "waiting")
    return fifo, spec, pod


def test_a_pod_runs_its_attempt_and_leaves_with_code_0(yard: Yard) -> None:
    spec = yard.spec("double", 21)
    assert value(yard.run(spec)) == 42
    assert yard.server.log(spec) == "doubling 21"
    kinds = [path.rpartition("/")[2] for _, path in yard.server.requests]
    assert kinds == [spec.id, "blobs", "log", "outcome"]


def test_a_failure_of_the_step_is_an_outcome_and_code_0(yard: Yard) -> None:
    error = yard.run(yard.spec("raises")).items[0].error
    assert error is not None and error.message == "broken"


def test_tracebacks_name_the_folder_in_which_the_user_edits(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairway.web import work

    plain = work.describe_attempt
    monkeypatch.setattr(work, "describe_attempt", lambda channel, spec: {**plain(channel, spec), "source": "/home/ann/churn"})
    error = yard.run(yard.spec("raises")).items[0].error
    assert error is not None and error.frames[-1].file == "/home/ann/churn/work.py"


def test_an_attempt_with_an_outcome_is_left_at_once(yard: Yard, tmp_path: Path) -> None:
    spec = yard.spec("marks", str(tmp_path / "marks"))
    yard.run(spec)
    code, said = end_of(yard.pod(spec, home="another"))
    assert code == 0 and "has an outcome already" in said
    assert (tmp_path / "marks").read_text() == "ran\n"


def test_two_pods_of_one_attempt_give_one_outcome(yard: Yard, tmp_path: Path) -> None:
    spec = yard.spec("marks", str(tmp_path / "marks"))
    pods = [yard.pod(spec, home=home) for home in ("one", "two")]
    assert [end_of(pod)[0] for pod in pods] == [0, 0]
    assert value(yard.server.outcome(spec)) == "done"


def test_an_agent_that_was_killed_when_all_was_done_ships_it_when_it_is_started_again(yard: Yard, tmp_path: Path) -> None:
    fifo, spec, pod = waiting_pod(yard, tmp_path)
    yard.server.stop()
    fifo.write_text("result")
    outcome = tmp_path / "pod" / "blobs" / "outcome" / spec.run / spec.id
    await_true(outcome.exists, "the attempt did not end")
    pod.kill()
    pod.wait()
    await_true(lambda: not yard.left(), "the agent's processes outlive it")
    yard.server.start()
    assert value(yard.run(spec)) == "result"
    assert Path(f"{fifo}.ran").read_text() == "ran\n"
    assert yard.server.log(spec) == "waiting"


def test_an_agent_that_was_killed_while_it_ran_runs_it_once_more_and_no_log_line_is_lost(yard: Yard, tmp_path: Path) -> None:
    fifo, spec, pod = waiting_pod(yard, tmp_path)
    pod.kill()
    pod.wait()
    await_true(lambda: not yard.left(), "the agent's processes outlive it")
    again = yard.pod(spec)
    await_log(yard, spec, "waiting\nwaiting")
    fifo.write_text("second")
    assert end_of(again)[0] == 0
    assert value(yard.server.outcome(spec)) == "second"


@pytest.mark.parametrize("number", range(1, 6))
def test_an_agent_that_is_killed_at_any_of_its_requests_is_finished_by_the_next(yard: Yard, number: int) -> None:
    spec = yard.spec("double", "x" * 1000)

    def kill(seen: int) -> None:
        if seen == number:
            yard.pods[0].kill()

    yard.server.on_request = kill
    end_of(yard.pod(spec))
    await_true(lambda: not yard.left(), "the agent's processes outlive it")
    assert len(yard.server.requests) >= number, "it was killed"
    outcome = yard.run(spec)
    ref = outcome.items[0].outputs["result"]
    assert yard.server.store.get(blob_key(ref.digest)) == b"x" * 2000
    assert yard.server.log(spec).count("doubling") in (1, 2)
    assert yard.server.streams.read(f"{spec.run}/{spec.id}/log").endswith(b"\n")


def test_a_pod_on_a_new_disk_adds_to_the_log_of_the_one_before(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairway.web import work

    plain = work.describe_attempt
    size = yard.server.streams.size
    monkeypatch.setattr(
        work, "describe_attempt", lambda channel, spec: {**plain(channel, spec), "streams": {"log": size(f"{spec.run}/{spec.id}/log")}}
    )
    spec = yard.spec("marks", str(tmp_path / "marks"))
    yard.server.streams.append(f"{spec.run}/{spec.id}/log", b"2026-01-01T00:00:00.000Z of the one before\n")
    yard.run(spec)
    assert yard.server.log(spec) == "of the one before\nmarked"


def test_a_server_restarted_in_the_middle_misses_nothing(yard: Yard, tmp_path: Path) -> None:
    fifo, spec, pod = waiting_pod(yard, tmp_path)
    yard.server.stop()
    fifo.write_text("meanwhile")
    yard.server.start()
    assert end_of(pod)[0] == 0
    assert value(yard.server.outcome(spec)) == "meanwhile"


def test_a_server_that_takes_up_its_runs_is_waited_for(yard: Yard) -> None:
    spec = yard.spec("double", 4)
    live, yard.server.crew.live, yard.server.ready = yard.server.crew.live, {}, False
    pod = yard.pod(spec)
    await_true(lambda: any(path.endswith(spec.id) for _, path in yard.server.requests), "it did not ask")
    yard.server.crew.live, yard.server.ready = live, True
    assert end_of(pod)[0] == 0
    assert value(yard.server.outcome(spec)) == 8


def test_sigterm_reaches_the_step_and_what_it_still_returns_counts(yard: Yard) -> None:
    spec = yard.spec("tidies_up")
    pod = yard.pod(spec)
    await_log(yard, spec, "working")
    terminate(pod)
    assert end_of(pod)[0] == 0
    assert value(yard.server.outcome(spec)) == "tidied up"


def test_a_pod_that_is_ended_leaves_the_reason_to_the_server(yard: Yard) -> None:
    spec = yard.spec("blocks")
    pod = yard.pod(spec)
    await_log(yard, spec, "blocking")
    terminate(pod)
    assert end_of(pod)[0] == 143
    assert yard.server.crew.outcomes == []
    assert not yard.left()


def test_sigterm_is_heard_whichever_thread_the_kernel_gives_it_to(yard: Yard) -> None:
    spec = yard.spec("tidies_up")
    pod = yard.pod(spec)
    await_log(yard, spec, "working")
    signal_another_thread(pod.pid, signal.SIGTERM)
    assert end_of(pod)[0] == 0
    assert value(yard.server.outcome(spec)) == "tidied up"


def test_items_that_were_done_when_the_pod_was_ended_are_kept(yard: Yard) -> None:
    spec = yard.spec("first_is_quick", "quick", "slow", "later")
    pod = yard.pod(spec)
    await_log(yard, spec, "slow one")
    terminate(pod)
    assert end_of(pod)[0] == 0
    outcome = yard.server.outcome(spec)
    assert [item.status for item in outcome.items] == ["succeeded"]
    assert outcome.error is not None and (outcome.error.kind, outcome.error.code) == ("lost", "FW-PREEMPTED")


def test_sigterm_before_the_server_answers_ends_the_pod(yard: Yard) -> None:
    spec = yard.spec("double")
    yard.server.crew.live, yard.server.ready = {}, False
    pod = yard.pod(spec, FAIRWAY_GRACE_S="0")
    await_true(lambda: any(path.endswith(spec.id) for _, path in yard.server.requests), "it did not ask")
    terminate(pod)
    assert end_of(pod)[0] == 143


def test_a_failed_attempts_checkpoint_is_there_for_the_next_on_another_disk(yard: Yard) -> None:
    failed = yard.run(yard.spec("trains", "dies"), home="one")
    assert failed.error is not None and failed.error.kind == "exit:9"
    assert value(yard.run(yard.spec("trains", "dies", n=2), home="two")) == [7, 100_000]


def test_a_checkpoint_is_shipped_while_the_step_runs_and_survives_the_loss_of_its_node(yard: Yard) -> None:
    spec = yard.spec("trains", "waits")
    pod = yard.pod(spec, home="one")
    await_log(yard, spec, "saved")
    await_true(lambda: list((yard.server.home / "checkpoints" / spec.run).glob("*/step-*/manifest.json")), "no checkpoint came")
    pod.kill()
    pod.wait()
    await_true(lambda: not yard.left(), "the agent's processes outlive it")
    assert value(yard.run(yard.spec("trains", "waits", n=2), home="two")) == [7, 100_000]


def test_a_store_that_takes_no_output_is_the_outcome(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = KeySigner.sign

    def sign(signer: KeySigner, method: str, key: str, size: int = -1) -> str:
        return plain(signer, "GET" if method == "PUT" else method, key, size)  # not good for writing

    monkeypatch.setattr(KeySigner, "sign", sign)
    error = yard.run(yard.spec("double", "x" * 5000)).error
    assert error is not None and error.kind == "output" and "403" in error.message and error.retryable
