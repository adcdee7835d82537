"""The pages of endpoints, over views that are made up."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
from starlette.testclient import TestClient

from fairway.cli.app import LazyGroup
from fairway.serve.control.view import (
    Alarm,
    DriftFacet,
    DriftOf,
    DriftView,
    EndpointView,
    RevisionView,
)
from fairway.spec.endpoint import Scaling
from fairway.spec.record import replace
from fairway.web import endpointviews as views
from fairway.web.identity import Identity
from fairway.web.ports import Endpoints
from tests.web.rig import Live, Server
from tests.web.served import NOW, MemoryEndpoints, broken, busy, cold

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"
LOOKER, RUNNER = "u1.lou.secret", "u1.rob.secret"


@pytest.fixture
def keeper() -> MemoryEndpoints:
    return MemoryEndpoints(busy(), cold(), broken(), busy("theirs", project="theirs"))


@pytest.fixture
def server(tmp_path: Path, keeper: MemoryEndpoints) -> Server:
    kept: Endpoints = keeper
    server = Server(tmp_path, endpoints=kept)
    server.users.by_token[LOOKER] = Identity("lou", "view", ("",))
    server.users.by_token[RUNNER] = Identity("rob", "run", ("",))
    return server


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def get(client: TestClient, path: str, token: str = "", **headers: str) -> str:
    answer = client.get(f"{SITE}{path}", headers={**HTML, **({"Fairway-Token": token} if token else {}), **headers})
    assert answer.status_code == 200, answer.text
    return answer.text


def post(client: TestClient, path: str, token: str = "", **fields: Any) -> Any:
    headers = {**PART, **({"Fairway-Token": token} if token else {})}
    return client.post(f"{SITE}/endpoints/{path}", data=fields, headers=headers, follow_redirects=False)


def bare(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_a_revision_that_failed_or_went_back_says_why_and_is_not_offered_for_promotion(client: TestClient, keeper: MemoryEndpoints) -> None:
    seen = busy()
    kept = [one for one in seen.revisions if one.number > 2]
    bad = (RevisionView(2, 0.0, "went back", "too slow"), RevisionView(1, 0.0, "failed", "no weights"))
    assert "Promote revision 1" in get(client, "/endpoints/risk")
    keeper.put(replace(seen, revisions=(*kept, *bad)))
    text = get(client, "/endpoints/risk")
    rows = dict(re.findall(r'id="revision-(\d)">(.*?)</tr>', text, re.DOTALL))
    assert "went back too slow" in bare(rows["2"]) and "failed no weights" in bare(rows["1"])
    assert 'data-state="failed"' in rows["1"] and 'data-state="failed"' in rows["2"]
    assert "Promote" not in rows["1"] + rows["2"] and "Promote revision 4" in rows["4"]


def test_the_list_says_how_each_is_doing(client: TestClient) -> None:
    text = get(client, "/endpoints")
    rows = {name: bare(row) for name, row in re.findall(r'id="endpoint-([\w-]+)">(.*?)</li>', text, re.DOTALL)}
    assert sorted(rows) == ["churn", "prices", "risk", "theirs"]
    assert "142 /s p50 4.1 ms p95 9.8 ms p99" in rows["risk"] and "0.1 % replicas 3 of 0–8" in rows["risk"]
    assert "rev 3 95 %" in rows["risk"] and "warm" in rows["risk"] and "shadow 2" in rows["risk"]
    assert "idle" in rows["churn"] and "cold" in rows["churn"] and "0 /s" in rows["churn"]
    assert "no module named" in rows["prices"] and "failed" in rows["prices"]
    assert 'data-copy="http://127.0.0.1:8455/risk"' in text


def test_without_endpoints_one_learns_how_to_make_one(tmp_path: Path) -> None:
    for keeper in (None, MemoryEndpoints()):
        with Server(tmp_path / str(keeper is None), endpoints=keeper).client() as client:
            assert "fairway deploy winner --name risk" in get(client, "/endpoints")
            assert client.get(f"{SITE}/endpoints/risk", headers=HTML).status_code == 404


def test_endpoints_of_other_projects_are_not_there(client: TestClient) -> None:
    text = get(client, "/endpoints", RUNNER)
    assert 'id="endpoint-risk"' in text and "theirs" not in text
    for path in ("", "/series.json", "/logs", "/revisions/1", "/act?what=pause"):
        assert client.get(f"{SITE}/endpoints/theirs{path}", headers={**HTML, "Fairway-Token": RUNNER}).status_code == 404
    assert post(client, "theirs/pause", RUNNER, paused="true").status_code == 404


def test_the_page_tells_of_all_that_is_known(client: TestClient) -> None:
    text = bare(get(client, "/endpoints/risk"))
    assert "Step 1 of 4: revision 4 gets 5 % of the traffic" in text
    assert "99 % were the same; 322 differed and 4 were errors" in text
    assert "row 3, field &#39;age&#39;: came the text &#39;old&#39;" in text
    assert "out of memory" in text
    assert "libraries 920 ms" in text and "libraries were warm" in text
    assert "fairway traffic risk 3=95 4=5" in text


@pytest.mark.parametrize(
    ("tab", "word"),
    [
        ("overview", "Requests a second"),
        ("try", "Years, at the time of the call"),
        ("quality", "accuracy"),
        ("keys", "254,113"),
        ("logs", "Reading what the replicas"),
        ("settings", "each to bear 8 requests in flight"),
    ],
)
def test_every_tab_has_its_part(client: TestClient, tab: str, word: str) -> None:
    whole = get(client, f"/endpoints/risk?tab={tab}")
    part = get(client, f"/endpoints/risk?tab={tab}", **{"hx-request": "true", "hx-target": "endpoint-content"})
    assert word in whole and word in part
    assert "<html" in whole and "<html" not in part
    for name in ("churn", "prices"):
        assert "<html" in get(client, f"/endpoints/{name}?tab={tab}")


@pytest.mark.parametrize(("target", "there", "not_there"), [
    ("endpoint-head", "127.0.0.1:8455", "Revisions"),
    ("endpoint-top", "Rollout of", "Refused and failed lately"),
    ("endpoint-rest", "Refused and failed lately", "Rollout of"),
])  # fmt: skip
def test_what_follows_the_news_is_fetched_alone(client: TestClient, target: str, there: str, not_there: str) -> None:
    text = get(client, "/endpoints/risk", **{"hx-request": "true", "hx-target": target})
    assert there in text and not_there not in text and "<html" not in text


def test_charts_get_what_is_new(client: TestClient) -> None:
    text = get(client, "/endpoints/risk")
    found = json.loads(re.search(r'id="endpoint-series">(.*?)</script>', text)[1])  # type: ignore[index]
    assert len(found["at"]) == 342 and found["at"][-1] == NOW and set(found["rates"]) == {"3", "4"}
    newer = client.get(f"{SITE}/endpoints/risk/series.json?after={NOW - 3.5}").json()
    assert newer["at"] == [NOW - 3, NOW - 2, NOW - 1, NOW]
    assert {len(column) for name, column in newer.items() if name != "rates"} == {4}


def test_the_form_keeps_the_schemas_order(client: TestClient) -> None:
    text = get(client, "/endpoints/risk?tab=try")
    found = json.loads(re.search(r'id="try-schema">(.*?)</script>', text)[1])  # type: ignore[index]
    assert list(found["schema"]["properties"]["inputs"]["items"]["properties"]) == [
        "age", "job", "balance", "housing", "previous", "address", "scores",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "takes_body"),
    [
        ({"inputs": {"age": "number", "job": {"enum": ["a", "b"]}}}, False),
        (
            {
                "type": "object",
                "properties": {"age": {"type": "number"}, "job": {"enum": ["a", "b"]}},
                "examples": [{"age": 1, "job": "a"}],
            },
            False,
        ),
    ],
    ids=["columns", "a row"],
)
def test_schemas_of_every_spelling_become_forms(client: TestClient, keeper: MemoryEndpoints, schema: Any, takes_body: bool) -> None:
    keeper.put(replace(busy(), schema=schema, example=None))
    found = json.loads(re.search(r'id="try-schema">(.*?)</script>', get(client, "/endpoints/risk?tab=try"))[1])  # type: ignore[index]
    assert list(found["schema"]["properties"]["inputs"]["items"]["properties"]) == ["age", "job"]
    assert found["takes_body"] is takes_body
    assert found["example"] == next(iter(schema.get("examples", [])), None)


def test_what_is_no_schema_still_gives_a_form_for_json(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.put(replace(busy(), schema={"properties": 7}))
    assert '"properties": 7' in get(client, "/endpoints/risk?tab=try")


def test_a_schema_cannot_end_the_script_it_stands_in(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.put(replace(busy(), example="</script><b>"))
    text = get(client, "/endpoints/risk?tab=try")
    assert "</script><b>" not in text


def test_a_revision_leads_back_to_what_made_it(client: TestClient) -> None:
    text = get(client, "/endpoints/risk/revisions/4")
    assert "models/risk" in text and "which no run has made" in text and "scikit-learn" in text
    for number in ("9", "x"):
        assert client.get(f"{SITE}/endpoints/risk/revisions/{number}", headers=HTML).status_code == 404


@pytest.fixture
def made(recorded: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[tuple[TestClient, str, str]]:
    """A client; the run and the digest of what revision 4 of `risk` serves."""
    shutil.copytree(recorded[0], tmp_path / "home")
    run, keeper = recorded[1]["first"], MemoryEndpoints()
    with Server(tmp_path / "home", endpoints=keeper).client() as client:
        rows = client.get(f"/runs/{run}/artifacts").json()["items"]
        digest = next(row["ref"]["digest"] for row in rows if row["ref"]["type"].endswith("Model") or row["ref"].get("inline") is None)
        keeper.put(busy(run=run, digest=digest))
        keeper.put(replace(cold(), endpoint=replace(cold().endpoint, project="theirs")))
        yield client, run, digest


def test_what_a_model_serves_stands_in_its_lineage_and_leads_back(made: tuple[TestClient, str, str]) -> None:
    client, run, digest = made
    origin = bare(get(client, f"/artifacts/{digest}/origin?run={run}"))
    assert "It is served as risk, revision 4 (5 % of its traffic)" in origin
    graph = get(client, f"/artifacts/{digest}/lineage?run={run}")
    assert 'href="/endpoints/risk/revisions/4" data-kind="endpoint"' in graph and "risk, revision 4" in graph
    assert "/endpoints/" not in get(client, f"/artifacts/{digest}/lineage?run={run}&down=0")
    revision = get(client, "/endpoints/risk/revisions/4")
    assert f"/artifacts/{digest}/origin?run={run}" in revision and f'href="/runs/{run}"' in revision
    rest = get(client, "/endpoints/risk", **{"hx-request": "true", "hx-target": "endpoint-rest"})
    assert f'href="/artifacts/{digest}?run={run}">winner</a>' in rest and f'href="/runs/{run}"' in rest


def test_logs_are_those_of_the_replica_that_was_chosen(client: TestClient) -> None:
    assert "risk-3-a1  loaded" in get(client, "/endpoints/risk/logs", **{"hx-request": "true"})
    one = get(client, "/endpoints/risk/logs?replica=risk-4-b1", **{"hx-request": "true"})
    assert "risk-4-b1  ready" in one and "risk-3-a1  ready" not in one


def test_who_may_only_look_is_offered_nothing_to_do(client: TestClient) -> None:
    text = get(client, "/endpoints/risk", LOOKER)
    assert "Share of the traffic" not in text and "act?what" not in text and "tab=try" not in text
    keys = get(client, "/endpoints/risk?tab=keys", RUNNER)
    assert "Add a key" not in keys and "remove-key" not in keys
    assert "Add a key" in get(client, "/endpoints/risk?tab=keys")
    assert "what=delete" not in get(client, "/endpoints/risk?tab=settings", RUNNER)


ACTS = [
    ("traffic", {"w.3": "80", "w.4": "20"}, ("traffic", "risk", ((3, 80.0), (4, 20.0)))),
    ("rollback", {"revision": "2"}, ("rollback", "risk", 2)),
    ("rollback", {}, ("rollback", "risk", 0)),
    ("promote", {"revision": "4"}, ("promote", "risk", 4)),
    ("rollout", {"revision": "2"}, ("rollout", "risk", 2)),
    ("rollout/pause", {"paused": "true"}, ("pause-rollout", "risk", True)),
    ("rollout/pause", {"paused": "false"}, ("pause-rollout", "risk", False)),
    ("shadow", {"revision": "0"}, ("shadow", "risk", 0)),
    ("pause", {"paused": "true"}, ("pause", "risk", True)),
]


@pytest.mark.parametrize(("path", "fields", "done"), ACTS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_done_is_the_keepers(
    client: TestClient, keeper: MemoryEndpoints, server: Server, path: str, fields: dict[str, str], done: tuple[Any, ...]
) -> None:
    answer = post(client, f"risk/{path}", RUNNER, **fields)
    assert answer.status_code == 204, answer.text
    assert "fairway:done" in answer.headers["hx-trigger"]
    assert keeper.done == [(*done, "rob")]
    noted = [line for line in (server.home / "audit.jsonl").read_text().splitlines() if '"rob"' in line]
    assert len(noted) == 1 and f"/endpoints/risk/{path}" in noted[0]


@pytest.mark.parametrize("what", ["rollback", "promote", "rollout", "pause-rollout", "resume-rollout", "shadow", "pause", "resume"])
def test_a_dialog_says_what_will_be_done_and_how_else(client: TestClient, what: str) -> None:
    text = get(client, f"/endpoints/risk/act?what={what}&revision=2", RUNNER, **{"hx-request": "true"})
    assert text.startswith("<dialog") and "fairway " in text and "risk" in text
    assert "<html" in get(client, f"/endpoints/risk/act?what={what}", RUNNER)


WHATS = [
    "rollback&revision=0", "rollback&revision=2", "promote&revision=4", "promote&revision=2", "rollout&revision=2", "pause-rollout",
    "resume-rollout", "shadow&revision=2", "shadow", "pause", "resume", "key", "remove-key&key=app", "delete",
]  # fmt: skip


def test_every_command_that_is_shown_is_one(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schema.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with Server(tmp_path / "empty").client() as beginner:
        texts = [get(beginner, "/endpoints")]
    texts += [get(client, f"/endpoints/risk?tab={tab}") for tab in ("overview", "try", "quality", "keys", "settings")]
    texts += [
        get(client, "/endpoints/churn/act?what=rollout"),
        get(client, "/endpoints/risk/logs"),
        get(client, "/endpoints/churn?tab=keys"),
        get(client, "/endpoints/prices?tab=keys"),
    ]
    texts += [get(client, f"/endpoints/risk/act?what={what}") for what in WHATS]
    found = {html.unescape(one) for text in texts for one in re.findall(r'data-copy="(fairway [^"]+)"', text)}
    assert len(found) > 20
    for line in sorted(found):
        parse(shlex.split(line)[1:])


def parse(words: list[str]) -> None:
    """Raises click's UsageError unless the command line takes these words."""
    command: click.Command = LazyGroup("fairway")
    context = click.Context(command)
    while isinstance(command, click.Group):
        name, inner, words = command.resolve_command(context, words)
        assert inner is not None
        context = inner.make_context(name, words, parent=context)
        command, words = inner, [*context._protected_args, *context.args]


