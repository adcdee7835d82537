"""The page that compares runs, over really recorded runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.layout import BUNDLES, DATABASE
from fairway.spec.ports import run_now
from fairway.spec.record import replace
from fairway.store import open_journal
from fairway.web.identity import Identity
from tests.apart import forgotten_settings
from tests.cli.project import Project
from tests.web.compared import record_compared
from tests.web.recorded import Journals
from tests.web.rig import Server

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"
STRANGER = "u1.eve.secret"

Runs = dict[str, str]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Runs]:
    return record_compared(tmp_path_factory.mktemp("compared"))


@pytest.fixture
def ids(compared: tuple[Path, Runs]) -> Runs:
    return compared[1]


@pytest.fixture
def home(compared: tuple[Path, Runs], tmp_path: Path) -> Path:
    shutil.copytree(compared[0], tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def client(home: Path, journals: Journals) -> Iterator[TestClient]:
    server = Server(home, journals(home))
    server.users.by_token[STRANGER] = Identity("eve", "view", ("elsewhere",))
    with server.client() as client:
        yield client


def compare(client: TestClient, *runs: str, status: int = 200, headers: dict[str, str] = HTML, **query: Any) -> str:
    answer = client.get(f"{SITE}/compare", params={"run": list(runs), **query}, headers=headers)
    assert answer.status_code == status
    return answer.text


def sentence(text: str) -> str:
    """What differs, as it is read."""
    found = re.search(r'data-testid="differs">(.*?)<ul class="sides"', text, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split())


def table(text: str) -> dict[str, list[str]]:
    """The rows of the table: name -> cells."""
    found: dict[str, list[str]] = {}
    for row in re.findall(r"<tr[^>]*><th scope=\"row\".*?</tr>", text, re.DOTALL):
        cells = [" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        found[cells[0]] = cells[1:]
    return found


# ---- the sentence


def test_what_differs_between_two_runs_is_said_at_once(client: TestClient, ids: Runs) -> None:
    said = sentence(compare(client, ids["shallow"], ids["deep"]))
    assert said.startswith("What differs depth 2 → 8 What came of it")
    assert "auc 0.95 → 0.9875" in said
    assert "code" not in said


def test_edited_code_is_said_by_step(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["deep"], ids["edited"])
    assert sentence(text).startswith("What differs code of train changed What came of it")
    assert re.search(r'<a href="/compare\?[^"]*tab=code[^"]*">code of train</a>', text)


def test_the_first_is_before_and_the_second_after_whatever_the_baseline(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], ids["deep"], base=ids["deep"])
    assert "depth 2 → 8" in sentence(text)
    assert re.search(r'<span class="good">0.95 → 0.9875</span>', text)


def test_many_runs_are_said_by_their_range(client: TestClient, ids: Runs) -> None:
    said = sentence(compare(client, *ids.values()))
    assert "depth 2 – 8" in said and "code of train in 2 versions" in said
    assert re.search(rf"auc 0.95 – 0.9\d+, best in {ids['deep'].rpartition('-')[2]}", said)


def test_outputs_that_words_cannot_tell_are_named(client: TestClient, ids: Runs) -> None:
    assert "output roc differs" in sentence(compare(client, ids["shallow"], ids["deep"]))


# ---- values


def test_the_table_shows_only_what_differs_until_more_is_wanted(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], ids["deep"])
    found = table(text)
    assert found["depth"] == ["2", "8 +6"]
    assert "label" not in found and "rows" not in found
    assert re.search(r'href="/compare\?[^"]*equal=1[^"]*">Show \d+ equal rows too', text)
    found = table(compare(client, ids["shallow"], ids["deep"], equal="1"))
    assert found["label"] == ["plain", "plain"]


def test_the_best_is_marked_and_may_be_turned_round(client: TestClient, ids: Runs) -> None:
    cells = r'<th scope="row" class="what">{}.*?</tr>'
    text = compare(client, ids["shallow"], ids["deep"])
    row = re.search(cells.format("auc"), text, re.DOTALL)[0]  # type: ignore[index]
    assert [" best" in cell for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] == [False, True]
    assert "delta good" in row and "higher is better" in row
    text = compare(client, ids["shallow"], ids["deep"], flip="auc")
    row = re.search(cells.format("auc"), text, re.DOTALL)[0]  # type: ignore[index]
    assert [" best" in cell for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] == [True, False]
    assert "delta bad" in row and "lower is better" in row


def test_deltas_are_to_the_chosen_baseline(client: TestClient, ids: Runs) -> None:
    found = table(compare(client, ids["shallow"], ids["deep"], base=ids["deep"]))
    assert found["depth"] == ["2 −6", "8"]


def test_a_part_is_the_body_alone(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], ids["deep"], headers=PART)
    assert "<html" not in text and "differs" in text


# ---- which runs


def test_a_run_is_added_by_what_people_call_it(client: TestClient, ids: Runs) -> None:
    asked = {"run": ids["shallow"], "add": "edited"}
    answer = client.get(f"{SITE}/compare", params=asked, headers=HTML, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/compare?run={ids['shallow']}&run={ids['edited']}")
    assert "there is no run &#39;nobody&#39;" in compare(client, ids["shallow"], add="nobody", status=404)


def test_runs_to_add_are_found_as_one_types(client: TestClient, ids: Runs) -> None:
    asked = {"run": ids["shallow"], "add": "depth=8"}
    text = client.get(f"{SITE}/compare/runs", params=asked, headers=PART).text
    found = re.findall(r'href="/compare\?run=([^&]+)&amp;run=([^"]+)"', text)
    assert found == [(ids["shallow"], ids["edited"]), (ids["shallow"], ids["deep"])]
    assert "No run matches" in client.get(f"{SITE}/compare/runs", params={"add": "zz>"}, headers=PART).text


def test_a_run_is_taken_out(client: TestClient, ids: Runs) -> None:
    text = compare(client, *ids.values())
    off = re.search(r'class="side-off" href="([^"]+)"', text)
    assert off is not None
    assert unescape(off[1]).count("run=") == 2


def test_one_run_or_none_says_how_to_choose(client: TestClient, ids: Runs) -> None:
    assert "Choose two runs or more" in compare(client)
    assert "Choose two runs or more" in compare(client, ids["deep"], ids["deep"])


def test_a_run_that_is_gone_is_said_so_and_the_rest_compared(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], "20260101-000000-zzzzz", ids["deep"])
    assert "Not there any more: 20260101-000000-zzzzz" in text
    assert "depth 2 → 8" in sentence(text)


def test_a_run_that_nobody_drives_is_interrupted(client: TestClient, ids: Runs, home: Path, journals: Journals) -> None:
    journal, run = open_journal(journals(home) or home / DATABASE), "20271124-081500-quiet"
    events = [event for _, event in run_now(journal.read(ids["deep"], 0, 3))]
    summary = run_now(journal.find_summary(ids["deep"]))
    begun = replace(summary, run=run, status="running", ended_at=0.0)
    run_now(journal.append(run, 0, [replace(events[0], run=run), *events[1:]], "b", summary=begun))
    text = compare(client, ids["deep"], run)
    assert "status succeeded → interrupted" in sentence(text)
    assert "data-running" not in text


def test_more_than_fifty_runs_are_too_many(client: TestClient) -> None:
    text = compare(client, *[f"r{n}" for n in range(51)], status=422)
    assert "51 runs are too many to compare" in text


def test_runs_of_other_projects_are_not_there(client: TestClient, ids: Runs) -> None:
    stranger = {**HTML, "fairway-token": STRANGER}
    compare(client, *ids.values(), headers=stranger, status=404)
    answer = client.get(f"{SITE}/compare/curves.json", params={"run": list(ids.values())}, headers=stranger)
    assert answer.status_code == 404
    assert "No run matches" in client.get(f"{SITE}/compare/runs?add=depth%3D8", headers=stranger).text


# ---- curves and charts


@pytest.mark.parametrize("x", ["step", "time"])
def test_curves_of_all_runs_come_by_metric(client: TestClient, ids: Runs, x: str) -> None:
    found = client.get(f"{SITE}/compare/curves.json", params={"run": [ids["shallow"], ids["deep"]], "x": x}).json()
    assert set(found["metrics"]) == {"loss", "auc", "rows"} and found["more"] == 0
    loss = found["metrics"]["loss"]
    assert [(one["run"], one["task"], len(one["points"])) for one in loss] == [(ids["shallow"], "train", 20), (ids["deep"], "train", 20)]
    across = [at for at, _ in loss[0]["points"]]
    assert across == sorted(across) and (across == list(range(20))) == (x == "step")
    assert loss[0]["points"][0][1] == 1.05


def test_a_cached_task_has_the_curves_of_when_it_ran(recorded: tuple[Path, Runs], tmp_path: Path) -> None:
    """The second run has trained with depth 16 alone: depth 2 was known from the first."""
    shutil.copytree(recorded[0], tmp_path / "other")
    first, second = recorded[1]["first"], recorded[1]["second"]
    with Server(tmp_path / "other").client() as client:
        loss = client.get(f"{SITE}/compare/curves.json", params={"run": [first, second]}).json()["metrics"]["loss"]
    drawn = {(one["run"], one["task"]): one["points"] for one in loss}
    assert set(drawn) == {(first, "train[0]"), (first, "train[1]"), (first, "train[2]"), (second, "train[0]"), (second, "train[1]")}
    assert drawn[second, "train[0]"] == drawn[first, "train[0]"] != drawn[second, "train[1]"]


def test_curves_of_a_run_that_is_not_there_are_not_found(client: TestClient) -> None:
    assert client.get(f"{SITE}/compare/curves.json?run=20260101-000000-zzzzz").status_code == 404


def test_charts_get_what_varies(client: TestClient, ids: Runs) -> None:
    text = compare(client, *ids.values(), tab="charts")
    data = json.loads(re.search(r'id="compare-data">(.*?)</script>', text)[1])  # type: ignore[index]
    assert data["columns"] == ["param depth", "metric loss", "metric auc", "duration"]
    assert [row["param depth"] for row in data["rows"]] == [2, 8, 8]
    names = json.loads(re.search(r'id="compare-runs">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [one["run"] for one in names] == [ids["shallow"], ids["deep"], ids["edited"]]


# ---- code and surroundings


def test_the_code_is_compared_line_by_line_and_by_step(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["deep"], ids["edited"], tab="code")
    lines = re.findall(r'<tr class="(add|del)">.*?<code>(.*?)</code>', text, re.DOTALL)
    assert lines == [("del", "-    return 0.1 / depth"), ("add", "+    return 0.2 / (depth + 1)")]
    assert re.search(r"<b>train</b>.*?flow.noise</span> was edited", text, re.DOTALL)


def test_the_other_side_is_one_with_other_code_unless_chosen(client: TestClient, ids: Runs) -> None:
    chosen = r'<a class="chip mono" href="[^"]*other={}[^"]*" aria-current="true">'
    assert re.search(chosen.format(ids["edited"]), compare(client, *ids.values(), tab="code"))
    text = compare(client, *ids.values(), tab="code", other=ids["deep"])
    assert re.search(chosen.format(ids["deep"]), text) and "The code is the same" in text


def test_code_that_is_not_kept_is_said_so(client: TestClient, ids: Runs, home: Path) -> None:
    shutil.rmtree(home / BUNDLES)
    text = compare(client, ids["deep"], ids["edited"], tab="code")
    assert "not kept any more" in text and "<b>train</b>" in text


def test_surroundings_are_the_same_on_one_machine(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], ids["deep"], tab="environment")
    assert "Nothing differs here" in text
    found = table(compare(client, ids["shallow"], ids["deep"], tab="environment", equal="1"))
    assert {"python", "platform", "memory", "pytest"} <= set(found)


# ---- results


def test_curves_matrices_and_pictures_stand_beside_each_other(client: TestClient, ids: Runs) -> None:
    text = compare(client, ids["shallow"], ids["deep"], tab="results")
    roc = json.loads(re.search(r'data-testid="roc"><script type="application/json">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [(one["run"], one["points"][1]) for one in roc] == [(ids["shallow"], [0.25, 0.95]), (ids["deep"], [0.25, 0.9875])]
    matrices = re.findall(r'data-testid="confusion">(.*?)</figure>', text, re.DOTALL)
    assert len(matrices) == 2
    assert re.findall(r"<b>(\d+)</b><span>(\d+) %", matrices[0]) == [("40", "80"), ("10", "20"), ("5", "21"), ("19", "79")]
    pictures = re.findall(r'<img src="(/content/[^"]+)"', text)
    assert len(pictures) == 2
    shown = client.get(SITE + pictures[0])
    assert shown.status_code == 200 and "sandbox" in shown.headers["content-security-policy"]


def test_runs_without_such_results_are_told_how_to_have_some(recorded: tuple[Path, Runs], tmp_path: Path) -> None:
    shutil.copytree(recorded[0], tmp_path / "other")
    with Server(tmp_path / "other").client() as client:
        text = compare(client, recorded[1]["first"], recorded[1]["second"], tab="results")
    assert "No curves or matrices" in text and "columns fpr and tpr" in text


def test_fifty_runs_are_one_page(client: TestClient, ids: Runs, home: Path, journals: Journals) -> None:
    journal = open_journal(journals(home) or home / DATABASE)
    events = [event for _, event in run_now(journal.read(ids["deep"]))]
    summary = run_now(journal.find_summary(ids["deep"]))
    copies = [f"20271124-0815{n:02d}-many{n:02d}" for n in range(50)]
    for n, run in enumerate(copies):
        more = replace(summary, run=run, params={"depth": n}, metrics={"auc": n / 100})
        run_now(journal.append(run, 0, [replace(events[0], run=run), *events[1:]], "b", summary=more))
    for tab in ("table", "curves", "charts", "code", "environment", "results"):
        text = compare(client, *copies, tab=tab)
        assert "depth 0 – 49" in sentence(text)
        assert text.count('class="side') >= 50


EDITED_AWAY = """
import fairway as fw

@fw.step
def fit(fails: bool) -> int:
    for step in range(3):
        fw.log(loss=1.0 / (1 + step), step=step)
    assert not fails
    return 1

@fw.step
def other() -> int:
    fw.log(loss=1.0)
    return 1

@fw.pipeline
def flow():
    return {"fit": fit(True), "other": other()}
"""


def test_a_run_that_went_on_with_an_edited_graph_has_the_curves_of_its_tasks(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("flow.py", EDITED_AWAY)
    with forgotten_settings():
        project.ask("run", "flow.py")
        project.write("flow.py", EDITED_AWAY.replace('{"fit": fit(True), "other": other()}', "fit(False)"))
        said = project.ask("resume", "last")
    assert said.status == 0, said.text
    run = project.last()
    with Server(tmp_path / ".fairway").client() as client:
        loss = client.get(f"{SITE}/compare/curves.json", params={"run": [run.id]}).json()["metrics"]["loss"]
    assert [(one["task"], len(one["points"])) for one in loss] == [("fit", 3)]
