"""A search on the dashboard and as one file: importance, what is sent to the scripts, the page, the report."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.spec.study import Study, Trial, best_of
from fairway.train.importance import divergence, importances, place
from fairway.web.studies import REPORT_POINTS, spell_study
from fairway.web.tunereport import make_report
from tests.apart import forgotten_settings
from tests.cli.project import Project
from tests.web.rig import Server

SITE = "http://server"
SPACE = {
    "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
    "kind": {"choices": ["a", "b"]},
    "noise": {"type": "float", "low": 0, "high": 1},
}


def make_study(count: int, *, direction: str = "max", state: str = "complete", reports: int = 0) -> Study:
    """`kind` matters most, `lr` somewhat, `noise` not at all."""
    draw = random.Random(3)
    trials: list[Trial] = []
    for number in range(count):
        params: dict[str, Any] = {"lr": 10 ** draw.uniform(-4, -1), "kind": draw.choice("ab"), "noise": draw.random()}
        value = (params["kind"] == "a") + 2 * params["lr"] + draw.gauss(0, 0.01)
        values = (value if direction == "max" else -value,) if state == "complete" else ()
        curve = tuple((float(step), value) for step in range(reports))
        trials.append(Trial(number, state, params, values, curve, f"fit[{number}]", "", 1.0, 2.5, "" if state == "complete" else "boom"))
    found = tuple(trials)
    return Study("tune.fit", ("auc",), (direction,), tuple(SPACE), SPACE, "tpe", "", 50, 1, found, best_of(found, (direction,)))


# --- importance


@pytest.mark.parametrize("direction", ["max", "min"])
def test_what_matters_is_told_from_what_does_not(direction: str) -> None:
    found = importances(make_study(120, direction=direction))
    assert next(iter(found)) == "kind"
    assert found["noise"] < 0.1 < found["kind"]
    assert sum(found.values()) == pytest.approx(1.0)


def test_of_few_trials_or_equal_ones_nothing_is_told() -> None:
    assert importances(make_study(7)) == {}
    assert importances(make_study(30, state="failed")) == {}
    same = tuple(Trial(n, "complete", {"lr": 0.1, "kind": "a", "noise": 0.0}, (1.0,)) for n in range(20))
    assert importances(Study("s", ("auc",), ("max",), tuple(SPACE), SPACE, trials=same)) == {}


def test_a_parameter_that_some_trials_lack_is_no_mistake() -> None:
    study = make_study(40)
    for trial in study.trials[::3]:
        del trial.params["noise"]
    assert set(importances(study)) == set(SPACE)


@given(st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text(max_size=3), st.booleans()), min_size=1))
def test_every_value_has_a_bin(values: list[Any]) -> None:
    places = place(values)
    assert len(places) == len(values)
    assert divergence(places, places) == 0.0


# --- what the scripts get


def test_a_study_is_sent_whole_and_of_a_bounded_size() -> None:
    spelled = spell_study(make_study(1000, reports=200))
    assert sum(len(trial["reports"]) for trial in spelled["trials"]) <= REPORT_POINTS + 2 * 1000
    assert spelled["trials"][0]["reports"][-1][0] == 199.0
    assert spelled["params"] == [
        {"name": "lr", "kind": "number", "log": True, "whole": False},
        {"name": "kind", "kind": "choice", "choices": ["a", "b"]},
        {"name": "noise", "kind": "number", "log": False, "whole": False},
    ]
    json.dumps(spelled, allow_nan=False)


def test_a_parameter_that_is_not_always_active_is_a_number_and_has_no_value_where_it_is_not() -> None:
    space = {"model": {"choices": ["a", "b"]}, "c": {"type": "float", "low": 0.0, "high": 1.0, "when": {"model": ["a"]}}}
    trials = tuple(Trial(n, "complete", {"model": "ab"[n % 2], "c": None if n % 2 else 0.5}, (1.0,)) for n in range(4))
    sent = spell_study(Study("t", ("auc",), ("max",), tuple(space), space, "tpe", "", 4, 1, trials, (0,)))
    assert [param["kind"] for param in sent["params"]] == ["choice", "number"]
    assert [trial["params"].get("c") for trial in sent["trials"]] == [0.5, None, 0.5, None]
    assert "c" not in sent["trials"][1]["params"]


def test_choices_of_any_kind_are_text() -> None:
    trials = (Trial(0, "complete", {"layers": [64, 32], "on": True}, (1.0,)),)
    study = Study("s", ("auc",), ("max",), ("layers", "on"), {"layers": {"choices": [[64, 32], [8]]}}, trials=trials)
    spelled = spell_study(study)
    assert spelled["params"][0]["choices"] == ["[64, 32]", "[8]"]
    assert spelled["trials"][0]["params"] == {"layers": "[64, 32]", "on": "true"}


# --- the report


STUDIES = {"none": make_study(0), "one": make_study(1), "some": make_study(12), "failed": make_study(3, state="failed")}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_report_is_one_file_that_needs_nothing(study: Study) -> None:
    text = make_report([study], run="r-1", pipeline="<churn>", at="today")
    assert "&lt;churn&gt;" in text and "<churn>" not in text
    page = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"<(link|img|script|iframe)[^>]*(src|href)=|@import|url\(", page)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert not re.search(r"^(import|export) |import\.meta", scripts[-1], re.M)
    data = re.search(r'<script type="application/json">(.*?)</script>', text, re.S)
    assert data is not None
    assert len(json.loads(data[1])["trials"]) == len(study.trials)


def test_nothing_in_a_trial_ends_the_script() -> None:
    study = make_study(1, state="failed")
    study.trials[0].error = "</script><script>alert(1)</script>"
    assert "</script><script>alert" not in make_report([study], run="r", pipeline="p", at="")


# --- a real search

FLOW = """
import fairway as fw


