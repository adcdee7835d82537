"""`fairway runs QUERY`: the query language at the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairway.cli.app import app
from fairway.errors import ConfigError
from fairway.spec.event import ClockAdvanced
from fairway.spec.layout import DATABASE
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.store.sqlite import SqliteJournal


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    journal = SqliteJournal(tmp_path / ".fairway" / DATABASE)
    for n in range(6):
        status = ("failed", "succeeded")[n % 2]
        tags = ("best",) if n == 3 else ()
        about = {"metrics": {"auc": n / 10}, "tags": tags, "archived": n == 5}
        summary = RunSummary(f"20261101-00000{n}-aaaaa", "churn", status, started_at=1.0, ended_at=2.0 + n, **about)
        run_now(journal.append(summary.run, 0, [ClockAdvanced(1.0)], "b", summary=summary))
    run_now(journal.close())
    return tmp_path


def call(project: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(project), "runs", *words])


def found(project: Path, *words: str) -> str:
    """The last digit of each run that is listed."""
    result = call(project, *words, "-o", "json")
    assert result.exit_code == 0, result.output
    return "".join(row["run"][14] for row in json.loads(result.stdout))


def test_words_and_flags_must_all_hold(project: Path) -> None:
    assert found(project) == "43210"
    assert found(project, "failed") == "420"
    assert found(project, "failed", "auc>0.1") == "42"
    assert found(project, "failed auc > 0.1", "--pipeline", "churn") == "42"
    assert found(project, "auc>0.1", "--status", "succeeded") == "3"
    assert found(project, "tag:best", "CHURN") == "3"
    assert found(project, "zebra") == ""
    assert found(project, "archived") == found(project, "--archived") == "5"
    assert found(project, "--archived", "failed") == ""


def test_orders_and_pages(project: Path) -> None:
    assert found(project, "--sort", "metric.auc-asc") == "01234"
    assert found(project, "sort:duration") == "43210"
    assert found(project, "-n", "2", "--before", "20261101-000003-aaaaa") == "21"
    assert found(project, "failed", "--before", "20261101-000003-aaaaa") == "20"
    result = call(project, "CHURN", "-n", "2")
    assert "2 of 5; -n shows more" in result.stderr
    assert "shows more" not in call(project, "CHURN").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["auc>"], "at character 5"),
        (["failed", "colour:red"], "at character 8: there is no filter 'colour'"),
        (["failed", "--status", "succeeded"], "status is asked for twice"),
        (["--sort", "auc"], "not an order"),
        (["--sort", "duration", "--before", "20261101-000003-aaaaa"], "--before"),
    ],
)
def test_a_mistake_is_refused_and_says_where_it_is(project: Path, words: list[str], said: str) -> None:
    result = call(project, *words)
    assert isinstance(result.exception, ConfigError)
    assert said in result.exception.message
    assert result.exception.hint
