from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.feedback.spool import Spool
from fairway.serve.refusal import Refused
from tests.waiting import until


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob(f"risk/{kind}-*.jsonl")) for line in path.read_bytes().splitlines()]


def request(id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "at": 1.0,
        "revision": 1,
        "status": 200,
        "request": b'{"inputs": [{"age": 30}]}',
        "answer": b'{"predictions": [1]}',
        **more,
    }


def test_traffic_is_written_as_it_went_by(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert all(spool.write("risk", request(str(n))) for n in range(50))
    spool.close_now()
    found = lines(tmp_path, "traffic")
    assert [row["id"] for row in found] == [str(n) for n in range(50)]
    assert found[0]["request"] == '{"inputs": [{"age": 30}]}' and "request_type" not in found[0]
    assert (spool.counts.written, spool.counts.dropped) == (50, 0)
    assert not spool.write("risk", request("late"))


def test_private_fields_never_reach_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.set_privacy("risk", drop=["age"], hash=["user"])
    spool.write("risk", request("1", request=b'{"inputs": [{"age": 31337, "name": "x"}]}', user="bob31337"))
    spool.write("risk", request("2", request=b"31337", request_type="application/octet-stream"))
    spool.write("risk", request("3", status=422, answer=b'{"error": {"message": "field age: came the text 31337"}}'))
    asyncio.run(spool.write_durably("risk", {"id": "1", "label": 1, "user": "bob31337"}))
    spool.close_now()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"31337" not in everything.replace((tmp_path / "risk/secret").read_bytes(), b"")
    first, second, third = lines(tmp_path, "traffic")
    assert third["answer"] is None and third["answer_withheld"] == "an error may quote what was sent"
    (label,) = lines(tmp_path, "feedback")
    assert first["user"] == label["user"] and len(label["user"]) == 32, "one person has one digest"
    assert second["request"] is None and "octet-stream" in second["request_withheld"] and spool.counts.withheld == 2
    other = Spool(tmp_path)  # the next process of this machine makes the same digests
    other.set_privacy("risk", hash=["user"])
    asyncio.run(other.write_durably("risk", {"id": "2", "label": 1, "user": "bob31337"}))
    other.close_now()
    assert {row["user"] for row in lines(tmp_path, "feedback")} == {label["user"]}


def test_rows_without_names_are_covered_by_the_columns_of_the_revision_that_answered(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.set_privacy("risk", drop=["ssn"], secret=b"k" * 32, columns={1: ("age", "ssn"), 2: ("ssn", "age")})
    for number, body in ((1, b"[[31, 4711]]"), (2, b"[[4711, 31]]"), (3, b"[[31, 4711]]"), (0, b"[[31, 4711]]")):
        spool.write("risk", request(str(number), request=body, revision=number, answer=b"{}"))
    spool.close_now()
    assert [row["request"] for row in lines(tmp_path, "traffic")] == ["[[31]]", "[[31]]", None, None]


def test_long_bodies_are_left_out_and_their_record_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path, body_bytes=100)
    spool.write("risk", request("1", request=b"x" * 101))
    spool.close_now()
    (row,) = lines(tmp_path, "traffic")
    assert row["request"] is None and row["request_withheld"] == "it has 101 bytes" and row["answer"] == '{"predictions": [1]}'


def test_what_does_not_fit_into_memory_is_dropped_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, room_bytes=5_000)
    accepted = sum(spool.write("risk", request(str(n), request=b'"' + b"x" * 998 + b'"')) for n in range(20))
    spool.close_now()
    assert 3 <= accepted < 20 and spool.counts.dropped == 20 - accepted and spool.counts.written == accepted


def test_feedback_that_comes_at_once_shares_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    gate = threading.Event()
    real = os.fsync

    def fsync(handle: int) -> None:
        gate.wait(60)
        synced.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)

    async def main() -> None:
        spool = Spool(tmp_path)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        first = asyncio.ensure_future(spool.write_durably("risk", {"id": "first", "label": 1}))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(spool.write_durably("risk", {"id": str(n), "label": n}) for n in range(200)))
        await spool.write_durably("risk", {"id": "a", "label": 1}, {"id": "b", "label": 2})
        assert spool.counts.acknowledged == 203
        await spool.close()

    asyncio.run(main())
    assert len(lines(tmp_path, "feedback")) == 203
    assert len(synced) <= 3 + 2, "201 records that came at once took two at most, and one more for each folder"


