"""Every bar has a benchmark; a benchmark runs end to end; what others and ourselves print is read rightly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks import peers
from benchmarks.installed import measure_installed
from benchmarks.peers import PEERS, Peers
from benchmarks.session import PIPELINES, open_session
from benchmarks.suite import BENCHMARKS
from benchmarks.suite.edits import COMMENTS, FACTOR
from benchmarks.suite.failing import read_failure
from benchmarks.suite.table import find_look, is_named_by_digest

PROMISED = {
    "changes-failed": (0, ""),
    "changes-broken": (0, ""),
    "killed-failed": (32, ""),
    "killed-others": (0, ""),
    "burst-lost": (0, ""),
    "feedback-lost": (0, ""),
    "zero-first-ms": (60, "ms"),
    "image-same": (0.5, "s"),
    "image-edited": (1.5, "s"),
    "image-sent": (20_000, "bytes"),
    "blob-in": (6.67, "s"),
    "blob-out": (6.67, "s"),
    "blob-idle": (32, "MB"),
    "blob-growth": (4, "MB"),
    "page-first-byte": (100, "ms"),
    "page-memory": (150, "MB"),
    "page-first-load": (120, "kB"),
    "page-charts": (400, "kB"),
    "page-pixel": (250, "ms"),
    "page-graph-paint": (1000, "ms"),
    "page-graph-layout": (3000, "ms"),
    "page-items": (1000, "ms"),
    "page-log-open": (300, "ms"),
    "page-log-search": (2000, "ms"),
    "page-lighthouse": (5, "points"),
    "dashboard-start": (0.5, "s"),
    "dashboard-again": (0.25, "s"),
    "dashboard-memory": (60, "MB"),
    "dashboard-idle": (0.01, "s"),
    "serving-identity-1": (250, "µs"),
    "serving-identity-64": (0.5, "of fastapi"),
    "serving-trees-1": (1.15, "of fastapi"),
    "serving-trees-64": (0.125, "of fastapi"),
    "serving-trees-64-p99": (15, "ms"),
    "serving-trees-100": (0.5, "of fastapi"),
    "serving-failed": (0, "errors"),
    "serving-memory": (170, "MB"),
    "serving-memory-2": (20, "MB"),
    "serving-tensors-trees": (1 / 3, "of kserve"),
    "serving-tensors-identity": (0.1, "of kserve"),
    "serving-start": (1.2, "of bare"),
    "serving-zero": (60, "ms"),
    "serving-zero-failed": (0, "errors"),
    "serving-workers": (1 / 1.8, "of one"),
    "serving-workers-batches": (2, "×"),
    "serving-workers-failed": (0, "errors"),
    "serving-gateway-cpu": (120, "µs"),
    "serving-gateway-p50": (300, "µs"),
    "serving-gateway-failed": (0, "errors"),
    "serving-check": (12, "µs"),
    "serving-bad": (0, "errors"),
    "serving-bad-time": (5, "ms"),
    "serving-bad-after": (0, "errors"),
    "serving-install-distributions": (12, "distributions"),
    "serving-install-size": (15, "MB"),
    "hello": (0.15, "s"),
    "hello-memory": (60, "MB"),
    "chain-step": (4, "ms"),
    "map-200": (0.6, "s"),
    "heavy-chain-step": (15, "ms"),
    "heavy-map-step": (15, "ms"),
    "heavy-hangs": (0, "hangs"),
    "map-10000": (25, "s"),
    "map-10000-batch": (3, "s"),
    "map-100000": (30, "s"),
    "map-100000-driver": (300, "MB"),
    "map-100000-flat": (1.2, "×"),
    "table-extra": (0.5, "s"),
    "table-written": (1.1, "×"),
    "table-hashed": (0, "errors"),
    "table-memory": (1.5, "×"),
    "table-mapped": (0, "×"),
    "cached-20": (0.15, "s"),
    "edit-comments": (0, "re-runs"),
    "edit-helper": (0, "errors"),
    "failing-lines": (10, "lines"),
    "failing-frames-before": (0, "lines"),
    "install-distributions": (16, "distributions"),
    "install-size": (30, "MB"),
    "import": (30, "ms"),
    "help": (80, "ms"),
    "resume-first-task": (1, "s"),
    "resume-twice": (0, "re-runs"),
    "log-point": (5, "µs"),
    "restart-goes-on": (5, "s"),
    "restart-twice": (0, "tasks"),
    "data-statistics-csv": (1.15, "of by hand"),
    "data-statistics-parquet": (1.15, "of by hand"),
    "data-statistics-memory": (600, "MB"),
    "data-statistics-flat": (1.15, "×"),
    "data-statistics-stream": (5, "µs"),
    "data-validate-cost": (1.3, "× statistics"),
    "data-validate-tfdv": (0.2, "of tfdv"),
    "data-validate-gx": (0.2, "of gx"),
    "data-validate-pandera": (0.2, "of pandera"),
    "data-validate-evidently": (0.2, "of evidently"),
    "data-damages-missed": (0, "damages"),
    "data-damages-alarms": (1, "tables"),
    "data-damages-together": (0, "damages"),
    "data-drift": (2.2, "×"),
    "data-drift-false": (1, "of 100 checks"),
    "data-stream": (5, "µs"),
    "data-stream-short": (5, "µs"),
    "data-stream-long": (5, "µs"),
    "data-stream-memory": (50, "MB"),
    "data-report-size": (2, "MB"),
    "data-report-addresses": (0, "addresses"),
    "data-report-made": (1, "s"),
    "data-report-drawn": (1, "s"),
    "data-xml-time": (25, "s/GB"),
    "data-xml-memory": (200, "MB"),
    "data-install-distributions": (12, "distributions"),
    "data-install-size": (250, "MB"),
    "training-warm": (0.5, "s"),
    "training-cold": (1, "of torchrun"),
    "training-cold-step": (1, "of torchrun"),
    "training-throughput-torchrun": (0.97, "of torchrun"),
    "training-throughput-xgb.dask": (0.97, "of xgb.dask"),
    "training-throughput-mpirun": (0.97, "of mpirun"),
    "training-killed": (3, "s"),
    "training-lost": (1, "intervals"),
    "training-checkpoint": (0.05, "× synchronous"),
    "training-stall": (2, "s"),
    "training-stacks": (0, "ranks"),
    "tune-trial": (25, "ms"),
    "tune-trial-2000": (25, "ms"),
    "tune-repeated": (0, "trials"),
    "tune-history": (0, "trials"),
    "emoji-f1": (0.25, ""),
    "emoji-five": (0.6, ""),
    "emoji-time": (120, "s"),
    "cluster-pods": (1, "pods"),
    "cluster-step": (1.25, "×"),
    "cluster-chain": (2, "s"),
    "cluster-chain-step": (100, "ms"),
    "cluster-map": (15, "s"),
    "cluster-up": (10, "s"),
    "cluster-idle": (128, "MiB"),
    "cluster-idle-cpu": (20, "m"),
    "cluster-history": (200, "MiB"),
    "cluster-refusal": (1, "s"),
    "cluster-log": (0.5, "s"),
    "cluster-put": (6.99, "s"),
    "cluster-get": (6.99, "s"),
    "cluster-blob-memory": (32, "MiB"),
    "cluster-restart": (5, "s"),
    "cluster-restart-twice": (0, "re-runs"),
    "cluster-hollow-pod": (10, "ms"),
    "cluster-hollow-requests": (4, "requests"),
    "cluster-hollow-memory": (256, "MB"),
    "cluster-hollow-object": (100, "kB"),
}


def test_every_promise_has_a_benchmark_with_its_limit():
    assert {bar.name: (bar.limit, bar.unit) for benchmark in BENCHMARKS for bar in benchmark.bars} == PROMISED


def test_every_file_of_the_suite_is_in_the_list():
    assert {path.stem for path in Path(PIPELINES.parent / "suite").glob("*.py")} - {"__init__"} == {
        sys.modules[benchmark.measure.__module__].__name__.rpartition(".")[2] for benchmark in BENCHMARKS
    }


def test_a_benchmark_runs_end_to_end_from_the_command_line_to_a_result_file(tmp_path):
    output = tmp_path / "result.json"
    words = ["failing", "--quick", "--runs", "1", "--peers", "none", "--output", str(output)]
    done = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=peers.ROOT, capture_output=True, text=True, check=True)
    assert "failing-lines" in done.stdout
    assert "Bars: 2 met, 0 missed, 0 not measured" in done.stdout
    result = json.loads(output.read_text())
    assert [each["benchmark"] for each in result["results"]] == ["failing"]
    assert all(bar["verdict"] == "met" for bar in result["results"][0]["bars"])
    assert result["machine"]["cores"] >= 1
    assert result["load_before"] >= 0


def test_a_bar_that_cannot_be_measured_is_said_to_be_so_with_status_0(tmp_path, capsys):
    words = ["points", "--runs", "1", "--peers", "none", "--fairway", "/bin/false", "--output", str(tmp_path / "result.json")]
    assert command_line.main(words) == 0
    printed = capsys.readouterr().out
    assert "0 met, 0 missed, 1 not measured" in printed
    assert "exit status 1" in printed


def test_an_unknown_benchmark_is_refused_with_those_that_there_are(capsys):
    assert command_line.main(["helo"]) == 2
    assert "there is no benchmark 'helo'; there are hello, chain" in capsys.readouterr().err


def test_the_page_of_the_documentation_is_filled_from_a_result_file(tmp_path, monkeypatch, capsys):
    page = tmp_path / "performance.md"
    shutil.copy(command_line.PAGE, page)
    output = tmp_path / "result.json"
    assert command_line.main(["failing", "--peers", "none", "--output", str(output)]) == 0
    monkeypatch.setattr(command_line, "PAGE", page)
    assert command_line.main(["page", str(output)]) == 0
    assert "| lines printed by a run whose second step raises | ≤ 10 lines | 8 lines | met |" in page.read_text()


def test_peers_that_are_not_installed_are_listed_and_left_out(tmp_path):
    found = Peers(tmp_path, tmp_path / "environments", wanted=["luigi", "zenml"])
    assert (found.present(), found.absent()) == ([], ["luigi", "zenml"])


def test_a_peer_runs_in_a_copy_of_its_files_and_what_it_kept_is_removed_before_each_run(tmp_path):
    (tmp_path / "files/luigi").mkdir(parents=True)
    (tmp_path / "files/luigi/pipe.py").write_text("import sys; open('out/done', 'x'); print(*sys.argv[1:])")
    (tmp_path / "environments/luigi/bin").mkdir(parents=True)
    (tmp_path / "environments/luigi/bin/python").symlink_to(sys.executable)
    with open_session(peers=Peers(tmp_path / "files", tmp_path / "environments", ["luigi"]), runs=2) as session:
        commands = session.beside(None, "chain", 5)
        series = session.time("chain", commands)["luigi"]
        assert series.error == ""  # open(…, "x") fails if the file is still there
        assert commands["luigi"].argv[1:] == ("pipe.py", "chain", "5", "out")
    assert not (tmp_path / "files/luigi/out").exists()


def test_peers_that_can_run_a_mode_say_how_and_others_are_left_out():
    named = {peer.name: peer for peer in PEERS}
    assert named["bare pool"].words("python", "hello", 2) == ("python", "pipe.py", "chain", "2", "pool")
    assert named["metaflow"].words("python", "fan", 7)[3:5] == ("--n", "7")
    assert named["dagster"].words("/e/bin/python", "fan", 7)[0] == "/e/bin/dagster"
    assert named["joblib"].words("python", "bigint", 1) == ()


def test_edits_of_the_benchmark_find_what_they_edit():
    text = (PIPELINES / "edited.py").read_text()
    assert all(text.count(old) == 1 and new != old for old, new in (*COMMENTS.values(), FACTOR))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('fail  x\n✓ one\n✗ boom  failing.py:12 in boom\n    return y["missing"]\n  KeyError\n', (5, 3, 0)),
        ('Traceback\n File "/lib/e.py", line 3\n  go()\n File "/x/pipe.py", line 9\n  return y[\'missing\']\nKeyError\n', (6, 5, 1)),
        ('Traceback\n File "/lib/e.py", line 3, in run\n File "<code>", line 13, in boom\nKeyError\n', (4, 3, 1)),
        ("it failed\n\n", (1, 0, 0)),
    ],
)
def test_the_users_own_line_is_found_in_what_a_failure_prints(output, expected):
    assert read_failure(output) == expected


def test_a_stored_file_is_checked_against_its_name(tmp_path):
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    for name, right in ((digest, True), ("0" * 64, False)):
        path = tmp_path / name[:2] / name[2:]
        path.parent.mkdir()
        path.write_bytes(b"hello")
        assert is_named_by_digest(path) is right


def test_what_the_reader_saw_is_found_between_talk():
    printed = 'looked_at\n{"outputs": {"result": {"inline": "{\\"mapped_bytes\\": 7}"}}}\n✓ succeeded\n'
    assert find_look(printed) == {"mapped_bytes": 7}


def test_an_installed_distribution_counts_with_all_that_it_requires():
    click, fairway = measure_installed("click"), measure_installed("fairway")
    assert click["distributions"] == 1
    assert fairway["distributions"] > click["distributions"]
    assert click["mb"] > 0.1
    assert measure_installed("no-such-distribution") == {"distributions": 0, "mb": 0.0}
