"""The control channel: one token speaks for one attempt, every call may be made again, and nothing is lost over a restart."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairway.engine.bus import Bus
from fairway.spec.artifact import blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.environment import Environment
from fairway.spec.graph import StepDef
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.record import from_plain, to_plain
from fairway.spec.resources import Resources
from fairway.spec.tokens import check_token, check_url, sign_token
from fairway.testing.memory import MemoryArtifactStore, MemoryStreamStore
from fairway.web.auth import TokenAuth
from fairway.web.ports import KeySigner
from fairway.web.work import Channel, work_routes

KEY = "5e" * 32
NOW = 1_700_000_000.0
ID = "a0123456789abcdef0123-1"
TASK_FOLDER = hashlib.sha256(b"train").hexdigest()[:20]


class Crew:
    """The executor's side: which attempts are live, what it was told, what a poll is answered."""

    def __init__(self) -> None:
        self.live: dict[str, AttemptSpec] = {}
        self.told: list[Any] = []
        self.answer: dict[str, Any] = {}

    def find_attempt(self, id: str) -> AttemptSpec | None:
        return self.live.get(id)

    def find_queued_at(self, id: str) -> float:
        return NOW - 5.0 if id in self.live else 0.0

    async def poll(self, pool: str, worker: str, running: Sequence[str], free: int, wait_s: float) -> Mapping[str, Any]:
        self.told.append((pool, worker, list(running), free, wait_s))
        return self.answer

    def note_outcome(self, run: str, id: str) -> None:
        self.told.append((run, id))
        self.live.pop(id, None)

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str]) -> None:
        self.told.append((id, dict(outputs), list(missing)))


class Bench:
    """The channel over stores in memory, and a client for any token."""

    def __init__(self, home: Path) -> None:
        secrets = home / "secrets"
        secrets.mkdir()
        (secrets / "signing-key").write_text(KEY + "\n")
        self.home = home
        self.crew = Crew()
        self.ready = True
        self.artifacts, self.streams = MemoryArtifactStore(), MemoryStreamStore()
        auth = TokenAuth(str(secrets), clock=lambda: NOW)
        self.channel = Channel(
            workers=self.crew,
            artifacts=self.artifacts,
            streams=self.streams,
            signer=KeySigner(KEY, clock=lambda: NOW),
            auth=auth,
            bus=Bus(),
            home=str(home),
            ready=lambda: self.ready,
            lock_text=lambda digest: self.artifacts.get(blob_key(digest)).decode(),
            runtime=(b"the zip", hashlib.sha256(b"the zip").hexdigest()),
            clock=lambda: NOW,
        )
        self._client = TestClient(Starlette(routes=work_routes(self.channel)))

    def attempt(self, id: str = ID, **more: Any) -> AttemptSpec:
        spec = AttemptSpec(id, "r1", "train", 1, StepDef("train", module="flow", qualname="train"), "", (AttemptItem("train"),), **more)
        self.crew.live[id] = spec
        return spec

    def call(self, method: str, path: str, *, token: str | None = None, id: str = ID, **more: Any) -> Any:
        headers = {"Fairway-Token": sign_token(KEY, id, NOW + 60) if token is None else token}
        return self._client.request(method, f"/worker/v1/{path}", headers={**headers, **more.pop("headers", {})}, **more)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path)


OUTCOME = Outcome(ID, "ended", ())
BODY = json.dumps(to_plain(OUTCOME)).encode()


@pytest.mark.parametrize(
    "token", ["", "w1.x", "u1.ann.secret", sign_token("00" * 32, ID, NOW + 60), sign_token(KEY, ID, NOW - 1)], ids=range(5)
)
def test_no_call_is_answered_without_a_valid_workers_token(bench: Bench, token: str) -> None:
    bench.attempt()
    for method, path in (("GET", "runtime.zip"), ("POST", "blobs"), ("GET", f"attempts/{ID}"), ("PUT", f"attempts/{ID}/outcome")):
        answer = bench.call(method, path, token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "FW-FORBIDDEN")