@fw.step
def fit(lr: float, kind: str = "a") -> float:
    fw.log(auc=lr + (kind == "a"))
    return lr + (kind == "a")


@fw.pipeline
def flow(trials: int = 2):
    found = fw.tune(fit, space={"lr": (0.0, 1.0), "kind": ["a", "b"]}, metric="auc", trials=10, sampler="random", seed=1)
    return found.best_value
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("search"))
    project.write("flow.py", FLOW)
    with forgotten_settings():
        project.run()
    return project


@pytest.fixture
def client(search: Project) -> Iterator[TestClient]:
    with Server(search.root / ".fairway").client() as client:
        yield client


def test_the_page_of_a_search(client: TestClient, search: Project) -> None:
    run = search.last().id
    text = client.get(f"{SITE}/runs/{run}/tune", headers={"accept": "text/html"}).text
    data = re.search(r'id="tune-data">(.*?)</script>', text, re.S)
    assert data is not None
    told = json.loads(data[1])
    assert [trial["number"] for trial in told["trials"]] == list(range(10))
    best = max(told["trials"], key=lambda trial: trial["values"][0])
    assert told["best"] == [best["number"]]
    assert client.get(f"{SITE}/runs/{run}/tune.json").json() == told
    assert f'href="/runs/{run}/tune"' in client.get(f"{SITE}/runs/{run}", headers={"accept": "text/html"}).text


def test_a_run_without_a_search_says_so(client: TestClient, search: Project, gang: Project) -> None:
    wrong = client.get(f"{SITE}/runs/{search.last().id}/tune", params={"study": "other"}, headers={"accept": "text/html"})
    assert wrong.status_code == 404 and "has no search" in html.unescape(wrong.text)
    with Server(gang.root / ".fairway").client() as other:
        run = gang.last().id
        assert other.get(f"{SITE}/runs/{run}/tune", headers={"accept": "text/html"}).status_code == 404
        assert f'href="/runs/{run}/tune"' not in other.get(f"{SITE}/runs/{run}", headers={"accept": "text/html"}).text


def test_the_command_writes_the_report(search: Project, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from fairway.cli.tunereport import command

    done = CliRunner().invoke(command, ["last", "-o", str(tmp_path / "r.html")], obj=str(search.root))
    assert done.exit_code == 0, done.output
    assert "10 trials" in done.stderr
    assert '"asked":10' in (tmp_path / "r.html").read_text()