def test_a_full_disk_refuses_feedback_and_drops_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, is_full = os.write, True

    def write(handle: int, data: Any) -> int:
        if not is_full:
            return real(handle, data)
        if len(data) > 5:
            return real(handle, bytes(data)[:5])  # half a line gets through
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    spool = Spool(tmp_path)

    async def main() -> None:
        nonlocal is_full
        for what in ({"id": "1", "label": 1}, {"id": "22", "label": 1}):
            with pytest.raises(Refused) as found:
                await spool.write_durably("risk", what)
            assert found.value.status == 507 and found.value.retry_after_s and found.value.code == "FW-FEEDBACK-UNWRITTEN"
        spool.write("risk", request("gone"))
        await until(lambda: spool.counts.dropped)
        is_full = False
        await spool.write_durably("risk", {"id": "3", "label": 1})
        spool.write("risk", request("kept"))
        await spool.close()

    asyncio.run(main())
    assert [row["id"] for row in lines(tmp_path, "feedback")] == ["3"], "what was refused has left nothing"
    assert [row["id"] for row in lines(tmp_path, "traffic")] == ["kept"]
    assert (spool.counts.refused, spool.counts.acknowledged, spool.counts.dropped) == (2, 1, 1)


def test_a_disk_that_cannot_be_written_refuses_with_503(tmp_path: Path) -> None:
    (tmp_path / "risk").write_text("a file where a folder belongs")
    spool = Spool(tmp_path)
    with pytest.raises(Refused, match="feedback cannot be written") as found:
        asyncio.run(spool.write_durably("risk", {"id": "1", "label": 1}))
    assert found.value.status == 503
    spool.close_now()
    with pytest.raises(Refused, match="stopping"):
        asyncio.run(spool.write_durably("risk", {"id": "1", "label": 1}))


def test_traffic_stops_when_too_much_of_it_waits_and_feedback_does_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path, backlog_bytes=1)
    spool.write("risk", request("1"))
    asyncio.run(spool.close())
    again = Spool(tmp_path, backlog_bytes=1)
    again.write("risk", request("2"))
    asyncio.run(again.write_durably("risk", {"id": "1", "label": 1}))
    again.close_now()
    assert [row["id"] for row in lines(tmp_path, "traffic")] == ["1"] and again.counts.dropped == 1
    assert len(lines(tmp_path, "feedback")) == 1


def test_segments_are_locked_while_they_are_written_and_end_at_their_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=300)
    for n in range(8):
        asyncio.run(spool.write_durably("risk", {"id": str(n), "label": "x" * 100}))
    segments = sorted(tmp_path.glob("risk/*.jsonl"))
    assert len(segments) >= 3

    def is_locked(path: Path) -> bool:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    locked = [path for path in segments if is_locked(path)]
    assert len(locked) == 1
    spool.close_now()
    assert not any(map(is_locked, segments))


_WRITER = """
import asyncio, sys
from fairway.serve.feedback.spool import Spool
async def main():
    spool = Spool(sys.argv[1])
    async def write(n):
        await spool.write_durably("risk", {"id": str(n), "label": n})
        print(n, flush=True)
    n = 0
    while True:
        await asyncio.gather(*(write(n + m) for m in range(7)))
        n += 7
asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 40, 300])
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = [process.stdout.readline().strip() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    seen += list(process.stdout.read().split("\n")[:-1])
    process.wait()
    kept = set[str]()
    for path in tmp_path.glob("risk/*.jsonl"):
        data = path.read_bytes()
        kept |= {json.loads(line)["id"] for line in data[: data.rfind(b"\n") + 1].splitlines()}
    assert set(seen) <= kept


def test_a_record_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write("risk", request("odd", path=object()))
    spool.write("risk", request("kept"))
    spool.close_now()
    assert [row["id"] for row in lines(tmp_path, "traffic")] == ["kept"] and spool.counts.dropped == 1
