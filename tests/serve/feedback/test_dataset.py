from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.errors import ConfigError, DefinitionError, NotFoundError, UnsupportedError
from fairway.serve.feedback.dataset import to_seconds
from fairway.serve.feedback.spool import Spool
from fairway.step.traffic import Traffic, read_inputs, read_predictions

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fairway.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keep(project: Path, *requests: dict[str, Any], labels: tuple[dict[str, Any], ...] = (), endpoint: str = "risk") -> None:
    spool = Spool(project / ".fairway/serve/spool")
    for request in requests:
        spool.write(endpoint, request)
    if labels:
        asyncio.run(spool.write_durably(endpoint, *labels))
    spool.close_now()


def request(id: str, rows: int = 1, prediction: Any = 1, at: float = NOW, **more: Any) -> dict[str, Any]:
    body = json.dumps({"inputs": [{"age": n} for n in range(rows)]}).encode()
    answer = json.dumps({"predictions": [prediction] * rows}).encode()
    return {"id": id, "at": at, "revision": 1, "status": 200, "latency_ms": 2.0, "caller": "web", "request": body, "answer": answer, **more}


def label(id: str, value: Any, at: float = NOW + 60, **more: Any) -> dict[str, Any]:
    return {"id": id, "label": value, "at": at, **more}


def test_traffic_and_truth_are_joined_by_id(project: Path) -> None:
    keep(
        project,
        request("a"),
        request("b", revision=2),
        request("no label"),
        labels=(label("a", 0), label("a", 1, NOW + 90, user="eve"), label("b", 0), label("no request", 1)),
    )
    traffic = fw.traffic("risk")
    assert [row["id"] for row in traffic.table().to_pylist()] == ["a", "b", "no label"]
    joined = traffic.joined().to_pylist()
    assert [(row["id"], row["prediction"], row["label"], row["user"], row["input"]) for row in joined] == [
        ("a", 1, 1, "eve", '{"age":0}'),
        ("b", 1, 0, None, '{"age":0}'),
    ]
    assert traffic.accuracy() == [
        {"revision": 1, "labels": 1, "value": 1.0, "measure": "accuracy"},
        {"revision": 2, "labels": 1, "value": 0.0, "measure": "accuracy"},
    ]
    assert traffic.accuracy(by="") == [{"labels": 2, "value": 0.5, "measure": "accuracy"}]
    assert traffic.accuracy(by="day")[0]["day"] == "2027-01-15"
    assert traffic.pandas().shape == (3, 12)
    with pytest.raises(ConfigError, match="cannot group by 'colour'"):
        traffic.accuracy(by="colour")


def test_a_later_truth_wins_though_it_was_written_down_first(project: Path) -> None:
    keep(project, request("a"), labels=(label("a", 1, NOW + 90),))
    assert fw.traffic("risk").accuracy(by="")[0]["value"] == 1.0
    keep(project, labels=(label("a", 0, NOW + 30),))
    assert fw.traffic("risk").labels().to_pylist()[0]["label"] == "1"


def test_rows_of_one_request_have_labels_of_their_own(project: Path) -> None:
    keep(
        project,
        request("list", rows=3, prediction=1),
        request("row", rows=3, prediction=1),
        request("unclear", rows=3),
        request("again"),
        request("again"),
        request("failed", status=500),
        labels=(
            label("list", [1, 0, 1]),
            label("row", 0, row=2),
            label("row", 1, row=9),
            label("unclear", 1),
            label("again", 1),
            label("failed", 1),
        ),
    )
    found = [(row["id"], row["row"], row["label"]) for row in fw.traffic("risk").joined().to_pylist()]
    assert sorted(found) == [("again", 0, 1), ("list", 0, 1), ("list", 1, 0), ("list", 2, 1), ("row", 2, 0)]