def test_where_there_is_nothing_to_roll_out_one_learns_how(client: TestClient) -> None:
    text = get(client, "/endpoints/churn/act?what=rollout", **{"hx-request": "true"})
    assert "fairway rollout churn winner" in text and "<form" not in text
    assert 'value="4" selected' in get(client, "/endpoints/risk/act?what=rollout", **{"hx-request": "true"})


def test_keys_and_deleting_are_for_admins(client: TestClient, keeper: MemoryEndpoints) -> None:
    for path, fields in (("keys", {"name": "web"}), ("keys/remove", {"confirm": "app"}), ("delete", {"confirm": "risk"})):
        assert post(client, f"risk/{path}", RUNNER, **fields).status_code == 403
    for what in ("key", "remove-key&key=app", "delete"):
        answer = client.get(f"{SITE}/endpoints/risk/act?what={what}", headers={**PART, "Fairway-Token": RUNNER})
        assert answer.status_code == 403
        assert get(client, f"/endpoints/risk/act?what={what}", **{"hx-request": "true"})
    assert keeper.done == []
    made = post(client, "risk/keys", name="web", rate="5", burst="10")
    assert "fk1.web.s3cret" in made.text and made.headers["cache-control"] == "no-store"
    assert keeper.done == [("add-key", "risk", "web", 5.0, 10, "ann")]
    assert "fk1." not in get(client, "/endpoints/risk?tab=keys")
    assert post(client, "risk/keys/remove", confirm="nobody").status_code == 422
    assert post(client, "risk/keys/remove", confirm="app").status_code == 204
    assert post(client, "risk/delete", confirm="rsik").status_code == 422
    assert post(client, "risk/delete", confirm="risk").headers["hx-redirect"] == "/endpoints"
    assert [done[0] for done in keeper.done] == ["add-key", "remove-key", "delete"]


