"""A run's page: its head, its views, the tasks of a mapped step; for those who may see it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.graph import Axis, Expr, Graph, Node, Port, StepDef
from fairway.web.identity import Identity
from fairway.web.pages import run as run_page
from fairway.web.pages import runparts
from fairway.web.pages.run import VIEWS
from tests.web.recorded import Journals
from tests.web.rig import Server, started

HTML = {"accept": "text/html"}
API = "http://server/api/v1"
RUN = "20260101-000000-aaaaa"


def part(target: str) -> dict[str, str]:
    """Headers with which the page asks for a part of it."""
    return {**HTML, "hx-request": "true", "hx-target": target}


@pytest.fixture(scope="module")
def runs(
    recorded: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory, lasting_journals: Journals
) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A client of a server with recorded runs that have ended."""
    home, ids = recorded
    copy = tmp_path_factory.mktemp("run") / "home"
    shutil.copytree(home, copy)
    with Server(copy, lasting_journals(copy)).client() as client:
        client.base_url = "http://server"
        yield client, ids


def get(client: TestClient, path: str, headers: dict[str, str] = HTML, status: int = 200) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == status, response.text[:2000]
    return response.text


def test_head_says_what_became_of_it(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    page = get(client, f"/runs/{ids['first']}")
    assert "<h1>nightly</h1>" in page
    assert 'data-state="succeeded"' in page
    assert f'data-copy="{ids["first"]}"' in page
    assert "6 of 6" in page
    assert 'href="/runs?q=tag%3Agold"' in page
    assert 'title="parameter rows = 5"' in page
    for name in ("scores", "table", "page"):
        assert f'title="result {name}"' in page
    assert re.search(r'href="/artifacts/[0-9a-f]{64}\?run=', page)
    assert "run-cause" not in page


def test_cause_stands_above_all_and_leads_to_the_task(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    page = get(client, f"/runs/{ids['failed']}")
    head = page[page.index("run-cause") :]
    assert 'data-task-link="broken"' in head
    assert "<strong>ValueError</strong>: <span" in head
    assert "no such luck" in head


def test_views_are_in_the_address(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    base = f"/runs/{ids['first']}"
    shown = {view: re.findall(r'id="run-(graph|timeline|steps)"[^>]*?( hidden)?>', get(client, f"{base}?view={view}")) for view in VIEWS}
    for view, sections in shown.items():
        assert [name for name, hidden in sections if not hidden] == [view]
    assert get(client, f"{base}?view=nonsense").count('data-view="graph"') == 1
    assert f'href="{base}/graph.json"' in get(client, base), "the script's first fetch is begun by the page itself"


def test_steps_are_the_graph_as_a_list(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    page = get(client, f"/runs/{ids['first']}?view=steps")
    names = re.findall(r'data-task-link="([^"]+)">', page[page.index("<tbody>") : page.index("</tbody>")])
    assert names == [node["id"] for node in client.get(f"/runs/{ids['first']}/graph.json").json()["nodes"]]
    assert "3/3" in page
    assert "Numbers to learn from." in page


def test_what_a_step_made_is_listed_below_it() -> None:
    nodes = [
        ("load", ""),
        ("clean.a", "clean"),
        ("refine", ""),
        ("clean.b", "clean"),
        ("end", ""),
        ("refine/score", "refine/"),
        ("refine/refine", "refine/"),
    ]
    groups = [("clean", "", "pipeline"), ("refine/", "", "dynamic"), ("refine/refine/", "refine/", "dynamic")]
    data = {
        "nodes": [{"id": id, "label": id, "group": group, "kind": "python", "status": "succeeded", "counts": {}} for id, group in nodes],
        "groups": [{"id": id, "label": id, "parent": parent, "kind": kind, "status": "succeeded"} for id, parent, kind in groups],
    }
    assert [(row.id, row.depth) for row in runparts.list_rows(data)] == [
        ("load", 0),
        ("clean", 0),
        ("clean.a", 1),
        ("clean.b", 1),
        ("refine", 0),
        ("refine/", 0),
        ("refine/score", 1),
        ("refine/refine", 1),
        ("end", 0),
    ]


def test_parts_are_fetched_by_themselves(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    base = f"/runs/{ids['first']}"
    head = get(client, base, part("run-head"))
    assert "<h1>nightly</h1>" in head
    assert "<html" not in head
    assert "<tbody>" not in head
    steps = get(client, f"{base}?view=steps", part("run-steps"))
    assert steps.count("<tbody>") == 1
    assert "<h1>" not in steps


def test_panel_asks_for_a_task_or_for_the_tasks_of_a_step(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    base = f"/runs/{ids['first']}"
    assert f'hx-get="{base}/items?step=train"' in get(client, f"{base}?task=train")
    assert f'hx-get="{base}/task?task=train%5B1%5D&amp;tab=code"' in get(client, f"{base}?task=train%5B1%5D&tab=code")
    assert f'hx-get="{base}/task?task=load"' in get(client, f"{base}?task=load")
    assert 'id="run-panel" role="complementary" aria-label="Task" hidden' in get(client, base)


def test_odd_addresses_are_escaped(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    page = get(client, f"/runs/{ids['first']}?task=%3Cscript%3Ealert(1)%3C/script%3E%22")
    assert "<script>alert" not in page
    assert "%3Cscript%3Ealert%281%29" in page


def test_data_of_the_views_is_sent_once_for_each_change(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    for name in ("graph", "timeline"):
        first = client.get(f"/runs/{ids['first']}/{name}.json")
        assert first.status_code == 200
        assert first.json()["run"] == ids["first"]
        again = client.get(f"/runs/{ids['first']}/{name}.json", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
        assert not again.content


def test_run_is_found_by_the_end_of_its_id_and_by_its_name(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    for short in (ids["first"].rpartition("-")[2], "nightly"):
        response = client.get(f"/runs/{short}", headers=HTML, follow_redirects=False)
        assert response.status_code == 303
        assert response.headers["location"] == f"/runs/{ids['first']}"


def test_runs_of_other_projects_are_not_found(recorded: tuple[Path, dict[str, str]], tmp_path: Path, journals: Journals) -> None:
    home, ids = recorded
    shutil.copytree(home, tmp_path / "home")
    server = Server(tmp_path / "home", journals(tmp_path / "home"))
    server.users.by_token["u2.bob.secret"] = Identity("bob", "admin", ("elsewhere",))
    with server.client("u2.bob.secret") as client:
        for name in (ids["first"], ids["first"].rpartition("-")[2], "nightly"):
            for path in ("", "/graph.json", "/timeline.json", "/items?step=train"):
                response = client.get(f"http://server/runs/{name}{path}", headers=HTML, follow_redirects=False)
                assert response.status_code == 404
                assert "there is no run" in response.text


@pytest.mark.parametrize("path", ["/runs/nosuch", "/runs/nosuch/graph.json", "/runs/nosuch/timeline.json", "/runs/nosuch/items?step=a"])
def test_no_such_run(runs: tuple[TestClient, dict[str, str]], path: str) -> None:
    client, _ = runs
    assert "nosuch" in get(client, path, status=404)


def test_scripts_are_fetched_side_by_side(runs: tuple[TestClient, dict[str, str]]) -> None:
    """What a module imports is asked for with the page, not when the module has come."""
    client, ids = runs
    page = get(client, f"/runs/{ids['first']}")
    named = set(re.findall(r'href="(/static/[^"]+\.js)"', page))
    wanted, seen = [re.search(r'src="(/static/[^"]+/js/)run\.js"', page)[1] + "graph.js"], set[str]()  # type: ignore[index]
    while wanted:
        url = wanted.pop()
        seen.add(url)
        found = [f"{url.rpartition('/')[0]}/{name}" for name in re.findall(r'from "\./([^"]+)"', client.get(url).text)]
        wanted += [one for one in found if one not in seen]
    assert seen <= named


def test_no_such_step(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    for step in ("nosuch", "a/b", "load", ""):
        assert "has no step" in get(client, f"/runs/{ids['first']}/items?step={step}", status=404)
    get(client, f"/runs/{ids['first']}/items?step=train&after=-1", status=422)


def test_items_of_a_step(runs: tuple[TestClient, dict[str, str]]) -> None:
    client, ids = runs
    page = get(client, f"/runs/{ids['first']}/items?step=train")
    assert re.findall(r'data-task-link="([^"]+)"', page) == ["train[0]", "train[1]", "train[2]"]
    assert '<path data-state="succeeded" d="M0 0h30v10h-30z"/>' in page, "three cells beside each other"
    assert 'aria-label="3 succeeded"' in page


def mapped(count: int) -> Graph:
    """A step over `count` constants."""
    listed = Expr("list", args=tuple(Expr("const", value=n) for n in range(count)))
    steps = {"one": StepDef("one", module="flow", qualname="one", code="c0de", inputs=(Port("n"),))}
    return Graph("wide", steps=steps, nodes=(Node("one", "one", {"n": Expr("item", "a")}, axes=("a",)),), axes={"a": Axis("a", (listed,))})


@pytest.fixture
def server(tmp_path: Path, journals: Journals) -> Server:
    return Server(tmp_path, journals(tmp_path))


def start(client: TestClient, run: str, **changes: Any) -> None:
    response = client.post(f"{API}/runs", json=started(run, **changes))
    assert response.status_code == 201, response.text


def test_page_of_a_run_that_goes_on(server: Server) -> None:
    with server.client() as client:
        start(client, RUN)
        client.portal.call(server.executor.submitted)  # type: ignore[union-attr]
        page = get(client, f"http://server/runs/{RUN}")
        assert "Runs for" in page
        assert "data-since=" in page
        head = client.get(f"{API}/runs/{RUN}").json()["head"]
        assert f'data-live="run:{RUN}" data-stand="{head}"' in page, "so that what happens until the page listens is not missed"
        graph_before = client.get(f"http://server/runs/{RUN}/graph.json")
        assert [node["status"] for node in graph_before.json()["nodes"]] == ["running", "waiting"]
        server.executor.free = True
        for id in list(server.executor.specs):
            client.portal.call(server.executor.end, id)  # type: ignore[union-attr]
        after = until_ended(client, RUN)
        assert [node["status"] for node in after["nodes"]] == ["succeeded", "succeeded"]
        assert after["digest"] == graph_before.json()["digest"], "the same shape, so nothing is laid out anew"
        assert "data-since=" not in get(client, f"http://server/runs/{RUN}")


def until_ended(client: TestClient, run: str) -> Any:
    """graph.json when the run has ended; it ends by itself."""
    with client.stream("GET", f"{API}/runs/{run}/events", headers={"accept": "text/event-stream"}) as stream:
        for line in stream.iter_lines():
            if "RunEnded" in line:
                break
    return client.get(f"http://server/runs/{run}/graph.json").json()


def test_many_tasks_are_a_bounded_page(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runparts, "MOST_CELLS", 40)
    server.executor.free = True
    with server.client() as client:
        start(client, RUN, graph=mapped(130))
        until_ended(client, RUN)
        page = get(client, f"http://server/runs/{RUN}/items?step=one")
        assert 'data-each="4"' in page
        assert '<path data-state="succeeded" d="M0 0h330v10h-330z"/>' in page, "130 tasks in 33 cells of four"
        assert len(re.findall(r'data-task-link="one', page)) == 50
        following = re.search(r'id="run-more"[^>]*><button[^>]*hx-get="([^"]+)"', page)
        assert following is not None
        more = get(client, "http://server" + following[1].replace("&amp;", "&"), part("run-more"))
        assert re.findall(r'data-task-link="(one[^"]+)"', more)[0] == "one[50]"
        assert '<svg class="strip' not in more
        last = get(client, f"http://server/runs/{RUN}/items?step=one&after=100&status=succeeded", part("run-more"))
        assert re.findall(r'data-task-link="(one[^"]+)"', last)[-1] == "one[129]"
        assert "run-more" not in last


def test_a_very_long_run_is_shown_at_once_and_asks_for_the_rest(
    tmp_path: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page, "FIRST_WORD_S", 0.05)
    server = Server(tmp_path / "home", journals(tmp_path / "home"))
    server.executor.free = True
    with server.client() as client:
        start(client, RUN, graph=mapped(30))
        until_ended(client, RUN)
    server = Server(tmp_path / "home", journals(tmp_path / "home"))  # which has not read it yet
    gate, read = threading.Event(), server.services.journal.read_text

    async def gated(run: str, after: int = 0, limit_bytes: int = 0) -> Any:
        assert gate.wait(60)
        return await read(run, after, limit_bytes)

    server.services.journal.read_text = gated  # type: ignore[method-assign]
    with server.client() as client:
        first = get(client, f"http://server/runs/{RUN}")
        assert 'hx-trigger="live, load"' in first
        assert 'data-state="succeeded"' in first
        gate.set()
        monkeypatch.setattr(run_page, "FIRST_WORD_S", 60.0)
        assert "30 of 30" in get(client, f"http://server/runs/{RUN}", part("run-head"))
        assert 'hx-trigger="live, load"' not in get(client, f"http://server/runs/{RUN}")
