"""Curves downsampled by the server, runs side by side, pipelines, the cache's index, the collector."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.step.metrics import PointWriter
from fairway.testing.memory import MemoryStreamStore
from fairway.web.curves import LEAST_POINTS, Curve, downsample
from fairway.web.metrics import KEPT_POINTS, CurveReader
from tests.web.rig import Server, started

RUN = "20261124-081503-x7kq3"


@pytest.fixture(scope="module")
def ids(recorded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return recorded[1]


@pytest.fixture(scope="module")
def client(recorded: tuple[Path, dict[str, str]]) -> Iterator[TestClient]:
    with Server(recorded[0]).client() as client:
        yield client


@given(st.lists(st.floats(-1e9, 1e9), max_size=400), st.integers(LEAST_POINTS, 60))
def test_a_downsampled_curve_keeps_its_ends_its_peak_and_its_dip(values: list[float], limit: int) -> None:
    points = [(float(n), value) for n, value in enumerate(values)]
    kept = downsample(points, limit)
    assert len(kept) <= limit
    assert kept == sorted(set(kept) & set(points))
    if len(points) <= limit:
        assert kept == points
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert {min(values), max(values)} <= {value for _, value in kept}


@given(st.lists(st.floats(-1e9, 1e9), min_size=200, max_size=400), st.integers(LEAST_POINTS, 40))
def test_every_stretch_of_a_curve_keeps_some_point(values: list[float], limit: int) -> None:
    kept = [x for x, _ in downsample([(float(n), value) for n, value in enumerate(values)], limit)]
    widest = 4 * len(values) / ((limit - 2) // 2)
    assert max(after - before for before, after in itertools.pairwise(kept)) <= 2 * widest


def test_a_curve_of_a_million_points_takes_little_memory() -> None:
    curve = Curve(500)
    for n in range(200_000):
        curve.add(float(n), float(n % 997))
    assert (len(curve.points()) <= 500, curve.count) == (True, 200_000)
    assert len(curve._buckets) <= 249


def test_points_are_read_once_and_what_is_new_is_added() -> None:
    streams = MemoryStreamStore()
    writer = PointWriter(streams, f"{RUN}/a-1")
    reader = CurveReader(streams)

    def log(first: int, count: int) -> None:
        for step in range(first, first + count):
            writer.log(step, {"loss": float(step), "note": "text", "bad": float("nan")})
        writer.flush()

    log(0, 10)
    assert reader.read(RUN, "a-1").by_step["loss"].points() == [(float(n), float(n)) for n in range(10)]
    offset = reader.read(RUN, "a-1").offset
    assert offset == streams.size(f"{RUN}/a-1/metrics")
    log(10, 5)
    found = reader.read(RUN, "a-1")
    assert found.by_step["loss"].count == 15
    assert set(found.by_step) == {"loss"}
    streams.append(f"{RUN}/a-1/metrics", b'[1.0,15,{"loss":')  # a kill in the middle of a write
    assert reader.read(RUN, "a-1").by_step["loss"].count == 15
    streams.delete(RUN)
    log(0, 3)
    assert reader.read(RUN, "a-1").by_step["loss"].count == 3


def test_long_curves_are_kept_short() -> None:
    streams = MemoryStreamStore()
    writer = PointWriter(streams, f"{RUN}/a-1")
    for step in range(20_000):
        writer.log(step, {"loss": float(step % 100)})
    writer.flush()
    points = CurveReader(streams).read(RUN, "a-1").by_step["loss"].points()
    assert len(points) <= KEPT_POINTS
    assert {0.0, 99.0} <= {value for _, value in points}


def test_curves_of_tasks_are_answered_in_few_points(client: TestClient, ids: dict[str, str]) -> None:
    found = client.get(f"/runs/{ids['first']}/metrics", params={"points": 10}).json()
    assert [(item["task"], item["metric"], item["count"]) for item in found["items"]] == [(f"train[{n}]", "loss", 50) for n in range(3)]
    for item, depth in zip(found["items"], (2, 4, 8), strict=True):
        assert len(item["points"]) <= 10
        assert item["points"][0] == [0.0, 100.0 / depth]
        assert item["points"][-1] == [49.0, 100.0 / (49 + depth)]
    exact = client.get(f"/runs/{ids['first']}/metrics", params={"task": "train[0]"}).json()["items"]
    assert [(len(item["points"]), item["task"]) for item in exact] == [(50, "train[0]")]


def test_curves_come_in_pages_of_tasks_and_by_name(client: TestClient, ids: dict[str, str]) -> None:
    first = client.get(f"/runs/{ids['first']}/metrics", params={"limit": 2}).json()
    rest = client.get(f"/runs/{ids['first']}/metrics", params={"limit": 2, "cursor": first["next"]}).json()
    seen = {item["task"] for item in first["items"]} | {item["task"] for item in rest["items"]}
    assert seen == {"train[0]", "train[1]", "train[2]"}
    assert client.get(f"/runs/{ids['first']}/metrics", params={"metric": ["auc", "f1"]}).json()["items"] == []
    by_time = client.get(f"/runs/{ids['first']}/metrics", params={"by": "time", "metric": ["loss"], "task": "train[0]"}).json()["items"]
    assert by_time[0]["points"][0][0] == 0.0


def test_two_runs_are_compared_in_all_that_differs(client: TestClient, ids: dict[str, str]) -> None:
    found = client.get("/compare", params={"run": [ids["first"], ids["second"]]}).json()
    assert {"name": "depths", "values": [[2, 4, 8], [2, 16]]} in found["parameters"]
    sections = {one["section"] for one in found["differences"]}
    assert {"parameters", "results"} <= sections
    three = client.get("/compare", params={"run": [ids["first"], ids["second"], ids["failed"]]}).json()
    assert [row["pipeline"] for row in three["runs"]] == ["churn", "churn", "fragile"]
    assert three["differences"] == []
    assert next(row["values"] for row in three["metrics"] if row["name"] == "loss")[2] == 2.0
    assert client.get("/compare", params={"run": ids["first"]}).status_code == 422
    assert client.get("/compare", params={"run": [ids["first"], "nothing"]}).status_code == 404


def test_pipelines_are_counted(client: TestClient, ids: dict[str, str]) -> None:
    assert client.get("/pipelines").json()["items"] == [
        {"name": "fragile", "runs": 1, "by_status": {"failed": 1}, "newest": ids["failed"]},
        {"name": "churn", "runs": 2, "by_status": {"succeeded": 2}, "newest": ids["second"]},
    ]


def test_the_cache_is_looked_into_and_forgotten(tmp_path: Path, recorded: tuple[Path, dict[str, str]]) -> None:
    shutil.copytree(recorded[0], tmp_path / "home")
    with Server(tmp_path / "home").client() as client:
        page = client.get("/cache", params={"limit": 2}).json()
        keys = [entry["key"] for entry in page["items"]]
        rest = client.get("/cache", params={"cursor": page["next"]}).json()
        assert len(keys) == 2
        assert keys[-1] < rest["items"][0]["key"]
        assert list(client.post("/cache/find", json={"keys": [*keys, "absent"]}).json()["entries"]) == keys
        assert client.post("/cache/forget", json={"keys": keys[:1]}).status_code == 204
        assert list(client.post("/cache/find", json={"keys": keys}).json()["entries"]) == keys[1:]


def test_what_nobody_needs_is_planned_and_then_deleted(tmp_path: Path, recorded: tuple[Path, dict[str, str]]) -> None:
    home, ids = recorded
    shutil.copytree(home, tmp_path / "home")
    with Server(tmp_path / "home").client() as client:

        def collect(**body: Any) -> Any:
            return client.post("/gc", json=body)

        assert collect().json() == {"runs": [], "size_bytes": 0, "kinds": {}, "deleted": None}
        planned = collect(runs=[ids["failed"]]).json()
        assert (planned["runs"], planned["deleted"], planned["kinds"]["stream"]["count"] > 0) == ([ids["failed"]], None, True)
        assert client.get(f"/runs/{ids['failed']}").status_code == 200
        done = collect(runs=[ids["failed"]], dry_run=False).json()
        assert done["deleted"]["runs"] == 1
        assert client.get(f"/runs/{ids['failed']}").status_code == 404
        assert client.get(f"/runs/{ids['first']}").status_code == 200
        assert collect(runs=["nothing"]).status_code == 404


def test_a_run_that_is_driven_is_never_collected(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server.client() as client:
        client.post("/runs", json=started(RUN))
        answer = client.post("/gc", json={"runs": [RUN], "dry_run": False})
        assert (answer.status_code, answer.json()["code"]) == (409, "FW-CONFLICT")
        client.patch(f"/runs/{RUN}", json={"archived": True})
        assert client.post("/gc", json={"archived": True, "keep_last": 0}).json()["runs"] == []