@pytest.mark.parametrize(
    ("pairs", "measure", "value"),
    [
        ([("yes", "yes"), ("no", "yes")], "accuracy", 0.5),
        ([([0.1, 0.9], 1), ([0.8, 0.2], 1)], "accuracy", 0.5),
        ([({"yes": 0.9, "no": 0.1}, "yes")], "accuracy", 1.0),
        ([(0.7, True), (0.2, False), (0.6, 0)], "accuracy", 2 / 3),
        ([([1], 1)], "accuracy", 1.0),
        ([({"prediction": 3}, 3)], "accuracy", 1.0),
        ([(1.5, 2.5), (3.0, 2.5)], "mean absolute error", 0.75),
        ([(12.5, 10), (8.0, 10)], "mean absolute error", 2.25),
    ],
)
def test_the_measure_is_the_one_that_the_labels_are_made_for(
    project: Path, pairs: list[tuple[Any, Any]], measure: str, value: float
) -> None:
    requests = [request(str(n), prediction=predicted) for n, (predicted, _) in enumerate(pairs)]
    keep(project, *requests, labels=tuple(label(str(n), truth) for n, (_, truth) in enumerate(pairs)))
    (found,) = fw.traffic("risk").accuracy()
    assert (found["measure"], found["value"]) == (measure, pytest.approx(value))


def test_a_measure_can_be_asked_for(project: Path) -> None:
    keep(project, request("a", prediction="x"), labels=(label("a", "y"),))
    with pytest.raises(DefinitionError, match="numbers only"):
        fw.traffic("risk").accuracy(measure="mean absolute error")
    with pytest.raises(ConfigError, match="no measure 'f1'"):
        fw.traffic("risk").accuracy(measure="f1")


def test_since_until_and_revision_choose_rows_exactly(project: Path) -> None:
    rows = [request(f"{day}{half}", at=NOW + day * DAY + half, revision=1 + half) for day in range(4) for half in (0, 1)]
    keep(project, *rows, labels=(label("10", 1, NOW + 30 * DAY),))

    def ids(**asked: Any) -> list[str]:
        return fw.traffic("risk", **asked).table()["id"].to_pylist()

    assert ids(since=NOW + DAY + 1, until=NOW + 3 * DAY) == ["11", "20", "21"]
    assert ids(revision=2) == ["01", "11", "21", "31"]
    assert ids(since=datetime.fromtimestamp(NOW + 3 * DAY, UTC)) == ["30", "31"]
    assert fw.traffic("risk", since=NOW + DAY, until=NOW + 2 * DAY).joined().num_rows == 1, "its label came a month later"


def test_the_same_data_is_the_same_folder(project: Path) -> None:
    keep(project, request("a"))
    first = fw.traffic("risk")
    assert fw.traffic("risk") == first and fw.traffic("risk", since=NOW - 10 * DAY) == first
    keep(project, request("b"))
    second = fw.traffic("risk")
    assert second != first and first.table().num_rows == 1 and second.table().num_rows == 2
    assert Traffic(str(first)).about == {"endpoint": "risk", "revision": 0, "since": 0.0, "until": 0.0}


def test_times() -> None:
    assert to_seconds(None) == 0.0 and to_seconds(12.5) == 12.5
    assert to_seconds("2027-01-15T08:00:00+00:00") == NOW
    assert to_seconds(date(2027, 1, 15)) == datetime(2027, 1, 15).astimezone().timestamp() == to_seconds("2027-01-15")
    week = to_seconds("7d")
    assert week % 3600 == 0 and abs(time.time() - 7 * DAY - week) <= 3601
    assert abs(to_seconds(timedelta(hours=1)) - (time.time() - 3600)) < 5
    with pytest.raises(ConfigError, match="'yesterday' is no time"):
        to_seconds("yesterday")


def test_nothing_kept_says_what_to_do(project: Path) -> None:
    with pytest.raises(NotFoundError, match="no traffic of 'risk'") as found:
        fw.traffic("risk")
    assert "--capture" in found.value.hint or "capture" in found.value.hint
    keep(project, request("a"), endpoint="other")
    fw.traffic("other")
    with pytest.raises(NotFoundError) as found:
        fw.traffic("risk")
    assert found.value.hint == "kept is traffic of other"
    with pytest.raises(NotFoundError, match="holds no traffic"):
        Traffic(project).table()


def load(name: str) -> Any:
    return fw.load_pipeline(f"flow.py:{name}")


