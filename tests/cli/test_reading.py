"""The commands that read: what they print of a run, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import FIRST_RUN, SECOND_RUN, Shop
from tests.cli.project import Project


def test_runs_are_listed(shop_with_run: Shop) -> None:
    shop_with_run.run(SECOND_RUN, depths=[-1, 2])
    lines = shop_with_run.ask("runs").stdout.splitlines()
    assert lines[0].split() == ["RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", "TASKS", "WHAT"]
    assert SECOND_RUN in lines[1] and "✗ failed" in lines[1] and "depth must be positive" in lines[1]
    assert FIRST_RUN in lines[2] and "✓ succeeded" in lines[2] and "nightly" in lines[2] and "#first" in lines[2] and "7/7" in lines[2]


def test_runs_are_filtered(shop_with_run: Shop) -> None:
    shop_with_run.run(SECOND_RUN, depths=[-1, 2])
    assert [row["run"] for row in shop_with_run.ask_json("runs", "--status", "failed")] == [SECOND_RUN]
    assert [row["run"] for row in shop_with_run.ask_json("runs", "--tag", "first")] == [FIRST_RUN]
    assert [row["run"] for row in shop_with_run.ask_json("runs", "--before", SECOND_RUN)] == [FIRST_RUN]
    assert shop_with_run.ask_json("runs", "--pipeline", "other") == []


def test_show_draws_the_graph(shop_with_run: Shop) -> None:
    result = shop_with_run.ask("show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"churn  {FIRST_RUN} (nightly)  ✓ succeeded in ")
    assert lines[1] == "path=data.csv  depths=[1, 2, 3]"
    assert [line[:2].strip() for line in lines if "train" in line] == ["✓"]
    assert "3/3" in next(line for line in lines if "train" in line)
    assert "skipped (condition)" in next(line for line in lines if "discard" in line)
    assert lines[-2].split() == ["winner", "3"]


def test_show_of_a_failed_run_ends_with_the_way_on(shop: Shop) -> None:
    shop.run(depths=[-1, -2, 3])
    lines = shop.ask("show").stdout.splitlines()
    assert lines[-1] == f"go on:       fairway resume {FIRST_RUN}"
    assert lines[-2] == f"look closer: fairway logs {FIRST_RUN} 'train[0]'"
    assert any("depth must be positive" in line for line in lines)


def test_show_as_json(shop_with_run: Shop) -> None:
    data = shop_with_run.ask_json("show", "nightly")
    assert (data["run"], data["status"], data["outputs"]["auc"]["inline"]) == (FIRST_RUN, "succeeded", "0.75")
    assert {step["step"]: step["counts"] for step in data["steps"]}["train"] == {"succeeded": 3}


def test_show_one_task(shop_with_run: Shop) -> None:
    out = shop_with_run.ask("show", "last", "train.1").stdout
    assert out.startswith("✓ train[1]  succeeded\n")
    assert "  in   depth  2\n" in out
    assert "  out  result  0.5\n" in out
    (task,) = shop_with_run.ask_json("show", "last", "train[1]")
    assert task["attempts"][0]["n"] == 1


def test_runs_are_found_by_id_ends_name_and_last(shop_with_run: Shop) -> None:
    for text in (FIRST_RUN, "20261124-0815", "x7kq3", "nightly", "last"):
        assert shop_with_run.ask_json("show", text)["run"] == FIRST_RUN
    result = shop_with_run.ask("show", "zzz")
    assert result.exit_code == 1 and "there is no run 'zzz'" in str(result.exception)


def test_an_unknown_task_names_the_nearest(shop_with_run: Shop) -> None:
    result = shop_with_run.ask("show", "last", "trian")
    assert "has no task 'trian'" in str(result.exception)
    assert result.exception.hint == "did you mean 'train'?"  # type: ignore[union-attr]


def test_logs_print_lines_without_their_times(shop_with_run: Shop) -> None:
    state = shop_with_run.workspace.state(FIRST_RUN)
    for n in range(3):
        attempt = state.task("", "train", (n,)).attempts[0]
        shop_with_run.workspace.streams.append(
            f"{FIRST_RUN}/{attempt}/log", f"2026-11-24T08:15:03.250Z depth {n}\n2026-11-24T08:15:03.251Z  done\n".encode()
        )
    assert shop_with_run.ask("logs", "last", "train.1").stdout == "depth 1\n done\n"
    assert shop_with_run.ask("logs").stdout.splitlines()[:2] == ["train[0]  depth 0", "train[0]   done"]
    assert shop_with_run.ask("logs", "last", "train", "-n", "1").stdout == " done\n"
    assert shop_with_run.ask_json("logs", "last", "train[2]")[0] == {
        "task": "train[2]", "attempt": state.task("", "train", (2,)).attempts[0], "text": "depth 2", "at": "2026-11-24T08:15:03.250Z",
    }  # fmt: skip
    assert shop_with_run.ask("logs", "-f").stdout.count("done") == 3


def test_logs_of_a_failed_task_end_with_its_error(shop: Shop) -> None:
    shop.run(depths=[-1])
    out = shop.ask("logs", "last", "train").stdout
    assert out.splitlines()[-1] == "depth must be positive, not -1" or "ValueError" in out


def test_artifacts_are_listed_fetched_and_printed(shop_with_run: Shop, tmp_path: Path) -> None:
    names = [row["artifact"] for row in shop_with_run.ask_json("artifacts", "ls")]
    assert names[:2] == ["winner", "auc"] and "train[2].result" in names and "best.auc" in names
    assert shop_with_run.ask("artifacts", "cat", "last", "auc").stdout == "0.75\n"
    assert shop_with_run.ask("artifacts", "cat", "last", "train.1").stdout == "0.5\n"
    target = tmp_path / "load.json"
    assert shop_with_run.ask("artifacts", "get", "last", "load", "--to", str(target)).exit_code == 0
    assert json.loads(target.read_text()) == [1, 2, 3]
    again = shop_with_run.ask("artifacts", "get", "last", "load", "--to", str(target))
    assert "is there already" in str(again.exception)


def test_an_unknown_artifact_names_those_there_are(shop_with_run: Shop) -> None:
    result = shop_with_run.ask("artifacts", "cat", "last", "model")
    assert "has no artifact 'model'" in str(result.exception)
    assert "best.winner" in str(shop_with_run.ask("artifacts", "cat", "last", "best.model").exception.hint)  # type: ignore[union-attr]


def test_params_of_a_run(shop_with_run: Shop) -> None:
    assert shop_with_run.ask_json("params", "last") == {"path": "data.csv", "depths": [1, 2, 3]}
    assert shop_with_run.ask("params").stdout == 'path    "data.csv"\ndepths  [1, 2, 3]\n'


def test_graph_of_a_run_in_all_formats(shop_with_run: Shop, tmp_path: Path) -> None:
    text = shop_with_run.ask("graph", "last").stdout
    assert "train" in text and "each depths" in text and "if best.auc > 0.5" in text
    mermaid = shop_with_run.ask("graph", "last", "-o", "mermaid").stdout
    assert mermaid.startswith("flowchart TD\n") and "class n0 succeeded" in mermaid
    assert json.loads(shop_with_run.ask("graph", "last", "-o", "json").stdout)["name"] == "churn"
    import yaml

    assert yaml.safe_load(shop_with_run.ask("graph", "last", "-o", "yaml").stdout)["name"] == "churn"
    target = tmp_path / "churn.svg"
    shop_with_run.ask("graph", "last", "--to", str(target))
    import xml.etree.ElementTree as ET

    assert ET.parse(target).getroot().tag.endswith("svg")


def test_nothing_run_yet_is_said_with_what_to_do(shop: Shop) -> None:
    assert "nothing has been run" in shop.ask("runs").stderr
    assert json.loads(shop.ask("runs", "-o", "json").stdout) == []
    assert "nothing has been run" in str(shop.ask("show").exception)
    assert not Path(shop.workspace.project.journal).exists()


@pytest.mark.parametrize(
    "words",
    [
        *(
            "runs",
            "runs --status cancelled",
            "show",
            "show last train",
            "logs",
            "logs last best",
            "artifacts ls",
            "artifacts ls last train",
        ),
        *("artifacts ls last train", "params", "graph", "diff last last", "why last best", "gc --dry-run", "doctor"),
    ],
)
def test_every_listing_is_json_when_asked(shop_with_run: Shop, words: str) -> None:
    result = shop_with_run.ask(*words.split(), "-o", "json")
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), list | dict)
    assert result.stderr == ""


@pytest.mark.parametrize(
    "words", ["tag last a", "note last good", "archive last", "artifacts get last auc --to {folder}/auc.json", "gc --yes"]
)
def test_talk_goes_to_stderr_and_leaves_stdout_to_data(shop_with_run: Shop, tmp_path: Path, words: str) -> None:
    result = shop_with_run.ask(*words.format(folder=tmp_path).split())
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.endswith("\n")


AGAIN = """
import os
import fairway as fw

@fw.step(retries=1)
def fit(marker: str) -> int:
    if not os.path.exists(marker):
        open(marker, "w").close()
        raise OSError("the disk was not there")
    return 1

@fw.pipeline
def again(marker: str):
    return fit(marker)
"""


def test_a_task_that_was_tried_again_says_why(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("again.py", AGAIN)
    assert project.ask("run", "again.py", "--marker", str(tmp_path / "marker")).status == 0
    lines = project.ask("show", "last", "fit").out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  attempt 1  failed"))
    assert lines[first + 1] == "    the disk was not there"
    assert project.ask("logs", "last", "fit").err == "nothing was written by fit in the last attempt; --all shows those before it\n"
    assert project.ask("logs", "last", "fit", "--attempt", "2").err == "nothing was written by fit\n"


def test_the_log_of_what_comes_from_the_cache_is_named(project: Project) -> None:
    first = project.run()
    project.run()
    said = project.ask("logs", "last", "train[1]")
    assert (said.out, said.err) == (
        "",
        f"nothing was written by train[1]; train[1] comes from the cache: fairway logs {first.id} 'train[1]'\n",
    )
