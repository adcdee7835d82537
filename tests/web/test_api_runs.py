"""Runs through the API: started, listed, changed, stopped, gone on with, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph, Node, StepDef
from fairway.spec.ports import run_now
from fairway.spec.record import to_plain
from tests.web.recorded import Journals
from tests.web.rig import Server, graph, started

RUN = "20261124-081503-x7kq3"
OTHER = "20261124-081504-x7kq4"


@pytest.fixture
def server(tmp_path: Path, journals: Journals) -> Server:
    return Server(tmp_path, journals(tmp_path))


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def ended(server: Server, client: TestClient, run: str = RUN) -> dict[str, Any]:
    """The run's summary once it has ended; its attempts succeed."""
    head = 0
    while True:
        for id in list(server.executor.specs):
            client.portal.call(server.executor.end, id)  # type: ignore[union-attr]
        summary = client.get(f"/runs/{run}/summary").json()
        if summary["status"] != "running" and run not in server.host.driven:
            return summary
        head = client.get(f"/runs/{run}/events", params={"after": head, "wait": 5}).json()["head"]


def test_a_run_is_started_and_driven(server: Server, client: TestClient) -> None:
    made = client.post("/runs", json=started(RUN, tags=("nightly",)))
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/api/v1/runs/{RUN}"
    assert (made.json()["status"], made.json()["tags"]) == ("running", ["nightly"])
    assert server.host.driven == {RUN}
    seen = client.get(f"/runs/{RUN}").json()
    assert [(step["step"], step["status"]) for step in seen["steps"]] == [("load", "running"), ("train", "waiting")]
    assert (seen["driven"], seen["problem"], seen["error"]) == (True, "", None)
    assert ended(server, client)["counts"] == {"succeeded": 2}


def test_who_started_a_run_is_said_by_the_token_and_not_by_the_body(client: TestClient) -> None:
    made = client.post("/runs", json=started(RUN, created_by="somebody else"))
    assert made.json()["created_by"] == "ann"
    assert made.json()["started_at"] > 1e9  # the server's clock, not the client's 1.0


def test_the_same_start_again_is_the_same_run(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    again = client.post("/runs", json=started(RUN))
    assert (again.status_code, again.json()["run"]) == (200, RUN)
    events = client.get(f"/runs/{RUN}/events").json()["items"]
    assert [item["type"] for item in events].count("RunStarted") == 1


def test_another_start_under_the_same_id_is_a_conflict(client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    other = client.post("/runs", json=started(RUN, graph=graph("another")))
    assert (other.status_code, other.json()["code"]) == (409, "FW-CONFLICT")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"run": "not an id"}, "body.started.run"),
        ({"surprise": 1}, "body.started"),
        ({"tags": [1]}, "body.started.tags[0]"),
        ({"tags": ["a", "b\0"]}, "body.started.tags[1]"),
        ({"name": "\0"}, "body.started.name"),
        ({"options": {"max_parallel": "many"}}, "body.started.options.max_parallel"),
        ({"params": {"depth": to_plain({"digest": "ab", "size_bytes": 1, "format": "json"})}}, "body.started.params"),
    ],
)
def test_a_start_that_is_wrong_is_refused_by_field(client: TestClient, change: dict[str, Any], where: str) -> None:
    body = started(RUN)
    body["started"] |= change
    answer = client.post("/runs", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["where"]) == (422, "FW-CONFIG", where)
    assert client.get("/runs").json()["items"] == []


def test_a_graph_that_does_not_hold_together_is_refused_in_words(client: TestClient) -> None:
    lost = Graph("flow", steps={"load": StepDef("load")}, nodes=(Node("load", "load", after=("nowhere",)),))
    answer = client.post("/runs", json={"started": to_plain(RunStarted(RUN, lost, {}, "", 1.0))})
    assert (answer.status_code, answer.json()["code"]) == (422, "FW-DEFINITION")
    assert "nowhere" in answer.json()["detail"]


def test_a_step_that_the_target_cannot_run_is_refused(server: Server, client: TestClient) -> None:
    server.executor.capabilities = frozenset({"POOL"})
    boxed = StepDef("load", "container", image="alpine", argv=("true",))
    wanted = Graph("flow", steps={"load": boxed}, nodes=(Node("load", "load"),))
    answer = client.post("/runs", json=started(RUN, graph=wanted))
    assert (answer.status_code, answer.json()["code"]) == (422, "FW-DEFINITION")
    assert "container engine" in answer.json()["detail"]


