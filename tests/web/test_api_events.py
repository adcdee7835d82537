"""Events as they come, over a real connection: nothing lost, nothing twice, whoever breaks when."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.store.serverapi import parse_events
from tests.waiting import until
from tests.web.rig import API, TOKEN, Live, Server, started

RUN = "20261124-081503-x7kq3"


@pytest.fixture
def server(live: Live, tmp_path: Path) -> Iterator[Server]:
    with live.serving(Server(tmp_path, heartbeat_s=0.05)) as server:
        yield server


def post(live: Live, path: str, body: Any) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    headers = {"Fairway-Token": TOKEN, "Content-Type": "application/json"}
    connection.request("POST", API + path, json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    return status


@contextmanager
def listening(live: Live, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", API + path, headers={"Fairway-Token": TOKEN, "Accept": "text/event-stream", **headers})
    response = connection.getresponse()
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    try:
        yield response
    finally:
        response.close()
        connection.close()


def test_events_come_as_they_are_recorded(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    with listening(live, f"/runs/{RUN}/events") as stream:
        events = parse_events(stream)
        first = list(itertools.islice(events, 2))
        assert [(id, kind) for id, kind, _ in first] == [("1", "RunStarted"), ("2", "AttemptPlanned")]
        assert first[0][2]["event"]["run"] == RUN
        (attempt,) = live.call(server.executor.submitted())
        live.loop.call_soon_threadsafe(server.executor.end, attempt)  # type: ignore[union-attr]
        ended = next(item for _, kind, item in events if kind == "AttemptEnded")
        assert ended["event"]["attempt"] == attempt


def test_a_stream_goes_on_after_the_last_event_that_was_seen(live: Live, server: Server) -> None:
    server.executor.free = True
    post(live, "/runs", started(RUN))
    with listening(live, f"/runs/{RUN}/events") as stream:
        seen = []
        for id, kind, _ in parse_events(stream):
            seen.append((id, kind))
            if kind == "RunEnded":
                break
    assert [int(id) for id, _ in seen] == list(range(1, len(seen) + 1))
    with listening(live, f"/runs/{RUN}/events", **{"Last-Event-ID": "2"}) as stream:
        assert [(id, kind) for id, kind, _ in itertools.islice(parse_events(stream), len(seen) - 2)] == seen[2:]
    with listening(live, f"/runs/{RUN}/events?after=3") as stream:
        assert next(parse_events(stream))[0] == "4"


def test_a_quiet_stream_says_that_it_lives(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    with listening(live, f"/runs/{RUN}/events?after=2") as stream:
        assert stream.readline() == b": still here\n"


def test_who_goes_away_is_forgotten(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    with listening(live, f"/runs/{RUN}/events?after=2") as stream:
        stream.readline()
        assert server.host.bus._listeners.keys() == {RUN}

    live.call(until(lambda: not server.host.bus._listeners))


def test_a_reader_that_does_not_read_holds_up_nobody(live: Live, server: Server) -> None:
    journal = server.services.journal
    for first in range(0, 40_000, 1000):
        live.call(journal.append(RUN, first, [ClockAdvanced(float(n)) for n in range(1000)], f"b{first}"))
    with listening(live, f"/runs/{RUN}/events") as slow:
        with listening(live, f"/runs/{RUN}/events?after=39998") as quick:
            assert [id for id, _, _ in itertools.islice(parse_events(quick), 2)] == ["39999", "40000"]
        numbers = [int(id) for id, _, _ in itertools.islice(parse_events(slow), 40_000)]
    assert numbers == list(range(1, 40_001))


def test_waiting_for_events_ends_with_the_first(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    (attempt,) = live.call(server.executor.submitted())
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", f"{API}/runs/{RUN}/events?after=2&wait=15", headers={"Fairway-Token": TOKEN})
    live.loop.call_soon_threadsafe(server.executor.end, attempt)  # type: ignore[union-attr]
    page = json.loads(connection.getresponse().read())
    connection.close()
    assert page["head"] > 2
    assert page["items"][0]["seq"] == 3


def test_head_of_a_stream_ends_at_once(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    for path in (f"/runs/{RUN}/events", "/events"):
        connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
        connection.request("HEAD", API + path, headers={"Fairway-Token": TOKEN, "Accept": "text/event-stream"})
        response = connection.getresponse()
        assert (response.status, response.headers["content-type"], response.read()) == (200, "text/event-stream; charset=utf-8", b"")
        connection.close()


def test_streams_end_when_the_server_goes(live: Live, server: Server) -> None:
    post(live, "/runs", started(RUN))
    (attempt,) = live.call(server.executor.submitted())
    paths = [f"/runs/{RUN}/events?after=2", "/events", f"/runs/{RUN}/attempts/{attempt}/log"]
    with listening(live, paths[0]) as events, listening(live, paths[1]) as runs, listening(live, paths[2]) as log:
        live.loop.call_soon_threadsafe(server.host.bus.close)  # type: ignore[union-attr]
        assert [list(parse_events(stream)) for stream in (events, runs, log)] == [[], [], []]


def test_a_page_of_runs_hears_of_what_changes(live: Live, server: Server) -> None:
    server.executor.free = True
    with listening(live, "/events") as stream:
        assert stream.readline().startswith(b":")
        post(live, "/runs", started(RUN))
        events = parse_events(stream)
        assert next(row["run"] for _, kind, row in events if kind == "run" and row["status"] == "succeeded") == RUN
        live.call(server.services.journal.delete_run(RUN))
        live.loop.call_soon_threadsafe(server.host.bus.publish, "")  # type: ignore[union-attr]
        assert next(data for _, kind, data in events if kind == "deleted") == {"run": RUN}


@pytest.mark.parametrize("id", ["abc", "-1", "1" * 30, "²"])
def test_a_last_event_id_that_is_no_number_is_refused(live: Live, server: Server, id: str) -> None:
    post(live, "/runs", started(RUN))
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.putrequest("GET", f"{API}/runs/{RUN}/events")
    for name, value in {"Fairway-Token": TOKEN, "Accept": "text/event-stream"}.items():
        connection.putheader(name, value)
    connection.putheader("Last-Event-ID", id.encode())
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["where"]) == (422, "header.last-event-id")
    connection.close()


def test_pages_of_events_join_without_a_gap(live: Live, server: Server) -> None:
    server.executor.free = True
    post(live, "/runs", started(RUN))
    everything = run_now(server.services.journal.read(RUN))
    assert [number for number, _ in everything] == list(range(1, len(everything) + 1))
