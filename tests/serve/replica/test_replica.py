"""A real inference server: it answers, and what goes wrong in the model harms nobody else."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel, UnaryUnaryMethod

from fairway.serve.protocols import inference_messages as messages
from tests.serve.replica.rig import WAIT_S, Replica, at_once, replica, script
from tests.waiting import Gate, await_true

MOODY = '''
"""A script that does what its input says."""
import json, os, signal, threading, time


def init():
    global started
    started = time.time()


def run(raw_data):
    wish = json.loads(raw_data)
    if wish == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if wish == "exit":
        os._exit(3)
    if wish == "hang":
        threading.Event().wait()
    if wish == "raise":
        raise ValueError("no such customer")
    if wish == "pid":
        return {"pid": os.getpid(), "started": started}
    return {"echo": wish}
'''


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = script(tmp_path_factory.mktemp("served") / "moody", MOODY)
    with replica(folder) as one:
        yield one


def test_a_script_with_init_and_run_answers_as_it_is(moody: Replica) -> None:
    assert moody.score({"a": [1, 2.5, None]}) == (200, {"echo": {"a": [1, 2.5, None]}})


def test_what_the_script_raises_is_said_to_its_caller_and_the_traceback_to_the_log(moody: Replica) -> None:
    status, answer = moody.score("raise")
    assert (status, answer["error"]["code"]) == (500, "FW-MODEL")
    assert answer["error"]["message"] == "the model failed: ValueError: no such customer"
    log = moody.log.read_text()
    assert 'raise ValueError("no such customer")' in log
    assert "fairway/serve/" not in log, "the user's own lines alone"
    assert moody.score("fine")[0] == 200


@pytest.mark.parametrize(("wish", "words"), [("crash", "segmentation fault"), ("exit", "status 3")])
def test_a_model_process_that_dies_costs_only_its_own_request(moody: Replica, wish: str, words: str) -> None:
    before = moody.score("pid")[1]["pid"]
    status, answer = moody.score(wish)
    assert (status, answer["error"]["code"]) == (502, "FW-MODEL-DIED")
    assert words in answer["error"]["message"]
    status, after = moody.score("pid")
    assert status == 200 and after["pid"] != before, "another process has taken its place"


def test_a_model_process_that_hangs_is_replaced_and_its_request_told_so(tmp_path: Path) -> None:
    with replica(script(tmp_path / "moody", MOODY), "--limits", '{"deadline_s": 1.5}') as one:
        before = one.score("pid")[1]
        status, answer = one.score("hang")
        assert (status, answer["error"]["code"]) == (504, "FW-DEADLINE")
        status, after = one.score("pid")
    assert status == 200 and after["pid"] != before["pid"]
    assert after["started"] == before["started"], "it is a fork of the same parent: nothing was loaded again"


def test_requests_beside_one_that_crashes_are_all_answered(moody: Replica) -> None:
    answers = at_once(lambda number: moody.score("crash" if number == 7 else number), 16)
    assert [status for status, _ in answers] == [502 if number == 7 else 200 for number in range(16)]


def test_killing_the_parent_loads_the_model_again_and_the_front_goes_on(moody: Replica) -> None:
    before = moody.score("pid")[1]
    (parent,) = moody.children
    os.kill(parent, signal.SIGKILL)
    others = lambda: moody.children not in ([], [parent])  # noqa: E731
    await_true(lambda: moody.call("/health/ready", method="GET")[0] == 200 and others(), "another parent is there")
    status, after = moody.score("pid")
    assert status == 200 and after["started"] != before["started"]


def test_what_it_counts_is_told_to_prometheus(moody: Replica) -> None:
    moody.score("fine")
    status, text = moody.call("/metrics", method="GET")
    assert status == 200
    lines = text.splitlines()
    assert any(line.startswith('fairway_serve_requests_total{model="moody",version="1",route="/score",status="200"} ') for line in lines)
    memory = next(float(line.split()[-1]) for line in lines if line.startswith("fairway_serve_memory_bytes{"))
    assert 20e6 < memory < 300e6


def test_killing_the_front_ends_its_model_processes(tmp_path: Path) -> None:
    with replica(script(tmp_path / "moody", MOODY)) as one:
        await_true(lambda: one.workers, "a worker is there")
        family = [*one.children, *one.workers]
        one.process.kill()
        await_true(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in family), "they have gone")


SLOW = """
import fcntl, json, pathlib

def init():
    pass

def run(raw_data):
    gate = pathlib.Path(json.loads(raw_data))
    gate.with_suffix(".begun").touch()
    fcntl.flock(gate.open(), fcntl.LOCK_SH)
    return "done"
