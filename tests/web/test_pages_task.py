"""The panel of a task and what is done to a run, over really recorded runs and over one that is held."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.engine.client import Run
from fairway.engine.project import Project
from fairway.engine.story import AttemptStory
from fairway.engine.workspace import Workspace
from fairway.spec.outcome import ErrorInfo, Frame, Usage
from fairway.spec.resources import Resources
from fairway.step.folder import FolderStreamStore
from fairway.web.identity import Identity
from fairway.web.pages.actions import split_tags
from fairway.web.stepcode import colour_python, find_lines
from fairway.web.taskview import headline, own_frames, short_file, spell_command, view_attempt
from fairway.web.usage import judge_memory, read_usage, spell_usage
from tests.apart import forgotten_settings
from tests.cli.project import Project as Folder
from tests.web.recorded import Journals
from tests.web.rig import TOKEN, Server, started

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"
RUN = "20261128-081503-abcde"


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


def panel(client: TestClient, run: str, task: str, **query: str) -> str:
    """The panel as a part of the run's page, in plain text and tags."""
    answer = client.get(f"{SITE}/runs/{run}/task", params={"task": task, **query}, headers=PART)
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


def words(text: str) -> str:
    """What is to be read of HTML."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def attempt_of(home: Path, run: str, task: str) -> str:
    workspace = Workspace(Project(str(home), "", str(home), str(home / "fairway.db")))
    return Run(workspace, run).tasks.match(task)[0].attempts[-1]


# --- the panel


def test_a_failure_is_told_in_a_line_with_the_own_lines_that_raised(client: TestClient, ids: dict[str, str]) -> None:
    text = panel(client, ids["failed"], "broken")
    assert 'role="alert"' in text
    assert "ValueError: no such luck" in words(text)
    frame = re.search(r'<li class="frame">(.*?)</li>', text, re.S)
    assert frame is not None
    assert re.search(r"recorded_flow\.py:\d+ in broken", words(frame[1]))
    assert 'raise ValueError("no such luck")' in words(frame[1])
    assert "Traceback (most recent call last)" in text
    assert f"fairway rerun {ids['failed']} broken --pdb" in text


def test_by_itself_it_is_a_page(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/runs/{ids['failed']}/task?task=broken", headers=HTML).text
    assert text.startswith("\n<!doctype html>") or "<!doctype html>" in text[:200]
    assert f'href="/runs/{ids["failed"]}?task=broken"' in text


def test_the_part_that_has_news_is_fetched_alone(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/runs/{ids['failed']}/task?task=broken", headers={**PART, "hx-target": "task-state"}).text
    assert "ValueError" in text
    assert "task-tabs" not in text


def test_a_task_from_the_cache_names_the_run_that_made_it(client: TestClient, ids: dict[str, str]) -> None:
    text = panel(client, ids["second"], "train[0]")
    assert f"/runs/{ids['first']}?task=train%5B0%5D" in text
    assert "Its result was there already" in text
    assert f"run {ids['first']} made it" in words(text)  # its first tab is what the cache says


def test_a_mapped_step_leads_to_its_tasks(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.get(f"{SITE}/runs/{ids['first']}/task?task=train", headers=PART, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/runs/{ids['first']}/items?step=train"


def test_a_task_that_is_not_there_is_not_found(client: TestClient, ids: dict[str, str]) -> None:
    for run, task in ((ids["first"], "nobody"), (ids["first"], "train[77]"), ("nothing", "train")):
        assert client.get(f"{SITE}/runs/{run}/task", params={"task": task}, headers=PART).status_code == 404


def test_what_nobody_can_have_typed_does_no_harm(client: TestClient, ids: dict[str, str]) -> None:
    text = client.get(
        f"{SITE}/runs/{ids['first']}/task", params={"task": "load", "tab": "<b>", "attempt": "<i>", "line": '"><b>'}, headers=HTML
    ).text
    assert "<b>" not in text
    assert "<i>" not in text


def test_inputs_and_outputs_have_their_values_and_where_they_come_from(client: TestClient, ids: dict[str, str]) -> None:
    text = panel(client, ids["first"], "train[1]", tab="io")
    outputs, inputs = text.split("Inputs<")
    assert "an item of the list" in inputs
    assert 'data-task-link="load"' in inputs
    assert re.search(r'class="io-value value">4<', inputs)
    assert re.search(r'class="io-value value">0.4<', outputs)
    table = panel(client, ids["first"], "report", tab="io")
    assert re.search(r'hx-get="/artifacts/[0-9a-f]{64}/preview\?run=[^"]+" hx-trigger="revealed"', table)


def test_metrics_are_curves_with_their_last_values(client: TestClient, home: Path, ids: dict[str, str]) -> None:
    text = panel(client, ids["first"], "train[0]", tab="metrics")
    assert 'data-metric="loss"' in text
    assert "1.961" in text
    attempt = attempt_of(home, ids["first"], "train[0]")
    found = client.get(f"{SITE}/runs/{ids['first']}/attempts/{attempt}/curves.json?points=10").json()
    (curve,) = found["items"]
    assert curve["metric"] == "loss"
    assert curve["count"] == 50
    assert len(curve["points"]) <= 10
    assert curve["points"][0] == [0.0, 50.0]
    by_time = client.get(f"{SITE}/runs/{ids['first']}/attempts/{attempt}/curves.json?by=time").json()
    assert by_time["items"][0]["points"][0][0] == 0.0


def test_the_code_is_shown_as_it_was(client: TestClient, ids: dict[str, str]) -> None:
    text = panel(client, ids["first"], "load", tab="code")
    assert re.search(r"recorded_flow\.py:\d+–\d+", text)
    assert '<span class="code-k">def</span> <span class="code-d">load</span>' in text
    assert '<span class="code-s">"""Numbers to learn from."""</span>' in text
    assert "Python" in text


def test_the_line_that_raised_is_marked_in_the_code(client: TestClient, ids: dict[str, str]) -> None:
    text = panel(client, ids["failed"], "broken", tab="code")
    marked = re.findall(r'<span class="source-line is-marked">.*?<span class="source-t">(.*?)</span></span>', text)
    assert any("raise" in line for line in marked)


def test_the_cache_is_explained(client: TestClient, ids: dict[str, str]) -> None:
    text = words(panel(client, ids["second"], "train[1]", tab="cache"))
    assert "input depth changed" in text
    assert f"of {ids['first']}" in text
    assert f"fairway why {ids['second']} 'train[1]'" in text


def test_a_waiting_task_says_for_what(server: Server, client: TestClient) -> None:
    assert client.post("/runs", json=started(RUN)).status_code == 201
    client.portal.call(server.executor.submitted)  # type: ignore[union-attr]
    text = panel(client, RUN, "train")
    assert "Waits for load" in words(text)
    assert 'data-task-link="load"' in text
    running = panel(client, RUN, "load")
    assert 'data-state="running"' in running or 'data-state="waiting"' in running


# --- logs


def test_the_log_is_sent_by_ranges_and_as_a_file(client: TestClient, home: Path, ids: dict[str, str]) -> None:
    attempt = attempt_of(home, ids["first"], "load")
    url = f"{SITE}/runs/{ids['first']}/log?attempt={attempt}"
    whole = client.get(url)
    assert whole.text.endswith("loading 5 rows\n")
    part = client.get(url, headers={"range": "bytes=-5"})
    assert (part.status_code, part.text) == (206, "rows\n")
    assert part.headers["x-stream-size"] == str(len(whole.content))
    assert client.get(url, headers={"range": "bytes=99999-"}).status_code == 416
    assert "attachment" in client.get(f"{url}&download=true").headers["content-disposition"]


def test_the_end_of_a_log_is_in_the_page(client: TestClient, home: Path, ids: dict[str, str]) -> None:
    text = client.get(f"{SITE}/runs/{ids['first']}/task?task=load", headers=HTML).text
    assert re.search(r'data-tail="[^"]*Z loading 5 rows\n"', text)
    make_log(home, ids["first"], "driver", "".join(f"line {n} of <b>\r\n" for n in range(5000)))
    text = client.get(f"{SITE}/runs/{ids['first']}/driver", headers=HTML).text
    tail = re.search(r'data-tail="([^"]*)"', text)
    assert tail is not None
    assert re.fullmatch(r"(line \d+ of &lt;b&gt;&#13;\n)+", tail[1])
    assert "line 4999" in tail[1]
    assert len(tail[1]) < 40_000
    FolderStreamStore(home / "streams").append(f"{ids['first']}/driver/log", b"\xff\n")
    assert 'data-tail=""' in client.get(f"{SITE}/runs/{ids['first']}/driver", headers=HTML).text


def make_log(home: Path, run: str, attempt: str, text: str) -> None:
    FolderStreamStore(home / "streams").append(f"{run}/{attempt}/log", text.encode())


def search(client: TestClient, run: str, **query: Any) -> tuple[list[list[int]], dict[str, Any]]:
    answer = client.get(f"{SITE}/runs/{run}/log/search", params=query)
    assert answer.status_code == 200, answer.text
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [one.get("done", False) for one in told] == [False] * (len(told) - 1) + [True]
    return [hit for one in told for hit in one["hits"]], told[-1]


@pytest.mark.parametrize("regex", [False, True])
def test_a_log_is_searched_and_lines_are_found(client: TestClient, home: Path, ids: dict[str, str], regex: bool) -> None:
    run = ids["first"]
    make_log(home, run, "driver", "".join(f"row {n}\n" for n in range(5000)))
    hits, last = search(client, run, attempt="driver", q="row 77", regex=regex)
    assert [line for line, _, _ in hits] == [78, *range(771, 781)]
    assert (last["line"], last["more"], last["wrong"]) == (5001, False, "")
    place = client.get(f"{SITE}/runs/{run}/log/line", params={"attempt": "driver", "line": 78}).json()
    assert place == {"line": 78, "offset": hits[0][1], "lines": 5000, "size": last["offset"]}
    back = client.get(f"{SITE}/runs/{run}/log/line", params={"attempt": "driver", "offset": hits[0][2] + 2}).json()
    assert back["line"] == 78
    make_log(home, run, "driver", "row 77 again\n")
    hits, _ = search(client, run, attempt="driver", q="row 77", regex=regex, offset=last["offset"], line=last["line"])
    assert [line for line, _, _ in hits] == [5001]


def test_a_search_stops_when_it_has_found_enough(client: TestClient, home: Path, ids: dict[str, str]) -> None:
    make_log(home, ids["first"], "driver", "row\n" * 30_000)
    hits, last = search(client, ids["first"], attempt="driver", q="row")
    assert len(hits) == 10_000
    assert last["more"]


def test_an_expression_that_is_none_is_refused(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.get(f"{SITE}/runs/{ids['first']}/log/search", params={"attempt": "driver", "q": "(", "regex": True})
    assert answer.status_code == 422
    assert "not a regular expression" in answer.json()["detail"]


def test_a_log_of_another_run_is_not_reached(client: TestClient, ids: dict[str, str]) -> None:
    for attempt in ("../x", "a/b", "..", ""):
        for path in ("log", "log/line", "log/search"):
            answer = client.get(f"{SITE}/runs/{ids['first']}/{path}", params={"attempt": attempt, "q": "x"})
            assert answer.status_code in (404, 422) or not answer.content, (attempt, path)


# --- what is done to a run


def post(client: TestClient, run: str, what: str, **form: str) -> Any:
    return client.post(f"{SITE}/runs/{run}/{what}", data=form, headers=PART, follow_redirects=False)


def test_each_dialog_says_the_command(client: TestClient, ids: dict[str, str]) -> None:
    run = ids["failed"]
    shown = {what: panel_of(client, run, what) for what in ("cancel", "resume", "rerun", "label", "more", "delete")}
    assert f"fairway cancel {run}" in shown["cancel"]
    assert f"fairway resume {run} --recorded" in shown["resume"]
    assert f"fairway archive {run}" in shown["more"]
    assert f"fairway note {run} 'first try'" in shown["label"]
    assert all(text.startswith("<dialog") for text in shown.values())
    assert "<html" in client.get(f"{SITE}/runs/{run}/act?what=cancel", headers=HTML).text


def panel_of(client: TestClient, run: str, what: str) -> str:
    return html.unescape(client.get(f"{SITE}/runs/{run}/act?what={what}", headers=PART).text)


def test_a_run_is_stopped_and_resumed(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    client.portal.call(server.executor.submitted)  # type: ignore[union-attr]
    answer = post(client, RUN, "cancel", reason="wrong data")
    assert answer.status_code == 204
    assert json.loads(answer.headers["hx-trigger"]) == {"fairway:done": {"text": "The run is being stopped"}}
    wait_for(server, client, "cancelled")
    server.executor.free = True
    assert post(client, RUN, "resume").status_code == 204
    wait_for(server, client, "succeeded")
    refused = post(client, RUN, "resume")
    assert refused.status_code == 409
    assert "nothing to go on with" in refused.text


def test_a_run_is_run_again(server: Server, client: TestClient) -> None:
    server.executor.free = True
    client.post("/runs", json=started(RUN))
    wait_for(server, client, "succeeded")
    answer = post(client, RUN, "rerun", name="once more", cache="true")
    run = answer.headers["hx-redirect"].removeprefix("/runs/")
    summary = client.get(f"/runs/{run}/summary").json()
    assert (summary["name"], summary["triggered_by"]) == ("once more", f"rerun of {RUN}")


def test_tags_note_and_archive_mark_are_kept(client: TestClient, ids: dict[str, str]) -> None:
    run = ids["first"]
    assert post(client, run, "label", tags="gold, best  best", note="of the paper").status_code == 204
    summary = client.get(f"/runs/{run}/summary").json()
    assert (summary["tags"], summary["note"], summary["archived"]) == (["gold", "best"], "of the paper", False)
    post(client, run, "label", tags="best", note="of the paper")
    assert client.get(f"/runs/{run}/summary").json()["tags"] == ["best"]
    post(client, run, "label", archived="true")
    summary = client.get(f"/runs/{run}/summary").json()
    assert (summary["tags"], summary["note"], summary["archived"]) == (["best"], "of the paper", True)


def test_a_run_is_deleted_only_when_it_is_named_once_more(client: TestClient, ids: dict[str, str]) -> None:
    run = ids["second"]
    assert post(client, run, "delete", confirm="").status_code == 422
    assert client.get(f"/runs/{run}").status_code == 200
    answer = post(client, run, "delete", confirm=run)
    assert answer.headers["hx-redirect"] == "/runs"
    assert client.get(f"/runs/{run}").status_code == 404


def test_without_scripts_a_form_leads_back_to_the_run(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.post(f"{SITE}/runs/{ids['first']}/label", data={"note": "x"}, headers=HTML, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{ids['first']}")


def test_buttons_are_for_those_who_may_use_them(server: Server, ids: dict[str, str]) -> None:
    server.users.by_token |= {"u1.vic.secret": Identity("vic", "view"), "u1.rob.secret": Identity("rob", "run")}
    with server.client() as client:
        page = f"{SITE}/runs/{ids['failed']}"
        for token, resume, delete in ((TOKEN, True, True), ("u1.rob.secret", True, False), ("u1.vic.secret", False, False)):
            headers = {**HTML, "fairway-token": token}
            assert ('data-act="resume"' in client.get(page, headers=headers).text) is resume
            more = client.get(f"{page}/act?what=more", headers={**PART, "fairway-token": token})
            assert ("what=delete" in more.text) is delete


def wait_for(server: Server, client: TestClient, status: str) -> None:
    """Until nobody drives the run any more; it has ended so then."""

    async def wait() -> None:
        with server.host.bus.listen(RUN) as bell:
            while RUN in server.host.driven:
                await asyncio.wait_for(bell.wait(5), 20)

    client.portal.call(wait)  # type: ignore[union-attr]
    assert client.get(f"/runs/{RUN}/summary").json()["status"] == status


# --- pure parts


def story(**changes: Any) -> AttemptStory:
    given: dict[str, Any] = {
        "id": "a1", "n": 1, "status": "running", "phase": "running", "reason": "", "planned_at": 10.0, "observed": (), "usage": None,
        "metrics": {}, "worker": "", "error": None,
    }  # fmt: skip
    return AttemptStory(**{**given, **changes})


def test_an_attempts_time_is_told_by_what_it_did() -> None:
    usage = Usage(queued_at=10, started_at=12, running_at=13, writing_at=20, ended_at=21, host="n1")
    view = view_attempt(story(usage=usage, status="succeeded", phase="ended"), ended=True)
    assert [(p.name, p.since, p.until) for p in view.phases] == [
        ("waiting", 10.0, 12), ("starting", 12, 13), ("running", 13, 20), ("writing", 20, 21),
    ]  # fmt: skip
    assert (view.began_at, view.ended_at, view.running_s, view.host) == (10.0, 21, 7, "n1")
    live = view_attempt(story(observed=((11.0, "starting", "pulls"), (14.0, "running", ""))), ended=False)
    assert [(p.name, p.since, p.until) for p in live.phases] == [("waiting", 10.0, 11.0), ("starting", 11.0, 14.0), ("running", 14.0, 0.0)]
    waits = view_attempt(story(status="queued", phase="queued", reason="no room"), ended=False)
    assert (waits.status, waits.waits, waits.ended_at) == ("waiting", "no room", 0.0)


@given(st.lists(st.floats(0, 1e6), min_size=5, max_size=5))
def test_no_part_of_an_attempts_time_is_negative(times: list[float]) -> None:
    planned, began, running, writing, ended = times
    usage = Usage(started_at=began, running_at=running, writing_at=writing, ended_at=ended)
    view = view_attempt(story(planned_at=planned, usage=usage), ended=True)
    assert all(phase.until >= phase.since for phase in view.phases if phase.until)


def test_an_error_in_a_line() -> None:
    assert headline(ErrorInfo("KeyError", "FW-TASK-FAILED", "'x'")) == "KeyError: 'x'"
    assert headline(ErrorInfo("oom", "FW-TASK-OOM", "killed for memory")) == "killed for memory"
    frames = (Frame("/a.py", 1, "main", own=True), Frame("/lib.py", 2, "call"), Frame("/b.py", 3, "inner", own=True))
    assert [frame.line for frame in own_frames(ErrorInfo("X", "C", "m", frames=frames))] == [3, 1]
    assert short_file("/h/.fairway/bundles/abc/pkg/a.py") == "pkg/a.py"
    assert short_file("/p/pkg/a.py", ("/p",)) == "pkg/a.py"
    assert spell_command("why", "r1", "train[0]", "--on", "campus") == "fairway why r1 'train[0]' --on campus"


def test_memory_is_judged_by_what_was_asked() -> None:
    asked = 2_000_000_000
    kinds = [judge_memory(int(share * asked), asked).kind for share in (0.1, 0.5, 0.89, 0.9, 0.999, 1.0, 1.5)]
    assert kinds == ["plenty", "", "", "near", "near", "over", "over"]
    assert judge_memory(5, 0).kind == judge_memory(0, asked).kind == ""


def test_samples_become_memory_and_busy_cores(tmp_path: Path) -> None:
    streams = FolderStreamStore(tmp_path)
    streams.append("r/a/samples", b"[100.0,1000,0.0]\n[101.0,5000,0.5]\nbroken\n[103.0,2000,4.5]\n[104.0,1")
    series = read_usage(streams, "r", "a")
    told = spell_usage(series, Resources(cpu=2, memory_bytes=8000), Usage(peak_memory_bytes=6000))
    assert told == {
        "memory": [(0.0, 1000.0), (1.0, 5000.0), (3.0, 2000.0)],
        "cpu": [(1.0, 0.5), (3.0, 2.0)],
        "asked": {"memory": 8000, "cpu": 2},
        "peak": 6000,
    }
    assert read_usage(streams, "r", "none").samples == 0


CODE = ("def f(x):", "    return 'a' # b", '"""', "if True:", "<b>&", "\tx = 1", "class A:", "'''", "@dec", "é = f'{x}'")


