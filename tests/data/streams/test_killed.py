"""A follower that is killed at any line of its code loses no record, and repeats only what it had not committed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fairway.data.streams import follow

ROWS = 23
_ROOM = str(Path(follow.__code__.co_filename).parent)


def _follow_and_write(uri: str, out: Path, options: dict[str, Any]) -> None:
    """Each window's numbers are written, then it is committed."""
    for window in follow(uri, **options):
        numbers = window.batch.columns["n"].data.tolist()
        descriptor = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, json.dumps(numbers).encode() + b"\n")
        os.close(descriptor)
        window.commit()


def _child(work: Callable[[], None], kill_at: int) -> int:
    """Run in a process of its own that kills itself at the given line of the streams' code; its exit status, negative if it was killed."""
    process = os.fork()
    if process == 0:
        left = kill_at

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(_ROOM):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            if kill_at:
                sys.settrace(trace)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _windows(out: Path) -> list[list[int]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def _check(make: Callable[[int], tuple[str, dict[str, Any]]], tmp_path: Path, stride: int) -> None:
    kill_at, killed = 1, 0
    while True:
        uri, options = make(kill_at)
        out = tmp_path / f"out-{kill_at}"
        status = _child(lambda uri=uri, out=out, options=options: _follow_and_write(uri, out, options), kill_at)
        before = _windows(out)
        assert status in (0, -signal.SIGKILL)
        assert _child(lambda uri=uri, out=out, options=options: _follow_and_write(uri, out, options), 0) == 0
        after = _windows(out)[len(before) :]
        done = [number for window in before for number in window]
        again = [number for window in after for number in window]
        assert sorted({*done, *again}) == list(range(ROWS)), f"records were lost by a kill at line {kill_at}"
        repeated = set(done) & set(again)
        assert repeated <= set(before[-1] if before else []), f"what was committed came again after a kill at line {kill_at}"
        if status == 0:
            break
        killed += 1
        kill_at += stride
    assert killed > 8


def test_a_follower_of_a_file(tmp_path: Path) -> None:
    data = tmp_path / "d.ndjson"
    data.write_bytes(b"".join(b'{"n": %d}\n' % number for number in range(ROWS)))

    def make(kill_at: int) -> tuple[str, dict[str, Any]]:
        offsets = tmp_path / f"offsets-{kill_at}"
        return str(data), {"window": "5 rows", "group": "g", "start": "oldest", "once": True, "offsets": offsets}

    _check(make, tmp_path, stride=53)


def test_a_follower_of_redis(tmp_path: Path, redis_server: str) -> None:
    import redis

    port = int(redis_server.rpartition(":")[2])

    def make(kill_at: int) -> tuple[str, dict[str, Any]]:
        client = redis.Redis(port=port)
        for number in range(ROWS):
            client.xadd(f"killed-{kill_at}", {"n": number})
        client.close()
        return f"{redis_server}/0?stream=killed-{kill_at}", {"window": "5 rows", "group": "g", "start": "oldest", "once": True}

    _check(make, tmp_path, stride=67)


@pytest.mark.parametrize("lateness", ["0s", "20s"])
def test_a_follower_by_the_time_of_rows(tmp_path: Path, lateness: str) -> None:
    data = tmp_path / "d.ndjson"
    times = [(number * 7) % 40 + number for number in range(ROWS)]  # out of order
    data.write_bytes(b"".join(b'{"n": %d, "t": %d}\n' % (number, at) for number, at in enumerate(times)))
    kill_at = 1
    while True:
        out = tmp_path / f"out-{kill_at}"
        options: dict[str, Any] = {
            "window": "10s", "time": "t", "lateness": lateness, "group": "g", "start": "oldest", "once": True,
            "offsets": tmp_path / f"offsets-{kill_at}",
        }  # fmt: skip
        work = lambda out=out, options=options: _follow_and_write(str(data), out, options)  # noqa: E731
        status = _child(work, kill_at)
        assert _child(work, 0) == 0
        assert {number for window in _windows(out) for number in window} == set(range(ROWS))
        if status == 0:
            break
        kill_at += 151