@pytest.mark.parametrize("name", ["", "a b", "ä", "-x", "x" * 64, 'a"b'])
def test_a_key_needs_a_plain_name(client: TestClient, keeper: MemoryEndpoints, name: str) -> None:
    assert post(client, "risk/keys", name=name).status_code == 422
    assert keeper.done == []


def test_a_request_is_sent_for_who_may_run(client: TestClient, keeper: MemoryEndpoints) -> None:
    assert post(client, "risk/try", LOOKER, body="{}").status_code == 403
    answer = post(client, "risk/try", RUNNER, body='{"inputs": [{"age": 41}]}', revision="4")
    assert (answer.json()["status"], answer.json()["id"], answer.json()["revision"], answer.json()["took_ms"]) == (200, "c0ffee", 3, 4.2)
    assert json.loads(answer.json()["body"])["predictions"] == [0.42]
    post(client, "risk/try", RUNNER, body="age\n41\n", kind="csv")
    first, second = keeper.asked
    assert (first.body, first.content_type, first.revision) == (b'{"inputs": [{"age": 41}]}', "application/json", 4)
    assert (second.body, second.content_type) == (b"age\n41\n", "text/csv")


def test_an_answer_that_is_very_long_is_cut(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.answer = replace(keeper.answer, body=b"x" * (300 << 10))
    told = post(client, "risk/try", body="{}").json()
    assert len(told["body"]) == 256 << 10 and told["cut"] == 44 << 10


def test_news_of_an_endpoint_are_for_who_may_see_it(live: Live, server: Server, keeper: MemoryEndpoints) -> None:
    keeper.bus = server.host.bus
    topics = "topic=endpoints&topic=endpoint:risk&topic=endpoint:theirs&topic=endpoint:nobody"

    async def tell(view: EndpointView) -> None:
        keeper.put(view)

    def listen() -> list[Any]:
        headers = {"Fairway-Token": RUNNER, "accept": "text/event-stream"}
        with httpx2.stream("GET", f"{live.url}/live?{topics}", headers=headers, timeout=60) as answer:
            told = (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))
            opened = next(told)
            for name in ("theirs", "risk"):
                live.call(tell(busy(name, project=name if name == "theirs" else "")))
            seen: list[Any] = [opened]
            while "endpoint:risk" not in seen[-1] or len(seen) == 1:
                seen.append(next(told))
        return seen

    with live.serving(server):
        opened, *news = listen()
    assert opened == {"endpoints": 0, "endpoint:risk": 0}
    assert {topic for one in news for topic in one} == {"endpoints", "endpoint:risk"}
    assert news[-1]["endpoint:risk"] == 1


