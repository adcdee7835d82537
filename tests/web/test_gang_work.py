"""The control channel of gangs: replicas meet, are told to stop, say how they have ended; their streams stay apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fairway.executors.meeting import Coming
from fairway.spec.outcome import Outcome
from fairway.spec.record import to_plain
from fairway.step.saved import Manifest, folder_name, manifest_name, render_manifest
from tests.web.test_work import ID, TASK_FOLDER, Bench


class Desk:
    """The executor's side."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.answer: Mapping[str, Any] = {}

    async def meet(self, id: str, coming: Coming, met: bool, wait_s: float, still: bool = False) -> Mapping[str, Any]:
        self.told.append((id, coming, met, wait_s))
        return self.answer

    def end(self, id: str, replica: int, pod: str, outcome: Outcome, stopped: bool) -> None:
        self.told.append((id, replica, pod, outcome, stopped))

    def note_checkpoint(self, id: str) -> None:
        self.told.append(id)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def bench(tmp_path: Path, desk: Desk) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.channel.gangs = desk
    made.attempt()
    yield made


COMES = {"replica": 1, "pod": "p-1", "host": "10.0.0.1", "ports": [4, 5], "met": False, "wait_s": 900}


def test_a_replica_says_where_it_is_and_hears_who_takes_part(bench: Bench, desk: Desk) -> None:
    desk.answer = {"world": {"hosts": ["10.0.0.1"]}}
    assert bench.call("POST", f"attempts/{ID}/gang", json=COMES).json() == desk.answer
    assert desk.told == [(ID, Coming(1, "p-1", "10.0.0.1", (4, 5)), False, 60.0)], "nobody waits for longer than a minute"


@pytest.mark.parametrize("wrong", [{"replica": "1"}, {"pod": 5}, {"host": None}, {"ports": ["a"]}, {"ports": 3}, {"wait_s": "long"}])
def test_what_is_no_report_is_refused(bench: Bench, desk: Desk, wrong: dict[str, Any]) -> None:
    assert bench.call("POST", f"attempts/{ID}/gang", json={**COMES, **wrong}).status_code == 422
    assert desk.told == []


def test_an_end_is_told_and_no_outcome_of_the_attempt(bench: Bench, desk: Desk) -> None:
    outcome = Outcome(ID, "ended")
    end = {"replica": 2, "pod": "p-2", "outcome": to_plain(outcome), "stopped": True}
    assert bench.call("PUT", f"attempts/{ID}/gang/end", json=end).status_code == 204
    assert desk.told == [(ID, 2, "p-2", outcome, True)]
    assert bench.artifacts.blobs == {}
    other = {**end, "outcome": to_plain(Outcome("a1-1", "ended"))}
    assert bench.call("PUT", f"attempts/{ID}/gang/end", json=other).status_code == 403
    assert bench.call("PUT", f"attempts/{ID}/gang/end", json={**end, "outcome": 3}).status_code == 422


def test_a_gang_that_is_over_or_anothers_is_not_met(bench: Bench, desk: Desk) -> None:
    other = "a0123456789abcdef0123-2"
    bench.attempt(other)
    assert bench.call("POST", f"attempts/{other}/gang", json=COMES).status_code == 403
    bench.crew.live.clear()
    assert bench.call("POST", f"attempts/{ID}/gang", json=COMES).status_code == 410
    assert bench.call("PUT", f"attempts/{ID}/gang/end", json={}).status_code == 410
    assert desk.told == []


def test_where_all_ranks_are_on_one_machine_nobody_meets(bench: Bench) -> None:
    bench.channel.gangs = None
    assert bench.call("POST", f"attempts/{ID}/gang", json=COMES).status_code == 404


def test_each_rank_has_its_streams_and_what_leaders_say_is_the_attempts_log(bench: Bench) -> None:
    for kind, text in (
        ("log.3", b"rank\n"),
        ("stacks.12", b"stack\n"),
        ("leader.0", b"one\n"),
        ("leader.1", b"two\n"),
        ("leader.0", b"one\n"),
    ):
        assert bench.call("POST", f"attempts/{ID}/streams/{kind}?offset=0", content=text).status_code == 200
    assert bench.streams.read(f"r1/{ID}/log.3") == b"rank\n"
    assert bench.streams.read(f"r1/{ID}/stacks.12") == b"stack\n"
    assert bench.streams.read(f"r1/{ID}/log") == b"one\ntwo\n", "what is sent again is not kept twice"
    for kind in ("log.x", "secrets.1", "log.1.2", "leader", "log.12345678"):
        assert bench.call("POST", f"attempts/{ID}/streams/{kind}?offset=0", content=b"x").status_code == 422


def test_a_checkpoint_is_told_when_the_file_has_come_that_makes_it_complete(bench: Bench, desk: Desk) -> None:
    folder = f"attempts/{ID}/checkpoint/{TASK_FOLDER}/{folder_name(3, 1, 2)}"
    bench.call("PUT", f"{folder}/weights", content=b"w")
    for rank, told in ((1, []), (0, []), (2, [ID])):
        manifest = Manifest(3, 1, 2, rank, 3, True)
        bench.call("PUT", f"{folder}/{manifest_name(rank, 3, True)}", content=render_manifest(manifest))
        assert desk.told == told, "the first parts make none"
    whole = f"attempts/{ID}/checkpoint/{TASK_FOLDER}/{folder_name(4, 1, 3)}/manifest.json"
    bench.call("PUT", whole, content=b"{}")
    bench.call("PUT", f"attempts/{ID}/checkpoint/{TASK_FOLDER}/mine/manifest.json", content=b"{}")
    assert desk.told == [ID]
    bench.call("PUT", whole, content=render_manifest(Manifest(4, 1, 3)))
    assert desk.told == [ID, ID]


def test_the_server_looks_at_the_bytes_of_the_one_that_is_asked_for(bench: Bench) -> None:
    for step in (3, 4):
        bench.call("PUT", f"attempts/{ID}/checkpoint/{TASK_FOLDER}/{folder_name(step, 1, step)}/weights", content=b"w")
    asked = f"attempts/{ID}/checkpoint?digests={TASK_FOLDER}/{folder_name(4, 1, 4)}"
    assert [one["sha256"] for one in bench.call("GET", asked).json()] == ["", hashlib.sha256(b"w").hexdigest()]
    bench.call("PUT", f"attempts/{ID}/checkpoint/{TASK_FOLDER}/{folder_name(4, 1, 4)}/weights", content=b"x")
    assert bench.call("GET", asked).json()[1]["sha256"] == hashlib.sha256(b"x").hexdigest()
