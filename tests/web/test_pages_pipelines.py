"""The pages of pipelines, over really recorded runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.engine.host import Host
from fairway.spec.graph import Param
from fairway.spec.record import replace
from fairway.web.stepstats import tell_steps
from tests.web.recorded import Journals
from tests.web.rig import Server, graph, started

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"


@pytest.fixture
def home(recorded: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    shutil.copytree(recorded[0], tmp_path / "home", dirs_exist_ok=True)
    return tmp_path / "home"


@pytest.fixture
def server(home: Path, journals: Journals) -> Server:
    return Server(home, journals(home))


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def ids(recorded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return recorded[1]


def test_the_list_has_every_pipeline_with_its_record(client: TestClient) -> None:
    text = client.get(f"{SITE}/pipelines", headers=HTML).text
    assert re.findall(r'<a href="/pipelines/(\w+)">', text) == ["fragile", "churn"]
    assert "2 runs" in text and "1 run<" in text
    assert "100 %" in text and "0 %" in text


def test_the_list_is_fetched_anew_as_a_part(client: TestClient) -> None:
    text = client.get(f"{SITE}/pipelines", headers=PART).text
    assert "<html" not in text
    assert "churn" in text


def test_a_project_without_runs_is_told_how_to_begin(tmp_path: Path) -> None:
    with Server(tmp_path / "empty").client() as client:
        text = client.get(f"{SITE}/pipelines", headers=HTML).text
    assert "No pipeline has been run yet" in text
    assert "fairway init" in text


def test_a_pipeline_that_never_ran_is_an_error_page(client: TestClient) -> None:
    answer = client.get(f"{SITE}/pipelines/nobody", headers=HTML)
    assert answer.status_code == 404
    assert "there is no pipeline" in answer.text
    assert "<html" in answer.text


def test_durations_are_drawn_from_the_runs_that_ended(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/pipelines/churn", headers=HTML).text
    data = json.loads(re.search(r'id="durations-data">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [run["run"] for run in data["runs"]] == [ids["first"], ids["second"]]
    assert data["usual_s"] > 0


def test_runs_with_the_same_code_are_one_version(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/pipelines/churn?tab=versions", headers=HTML).text
    assert len(re.findall(r'<a class="mono" href="/runs/[^"]+">[0-9a-f]{8}</a>', text)) == 1
    assert f"/runs/{ids['second']}" in text


def test_steps_tell_which_is_slow_and_which_failed(client: TestClient) -> None:
    text = client.get(f"{SITE}/pipelines/fragile/steps", headers=PART).text
    rows = re.findall(r'<td class="mono">(\w+)</td>', text)
    assert rows == ["load", "train", "broken"]
    assert re.search(r"broken.*?bad-text\">1<", text, re.DOTALL)


def test_the_form_has_a_field_for_each_parameter(client: TestClient) -> None:
    text = client.get(f"{SITE}/pipelines/churn?tab=start", headers=HTML).text
    assert re.search(r'id="p-rows"[^>]*name="p.rows" value="5"[^>]*inputmode="numeric"', text)
    assert re.search(r'name="p.depths" value="\[2, 16\]"', text), "it begins with what the newest run had"
    assert "fairway run recorded_flow.py --depths &#39;[2, 16]&#39;" in text or "--depths" in text


def test_the_form_starts_a_run_with_its_values(client: TestClient, server: Server, ids: dict[str, str]) -> None:
    form = {"run": ids["second"], "p.rows": "7", "p.depths": "1, 3", "name": " from the page ", "tags": "a, b, a", "cache": "1"}
    answer = client.post(f"{SITE}/pipelines/churn/start", data=form, headers=HTML, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    run = answer.headers["location"].removeprefix("/runs/")
    summary = client.get(f"/runs/{run}/summary").json()
    assert (summary["params"]["rows"], summary["params"]["depths"]) == (7, [1, 3])
    assert (summary["name"], summary["tags"], summary["created_by"]) == ("from the page", ["a", "b"], "ann")
    assert run in Host.driven.fget(server.host)  # type: ignore[misc]


def test_a_wrong_value_starts_nothing_and_is_said_beside_its_field(client: TestClient, ids: dict[str, str]) -> None:
    before = client.get("/runs").json()["items"]
    form = {"run": ids["second"], "p.rows": "many", "p.depths": "1,x"}
    answer = client.post(f"{SITE}/pipelines/churn/start", data=form, headers=PART)
    assert answer.status_code == 422
    assert answer.text.count('class="wrong"') == 2
    assert 'value="many"' in answer.text, "what was written is kept"
    assert client.get("/runs").json()["items"] == before


def test_a_run_of_another_pipeline_cannot_be_started_here(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.post(f"{SITE}/pipelines/churn/start", data={"run": ids["failed"]}, headers=HTML)
    assert answer.status_code == 404


def test_names_that_are_markup_stay_text(client: TestClient) -> None:
    name = 'x" onfocus="alert(1)"><script>alert(2)</script>'
    hostile = replace(
        graph(name), params=(Param(name, "int", 1, help=name, choices=()), Param("y", "str", name, choices=(name,))), doc=name
    )
    body = started("20261124-081503-x7kq3", graph=hostile)
    body["started"]["params"] = {one: {"digest": "0" * 64, "size_bytes": 1, "format": "json", "inline": "1"} for one in (name, "y")}
    assert client.post("/runs", json=body).status_code == 201
    for path in (f"/pipelines/{quote(name)}?tab=start", f"/pipelines/{quote(name)}", "/pipelines", f"/pipelines/{quote(name)}/steps"):
        text = client.get(f"{SITE}{path}", headers=HTML).text
        assert "<script>alert" not in text
        assert 'onfocus="alert(1)"' not in text


@given(st.lists(st.lists(st.sampled_from(["load", "train", "best"]), unique=True, max_size=3), max_size=4), st.integers(0, 3))
def test_shares_add_up(runs: list[list[str]], failed: int) -> None:
    rows = [
        [
            {"id": node, "totals": {"running": 1.0 + n, "waiting": 9.0}, "counts": {"succeeded": 1, "failed": failed}}
            for n, node in enumerate(run)
        ]
        for run in runs
    ]
    steps = tell_steps(rows)
    assert {step.node for step in steps} == {node for run in runs for node in run}
    assert not steps or abs(sum(step.share for step in steps) - 1) < 1e-9
    assert all(("fails" in step.words) == (failed > 0) and "flaky" not in step.words for step in steps)


def test_what_succeeds_when_it_is_tried_again_is_flaky() -> None:
    bars = [{"n": 1}, {"n": 2}]
    (step,) = tell_steps([[{"id": "fetch", "totals": {"running": 0.1}, "counts": {"succeeded": 1}, "bars": bars}]])
    assert (step.retried, step.words) == (1, ("flaky",))