def test_what_the_cluster_does_and_does_not_do_is_said(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.put(replace(busy(), unexposed="the cluster has no Gateway API", scaled_by="the cluster on CPU"))
    assert "the cluster has no Gateway API" in bare(get(client, "/endpoints/risk"))
    assert "scaled by the cluster on CPU: other settings do not count" in bare(get(client, "/endpoints/risk?tab=settings"))
    assert views.tell_scaling(Scaling(1, 4), "the cluster on CPU")[0] == "1 to 4 replicas"


FACETS = (
    DriftFacet(
        "limit", "limit", "number", "psi", 5.96, 0.057, True, "",
        (0.0, 0.5, 0.5), (0.0, 0.1, 0.9), ("null", "up to 3e+04", "above 3e+04"),
    ),
    DriftFacet("job<b>", "job<b>", "category", "linf", 0.01, 0.1, False, "", (0.2, 0.8), (0.3, 0.7), ("null", "admin")),
)  # fmt: skip
MOVED = Alarm(
    "drift:limit:1", "2026-09-21T12:53:20+00:00", "drift", "limit", "error", "`limit` is higher <script>", 5.96, 0.057, "raised", 3
)


def drifting(**more: Any) -> EndpointView:
    seen = busy()
    of = DriftOf(3, True, "", 12_400, 900, 0, 24, 500, 400, NOW - 60, NOW - 900, NOW - 70, FACETS, (MOVED,))
    drift = DriftView((replace(of, **more),), (replace(MOVED, state="cleared", id="x", message="`limit` is as in the baseline"), MOVED))
    return replace(seen, drift=drift, endpoint=replace(seen.endpoint, notify=("https://hooks.example.org/secret",)))


def test_drift_says_what_moved_shows_it_and_who_is_told(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.put(drifting())
    text = get(client, "/endpoints/risk?tab=drift")
    said = bare(text)
    assert "<code>limit</code> is higher &lt;script&gt;" in text and "<script>`" not in text and "job&lt;b&gt;" in text
    assert "12,400 rows, checked" in said and "PSI 5.96, alarm from 0.057" in said and "above 30,000" in said
    assert text.count('class="dr-bars"') == 2 and 'class="moved"' in text
    assert "https://hooks.example.org/…" in text and "secret" not in text.replace("secrets", "")
    assert re.findall(r'src="(/endpoints/risk/drift/\d+)"', text) == ["/endpoints/risk/drift/3"]
    assert "Revision 4 has no baseline" in said, "it takes traffic too"
    assert "raised" in said and "over" in said
    overview = get(client, "/endpoints/risk")
    assert "1 alarm about its traffic <code>limit</code> is higher &lt;script&gt; What moved" in re.sub(
        r"\s+", " ", re.sub(r"<(?!/?code)[^>]+>", " ", overview)
    )
    assert 'href="/endpoints/risk?tab=drift">1 alarm<' in get(client, "/endpoints")
    part = client.get(f"{SITE}/endpoints/risk?tab=drift", headers={**PART, "hx-target": "endpoint-drift"}).text
    assert "dr-found" in part and "<html" not in part and "dr-report" not in part


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"active": ()}, "Nothing moved: the last 500 rows are like the data that the model was trained on."),
        ({"active": (), "windows": 0}, "The first window is filling: 400 of 500 rows."),
        ({"active": (), "rows": 0, "windows": 0}, "No request has been kept yet."),
        ({"active": (), "has_baseline": False, "facets": ()}, "Requests are as the schema says."),
    ],
)
def test_drift_says_where_there_is_none(client: TestClient, keeper: MemoryEndpoints, more: dict[str, Any], says: str) -> None:
    keeper.put(drifting(**more))
    assert says in bare(get(client, "/endpoints/risk?tab=drift"))
    assert "about its traffic" not in get(client, "/endpoints/risk")