PIPELINE = """
import fairway as fw

@fw.step
def score(data: fw.Traffic) -> float:
    return data.accuracy(by="")[0]["value"] + data.table().num_rows

@fw.step
def asks() -> int:
    return fw.traffic("risk").table().num_rows

@fw.pipeline
def retrain(data: fw.Directory):
    return score(data)

@fw.pipeline
def itself():
    return score(fw.traffic("risk"))

@fw.pipeline
def wrong():
    return asks()
"""


def test_it_is_the_input_of_a_step_and_its_cache_key(project: Path) -> None:
    keep(project, request("a"), labels=(label("a", 1),))
    (project / "flow.py").write_text(PIPELINE)
    first = fw.run(load("itself"))
    assert first.outputs["result"].load() == 2.0
    given = fw.run(load("retrain"), data=str(fw.traffic("risk")))
    assert given.outputs["result"].load() == 2.0 and given.tasks["score"].status == "cached"
    keep(project, request("b"))
    assert fw.run(load("retrain"), data=fw.traffic("risk")).outputs["result"].load() == 3.0


def test_a_step_does_not_ask_by_itself(project: Path) -> None:
    keep(project, request("a"))
    (project / "flow.py").write_text(PIPELINE)
    with pytest.raises(fw.FairwayError, match="asked outside of steps"):
        fw.run(load("wrong"))


def test_garbage_collection_keeps_what_is_captured(project: Path) -> None:
    from fairway.engine.project import load_project
    from fairway.engine.workspace import Workspace
    from fairway.spec.ports import run_now
    from fairway.store import gc

    keep(project, request("a"))
    fw.traffic("risk")
    (project / "flow.py").write_text(PIPELINE)
    workspace = Workspace(load_project(str(project)))
    places = gc.Places(workspace.project.home, (), workspace.artifacts, workspace.streams)
    plan = run_now(gc.plan(places, grace_s=0.0, now=time.time() + 10))
    assert [item.name for item in plan.items if item.kind == "artifact"] == []
    workspace.artifacts.delete("traffic/risk")
    plan = run_now(gc.plan(places, grace_s=0.0, now=time.time() + 10))
    assert len([item for item in plan.items if item.kind == "artifact"]) == 1


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        ('{"predictions": [1, 2]}', [1, 2]),
        ('{"predictions": {"predictions": [1, 2], "score": 0.5}, "id": "x"}', [1, 2]),
        ("[1, 2]", [1, 2]),
        ('{"result": "fine"}', ["fine"]),
        ('{"outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}', [1, 2]),
        ('{"outputs": [{"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}', [[1, 2], [3, 4]]),
        ('{"predictions": {"a": [1, 2], "b": [3, 4]}}', [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ("3", [3]),
        ("not json", []),
        (None, []),
    ],
)
def test_predictions_of_every_protocol(answer: str | None, rows: list[Any]) -> None:
    assert read_predictions(answer) == rows


@pytest.mark.parametrize(
    "answer",
    [{"predictions": [1], "score": 0.5}, {"predictions": {"predictions": [1], "score": 0.5}}, {"predictions": [{"score": 0.5}]}],
)
def test_a_number_of_an_answer_is_found_in_its_rows_or_beside_them(project: Path, answer: Any) -> None:
    keep(
        project, request("a", answer=json.dumps(answer).encode()), request("b", answer=b"not json"), request("c", answer=b'{"score": "x"}')
    )
    assert fw.traffic("risk").means("score") == [(1, 1, 0.5)]


@pytest.mark.parametrize(
    ("request_text", "rows"),
    [
        ('{"inputs": [{"a": 1}]}', [{"a": 1}]),
        ('{"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}', [{"a": 1}, {"a": 2}]),
        ('{"inputs": {"a": [1, 2]}}', [{"a": 1}, {"a": 2}]),
        ('{"instances": [[1, 2]]}', [[1, 2]]),
        ("a,b\n1,2\n", []),
        (None, []),
    ],
)
def test_rows_of_every_request(request_text: str | None, rows: list[Any]) -> None:
    assert read_inputs(request_text) == rows


def test_without_pyarrow_it_says_what_to_install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    keep(project, request("a"))
    traffic = fw.traffic("risk")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedError, match="pyarrow, which is not installed"):
        traffic.table()
