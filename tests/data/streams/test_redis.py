"""Redis Streams, against a real server."""

from __future__ import annotations

import json
import os
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from fairway.data.streams import Window, follow
from fairway.errors import ConfigError, InfraError

ONE = {"window": "10 rows", "group": "g", "start": "oldest", "once": True}


def _client(url: str) -> tuple[redis.Redis, str]:
    parts = urlsplit(url)
    return redis.Redis(port=parts.port or 0), parse_qs(parts.query)["stream"][0]


def _fill(url: str, rows: range) -> None:
    client, stream = _client(url)
    for row in rows:
        client.xadd(stream, {"data": json.dumps({"n": row, "x": row / 2})})


def _numbers(window: Window) -> list[int]:
    return window.batch.columns["n"].data.tolist() if window.batch.rows else []


def _all(url: str, **options: Any) -> list[int]:
    told: list[int] = []
    for window in follow(url, **{**ONE, **options}):
        told += _numbers(window)
        window.commit()
    return told


def test_what_is_not_committed_comes_again(redis_url: str) -> None:
    _fill(redis_url, range(35))
    stream = follow(redis_url, **ONE)
    windows = iter(stream)
    assert _numbers(next(windows)) == list(range(10))
    second = next(windows)
    second.commit()  # before the first is: nothing may be acknowledged yet
    client, name = _client(redis_url)
    assert client.xpending(name, "g")["pending"] == 35
    windows.close()
    assert _all(redis_url) == list(range(35))
    assert client.xpending(name, "g")["pending"] == 0
    assert _all(redis_url) == []


def test_a_commit_acknowledges_what_lies_before_it_and_nothing_else(redis_url: str) -> None:
    _fill(redis_url, range(25))
    stream = iter(follow(redis_url, **ONE))
    next(stream).commit()
    client, name = _client(redis_url)
    assert client.xpending(name, "g")["pending"] == 15
    stream.close()
    assert _all(redis_url) == list(range(10, 25))


def test_entries_of_a_dead_process_of_this_machine_are_taken_over_at_once(redis_url: str) -> None:
    _fill(redis_url, range(5))
    client, name = _client(redis_url)
    client.xgroup_create(name, "g", id="0")
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    client.xreadgroup("g", f"{socket.gethostname()}-{dead}", {name: ">"}, 3)
    assert _all(redis_url) == list(range(5))
    assert client.xinfo_consumers(name, "g") == []


def test_entries_that_lie_with_another_member_for_too_long_are_taken_over(redis_url: str) -> None:
    _fill(redis_url, range(5))
    client, name = _client(redis_url)
    client.xgroup_create(name, "g", id="0")
    client.xreadgroup("g", "elsewhere-7", {name: ">"}, 3)
    assert _all(redis_url, claim_after="1h") == [3, 4]
    assert _all(redis_url, claim_after=0) == [0, 1, 2]


def test_own_entries_are_not_taken_over_from_oneself(redis_url: str) -> None:
    _fill(redis_url, range(3))
    stream = follow(redis_url, window="100 rows", group="g", start="oldest", claim_after=0, once=True)
    assert [_numbers(window) for window in stream] == [[0, 1, 2]]


def test_without_a_group_nothing_is_kept(redis_url: str) -> None:
    _fill(redis_url, range(5))
    assert _all(redis_url, group="") == list(range(5))
    assert _all(redis_url, group="") == list(range(5))
    assert _all(redis_url, group="", start="new") == []


def test_fields_are_columns(redis_url: str) -> None:
    client, name = _client(redis_url)
    client.xadd(name, {"site": "north", "t": "20.5", "n": "3", "code": "007", "on": "true"})
    (window,) = follow(redis_url, **ONE)
    columns = window.batch.columns
    assert {name: one.kind for name, one in columns.items()} == {
        "site": "string",
        "t": "float",
        "n": "integer",
        "code": "string",
        "on": "boolean",
    }
    assert columns["code"].value(0) == "007"


def test_one_field_can_be_named(redis_url: str) -> None:
    client, name = _client(redis_url)
    client.xadd(name, {"kind": "reading", "body": '{"n": 4}'})
    assert _all(redis_url, field="body") == [4]


def test_trimmed_entries_do_not_hold_up_the_rest(redis_url: str) -> None:
    _fill(redis_url, range(5))
    client, name = _client(redis_url)
    client.xgroup_create(name, "g", id="0")
    client.xreadgroup("g", "me-1", {name: ">"}, 2)
    client.xtrim(name, maxlen=3, approximate=False)
    assert _all(redis_url, consumer="me-1") == [2, 3, 4]


def test_a_deleted_stream_goes_on(redis_url: str) -> None:
    _fill(redis_url, range(2))
    stream = follow(redis_url, window="2 rows", group="g", start="oldest")
    windows = iter(stream)
    next(windows).commit()
    client, name = _client(redis_url)
    client.delete(name)
    _fill(redis_url, range(7, 9))
    assert _numbers(next(windows)) == [7, 8]
    assert any("deleted" in note for note in stream.notes)
    windows.close()


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="does not name a stream"):
        follow("redis://localhost:1/0")
    with pytest.raises(InfraError, match="Redis does not answer"):
        next(iter(follow("redis://:secret@127.0.0.1:1/0?stream=s")))
