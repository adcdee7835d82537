"""A follower that is killed at any line of its code loses no record, and repeats only what it had not committed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway.data.streams import follow
from tests.data.killed import killed_at

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


def _killed_at(number: int, uri: str, out: Path, options: dict[str, Any]) -> bool:
    """Follow and write, killed at that line of the streams' code; whether it came so far."""
    return killed_at(number, lambda file: file.startswith(_ROOM), lambda: _follow_and_write(uri, out, options))


def _windows(out: Path) -> list[list[int]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def _check(make: Callable[[int], tuple[str, dict[str, Any]]], tmp_path: Path, stride: int) -> None:
    kill_at, killed = 1, 0
    while True:
        uri, options = make(kill_at)
        out = tmp_path / f"out-{kill_at}"
        was_killed = _killed_at(kill_at, uri, out, options)
        before = _windows(out)
        _killed_at(0, uri, out, options)
        after = _windows(out)[len(before) :]
        done = [number for window in before for number in window]
        again = [number for window in after for number in window]
        assert sorted({*done, *again}) == list(range(ROWS)), f"records were lost by a kill at line {kill_at}"
        repeated = set(done) & set(again)
        assert repeated <= set(before[-1] if before else []), f"what was committed came again after a kill at line {kill_at}"
        if not was_killed:
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
        was_killed = _killed_at(kill_at, str(data), out, options)
        _killed_at(0, str(data), out, options)
        assert {number for window in _windows(out) for number in window} == set(range(ROWS))
        if not was_killed:
            break
        kill_at += 151