@given(st.lists(st.sampled_from(CODE), max_size=12))
def test_colouring_loses_nothing(made: list[str]) -> None:
    lines = colour_python("\n".join(made))
    assert [html.unescape(re.sub(r"</?span[^>]*>", "", line)) for line in lines] == (made or [""])


def test_a_functions_lines_have_its_decorators() -> None:
    function = "@x.a\n@x.b(\n    1)\ndef f():\n    def inner():\n        pass\n    return 1\n"
    text = f"import x\n\n{function}\nif x:\n    class A:\n        def g(self):\n            pass\n"
    assert find_lines(text, "f") == (3, 9)
    assert find_lines(text, "A.g") == (13, 14)
    assert find_lines(text, "nobody") == (0, 0)
    assert find_lines("def (", "f") == (0, 0)


def test_tags_are_words() -> None:
    assert split_tags(" a, b  a\tc ") == ("a", "b", "c")
    assert split_tags("") == ()


TRIED_AGAIN = """
import fairway as fw

@fw.step(retries=1, cpu=0.1)
def one(n: int) -> int:
    if n == 2 and fw.context().n == 1:
        raise OSError(f"the disk of {n} is away")
    return n

@fw.pipeline
def flow():
    return one(fw.each([1, 2, 3]))
"""


def test_why_one_task_of_many_was_tried_again_is_said_in_the_list_and_on_its_page(tmp_path: Path) -> None:
    project = Folder(tmp_path)
    project.write("flow.py", TRIED_AGAIN)
    with forgotten_settings():
        run = project.run()
    with Server(tmp_path / ".fairway").client() as client:
        rows = words(client.get(f"{SITE}/runs/{run.id}/items", params={"step": "one"}, headers=PART).text)
        page = words(client.get(f"{SITE}/runs/{run.id}/task", params={"task": "one[1]"}, headers=PART).text)
        other = words(client.get(f"{SITE}/runs/{run.id}/task", params={"task": "one[0]"}, headers=PART).text)
    assert re.search(r"one\[0\] +\d.* one\[1\] tried again: the disk of 2 is away 2 attempts .* one\[2\] +\d", rows), rows
    assert "Attempt 1: OSError: the disk of 2 is away" in page
    assert "Attempt 1" not in other
