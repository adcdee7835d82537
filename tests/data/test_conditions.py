"""Conditions over a table's columns read those and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway as fw
from fairway.errors import ConfigError


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret.txt"
    path.write_text("root:x\n")
    return str(path)


@pytest.fixture(params=["csv", "memory", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> fw.data.Table:
    made = fw.read({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    if request.param == "memory":
        return made
    made.write(tmp_path / f"t.{request.param}")
    return fw.read(tmp_path / f"t.{request.param}")


@pytest.mark.parametrize(
    "condition",
    [
        "b IN (SELECT column0 FROM read_csv('{secret}'))",
        "exists(SELECT 1 FROM read_text('{secret}'))",
        "(SELECT count(*) FROM '{secret}') > 0",
        "a > 1 AND CASE WHEN a > 0 THEN list_contains(list_transform([1], x -> (SELECT max(size) FROM read_blob('{secret}'))), 7) END",
        "a > 1) UNION ALL SELECT 1, content FROM read_text('{secret}') WHERE (1 = 1",
        "a > 1) LIMIT (1",
        "a > 1) GROUP BY ALL HAVING (1 = 1",
    ],
)
def test_condition_that_queries_something_else_is_refused(table: fw.data.Table, secret: str, condition: str) -> None:
    with pytest.raises(ConfigError, match="query of its own"):
        table.where(condition.format(secret=secret)).rows()


def test_second_statement_is_refused(table: fw.data.Table) -> None:
    with pytest.raises(ConfigError, match="where\\("):
        table.where("a > 1); CREATE TABLE x (a INT); SELECT (1").rows()


def test_plain_conditions_hold(table: fw.data.Table) -> None:
    assert [row["a"] for row in table.where("a > 1 -- all but the first\n AND b IN ('x', 'y', 'z') AND length(b) = 1").rows()] == [2, 3]
    assert table.where("a BETWEEN 2 AND 3 AND b LIKE 'y%' OR b ~ '^z$' AND CASE WHEN a = 3 THEN true END").count() == 2