def test_a_run_is_cancelled(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    assert client.post(f"/runs/{RUN}/cancel", json={"reason": "too slow"}).status_code == 202
    assert ended(server, client)["status"] == "cancelled"
    events = client.get(f"/runs/{RUN}/events").json()["items"]
    wish = next(item["event"] for item in events if item["type"] == "CancelRequested")
    assert (wish["by"], wish["reason"]) == ("ann", "too slow")


def test_a_cancelled_run_goes_on_when_it_is_resumed(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    client.post(f"/runs/{RUN}/commands", json={"kind": "cancel"})
    ended(server, client)
    answer = client.post(f"/runs/{RUN}/resume", json={})
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert client.post(f"/runs/{RUN}/resume", json={}).status_code == 409
    assert ended(server, client)["status"] == "succeeded"
    done = client.post(f"/runs/{RUN}/resume", json={})
    assert (done.status_code, done.json()["code"]) == (409, "FW-CONFLICT")


def test_a_rerun_is_a_new_run_of_the_same_graph(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN, name="first"))
    ended(server, client)
    made = client.post(f"/runs/{RUN}/rerun", json={"run": OTHER, "tags": ["again"], "cache": False})
    assert (made.status_code, made.json()["run"], made.json()["triggered_by"]) == (201, OTHER, f"rerun of {RUN}")
    assert (made.json()["tags"], made.json()["name"]) == (["again"], "")
    assert client.get(f"/runs/{OTHER}/graph").json() == client.get(f"/runs/{RUN}/graph").json()
    assert client.post(f"/runs/{RUN}/rerun", json={"run": OTHER, "tags": ["again"], "cache": False}).status_code == 200


def test_labels_of_a_running_run_go_through_its_driver(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN, tags=("old",)))
    answer = client.patch(f"/runs/{RUN}", json={"add_tags": ["new"], "remove_tags": ["old"], "note": "look at this"})
    assert (answer.json()["tags"], answer.json()["note"]) == (["new"], "look at this")
    assert ended(server, client)["tags"] == ["new"]


def test_labels_of_an_ended_run_are_put_on_at_once(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    ended(server, client)
    assert client.post(f"/runs/{RUN}/commands", json={"kind": "label", "body": {"archived": True}}).json() == {"id": 0}
    assert client.get("/runs").json()["items"] == []
    assert [row["run"] for row in client.get("/runs", params={"archived": True}).json()["items"]] == [RUN]


@pytest.mark.parametrize("body", [{"add_tags": [1]}, {"note": 1}, {"archived": "yes"}, {"add_tags": "word"}, {"add_tags": [["a"]]}])
def test_a_command_that_is_no_label_is_refused(server: Server, client: TestClient, body: dict[str, Any]) -> None:
    client.post("/runs", json=started(RUN))
    ended(server, client)
    answer = client.post(f"/runs/{RUN}/commands", json={"kind": "label", "body": body})
    assert answer.status_code == 422
    assert answer.json()["where"].startswith("body.body.")


def test_a_run_is_deleted_once_it_has_ended(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    assert client.delete(f"/runs/{RUN}").status_code == 409
    ended(server, client)
    assert client.delete(f"/runs/{RUN}").status_code == 204
    assert client.get(f"/runs/{RUN}").status_code == 404
    assert client.delete(f"/runs/{RUN}").status_code == 404


def test_a_run_is_meant_by_its_whole_id_only(client: TestClient) -> None:
    client.post("/runs", json=started(RUN, name="nightly"))
    for text in (RUN[:-1], "nightly", "last", RUN[-5:]):
        assert client.get(f"/runs/{text}").status_code == 404
    for text in (RUN[:8], RUN[-5:], "nightly"):
        assert [row["run"] for row in client.get("/runs", params={"match": text}).json()["items"]] == [RUN]


def test_lists_come_in_pages_newest_first(server: Server, client: TestClient) -> None:
    runs = [f"20261124-08150{n}-aaaaa" for n in range(5)]
    server.executor.free = True
    for run in runs:
        client.post("/runs", json=started(run, tags=("even",) if run[14] in "024" else ()))
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get("/runs", params={"limit": 2, "cursor": cursor}).json()
        seen += [row["run"] for row in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == runs[::-1]
    assert [row["run"] for row in client.get("/runs", params={"tag": "even"}).json()["items"]] == runs[::-2]


def test_runs_are_taken_up_by_the_next_server(tmp_path: Path, journals: Journals) -> None:
    first = Server(tmp_path, journals(tmp_path))
    with first.client() as client:
        client.post("/runs", json=started(RUN))
        running = client.portal.call(first.executor.submitted)  # type: ignore[union-attr]
    second = Server(tmp_path, journals(tmp_path))
    with second.client() as client:
        assert second.host.driven == {RUN}
        assert client.portal.call(second.executor.submitted) == running  # type: ignore[union-attr]
        assert ended(second, client)["status"] == "succeeded"


def test_the_digests_of_a_run_are_listed(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    ended(server, client)
    assert client.get(f"/runs/{RUN}/digests").json()["digests"] == sorted(run_now(server.services.journal.digests(RUN)))
