"""The ranks of a gang on the dashboard: their curves together, what they used, their lines merged, the tab itself."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.engine.gangview import RankNow
from fairway.engine.rankmeans import reduce_curves
from fairway.spec.outcome import ErrorInfo
from fairway.testing.memory import MemoryStreamStore
from fairway.web.mergedlog import find_end, read_merged
from fairway.web.pages.ranks import state_of
from fairway.web.rankcurves import UseReader
from tests.cli.project import Project
from tests.web.rig import Server

SITE = "http://server"
PART = {"accept": "text/html", "hx-request": "true"}
LINES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def test_the_mean_is_over_ranks_at_equal_steps() -> None:
    assert reduce_curves([[(0, 1.0), (1, 2.0)], [(0, 3.0), (1, 6.0)]]) == [(0, 2.0, 1.0, 3.0), (1, 4.0, 2.0, 6.0)]


def test_a_step_that_a_slow_rank_has_not_reached_is_left_out() -> None:
    assert [at for at, *_ in reduce_curves([[(0, 1.0), (1, 1.0), (2, 1.0)], [(0, 3.0)]])] == [0]
    assert reduce_curves([]) == []


def test_along_time_the_mean_is_over_what_ranks_logged_as_their_nth() -> None:
    assert reduce_curves([[(0.0, 1.0), (2.0, 2.0)], [(1.0, 3.0), (3.0, 6.0), (9.0, 0.0)]], timed=True) == [
        (0.5, 2.0, 1.0, 3.0),
        (2.5, 4.0, 2.0, 6.0),
    ]


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 20))
def test_however_it_is_binned_the_mean_lies_within_the_band(ranks: list[list[float]], bins: int) -> None:
    curves = [[(float(step), value) for step, value in enumerate(values)] for values in ranks]
    spread = reduce_curves(curves, bins)
    assert 0 < len(spread) <= max(bins, 1)
    assert [at for at, *_ in spread] == sorted(at for at, *_ in spread)
    for _, mean, low, high in spread:
        assert low - 1e-6 <= mean <= high + 1e-6
    assert min(low for _, _, low, _ in spread) >= min(min(values) for values in ranks)


def test_what_ranks_used_over_time() -> None:
    streams = MemoryStreamStore()
    gpu = [[0, 90, 4, 8], [1, 70, 2, 8]]
    for at in range(3):
        line = [100.0 + at, 10.0 * at, 0.5 * at, {"input": 0.25 * at, "gpu": gpu}]
        streams.append("r/a/samples.1", (json.dumps(line) + "\n").encode())
    reader = UseReader(streams)
    found = reader.read("r", "a", 2)
    used = ("waiting", "cpu", "memory", "gpu", "gpu_memory")
    assert [(use, [one["rank"] for one in lines]) for use, lines in found.items()] == [(use, [1]) for use in used]
    assert found["cpu"][0]["points"] == [[1.0, 0.5], [2.0, 0.5]]
    assert found["waiting"][0]["points"] == [[1.0, 0.25], [2.0, 0.25]]
    assert (found["gpu"][0]["points"][0], found["gpu_memory"][0]["points"][0]) == ([0.0, 80.0], [0.0, 6.0])
    streams.append("r/a/samples.1", b"[103.0,40.0,4.0,{}]\n[104")
    assert reader.read("r", "a", 2)["cpu"][0]["points"][-1] == [3.0, 3.0]


def test_throughput_over_time_has_a_curve_for_each_name() -> None:
    streams = MemoryStreamStore()
    for at in range(4):
        streams.append("r/a/samples.0", (json.dumps([100.0 + at, 1, 0.0, {"samples": 64 * at}]) + "\n").encode())
        streams.append("r/a/progress", (json.dumps([100.0 + at, at, 9, {"tokens": 500 * at}]) + "\n").encode())
    found = UseReader(streams).read("r", "a", 1)
    assert list(found)[:3] == ["rate", "samples/s", "tokens/s"]
    assert found["samples/s"][0]["points"] == [[1.0, 64.0], [2.0, 64.0], [3.0, 64.0]]
    assert found["tokens/s"][0]["points"][-1] == [3.0, 500.0]


def test_merged_lines_begin_where_all_ranks_are_known() -> None:
    streams = MemoryStreamStore()
    streams.append("r/a/log.0", b"".join(b"2026-11-24T08:%02d:%02d.000Z line %d\n" % (n // 60, n % 60, n) for n in range(3000)))
    streams.append("r/a/log.1", b"2026-11-24T08:00:01.000Z early\n2026-11-24T08:49:58.500Z late\n")
    lines, cut = read_merged(streams, "r/a", 2, 5000)
    assert cut and "early" not in {line.text for line in lines}
    assert [(line.rank, line.text) for line in lines][-2:] == [(1, "late"), (0, "line 2999")]
    assert len(read_merged(streams, "r/a", 2, 3)[0]) == 3
    streams.append("r/a/log.2", b"2026-11-24T08:49:59.900Z " + b"x" * 300_000 + b"\n")
    assert "line 2999" in {line.text for line in read_merged(streams, "r/a", 3, 10)[0]}  # however long another's line is


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.sampled_from((3, 300, 9000))), max_size=300), st.integers(1, 50))
def test_paged_back_to_the_beginning_every_line_has_come_once(lines: list[tuple[int, int, int]], last: int) -> None:
    streams = MemoryStreamStore()
    for n, (rank, second, size) in enumerate(sorted(lines, key=lambda line: line[1])):
        streams.append(f"r/a/log.{rank}", f"2026-11-24T08:00:{second:02}.000Z {n:04} {'x' * size}\n".encode())
    found: list[str] = []
    before, cut = "", True
    while cut:
        page, cut = read_merged(streams, "r/a", 3, last, before)
        assert len(page) >= last or not cut or sum(size + 32 for *_, size in lines) > 60_000  # else one read has all of it
        found = [line.text[:4] for line in page] + found
        before = page[0].at if page else ""
    assert sorted(found) == [f"{n:04}" for n in range(len(lines))]


@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 30_000), st.booleans()), max_size=30), st.integers(0, 59))
def test_where_a_time_begins_in_a_log(lines: list[tuple[int, int, bool]], second: int) -> None:
    streams = MemoryStreamStore()
    wanted, size, before = -1, 0, f"2026-11-24T08:00:{second:02}.000Z"
    for at, length, stamped in sorted(lines):
        line = (f"2026-11-24T08:00:{at:02}.000Z " if stamped else "") + "x" * length + "\n"
        if stamped and at >= second and wanted < 0:
            wanted = size
        streams.append("r/a/log.0", line.encode())
        size += len(line)
    assert find_end(streams, "r/a/log.0", before) == (wanted if wanted >= 0 else size)


def test_of_a_gang_that_failed_the_rank_that_failed_first_is_named() -> None:
    error = ErrorInfo("crash", "FW", "rank 1 of 2 failed first: it was killed")
    assert [state_of(RankNow(n, seen_at=1.0), "failed", error, False) for n in range(2)] == ["cancelled", "failed"]
    assert state_of(RankNow(0), "abandoned", None, False) == "cancelled"
    ranks = (RankNow(0, seen_at=1.0), RankNow(1), RankNow(2, seen_at=1.0, ended=True))
    assert [state_of(one, "starting", None, True) for one in ranks] == ["running", "waiting", "succeeded"]


@pytest.fixture
def client(gang: Project) -> Iterator[TestClient]:
    with Server(gang.root / ".fairway").client() as client:
        yield client


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html.unescape(text)).split())


def get(client: TestClient, gang: Project, **query: Any) -> str:
    answer = client.get(f"{SITE}/runs/{gang.last().id}/task", params={"task": "fit", **query}, headers=PART)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_only_a_gang_has_a_tab_of_ranks(client: TestClient, gang: Project) -> None:
    assert 'data-tab="ranks"' in get(client, gang)
    assert 'data-tab="ranks"' not in get(client, gang, task="report")
    assert 'data-tab="log"' in get(client, gang, task="report", tab="ranks")


def test_a_gang_that_failed_is_run_again_without_the_debugger_that_it_cannot_have(tmp_path: Path) -> None:
    project = Project(tmp_path)
    broken = "import fairway as fw\n\n\n@fw.step(gang=fw.gang(replicas=2), cpu=0.1)\ndef fit() -> int:\n    raise ValueError('no')\n\n\n"
    project.write("fails.py", f"{broken}@fw.pipeline\ndef fails():\n    return fit()\n")
    assert project.ask("run", "fails.py").status == 3
    assert re.search(r"^  rank [01] of 2 failed first: no\n  Traceback ", project.ask("show", "last", "fit").out, re.MULTILINE)
    with Server(project.root / ".fairway").client() as client:
        page = words(get(client, project))
    assert "Try it here: fairway rerun" in page
    assert "--pdb" not in page


def test_what_a_gang_used_is_told_by_rank(client: TestClient, gang: Project) -> None:
    assert "each have their own curves: see Ranks" in words(get(client, gang, tab="resources"))
    assert "data-usage" not in get(client, gang, tab="resources")


def test_the_tab_has_a_row_for_each_rank(client: TestClient, gang: Project) -> None:
    text = get(client, gang, tab="ranks")
    assert re.findall(r'<th scope="row"><a [^>]*>(\d)</a>', text) == ["0", "1"]
    assert "Ranks 2 Framework plain Step 4 of 4" in words(text)
    assert re.findall(r'class="state bare" data-state="(\w+)"', text.partition("<tbody>")[2]) == ["succeeded", "succeeded"]


def test_the_process_of_each_rank_is_on_its_row(client: TestClient, gang: Project) -> None:
    run = gang.last()
    samples = gang.root / ".fairway" / "streams" / run.id / run.tasks["fit"].attempts[-1] / "samples.1"
    before = samples.read_bytes() if samples.exists() else None
    try:
        samples.write_text('[10.0,1,0.0,{"pid":4242}]\n')
        text = get(client, gang, tab="ranks")
        assert "CPU Memory PID 0 succeeded" in words(text)
        rows = [words(row).split() for row in text.partition("<tbody>")[2].split("</tr>")[:2]]
        assert ["4242" in row for row in rows] == [False, True]
    finally:
        samples.write_bytes(before) if before is not None else samples.unlink()


def test_a_hanging_gang_has_no_speed_on_its_page(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("hangs.py", f"""
        import time
        from pathlib import Path

        import fairway as fw

        @fw.step(gang=fw.gang(replicas=2), cpu=0.1)
        def fit() -> int:
            for n in range(3):
                fw.progress(n, 9)
                time.sleep(0.21)
            told = [Path({str(tmp_path)!r}, f"told-{{rank}}") for rank in range(2)]
            told[fw.context().rank].touch()
            while not all(one.exists() for one in told):  # else the first to fail takes the other along before it has told anything
                time.sleep(0.01)
            raise ValueError("no")

        @fw.pipeline
        def hangs():
            return fit()
    """)  # fmt: skip
    assert project.ask("run", "hangs.py").status == 3
    run = project.last()
    at = project.root / ".fairway" / "streams" / run.id / run.tasks["fit"].attempts[-1]
    for rank, name in enumerate(("progress", "progress.1")):
        last = json.loads((at / name).read_text().splitlines()[-1])[0]
        (at / f"samples.{rank}").write_text(json.dumps([last + 40, 1, 0.0, {}]) + "\n")
    with Server(project.root / ".fairway").client() as client:
        page = words(get(client, project, tab="ranks"))
    assert re.search(r"Speed no step for (39|40|41) s", page)
    assert page.count("no step for") == 3


def test_stacks_of_a_gang_that_hung_are_on_its_tab(client: TestClient, gang: Project) -> None:
    run = gang.last()
    attempt = run.tasks["fit"].attempts[-1]
    stack = gang.root / ".fairway" / "streams" / run.id / attempt / "stacks.1"
    stack.write_text('File "flow.py", line 9 in <all_reduce>\n')
    try:
        text = get(client, gang, tab="ranks")
        assert "line 9 in &lt;all_reduce&gt;" in text
        assert "It was found to hang" in words(text)
        assert "line 9" in gang.ask("logs", "last", "fit", "--stacks").out
    finally:
        stack.unlink()


def test_the_log_offers_each_rank_and_all_of_them(client: TestClient, gang: Project) -> None:
    text = get(client, gang)
    assert "All ranks Leader 0 1" in words(text)
    assert "data-merged" in text
    one = get(client, gang, rank="1")
    assert 'data-rank="1"' in one and "rank 1 says 3" in one
    assert "--rank 1" in words(one)
    assert 'class="rank-choice"' not in get(client, gang, task="report")


def test_curves_of_ranks_their_mean_and_past_runs(client: TestClient, gang: Project) -> None:
    first = gang.last()
    gang.run("--no-cache")
    last = gang.last()
    attempt = last.tasks["fit"].attempts[-1]
    asked = {"ranks": 2, "past": 5, "task": "fit"}
    found = client.get(f"{SITE}/runs/{last.id}/attempts/{attempt}/rankcurves.json", params=asked).json()
    (loss,) = found["items"]
    assert [one["points"][0] for one in loss["ranks"]] == [[0.0, 1.0], [0.0, 2.0]]
    assert loss["spread"][0] == [0.0, 1.5, 1.0, 2.0]
    assert [(one["run"], one["points"][-1]) for one in loss["past"]] == [(first.id, [3.0, 0.75])]


def test_the_merged_log_and_the_log_of_a_rank(client: TestClient, gang: Project) -> None:
    run = gang.last()
    attempt = run.tasks["fit"].attempts[-1]
    found = client.get(f"{SITE}/runs/{run.id}/log/merged", params={"attempt": attempt, "ranks": 2}).json()
    assert {rank for rank, _, _ in found["items"]} == {0, 1}
    sought = client.get(f"{SITE}/runs/{run.id}/log/search", params={"attempt": attempt, "rank": 1, "q": "says 2"}).text
    assert json.loads(sought.splitlines()[0])["hits"][0][0] == 3
    line = client.get(f"{SITE}/runs/{run.id}/log/line", params={"attempt": attempt, "rank": 1, "line": 2}).json()
    assert line["line"] == 2 and line["lines"] >= 3
    named = client.get(f"{SITE}/runs/{run.id}/log", params={"attempt": attempt, "rank": 1, "download": "true"})
    assert named.headers["content-disposition"].endswith(f"{attempt}-rank-1.log")