"""


def test_a_server_that_is_told_to_end_answers_what_it_has_begun(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    answers = list[Any]()
    with replica(script(tmp_path / "slow", SLOW)) as one:
        asking = threading.Thread(target=lambda: answers.append(one.score(str(gate.path))))
        asking.start()
        await_true(lambda: gate.path.with_suffix(".begun").exists(), "the model has begun")
        one.process.send_signal(signal.SIGTERM)
        await_true(lambda: _refuses(one), "it takes no new connections")
        gate.open()
        asking.join()
        assert answers == [(200, "done")]
        assert one.process.wait(60) == 0


def test_what_the_model_has_not_answered_when_the_time_for_the_end_is_over_is_answered_by_the_server(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    answers = list[Any]()
    with replica(script(tmp_path / "slow", SLOW), "--drain", "0.3") as one:
        asking = [threading.Thread(target=lambda: answers.append(one.score(str(gate.path)))) for _ in range(2)]
        for thread in asking:
            thread.start()
        await_true(lambda: gate.path.with_suffix(".begun").exists() and one.in_flight == 2, "the model has begun, and one waits")
        one.process.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join()
        assert [(status, answer["error"]["code"]) for status, answer in answers] == [(503, "FW-BUSY")] * 2
        assert one.process.wait(60) == 0


def test_a_stream_that_is_not_over_when_the_time_for_the_end_is_ends_with_a_word(tmp_path: Path) -> None:
    with replica(script(tmp_path / "endless", ENDLESS), "--drain", "0.3") as one:
        link = http.client.HTTPConnection("127.0.0.1", one.port, timeout=WAIT_S)
        link.request("POST", "/predict", b"1", {"content-type": "application/json", "accept": "text/event-stream"})
        answer = link.getresponse()
        assert answer.status == 200
        one.process.send_signal(signal.SIGTERM)
        assert b"the server is ending" in answer.read()
        assert one.process.wait(60) == 0


ENDLESS = """
import time

def init():
    pass

def run(raw_data):
    while True:
        yield {"n": 1}
        time.sleep(0.01)
"""


GATED = """
import fcntl, pathlib

def run(data: list[dict]) -> list[float]:
    gate = pathlib.Path(__file__).parent.parent / "gate"
    gate.with_suffix(".begun").touch()
    fcntl.flock(gate.open(), fcntl.LOCK_SH)
    return [row["x"] for row in data]
"""


def test_an_end_waits_for_calls_over_grpc_too_and_takes_nothing_new_meanwhile(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    with replica(script(tmp_path / "gated", GATED, schema=ONE_NUMBER), "--name", "gated", "--grpc-port", "0") as one:
        answers = list[Any]()
        asking = threading.Thread(target=lambda: answers.append(asyncio.run(_infer(one.ready["grpc"]))))
        asking.start()
        await_true(lambda: gate.path.with_suffix(".begun").exists(), "the model has begun")
        one.process.send_signal(signal.SIGTERM)
        await_true(lambda: _refuses(one), "it takes no new connections")
        assert asking.is_alive()
        gate.open()
        asking.join()
        assert answers == ["gated"]
        assert one.process.wait(60) == 0


async def _infer(address: str) -> str:
    host, _, port = address.rpartition(":")
    channel = Channel(host, int(port))
    request = messages.ModelInferRequest(model_name="gated")
    request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(7.0)
    kinds = (messages.ModelInferRequest, messages.ModelInferResponse)
    answer = await UnaryUnaryMethod(channel, "/inference.GRPCInferenceService/ModelInfer", *kinds)(request)
    channel.close()
    return answer.model_name


def _refuses(one: Replica) -> bool:
    try:
        one.call("/health/live", method="GET")
    except OSError:
        return True
    return False


STREAM = """
import json, time

def init():
    pass

def run(raw_data):
    for number in range(json.loads(raw_data)):
        yield {"n": number}
    if number == 4:
        raise RuntimeError("five is enough")
"""


def test_a_generator_is_streamed_as_events_and_gathered_for_who_wants_no_stream(tmp_path: Path) -> None:
    with replica(script(tmp_path / "stream", STREAM)) as one:
        status, text = one.call("/predict", 3, accept="text/event-stream")
        assert status == 200
        assert [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"n"')] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert one.score(3) == (200, '{"n":0}\n{"n":1}\n{"n":2}\n')
        status, text = one.call("/predict", 5, accept="text/event-stream")
        assert "five is enough" in text
        assert one.score(2)[0] == 200


ASYNC = """
import asyncio, json

waiting = []

def init():
    pass

async def run(raw_data):
    # nobody is answered until three are here: a script that takes one at a time would wait for ever
    event = asyncio.Event()
    waiting.append(event)
    if len(waiting) == 3:
        for one in waiting:
            one.set()
    await event.wait()
    return json.loads(raw_data)
"""


def test_an_asynchronous_script_has_many_requests_under_way(tmp_path: Path) -> None:
    with replica(script(tmp_path / "several", ASYNC)) as one:
        assert at_once(one.score, 3) == [(200, 0), (200, 1), (200, 2)]


THREADED = (
    ASYNC.replace("async def", "def")
    .replace("import asyncio", "import threading")
    .replace("asyncio.Event", "threading.Event")
    .replace("await ", "")
)


def test_a_script_that_may_be_called_by_several_threads_is(tmp_path: Path) -> None:
    with replica(script(tmp_path / "threads", THREADED), "--limits", '{"concurrency": 3}') as one:
        assert at_once(one.score, 3) == [(200, 0), (200, 1), (200, 2)]


ROWS = """
import numpy as np

