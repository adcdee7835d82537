"""What the serving benchmarks send, read and count: bad requests and what refusals name, checks of a row, processes, the page."""

import json
import socket
import subprocess
import sys
import threading

import pytest

from benchmarks.figures import OURS, Bar, Row
from benchmarks.installed import list_installed, measure_installed
from benchmarks.report import find_section, render_page, split_sections, to_json
from benchmarks.serving import checks
from benchmarks.serving.bad import COLUMN, KINDS, ROW, Answer, bad_requests, find_named, is_clear, send
from benchmarks.serving.bench import Server, on_core
from benchmarks.serving.contenders import CONTENDERS, Setting, variables
from benchmarks.suite.serving_requests import describe
from benchmarks.suite.serving_workers import _BATCHES

COLUMNS = [f"c{number}" for number in range(23)]
ROWS = [[1.5] * 23 for _ in range(12)]


def contender(name):
    return next(one for one in CONTENDERS if one.name == name)


@pytest.mark.parametrize("name", [one.name for one in CONTENDERS])
def test_everybody_is_sent_nine_requests_of_which_each_is_wrong_in_its_own_way(name):
    requests = bad_requests(contender(name), ROWS, COLUMNS, names_columns=name == OURS, large=100_000)
    good = contender(name).body(ROWS[:10])
    assert tuple(request.kind for request in requests) == KINDS
    bodies = {request.kind: request.body for request in requests}
    assert len({*bodies.values(), good}) == 10
    with pytest.raises(json.JSONDecodeError):
        json.loads(bodies["not JSON"])
    for kind in KINDS[1:-1]:
        assert json.loads(bodies[kind]) != json.loads(good)
    assert b"NaN" in bodies["NaN"]
    assert b"null" in bodies["null"]
    assert b'"text"' in bodies["text"]
    assert 100_000 < len(bodies["50 MB"]) < 200_000


def test_a_shape_lies_where_there_are_shapes():
    lying = bad_requests(contender("kserve"), ROWS, COLUMNS, names_columns=False, large=1)[6]
    tensor = json.loads(lying.body)["inputs"][0]
    assert (tensor["shape"], len(tensor["data"])) == ([10, 23], 229)
    assert bad_requests(contender(OURS), ROWS, COLUMNS, names_columns=True, large=1)[6].path == "/v2/models/m/infer"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("text", f"row {ROW}, field 'c13': came the text 'text', expected a number", {"row", "field", "expected"}),
        ("text", f'{{"loc": ["body", "data", {ROW}, {COLUMN}], "msg": "should be a valid number"}}', {"row", "field", "expected"}),
        ("text", f"position {ROW * 23 + COLUMN}: not a number", {"row", "field", "expected"}),
        ("text", "Internal Server Error 2f71713a", set()),
        ("NaN", "1.7 is in version 0.13", set()),
        ("22 values", f"row {ROW}: came 22 values, expected 23", {"row", "expected"}),
        ("50 MB", "the body is too large", {"expected"}),
        ("empty rows", "came no rows, expected at least 1 row", {"expected"}),
    ],
)
def test_what_a_refusal_names_is_found_in_its_text(kind, text, expected):
    assert find_named(kind, text, "c13") == expected


def test_only_a_4xx_that_names_what_can_be_named_is_clear():
    request = bad_requests(contender(OURS), ROWS, COLUMNS, names_columns=True, large=1)[3]
    said = "row 7, field 'c13': came the text 'text', expected a number"
    assert is_clear(request, Answer(422, said, 0.1), "c13")
    assert not is_clear(request, Answer(500, said, 0.1), "c13")
    assert not is_clear(request, Answer(422, "row 7: expected a number", 0.1), "c13")
    assert not is_clear(request, Answer(0, said, 0.1), "c13")


def serve_once(sock, answer):
    connection, _ = sock.accept()
    with connection:
        connection.recv(100)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass


def test_an_answer_that_comes_before_all_is_sent_is_read_and_a_broken_connection_is_none():
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig"
    for answer, status in ((refusal, 413), (b"", 0)):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            thread = threading.Thread(target=serve_once, args=(sock, answer), daemon=True)
            thread.start()
            found = send(sock.getsockname()[1], "/predict", b"x" * 30_000_000, timeout_s=60)
            thread.join(60)
        assert found.status == status
    assert not thread.is_alive()


def test_ways_to_check_a_row_take_the_good_one_and_refuse_four_wrong_ones():
    made = checks.make_checks()
    assert {"fairway", "fairway, values", "msgspec", "jsonschema"} <= set(made) | {"jsonschema"}
    for name in ("fairway", "fairway, values", "msgspec"):
        check, good, wrong = made[name]
        check(good)
        assert [checks.refuses(check, body) for body in wrong] == [True] * 4, name
        assert not checks.refuses(check, good)
    assert 0 < checks.time_call(made["fairway"][0], made["fairway"][1], least_s=0.001) < 10_000