def test_without_a_baseline_or_kept_requests_one_learns_what_to_do(client: TestClient, keeper: MemoryEndpoints) -> None:
    seen = busy()
    keeper.put(replace(seen, endpoint=replace(seen.endpoint, capture=replace(seen.endpoint.capture, share=0.0))))
    said = bare(get(client, "/endpoints/risk?tab=drift"))
    assert "Revision 3, 4 has no baseline" in said and "fw.baseline(train)" in said
    assert "No requests are kept" in said and "--capture 1" in said


def test_what_goes_wrong_with_looking_and_telling_is_said(client: TestClient, keeper: MemoryEndpoints) -> None:
    seen = drifting()
    keeper.put(replace(seen, drift=replace(seen.drift, error="numpy is not installed", waiting=2, problem="hook: it is closed")))
    said = bare(get(client, "/endpoints/risk?tab=drift"))
    assert "numpy is not installed" in said and "2 alarms wait to be told" in said and "hook: it is closed" in said


def test_the_report_is_a_document_of_its_own_that_reaches_nothing(client: TestClient, server: Server, keeper: MemoryEndpoints) -> None:
    keeper.put(drifting())
    url = f"{SITE}/endpoints/risk/drift/3"
    assert client.get(url, headers=HTML).status_code == 404, "none yet"
    server.services.artifacts.put("watch/risk.3.html", b"<!doctype html><h1>Report</h1>")
    answer = client.get(url, headers=HTML)
    policy = answer.headers["content-security-policy"]
    assert answer.text == "<!doctype html><h1>Report</h1>" and answer.headers["content-type"].startswith("text/html")
    assert (
        policy.startswith("sandbox allow-scripts; default-src 'none'")
        and "connect-src 'none'" in policy
        and "allow-same-origin" not in policy
    )
    for path in ("/endpoints/risk/drift/4", "/endpoints/risk/drift/x", "/endpoints/nobody/drift/3"):
        assert client.get(f"{SITE}{path}", headers=HTML).status_code == 404, path
    server.services.artifacts.put("watch/theirs.3.html", b"theirs")
    keeper.put(replace(drifting(), endpoint=replace(drifting().endpoint, name="theirs", project="theirs")))
    assert client.get(f"{SITE}/endpoints/theirs/drift/3", headers={**HTML, "Fairway-Token": LOOKER}).status_code == 404


def test_metrics_name_columns_to_who_may_see_them_and_count_for_all(client: TestClient, keeper: MemoryEndpoints) -> None:
    keeper.put(drifting())
    named = client.get(f"{SITE}/metrics", headers={"Fairway-Token": LOOKER}).text
    assert 'fairway_drift_value{endpoint="risk",revision="3",column="limit",measure="psi"} 5.96' in named
    assert 'fairway_drift_threshold{endpoint="risk",revision="3",column="limit",measure="psi"} 0.057' in named
    assert 'fairway_drift_alarm{endpoint="risk",revision="3",column="limit",kind="drift"} 1' in named
    assert 'fairway_drift_alarm{endpoint="risk",revision="3",column="job<b>",kind="drift"} 0' in named
    client.headers.pop("Fairway-Token", None)
    client.cookies.clear()
    plain = client.get(f"{SITE}/metrics").text
    assert "fairway_drift_alarms 1" in plain and "limit" not in plain and "risk" not in plain
