"""Runs found over the API: by a query, in an order, no more than may be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.web.identity import Identity
from tests.web.recorded import Journals
from tests.web.rig import TOKEN, Server

LIMITED = "u1.vic.secret"


@pytest.fixture
def client(tmp_path: Path, journals: Journals) -> Iterator[TestClient]:
    server = Server(tmp_path, journals(tmp_path))
    server.users.by_token[LIMITED] = Identity("vic", "view", ("shop",))
    for n in range(8):
        project = ("shop", "bank")[n % 2]
        status = ("failed", "succeeded")[n // 4]
        about: dict[str, Any] = {"params": {"depth": n}, "metrics": {f"{project}_auc": n / 10}, "tags": (project,), "created_by": project}
        summary = RunSummary(f"r{n}", f"{project}-flow", status, project, started_at=10.0 + n, ended_at=20.0 + 2 * n, **about)
        run_now(server.services.journal.append(summary.run, 0, [ClockAdvanced(1.0)], "b", summary=summary))
    with server.client() as client:
        yield client


def ask(client: TestClient, token: str = TOKEN, path: str = "/runs", **query: Any) -> Any:
    answer = client.get(path, params=query, headers={"Fairway-Token": token})
    assert answer.status_code == 200, answer.text
    return answer.json()


def runs(page: Any) -> str:
    return " ".join(row["run"] for row in page["items"])


def test_a_query_finds_and_an_order_sorts(client: TestClient) -> None:
    page = ask(client, q="failed depth>=1", limit=2)
    assert (runs(page), page["total"], page["exact"]) == ("r3 r2", 3, True)
    assert runs(ask(client, q="failed depth>=1", limit=2, cursor=page["next"])) == "r1"
    page = ask(client, q="succeeded", sort="param.depth-asc", limit=3)
    assert (runs(page), page["total"]) == ("r4 r5 r6", 4)
    assert runs(ask(client, q="succeeded", sort="param.depth-asc", limit=3, cursor=page["next"])) == "r7"
    assert runs(ask(client, q="sort:duration", limit=1)) == "r7"


def test_query_and_parameters_must_all_hold(client: TestClient) -> None:
    assert runs(ask(client, q="depth>2", status="failed", tag="bank", pipeline="bank-flow")) == "r3"
    assert runs(ask(client, q="failed", status="failed")) == "r3 r2 r1 r0"
    assert ask(client, q="failed", status="succeeded") == {"items": [], "next": "", "total": 0, "exact": True}


@pytest.mark.parametrize(
    ("query", "said"),
    [({"q": "auc>"}, "at character 5"), ({"sort": "auc"}, "not an order"), ({"q": "tag:a", "tag": "b"}, "twice")],
)
def test_a_mistake_is_answered_with_where_it_is(client: TestClient, query: dict[str, str], said: str) -> None:
    answer = client.get("/runs", params=query, headers={"Fairway-Token": TOKEN})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["detail"]


def test_runs_of_other_projects_never_come_out(client: TestClient) -> None:
    for query, wanted in (
        ({}, "r6 r4 r2 r0"),
        ({"q": "project:shop,bank"}, "r6 r4 r2 r0"),
        ({"q": "project:bank"}, ""),
        ({"q": "bank"}, ""),
        ({"q": "bank_auc>0"}, ""),
        ({"q": "tag:bank"}, ""),
        ({"q": "depth>=0 succeeded", "sort": "duration"}, "r6 r4"),
        ({"sort": "metric.bank_auc"}, "r6 r4 r2 r0"),
        ({"match": "r"}, "r6 r4 r2 r0"),
        ({"archived": "true", "limit": 3}, "r6 r4 r2"),
    ):
        page = ask(client, LIMITED, **query)
        assert runs(page) == wanted, query
        assert page["total"] == (4 if query.get("limit") else len(page["items"]))
    page = ask(client, LIMITED, sort="duration", limit=2)
    assert runs(ask(client, LIMITED, sort="duration", limit=2, cursor=page["next"])) == "r2 r0"


def test_names_and_figures_are_those_of_projects_that_may_be_seen(client: TestClient) -> None:
    everything = ask(client, path="/facets")
    assert (everything["projects"], everything["metrics"]) == (["bank", "shop"], ["bank_auc", "shop_auc"])
    assert ask(client, path="/facets", project="bank")["metrics"] == ["bank_auc"]
    seen = ask(client, LIMITED, path="/facets")
    assert "bank" not in str(seen)
    assert seen["users"] == seen["tags"] == seen["projects"] == ["shop"]
    assert ask(client, LIMITED, path="/facets", project="bank")["pipelines"] == []
    figures = ask(client, path="/pipelines/bank-flow/stats")
    assert (figures["runs"], figures["succeeded"], figures["failed"], len(figures["recent"])) == (4, 2, 2, 4)
    assert figures["recent"][0] == {"run": "r7", "status": "succeeded", "started_at": 17.0, "duration_s": 17.0}
    for query in ({}, {"project": "bank"}):
        assert ask(client, LIMITED, path="/pipelines/bank-flow/stats", **query)["runs"] == 0
