"""What is answered of runs that are too large to be folded whole is what is answered of small ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.project import load_project
from fairway.spec.layout import DATABASE
from fairway.store import open_journal
from fairway.web import explaining, lineage
from fairway.web.overviews import Overviews
from fairway.web.previews.finding import find_places, list_places
from tests.web.rig import Server

SOURCE = """
import fairway as fw

@fw.step
def load(n: int) -> list[int]:
    return [100 * k for k in range(n)]

@fw.step
def grow(x: int) -> dict:
    return {"grown": x + FIVE}

@fw.step
def tell(x: dict) -> str:
    return f"told {x['grown']}"

@fw.step
def total(xs: list[str]) -> int:
    fw.log({"first": float(xs[0].split()[1])})
    return len(xs)

@fw.pipeline
def chain(n: int = 6):
    told = tell(grow(fw.each(load(n))))
    return {"told": told, "total": total(told)}

FIVE = 5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the same pipeline run three times: first, again (all cached), and with another constant."""
    root = tmp_path_factory.mktemp("large")
    file = root / "chain.py"
    here = Path.cwd()
    os.chdir(root)
    try:
        for text in (SOURCE, SOURCE, SOURCE.replace("FIVE = 5", "FIVE = 6")):
            file.write_text(text)
            fw.run(load_pipeline(f"{file}:chain"))
    finally:
        os.chdir(here)
    return Path(load_project(str(root), variables={}).home)


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    with Server(home).client() as client:
        yield client


def list_runs(client: TestClient) -> list[str]:
    """Their ids, the first one first."""
    return [row["run"] for row in reversed(client.get("/runs").json()["items"])]


def ask(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(client: TestClient, run: str, task: str, *, output: str = "result", **query: Any) -> set[str]:
    digest = ask(client, f"/runs/{run}/tasks/{task}")["outputs"][output]["digest"]
    return {row["task"] for row in ask(client, f"/artifacts/{digest}/lineage", run=run, **query)["tasks"]}


def test_a_large_runs_tasks_are_explained_as_a_small_ones(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = list_runs(client)
    asked = [(run, task) for run in runs for task in ("load", "grow[3]", "tell[3]", "total")]
    small = [ask(client, f"/runs/{run}/why", task=task) for run, task in asked]
    assert {one["status"] for one in small} == {"succeeded", "cached"}
    assert "FIVE" in str(small[9]), "the third run's `grow` ran as its constant was edited"
    monkeypatch.setattr(explaining, "FEW_TASKS", 0)
    assert [ask(client, f"/runs/{run}/why", task=task) for run, task in asked] == small
    assert client.get(f"/runs/{runs[0]}/why", params={"task": "grow[6]"}).status_code == 404


def test_two_large_runs_are_compared_as_small_ones(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = list_runs(client)
    pairs = [(runs[0], runs[1]), (runs[1], runs[2])]
    small = [ask(client, "/compare", run=list(pair)) for pair in pairs]
    assert {one["section"] for one in small[1]["differences"]} >= {"code", "results", "metrics"}
    monkeypatch.setattr(explaining, "FEW_EVENTS", 0)
    assert [ask(client, "/compare", run=list(pair)) for pair in pairs] == small


def test_an_item_of_a_mapped_step_leads_to_the_list_it_was_taken_from(client: TestClient) -> None:
    run = list_runs(client)[0]
    assert names(client, run, "tell[3]", direction="up") == {"tell[3]", "grow[3]", "load"}
    assert names(client, run, "grow[3]", direction="down") == {"tell[3]", "total"}
    assert names(client, run, "load", direction="down", depth=1) == {f"grow[{k}]" for k in range(6)}
    told = ask(client, f"/runs/{run}")["outputs"]["told"]["digest"]
    collected = {row["task"] for row in ask(client, f"/artifacts/{told}/lineage", run=run, direction="up", depth=1)["tasks"]}
    assert collected == {f"tell[{k}]" for k in range(6)}


def test_a_gathering_of_very_many_is_followed_as_far_as_there_is_room(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = list_runs(client)[0]
    monkeypatch.setattr("fairway.engine.partstate.MOST_SOURCES", 4)
    digest = ask(client, f"/runs/{run}/tasks/total")["outputs"]["result"]["digest"]
    found = ask(client, f"/artifacts/{digest}/lineage", run=run, direction="up")
    assert {row["task"] for row in found["tasks"]} == {"total", "load", *(f"{step}[{k}]" for step in ("grow", "tell") for k in range(4))}
    assert (found["complete"], found["tasks"][0]["inputs"]) == (False, {})
    assert names(client, run, "tell[5]", direction="down") == {"total"}, "also one that is not among the first"
    monkeypatch.setattr(lineage, "MOST_TASKS", 3)
    short = ask(client, f"/artifacts/{digest}/lineage", run=run, direction="up")
    assert (len(short["tasks"]), short["complete"]) == (3, False)


def test_places_are_the_same_by_the_index_and_by_the_text(client: TestClient, home: Path) -> None:
    async def both(run: str, digest: str) -> tuple[Any, Any]:
        journal = open_journal(home / DATABASE)
        by_index = await Overviews(journal).read(run, lambda sketch: list_places(sketch, digest))
        return by_index, find_places(journal, run, digest)

    for run in list_runs(client):
        for row in ask(client, f"/runs/{run}/artifacts")["items"]:
            by_index, by_text = asyncio.run(both(run, row["ref"]["digest"]))
            assert sorted(map(str, by_index)) == sorted(map(str, by_text))
            assert by_index[0].name == by_text[0].name