def test_what_is_there_anyway_is_not_counted_and_an_extra_is():
    base, more = list_installed("fairway"), list_installed("fairway[serve]")
    assert set(base) < set(more)
    assert {"grpclib", "httptools"} <= set(more) - set(base)
    assert measure_installed("fairway[serve]", less=["fairway"])["distributions"] == len(more) - len(base)
    assert measure_installed("fairway", less=["fairway"]) == {"distributions": 0, "mb": 0.0}


def test_batches_are_read_from_what_a_replica_says_of_itself():
    from fairway.serve.replica.meter import Meter

    text = Meter().render("m", "1", {}, {100: 3, 256: 4})
    assert sum(float(value) for _, value in _BATCHES.findall(text)) == 7


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("hgb-100x8/p50", "boosted trees, 100 rows, 8 callers: p50"),
        ("identity-1x1/cpu", "identity, 1 row, 1 caller: CPU for a request"),
        ("hgb/memory", "boosted trees: memory"),
    ],
)
def test_a_load_is_described_in_words(figure, said):
    assert describe(figure) == said


CHILD = """
import subprocess, sys, threading
def start():
    child = subprocess.Popen(["sleep", "60"]); print(child.pid, flush=True); child.wait()
threading.Thread(target=start).start()
"""


def test_a_servers_processes_are_found_whichever_thread_began_them(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        server = Server(CONTENDERS[0], Setting("hgb", 1, 1, True, tmp_path, tmp_path, tmp_path, tmp_path), process, 0.0)
        assert server.family == [process.pid, child]
        assert server.memory_mb > 1
        assert server.cpu_s() > 0
    finally:
        subprocess.run(["kill", str(child), str(process.pid)], check=False)
        process.wait(60)
        process.stdout.close()


def test_a_client_asks_from_a_core_of_its_own():
    import os

    before = os.sched_getaffinity(0)
    with on_core(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def result(*benchmarks):
    machine = dict.fromkeys(("processor", "cores", "memory_gb", "system", "file_system", "python", "commit"), "x")
    return {"machine": machine, "started_at": "2026-11-24T12:00:00", "load_before": 0.5, "load_after": 1.0, "results": list(benchmarks)}


def test_figures_of_serving_and_of_the_dashboard_have_sections_of_their_own():
    assert [find_section(name) for name in ("serving-bad", "dashboard-start", "hello", "cluster-up")] == [
        "serving", "the dashboard", "pipelines", "pipelines",
    ]  # fmt: skip
    parts = split_sections(result({"benchmark": "hello"}, {"benchmark": "serving-bad"}))
    assert {name: [each["benchmark"] for each in part["results"]] for name, part in parts.items()} == {
        "pipelines": ["hello"], "serving": ["serving-bad"],
    }  # fmt: skip


def test_the_page_shows_servers_side_by_side_with_what_they_answered_and_who_was_not_measured():
    bar = Bar("clear", "refusals", 0, "errors")
    rows = [Row("clear", OURS, "errors", [0.0]), Row("clear", "kserve", "errors", [7.0])]
    for kind, unit in (("bad: text", "ms"), ("p50", "µs"), ("p99", "µs")):
        rows += [Row(kind, OURS, unit, [0.7], note="422, names row"), Row(kind, "kserve", unit, [2.6], note="500: 'no'")]
    rows += [Row("rows", OURS, "rows/s", [5.0]), Row("rows", "mlserver", "rows/s", [], note="no right answer\nmore")]
    lines = render_page(result(to_json("serving-bad", [bar], rows))).splitlines()
    assert "| refusals | ≤ 0 errors | 0 errors | met | kserve 7.00 |" in lines
    assert f"| | {OURS} | kserve |" in lines
    assert "| bad: text, ms | 422 in 0.700 | 500 in 2.60 |" in lines
    assert "| p50, µs | 0.700 | 2.60 |" in lines
    assert "- mlserver, rows: no right answer" in lines
    assert not any("rows/s" in line for line in lines)  # nobody stands beside it


@pytest.mark.parametrize("one", CONTENDERS, ids=lambda one: one.name)
def test_a_contender_is_started_from_its_own_environment_for_the_model_that_is_asked_for(one, tmp_path):
    python = tmp_path / "environments" / one.environment / "bin/python"
    setting = Setting("heavy", 8123, 2, True, python, tmp_path, tmp_path, tmp_path)
    words = one.argv(setting)
    assert words[0].startswith(str(python.parent))
    said = " ".join([*words, *variables(setting).values(), *(path.read_text() for path in tmp_path.rglob("*.json"))])
    assert "8123" in said
    assert "heavy" in said
