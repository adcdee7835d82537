"""The page of all runs, over really recorded runs."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph
from fairway.spec.ports import run_now
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary
from fairway.web.identity import Identity
from fairway.web.pages.runs import MISTAKE
from tests.web.recorded import Journals
from tests.web.rig import TOKEN, Server, started

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"
VIEWER = "u1.vic.secret"
STRANGER = "u1.eve.secret"


@pytest.fixture
def ids(recorded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return recorded[1]


@pytest.fixture
def server(recorded: tuple[Path, dict[str, str]], tmp_path: Path, journals: Journals) -> Server:
    shutil.copytree(recorded[0], tmp_path / "home")
    made = Server(tmp_path / "home", journals(tmp_path / "home"))
    made.users.by_token |= {VIEWER: Identity("vic", "view"), STRANGER: Identity("eve", "run", ("elsewhere",))}
    return made


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def shown(client: TestClient, query: str = "", **headers: str) -> list[str]:
    """Ids of the runs on the page, in order."""
    answer = client.get(f"{SITE}/runs{query}", headers={**PART, **headers})
    assert answer.status_code == 200
    return re.findall(r'<tr data-row id="run-([^"]+)"', answer.text)


def row_of(text: str, run: str) -> str:
    found = re.search(rf'<tr data-row id="run-{run}".*?</tr>', text, re.DOTALL)
    assert found is not None
    return found[0]


def seed(server: Server, count: int, **more: object) -> list[str]:
    """Runs that are over: rows of the listing, newest last."""
    journal, runs = server.services.journal, [f"20271124-0815{n // 60:02d}{n % 60:02d}-{n:05d}" for n in range(count)]
    for n, run in enumerate(runs):
        summary = RunSummary(run, "seeded", "succeeded", started_at=1_790_000_000.0 + n, ended_at=1_790_000_010.0 + n, params={"n": n})
        begun = RunStarted(run, Graph("seeded"), {}, "", summary.started_at)
        run_now(journal.append(run, 0, [begun], "b", summary=replace(summary, **more)))
    return runs


# ---- the list


def test_runs_are_listed_newest_first_with_what_tells_them_apart(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/runs", headers=HTML).text
    assert re.findall(r'data-run="([^"]+)"', text) == [ids["failed"], ids["second"], ids["first"]]
    first, second, failed = (row_of(text, ids[name]) for name in ("first", "second", "failed"))
    assert "nightly" in first and "gold" in first and 'data-state="succeeded"' in first
    assert f'href="/runs/{ids["first"]}"' in first and "data-row" in first
    assert "no such luck" in failed and 'data-state="failed"' in failed
    assert re.search(r'apart">depths <b>\[2, 16\]|apart">depths <b>\[2, 4, 8\]', first + second)


def test_a_duration_stands_beside_its_usual(client: TestClient, ids: dict[str, str]) -> None:
    row = row_of(client.get(f"{SITE}/runs", headers=HTML).text, ids["first"])
    assert re.search(r'visually-hidden"> · usual [\d.]+ m?s<', row)
    assert re.search(r'<rect class="bar"[^>]* width="[\d.]+"', row)


def test_a_duration_far_beyond_the_usual_is_said_so(server: Server) -> None:
    seed(server, 3)
    seed_slow = "20271125-081500-slow1"
    summary = RunSummary(seed_slow, "seeded", "succeeded", started_at=1_790_001_000.0, ended_at=1_790_001_100.0)
    begun = RunStarted(seed_slow, Graph("seeded"), {}, "", summary.started_at)
    run_now(server.services.journal.append(seed_slow, 0, [begun], "b", summary=summary))
    with server.client() as client:
        text = client.get(f"{SITE}/runs?q=pipeline:seeded", headers=HTML).text
    assert "much longer than usual 10 s" in row_of(text, seed_slow)
    assert text.count("much longer than") == 1


def test_a_page_that_asks_gets_the_list_alone(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/runs", headers=PART).text
    assert "<html" not in text and 'id="q"' not in text
    assert ids["first"] in text and "runs-head" in text


def test_a_project_without_runs_says_what_to_do_first(tmp_path: Path) -> None:
    with Server(tmp_path / "empty").client() as client:
        text = client.get(f"{SITE}/runs", headers=HTML).text
    assert "Nothing has been run yet" in text and "fairway run pipeline.py" in text


def test_a_running_run_has_a_clock_and_its_progress(client: TestClient, server: Server) -> None:
    run = "20271124-081500-aaaaa"
    assert client.post("/runs", json=started(run)).status_code == 201
    client.portal.call(server.executor.submitted)  # type: ignore[union-attr]
    row = row_of(client.get(f"{SITE}/runs?q=running", headers=HTML).text, run)
    assert re.search(r'data-since="[\d.]+"', row) and 'data-state="running"' in row
    assert "0/2" in row


def test_a_run_that_nobody_drives_is_interrupted_and_has_no_clock(client: TestClient, server: Server) -> None:
    (run,) = seed(server, 1, status="running", ended_at=0.0)
    row = row_of(client.get(f"{SITE}/runs?q=running", headers=HTML).text, run)
    assert 'data-state="interrupted"' in row and "data-since" not in row


# ---- the filter


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=failed", ["failed"]),
        ("?q=pipeline:churn", ["second", "first"]),
        ("?q=tag:gold", ["first"]),
        ("?q=nightly", ["first"]),
        ("?q=rows%3E3+succeeded", ["second", "first"]),
        ("?q=rows%3E100", []),
        ("?sort=oldest", ["first", "second", "failed"]),
        ("?sort=pipeline-asc&q=rows%3E1", ["first", "second", "failed"]),
    ],
)
def test_the_filter_and_the_order_are_the_addresses(client: TestClient, ids: dict[str, str], query: str, found: list[str]) -> None:
    assert shown(client, query) == [ids[name] for name in found]


def test_the_filter_is_in_its_box_and_a_command_finds_the_same(client: TestClient) -> None:
    text = client.get(f'{SITE}/runs?q=tag:gold "<b>"', headers=HTML).text
    assert 'value="tag:gold &#34;&lt;b&gt;&#34;"' in text
    text = client.get(f"{SITE}/runs?q=tag:gold&sort=oldest", headers=HTML).text
    assert "fairway runs &#39;tag:gold sort:oldest&#39;" in text


def test_nothing_found_offers_to_clear_the_filter(client: TestClient) -> None:
    text = client.get(f"{SITE}/runs?q=zzz", headers=HTML).text
    assert "No run matches" in text and 'href="/runs" data-list' in text


def test_a_query_that_cannot_be_read_is_told_with_its_place(client: TestClient) -> None:
    answer = client.get(f"{SITE}/runs?q=failed+auc%3E", headers=HTML)
    assert answer.status_code == 422
    assert "<code>failed auc&gt;<mark> </mark></code>" in answer.text
    assert "a value is missing after" in answer.text and 'aria-invalid="true"' in answer.text
    assert "This filter cannot be read" in answer.text and "<html" in answer.text


def test_a_part_that_cannot_be_read_says_why_and_brings_no_list(client: TestClient) -> None:
    answer = client.get(f"{SITE}/runs?q=failed+auc%3Ex", headers=PART)
    assert answer.headers[MISTAKE] == "1"
    assert "auc&gt;<mark>x</mark>" in answer.text and "data-row" not in answer.text
    assert MISTAKE not in client.get(f"{SITE}/runs?q=failed", headers=PART).headers


def test_an_order_that_is_none_is_told_too(client: TestClient) -> None:
    assert "not an order" in client.get(f"{SITE}/runs?sort=colour", headers=HTML).text


def test_states_are_buttons_with_counts_that_choose_and_let_go(client: TestClient) -> None:
    text = client.get(f"{SITE}/runs", headers=HTML).text
    assert re.findall(r'href="([^"]+)" data-list data-state="(\w+)"[^>]*>\w+ <b>(\d+)</b>', text) == [
        ("/runs?q=succeeded", "succeeded", "2"),
        ("/runs?q=failed", "failed", "1"),
    ]
    text = client.get(f"{SITE}/runs?q=failed+pipeline:fragile", headers=HTML).text
    assert re.search(r'href="/runs\?q=pipeline%3Afragile" data-list data-state="failed" aria-current="true"', text)
    assert re.search(r"failed <b>1</b>", text) and not re.search(r"succeeded <b>", text)


def test_heads_sort_and_say_how_they_do(client: TestClient) -> None:
    text = client.get(f"{SITE}/runs?sort=duration", headers=HTML).text
    assert re.search(r'c-duration" aria-sort="descending"><a href="/runs\?sort=duration-asc"', text)
    assert re.search(r'c-started"><a href="/runs"', text)
    assert 'c-started" aria-sort="descending"><a href="/runs?sort=oldest"' in client.get(f"{SITE}/runs", headers=HTML).text


# ---- pages


def test_older_runs_follow_by_cursor_without_gap_or_double(server: Server) -> None:
    runs = seed(server, 7)
    with server.client() as client:
        found, cursor = list[str](), ""
        for _ in range(4):
            answer = client.get(f"{SITE}/runs?q=pipeline:seeded&shown=2&part=rows&cursor={cursor}", headers=PART)
            assert "runs-head" not in answer.text
            found += re.findall(r'data-run="([^"]+)"', answer.text)
            following = re.search(r'data-next="([^"]+)"', answer.text)
            cursor = following[1] if following else ""
        assert cursor == ""
        assert found == runs[::-1]


def test_a_page_says_how_many_there_are_and_leads_to_the_rest(server: Server) -> None:
    seed(server, 60)
    with server.client() as client:
        text = client.get(f"{SITE}/runs?q=pipeline:seeded", headers=HTML).text
        assert re.sub(r"<[^>]+>", "", re.search(r"runs-count.*?</p>", text)[0].partition(">")[2]) == "50 of 60 runs"  # type: ignore[index]
        more = re.search(r'<a class="button" href="([^"]+)" data-next', text)[1].replace("&amp;", "&")  # type: ignore[index]
        assert len(re.findall(r"data-row", client.get(f"{SITE}{more}", headers=HTML).text)) == 10
        assert len(shown(client, "?q=pipeline:seeded&shown=55")) == 55


def test_fifty_rows_are_a_small_page(server: Server) -> None:
    seed(server, 50, metrics={"auc": 0.8123, "f1": 0.71, "loss": 0.3}, tags=("nightly",), note="a note", error="")
    with server.client() as client:
        text = client.get(f"{SITE}/runs", headers=HTML).content
    assert len(gzip.compress(text, 4)) < 15_000


@pytest.mark.parametrize("query", ["?shown=0", "?shown=501", "?part=all"])
def test_an_address_that_asks_for_too_much_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"{SITE}/runs{query}", headers=HTML).status_code == 422


# ---- columns


def heads(text: str) -> list[str]:
    return re.findall(r'<th scope="col" class="c-(\w+)"', text)


def test_columns_are_chosen_in_the_address(server: Server) -> None:
    seed(server, 1, metrics={"a,b": 0.25}, note="look at <this>")
    with server.client() as client:
        text = client.get(f"{SITE}/runs", params={"cols": "metric:a%2Cb,param:n,note,nonsense", "q": "pipeline:seeded"}, headers=HTML).text
    assert heads(text)[5:] == ["metric", "param", "note"]
    assert "0.25</td>" in text and "look at &lt;this&gt;" in text
    assert "sort=metric.%22a%2Cb%22" in text


def test_columns_of_the_last_visit_are_kept_until_others_are_asked_for(client: TestClient) -> None:
    cookie = re.search(r'data-cookie="([^"]+)"', client.get(f"{SITE}/runs", headers=HTML).text)[1]  # type: ignore[index]
    kept = {"cookie": f"{cookie}=note%2Cparam%3Arows"}
    assert heads(client.get(f"{SITE}/runs", headers={**HTML, **kept}).text)[5:] == ["note", "param"]
    assert heads(client.get(f"{SITE}/runs?cols=who", headers={**HTML, **kept}).text)[5:] == ["who"]
    assert heads(client.get(f"{SITE}/runs?cols=-", headers={**HTML, **kept}).text)[5:] == []


def test_a_page_keeps_its_columns_and_its_address_names_none(client: TestClient) -> None:
    text = client.get(f"{SITE}/runs?kept=note&q=failed", headers=PART).text
    assert heads(text)[5:] == ["note"]
    assert 'data-cols=""' in text and not re.search(r'href="[^"]*(kept|cols)=', text)


def test_each_project_has_columns_of_its_own(client: TestClient, tmp_path: Path) -> None:
    found = re.search(r'data-cookie="([^"]+)"', client.get(f"{SITE}/runs", headers=HTML).text)
    with Server(tmp_path / "other").client() as other:
        assert re.search(r'data-cookie="([^"]+)"', other.get(f"{SITE}/runs", headers=HTML).text)[1] != found[1]  # type: ignore[index]


def test_the_menu_offers_all_columns_and_marks_those_shown(client: TestClient) -> None:
    text = client.get(f"{SITE}/columns?cols=who,param:depths", headers=PART).text
    marked = re.findall(r'value="([^"]+)"( checked)?>', text)
    assert [key for key, checked in marked if checked] == ["who", "param:depths"]
    assert {"params", "tags", "note", "target", "param:rows"} <= {key for key, _ in marked}


def test_the_box_is_told_what_it_can_offer(client: TestClient) -> None:
    found = client.get(f"{SITE}/facets.json").json()
    assert set(found["pipelines"]) == {"churn", "fragile"}
    assert found["tags"] == ["gold"] and "running" in found["states"]
    assert set(found["params"]) == {"rows", "depths"}


# ---- labels


def test_chosen_runs_are_tagged_and_untagged(client: TestClient, ids: dict[str, str]) -> None:
    chosen = [ids["first"], ids["second"]]
    answer = client.post(f"{SITE}/runs", data={"run": chosen, "action": "tag", "tags": "best, kept best"}, headers=PART)
    assert answer.status_code == 204
    assert shown(client, "?q=tag:best") == shown(client, "?q=tag:kept") == chosen[::-1]
    client.post(f"{SITE}/runs", data={"run": chosen[:1], "action": "untag", "tags": "best"}, headers=PART)
    assert shown(client, "?q=tag:best") == chosen[1:]


def test_chosen_runs_are_archived_and_taken_out_again(client: TestClient, ids: dict[str, str]) -> None:
    client.post(f"{SITE}/runs", data={"run": [ids["failed"]], "action": "archive"}, headers=PART)
    assert shown(client) == [ids["second"], ids["first"]]
    assert shown(client, "?q=archived") == [ids["failed"]]
    client.post(f"{SITE}/runs", data={"run": [ids["failed"]], "action": "unarchive"}, headers=PART)
    assert shown(client) == [ids["failed"], ids["second"], ids["first"]]


def test_a_form_without_a_script_leads_back(client: TestClient, ids: dict[str, str]) -> None:
    form = {"run": [ids["first"]], "action": "tag", "tags": "x", "back": "/runs?q=gold"}
    answer = client.post(f"{SITE}/runs", data=form, headers=HTML, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?q=gold")
    answer = client.post(f"{SITE}/runs", data={**form, "back": "//evil.example"}, headers=HTML, follow_redirects=False)
    assert answer.headers["location"] == "/runs"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"run": ["20260101-000000-zzzzz"], "action": "archive"}, 404),
        ({"run": [], "action": "archive"}, 422),
        ({"run": ["x"], "action": "delete"}, 422),
        ({"run": ["x"], "action": "tag", "tags": " ,"}, 422),
    ],
)
def test_what_cannot_be_done_changes_nothing(client: TestClient, ids: dict[str, str], form: dict[str, object], status: int) -> None:
    before = client.get(f"{SITE}/runs", headers=PART).text
    named = {**form, "run": [ids["first"], *form["run"]] if form["run"] and status == 404 else form["run"]}  # type: ignore[misc]
    assert client.post(f"{SITE}/runs", data=named, headers=PART).status_code == status
    assert re.findall(r"<tr data-row.*?</tr>", client.get(f"{SITE}/runs", headers=PART).text) == re.findall(r"<tr data-row.*?</tr>", before)


def test_who_may_only_look_has_no_buttons_and_no_way(client: TestClient, ids: dict[str, str]) -> None:
    looks = {**HTML, "fairway-token": VIEWER}
    text = client.get(f"{SITE}/runs", headers=looks).text
    assert ids["first"] in text and 'id="compare"' in text and "data-label" not in text
    answer = client.post(f"{SITE}/runs", data={"run": [ids["first"]], "action": "archive"}, headers=looks)
    assert answer.status_code == 403


def test_runs_of_other_projects_are_not_there(client: TestClient, ids: dict[str, str]) -> None:
    assert len(shown(client, "", **{"fairway-token": TOKEN})) == 3
    assert shown(client, "", **{"fairway-token": STRANGER}) == []
    assert shown(client, "?q=project:recorded0", **{"fairway-token": STRANGER}) == []
    assert client.get(f"{SITE}/facets.json", headers={"fairway-token": STRANGER}).json()["pipelines"] == []
    form = {"run": [ids["first"]], "action": "archive"}
    assert client.post(f"{SITE}/runs", data=form, headers={**HTML, "fairway-token": STRANGER}).status_code == 404
    text = client.get(f"{SITE}/runs", headers={**HTML, "fairway-token": STRANGER}).text
    assert not re.search(r"data-state=\"\w+\"[^>]*>\w+ <b>", text)