def test_a_token_speaks_for_its_own_attempt_alone(bench: Bench) -> None:
    other = "a0123456789abcdef0123-2"
    bench.attempt(other)
    for method, path in (
        ("GET", f"attempts/{other}"),
        ("PUT", f"attempts/{other}/outcome"),
        ("POST", f"attempts/{other}/streams/log"),
        ("GET", f"attempts/{other}/checkpoint"),
        ("POST", "pools/abc/poll"),
    ):
        assert bench.call(method, path, content=b"{}").status_code == 403
    assert bench.artifacts.blobs == {}


def test_the_runtime_is_fetched_by_its_digest_once(bench: Bench) -> None:
    answer = bench.call("GET", "runtime.zip")
    assert answer.content == b"the zip"
    assert bench.call("GET", "runtime.zip", headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_an_attempt_is_told_all_it_needs(bench: Bench) -> None:
    lock = "# Python 3.11\nnumpy==2.0\n"
    digest = hashlib.sha256(lock.encode()).hexdigest()
    bench.artifacts.put(blob_key(digest), lock.encode())
    spec = bench.attempt(environment=Environment(lock=digest), resources=Resources(2.0, 1 << 30))
    answer = bench.call("GET", f"attempts/{ID}").json()
    assert from_plain(AttemptSpec, answer["spec"]) == spec
    assert (answer["lock_text"], answer["machine"]["memory_bytes"], answer["queued_at"]) == (lock, 1 << 30, NOW - 5.0)


def test_an_attempt_that_has_an_outcome_is_not_begun_again(bench: Bench) -> None:
    bench.attempt()
    bench.artifacts.put(outcome_key("r1", ID), BODY)
    assert bench.call("GET", f"attempts/{ID}").status_code == 410


def test_an_unknown_attempt_is_over_but_only_once_the_server_knows_its_runs(bench: Bench) -> None:
    bench.ready = False
    starting = bench.call("GET", f"attempts/{ID}")
    assert (starting.status_code, starting.headers["retry-after"]) == (503, "1")
    bench.ready = True
    assert bench.call("GET", f"attempts/{ID}").status_code == 410


def test_addresses_are_signed_for_what_a_worker_may_touch(bench: Bench) -> None:
    there, new, bundle = blob_key("ab" * 32), blob_key("cd" * 32), "bundle/" + "ef" * 32
    bench.artifacts.put(there, b"x")
    answer = bench.call("POST", "blobs", json={"get": [there, bundle], "put": [[there, 1], [new, 5]]}).json()
    assert answer["put"][there] is None, "what is there need not be sent"
    path, _, query = answer["put"][new].partition("?")
    assert path == f"/b/{new}"
    assert check_url(KEY, "PUT", new, query, NOW)
    assert not check_url(KEY, "PUT", there, query, NOW)
    assert "n=5" in query
    assert check_url(KEY, "GET", bundle, answer["get"][bundle].partition("?")[2], NOW)


@pytest.mark.parametrize("asked", [{"get": [f"outcome/r1/{ID}"]}, {"get": ["../secrets"]}, {"put": [["bundle/" + "ef" * 32, 1]]}])
def test_no_address_is_signed_for_anything_else(bench: Bench, asked: dict[str, Any]) -> None:
    assert bench.call("POST", "blobs", json=asked).status_code == 403


@pytest.mark.parametrize("asked", [b"[]", b"{", b'{"get": 1}', b'{"put": [["sha256/x"]]}', b'{"put": [[1, 2]]}'])
def test_what_cannot_be_read_is_refused_in_words(bench: Bench, asked: bytes) -> None:
    answer = bench.call("POST", "blobs", content=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_the_first_outcome_stands_and_its_driver_is_told_each_time(bench: Bench) -> None:
    bench.attempt()
    assert bench.call("PUT", f"attempts/{ID}/outcome", content=BODY).status_code == 201
    late = bench.call("PUT", f"attempts/{ID}/outcome", content=json.dumps(to_plain(Outcome(ID, "failed"))).encode())
    assert (late.status_code, late.content) == (200, BODY)
    assert bench.artifacts.get(outcome_key("r1", ID)) == BODY
    assert bench.crew.told == [("r1", ID), ("r1", ID)]
    assert bench.call("GET", f"attempts/{ID}/outcome").content == BODY


def test_an_outcome_that_is_none_or_of_another_attempt_is_refused(bench: Bench) -> None:
    bench.attempt()
    assert bench.call("PUT", f"attempts/{ID}/outcome", content=b"{}").status_code == 422
    assert bench.call("PUT", f"attempts/{ID}/outcome", content=b"[1]").status_code == 422
    other = json.dumps(to_plain(Outcome("a1-1", "ended"))).encode()
    assert bench.call("PUT", f"attempts/{ID}/outcome", content=other).status_code == 403
    assert bench.artifacts.blobs == {}


def test_a_stream_grows_by_what_it_lacks_however_often_it_is_sent(bench: Bench) -> None:
    bench.attempt()
    assert bench.call("POST", f"attempts/{ID}/streams/log?offset=0", content=b"one\n").json() == {"size": 4}
    assert bench.call("POST", f"attempts/{ID}/streams/log?offset=0", content=b"one\n").json() == {"size": 4}
    assert bench.call("POST", f"attempts/{ID}/streams/log?offset=2", content=b"e\ntwo\n").json() == {"size": 8}
    gap = bench.call("POST", f"attempts/{ID}/streams/log?offset=99", content=b"lost")
    assert (gap.status_code, gap.json()) == (200, {"size": 8})
    assert bench.streams.read(f"r1/{ID}/log") == b"one\ntwo\n"
    assert bench.call("POST", f"attempts/{ID}/streams/outcome?offset=0", content=b"x").status_code == 422
    assert bench.call("POST", f"attempts/{ID}/streams/log?offset=-1", content=b"x").status_code == 422


def test_last_words_come_after_the_outcome(bench: Bench) -> None:
    bench.attempt()
    bench.call("PUT", f"attempts/{ID}/outcome", content=BODY)
    assert bench.crew.find_attempt(ID) is None
    assert bench.call("POST", f"attempts/{ID}/streams/log?offset=0", content=b"bye\n").json() == {"size": 4}


def test_only_so_many_attempts_are_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.work.RECENT", 3)
    for n in range(5):
        bench.attempt(f"a{n}")
        bench.call("POST", f"attempts/a{n}/streams/log?offset=0", id=f"a{n}", content=b"x")
    assert list(bench.channel.recent) == ["a2", "a3", "a4"]
    assert isinstance(bench.channel.recent, OrderedDict)


def test_checkpoints_are_kept_for_the_next_try_of_the_same_task(bench: Bench) -> None:
    bench.attempt()
    path = f"attempts/{ID}/checkpoint/{TASK_FOLDER}/deep/state.bin"
    assert bench.call("PUT", path, content=b"epoch 3").status_code == 201
    assert bench.call("PUT", path, content=b"epoch 4").status_code == 201
    second = "a0123456789abcdef0123-2"
    bench.attempt(second)
    (found,) = bench.call("GET", f"attempts/{second}/checkpoint", id=second).json()
    assert found == {"path": f"{TASK_FOLDER}/deep/state.bin", "size": 7, "sha256": hashlib.sha256(b"epoch 4").hexdigest()}
    assert bench.call("GET", f"attempts/{second}/checkpoint/{found['path']}", id=second).content == b"epoch 4"
    assert (bench.home / "checkpoints" / "r1" / TASK_FOLDER / "deep" / "state.bin").read_bytes() == b"epoch 4"
    assert bench.call("DELETE", f"attempts/{second}/checkpoint/{found['path']}", id=second).status_code == 204
    assert bench.call("GET", f"attempts/{second}/checkpoint/{found['path']}", id=second).status_code == 404
    assert bench.call("DELETE", f"attempts/{second}/checkpoint/{found['path']}", id=second).status_code == 204


def test_files_of_a_saved_state_are_listed_without_reading_them_and_its_folder_goes_with_the_last(bench: Bench) -> None:
    bench.attempt()
    step = f"{TASK_FOLDER}/step-000000003-1.1"
    for name in ("tensors-00000.safetensors", "blobs/sha256/ab/cd", "manifest.json"):
        assert bench.call("PUT", f"attempts/{ID}/checkpoint/{step}/{name}", content=b"x").status_code == 201
    found = bench.call("GET", f"attempts/{ID}/checkpoint").json()
    assert [(each["sha256"], each["size"]) for each in found] == [("", 1)] * 3, "their digests are in the manifest"
    for each in found:
        assert bench.call("DELETE", f"attempts/{ID}/checkpoint/{each['path']}").status_code == 204
    assert list((bench.home / "checkpoints" / "r1" / TASK_FOLDER).iterdir()) == []


@pytest.mark.parametrize("path", ["x", f"{TASK_FOLDER}", f"{TASK_FOLDER}/..%2f..%2fx", f"{'0' * 20}/x", f"{TASK_FOLDER}/a//b"])
def test_a_checkpoint_lies_in_its_own_tasks_folder(bench: Bench, path: str) -> None:
    bench.attempt()
    assert bench.call("PUT", f"attempts/{ID}/checkpoint/{path}", content=b"x").status_code == 403


def test_outputs_of_a_container_go_to_the_executor(bench: Bench) -> None:
    bench.attempt()
    body = {"outputs": {"model": {"digest": "ab" * 32}}, "missing": ["report"]}
    assert bench.call("PUT", f"attempts/{ID}/outputs", json=body).status_code == 204
    assert bench.crew.told == [(ID, body["outputs"], ["report"])]
    assert bench.call("PUT", f"attempts/{ID}/outputs", json={"outputs": []}).status_code == 422


def test_a_pools_worker_takes_attempts_each_with_its_own_token(bench: Bench) -> None:
    spec = bench.attempt()
    bench.crew.answer = {"start": [spec], "cancel": [["a9-1", 5.0]], "leave": False}
    answer = bench.call(
        "POST", "pools/abc/poll", id="abc", json={"worker": "pool-abc-1", "running": ["a9-1"], "free": 2, "wait_s": 900}
    ).json()
    assert bench.crew.told == [("abc", "pool-abc-1", ["a9-1"], 2, 60.0)], "nobody waits for longer than a minute"
    assert answer["cancel"] == [["a9-1", 5.0]]
    assert answer["leave"] is False
    (start,) = answer["start"]
    assert from_plain(AttemptSpec, start["spec"]) == spec
    assert check_token(KEY, start["token"], NOW + 3600) == ID


def test_a_poll_that_makes_no_sense_is_refused(bench: Bench) -> None:
    assert bench.call("POST", "pools/abc/poll", id="abc", json={"worker": 1}).status_code == 422


def test_what_a_trial_reports_is_read_by_those_beside_it(bench: Bench) -> None:
    other, stranger = "a0123456789abcdef0123-2", "a0123456789abcdef0123-3"
    for id in (ID, other):
        bench.attempt(id, context={"trial": {"number": 0, "live": "r1/search-1/reports"}})
    bench.attempt(stranger)
    assert bench.call("POST", f"attempts/{ID}/streams/reports?offset=0", content=b"one\n").json() == {"size": 4}
    assert bench.call("POST", f"attempts/{ID}/streams/reports?offset=0", content=b"one\n").json() == {"size": 4}, "sent again"
    bench.call("POST", f"attempts/{other}/streams/reports?offset=0", id=other, content=b"two\n")
    assert bench.call("GET", f"attempts/{other}/others?offset=0", id=other).content == b"one\ntwo\n"
    assert bench.call("GET", f"attempts/{ID}/others?offset=4").content == b"two\n"
    assert bench.call("GET", f"attempts/{stranger}/others?offset=0", id=stranger).content == b""
    assert bench.call("GET", f"attempts/{ID}/others?offset=x").status_code == 422
    assert bench.call("GET", f"attempts/{other}/others?offset=0").status_code == 403
