"""Artifacts of real runs through the API: listed, previewed, fetched, traced in both directions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.testing.memory import MemoryArtifactStore, json_text
from fairway.web.previews.brief import TEXT_LIMIT_BYTES, preview
from tests.web.rig import Server


@pytest.fixture(scope="module")
def ids(recorded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return recorded[1]


@pytest.fixture(scope="module")
def client(recorded: tuple[Path, dict[str, str]]) -> Iterator[TestClient]:
    with Server(recorded[0]).client() as client:
        yield client


def artifacts(client: TestClient, run: str, **query: Any) -> dict[str, Any]:
    return {row["artifact"]: row["ref"] for row in client.get(f"/runs/{run}/artifacts", params=query).json()["items"]}


def test_outputs_of_the_run_come_before_those_of_its_tasks(client: TestClient, ids: dict[str, str]) -> None:
    found = artifacts(client, ids["first"])
    assert list(found)[:5] == ["scores", "table", "page", "load.result", "train[0].result"]
    assert found["scores"]["inline"] == "[0.2,0.4,0.8]"
    assert list(artifacts(client, ids["first"], task="train[1]")) == ["train[1].result"]
    assert list(artifacts(client, ids["first"], type="fairway.Table")) == ["table", "report.result"]


def test_artifacts_come_in_pages(client: TestClient, ids: dict[str, str]) -> None:
    every, seen, cursor = list(artifacts(client, ids["first"])), [], ""
    while True:
        page = client.get(f"/runs/{ids['first']}/artifacts", params={"limit": 2, "cursor": cursor}).json()
        seen += [row["artifact"] for row in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == every
    wrong = client.get(f"/runs/{ids['first']}/artifacts", params={"cursor": "nothing"})
    assert (wrong.status_code, wrong.json()["where"]) == (422, "query.cursor")


def test_what_is_known_of_an_artifact(client: TestClient, ids: dict[str, str]) -> None:
    table = artifacts(client, ids["first"])["table"]
    bare = client.get(f"/artifacts/{table['digest']}").json()
    assert (bare["stored"], bare["size_bytes"], bare["refs"]) == (True, table["size_bytes"], [])
    known = client.get(f"/artifacts/{table['digest']}", params={"run": ids["first"]}).json()
    assert [(ref["task"], ref["output"]) for ref in known["refs"]] == [("report", "result"), ("", "table")]
    small = artifacts(client, ids["first"])["scores"]["digest"]
    assert client.get(f"/artifacts/{small}", params={"run": ids["first"]}).json()["stored"] is False
    assert client.get(f"/artifacts/{small}").status_code == 404
    assert client.get("/artifacts/short").status_code == 404


def test_the_bytes_of_an_artifact_come_whole_or_by_range(client: TestClient, ids: dict[str, str]) -> None:
    page = artifacts(client, ids["first"])["page"]
    url = f"/artifacts/{page['digest']}/content"
    whole = client.get(url)
    assert (whole.content, whole.headers["accept-ranges"]) == (b"# best\n0.8", "bytes")
    assert hashlib.sha256(whole.content).hexdigest() == page["digest"]
    assert "immutable" in whole.headers["cache-control"]
    part = client.get(url, headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"best", "bytes 2-5/10")
    assert client.get(url, headers={"range": "bytes=10-"}).status_code == 416
    assert client.get(url, headers={"range": "bytes=2-5", "if-range": '"other"'}).status_code == 200
    assert client.get(url, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    named = client.get(url, params={"run": ids["first"], "name": 'be"st.md'})
    assert named.headers["content-type"] == "text/markdown; charset=utf-8"
    assert named.headers["content-disposition"] == "attachment; filename*=UTF-8''be%22st.md"
    assert named.headers["content-security-policy"] == "sandbox"


def test_a_value_that_lives_in_its_reference_has_bytes_too(client: TestClient, ids: dict[str, str]) -> None:
    scores = artifacts(client, ids["first"])["scores"]["digest"]
    assert client.get(f"/artifacts/{scores}/content").status_code == 404
    answer = client.get(f"/artifacts/{scores}/content", params={"run": ids["first"]})
    assert (answer.json(), answer.headers["content-type"]) == ([0.2, 0.4, 0.8], "application/json")


def test_previews_by_type(client: TestClient, ids: dict[str, str]) -> None:
    found = artifacts(client, ids["first"])

    def shown(name: str, **query: Any) -> dict[str, Any]:
        return client.get(f"/artifacts/{found[name]['digest']}/preview", params={"run": ids["first"], **query}).json()

    assert (shown("scores")["kind"], shown("scores")["value"]) == ("value", [0.2, 0.4, 0.8])
    table = shown("table", rows=2)
    assert (table["kind"], table["columns"], table["rows"], table["total"], table["complete"]) == (
        "table",
        ["score"],
        [[0.2], [0.4]],
        3,
        False,
    )
    assert (shown("page")["text"], shown("page")["media"]) == ("# best\n0.8", "text/markdown; charset=utf-8")


def put(store: MemoryArtifactStore, form: str, data: bytes, **fields: Any) -> ArtifactRef:
    ref = ArtifactRef(hashlib.sha256(data).hexdigest(), len(data), form, **fields)
    store.put(blob_key(ref.digest), data)
    return ref


def test_folders_lists_pictures_and_unknown_bytes_are_previewed() -> None:
    store = MemoryArtifactStore()
    files = [{"path": f"f{n}", "digest": "ab" * 32, "size_bytes": n} for n in range(3)]
    folder = preview(put(store, "dir", json_text({"files": files}).encode()), store, 2)
    assert (folder["kind"], [file["path"] for file in folder["files"]], folder["total"], folder["complete"]) == (
        "files",
        ["f0", "f1"],
        3,
        False,
    )
    listed = preview(put(store, "list", json_text({"items": [{"digest": "cd"}]}).encode()), store, 5)
    assert (listed["kind"], listed["rows"], listed["complete"]) == ("items", [[{"digest": "cd"}]], True)
    picture = preview(put(store, "figure", b"<svg/>", meta={"kind": "svg"}), store, 5)
    assert (picture["kind"], picture["media"]) == ("picture", "image/svg+xml")
    frame = preview(put(store, "arrow", b"ARROW1\0\0", meta={"columns": ["a"], "rows": 7}), store, 5)
    assert (frame["kind"], frame["columns"], frame["rows"], frame["total"]) == ("table", ["a"], [], 7)
    assert preview(put(store, "file", b"\0\1\2"), store, 5)["kind"] == "none"
    assert preview(put(store, "file", b"a,b\n1,2\n"), store, 5)["text"] == "a,b\n1,2\n"
    long = preview(put(store, "text", b"x" * (TEXT_LIMIT_BYTES + 1)), store, 5)
    assert (len(long["text"]), long["complete"]) == (TEXT_LIMIT_BYTES, False)
    odd = preview(put(store, "json", b"[NaN, Infinity, 1]"), store, 5)
    assert odd["value"] == [None, None, 1]


def test_lineage_leads_up_to_what_it_was_made_of(client: TestClient, ids: dict[str, str]) -> None:
    table = artifacts(client, ids["first"])["table"]["digest"]
    found = client.get(f"/artifacts/{table}/lineage", params={"run": ids["first"], "direction": "up"}).json()
    assert {task["task"] for task in found["tasks"]} == {"report", "train[0]", "train[1]", "train[2]", "load"}
    assert found["complete"] is True
    near = client.get(f"/artifacts/{table}/lineage", params={"run": ids["first"], "direction": "up", "depth": 1}).json()
    assert [task["task"] for task in near["tasks"]] == ["report"]


def test_lineage_leads_down_to_what_was_made_of_it(client: TestClient, ids: dict[str, str]) -> None:
    found = artifacts(client, ids["first"])

    def down(name: str, **query: Any) -> set[str]:
        digest = found[name]["digest"]
        answer = client.get(f"/artifacts/{digest}/lineage", params={"run": ids["first"], "direction": "down", **query}).json()
        return {task["task"] for task in answer["tasks"]}

    assert down("load.result") == {"train[0]", "train[1]", "train[2]", "report", "page"}
    assert down("load.result", depth=1) == {"train[0]", "train[1]", "train[2]"}
    assert down("train[1].result") == {"report", "page"}
    assert down("table") == set()


def test_lineage_of_a_parameter_and_of_one_item_of_it(client: TestClient, ids: dict[str, str]) -> None:
    digest = hashlib.sha256(b"4").hexdigest()  # the second of the depths 2, 4, 8
    load = artifacts(client, ids["first"])["load.result"]["digest"]
    answer = client.get(f"/artifacts/{load}/lineage", params={"run": ids["first"]}).json()
    taken = {task["task"]: task["inputs"] for task in answer["tasks"]}
    assert taken["train[1]"] == {"depth": digest, "data": load}
    rows = hashlib.sha256(b"5").hexdigest()
    found = client.get(f"/artifacts/{rows}/lineage", params={"run": ids["first"], "direction": "down", "depth": 1}).json()
    assert [task["task"] for task in found["tasks"]] == ["load"]


def test_other_runs_that_name_an_artifact_are_found(client: TestClient, ids: dict[str, str]) -> None:
    load = artifacts(client, ids["first"])["load.result"]["digest"]
    found = client.get(f"/artifacts/{load}/lineage", params={"run": ids["second"]}).json()
    assert found["other_runs"] == [ids["first"]]
    origin = {task["task"]: task["cached_from"] for task in found["tasks"]}
    assert origin["load"] == {"run": ids["first"], "task": "load"}
    assert client.get(f"/artifacts/{load}/lineage", params={"run": ids["failed"]}).status_code == 404


def test_a_task_is_told_with_its_inputs_and_attempts(client: TestClient, ids: dict[str, str]) -> None:
    found = client.get(f"/runs/{ids['failed']}/tasks/broken").json()
    assert (found["row"]["status"], found["row"]["error"]["message"]) == ("failed", "no such luck")
    assert found["error"]["frames"][-1]["source"] == 'raise ValueError("no such luck")'
    assert found["attempts"][0]["status"] == "failed"
    assert found["attempts"][0]["usage"]["wall_s"] >= 0
    assert found["inputs"]["best"]["ref"]["inline"] == "[0.1]"
    assert client.get(f"/runs/{ids['failed']}/tasks/train").status_code == 404
    assert client.get(f"/runs/{ids['failed']}/tasks/train[0]").json()["row"]["index"] == [0]


def test_tasks_come_in_pages_and_by_status(client: TestClient, ids: dict[str, str]) -> None:
    first = client.get(f"/runs/{ids['first']}/tasks", params={"limit": 4}).json()
    rest = client.get(f"/runs/{ids['first']}/tasks", params={"limit": 4, "cursor": first["next"]}).json()
    assert [row["task"] for row in first["items"] + rest["items"]] == ["load", "train[0]", "train[1]", "train[2]", "report", "page"]
    assert (first["total"], rest["next"]) == (6, "")
    cached = client.get(f"/runs/{ids['second']}/tasks", params={"status": "cached"}).json()["items"]
    assert [row["task"] for row in cached] == ["load", "train[0]"]
    assert [row["task"] for row in client.get(f"/runs/{ids['first']}/tasks", params={"match": "train"}).json()["items"]] == [
        "train[0]",
        "train[1]",
        "train[2]",
    ]
    assert client.get(f"/runs/{ids['first']}/tasks", params={"match": "nothing"}).json()["items"] == []
    assert client.get(f"/runs/{ids['first']}/tasks", params={"cursor": "nothing"}).status_code == 422


def test_why_a_task_ran(client: TestClient, ids: dict[str, str]) -> None:
    found = client.get(f"/runs/{ids['second']}/why", params={"task": "train[1]"}).json()
    assert found["verdict"] == "train[1] ran: its inputs changed"
    assert (found["run"], found["reasons"][0]["before"], found["reasons"][0]["after"]) == (ids["first"], "4", "16")
    assert client.get(f"/runs/{ids['second']}/why", params={"task": "train"}).status_code == 404