fairway_batch = True
sizes = []

def init():
    pass

def run(data: list[dict]):
    sizes.append(len(data))
    if any(row["x"] < 0 for row in data):
        raise ValueError("negative")
    return [row["x"] * 2 for row in data]
"""
ONE_NUMBER = {
    "type": "object",
    "properties": {
        "inputs": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    },
}


def test_of_a_batch_that_raises_only_the_request_to_blame_gets_the_error(tmp_path: Path) -> None:
    with replica(script(tmp_path / "rows", ROWS, schema=ONE_NUMBER), "--options", '{"batch": true}') as one:
        answers = at_once(lambda number: one.call("/predict", {"inputs": [{"x": -1 if number == 5 else number}]}), 20)
    assert [number for number, (status, _) in enumerate(answers) if status != 200] == [5]
    assert answers[5][1]["error"]["message"] == "the model failed: ValueError: negative"
    assert [answers[n][1]["predictions"] for n in (0, 1, 19)] == [[0], [2], [38]]


HINTS = """
from typing import Literal, TypedDict


class House(TypedDict):
    area: float
    kind: Literal["flat", "house"]


def run(data: list[House]) -> list[float]:
    return [row["area"] * 3000 for row in data]
"""


def test_the_schema_of_a_script_without_one_is_found_out_from_its_hints(tmp_path: Path) -> None:
    with replica(script(tmp_path / "houses", HINTS)) as one:
        assert one.call("/predict", {"inputs": [{"area": 50, "kind": "flat"}]})[1]["predictions"] == [150000.0]
        status, answer = one.call("/predict", {"inputs": [{"area": 50, "kind": "tent"}]})
        assert (status, answer["error"]["faults"]) == (
            422,
            [{"row": 0, "field": "kind", "came": "the text 'tent'", "expected": "one of 'flat', 'house'"}],
        )
        assert "area" in json.dumps(one.call("/openapi.json", method="GET")[1])


def test_a_large_wrong_body_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    rows = [{"area": 50, "kind": "flat"}] * 200_000
    large = json.dumps({"inputs": [*rows, {"area": "x", "kind": "flat"}]}).encode()
    with replica(script(tmp_path / "houses", HINTS)) as one:
        answers = list[Any]()
        asking = threading.Thread(target=lambda: answers.append(one.call("/predict", large)))
        asking.start()
        times = list[float]()
        while asking.is_alive():
            began = time.perf_counter()
            assert one.call("/predict", {"inputs": [{"area": 1, "kind": "flat"}]})[0] == 200
            times.append(time.perf_counter() - began)
        asking.join()
        assert max(times) < 0.5 * sum(times), "no other request waited for all of the reading"
        assert answers[0][0] == 422
        assert answers[0][1]["error"]["faults"][0]["row"] == 200_000


THREADS = """
import json, os, threading, time

lock = threading.Lock()

def init():
    def hold():
        while True:
            with lock:
                time.sleep(0.05)
    threading.Thread(target=hold, daemon=True).start()
    global process
    process = os.getpid()

def run(raw_data):
    with lock:
        return {"same": process == os.getpid()}
"""


def test_a_script_that_starts_threads_is_loaded_by_each_model_process(tmp_path: Path) -> None:
    with replica(script(tmp_path / "threads", THREADS), "--workers", "2") as one:
        assert one.score(0) == (200, {"same": True}), "a fork would wait for ever for a lock that no thread of its own holds"


def test_a_token_is_asked_for_and_health_is_open(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with replica(script(tmp_path / "moody", MOODY), "--token-file", str(token)) as one:
        assert one.score("x")[0] == 401
        assert one.score("x", fairway_token="s3cret")[0] == 200
        assert one.call("/health/ready", method="GET")[0] == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def init():\n    open('nowhere.pkl')\n\ndef run(data):\n    pass\n", "FileNotFoundError"),
        ("import no_such_library\n\ndef run(data):\n    pass\n", "no_such_library"),
        ("def init()\n    pass\n", "score.py:1: Python cannot read it"),
        ("def init():\n    import os; os.abort()\n\ndef run(data):\n    pass\n", "has died"),
        ("x = 1\n", "run"),
    ],
)
def test_a_script_that_cannot_start_says_why_and_shows_the_users_own_lines(tmp_path: Path, text: str, message: str) -> None:
    folder = script(tmp_path / "broken", text)
    done = subprocess.run(
        [sys.executable, "-m", "fairway.serve.replica", str(folder), "--port", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    told = json.loads(done.stdout)
    assert told["ready"] is False
    assert message in told["message"] + done.stderr
    assert done.returncode in (2, 3)
    assert "fairway/serve/replica/parent.py" not in done.stderr


def test_an_address_that_is_taken_is_said_before_anything_is_loaded(moody: Replica, tmp_path: Path) -> None:
    folder = script(tmp_path / "second", MOODY)
    done = subprocess.run(
        [sys.executable, "-m", "fairway.serve.replica", str(folder), "--port", str(moody.port)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{moody.port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
