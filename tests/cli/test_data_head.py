"""`fairway data head` and `convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairway.cli.dataconvert import command as convert
from fairway.cli.datahead import command as head
from fairway.errors import ConfigError, DataAnomalies


def run(command: Any, *words: str) -> Any:
    done = CliRunner().invoke(command, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text("zip;price\n" + "".join(f"0{n};{n},5\n" for n in range(1000, 1100)) + "x;y\n01;2\n")
    return path


def test_rows_types_and_what_was_guessed(sales: Path) -> None:
    done = run(head, str(sales), "-n", "2", "--set", 'types={"price": "double"}')
    assert done.stdout.splitlines()[:3] == ["zip     price", "01000  1000.5", "01001  1001.5"]
    assert "price   double" in done.stdout
    assert "note: separator ';', guessed" in done.stderr


def test_json(sales: Path) -> None:
    said = json.loads(run(head, str(sales), "-n", "1", "-o", "json", "--columns", "price", "--set", 'types={"price": "double"}').stdout)
    assert said["fields"] == [{"name": "price", "type": "double", "kind": "float"}]
    assert said["rows"] == [{"price": 1000.5}]


def test_what_is_left_out_is_said(sales: Path) -> None:
    done = run(head, str(sales), "-n", "500", "--set", 'types={"price": "double"}')
    assert "left out: line 102, column 'price': 'y' is not a number" in done.stderr


def test_convert(sales: Path, tmp_path: Path) -> None:
    to = tmp_path / "sales.parquet"
    with pytest.raises(DataAnomalies):
        run(convert, str(sales), str(to), "--set", 'types={"price": "double"}')
    assert not to.exists()
    done = run(convert, str(sales), str(to), "--set", 'types={"price": "double"}', "--set", "max_rejects=all", "--where", "price > 1000.5")
    assert "99 rows in" in done.stderr
    assert "1 rejected" in done.stderr


def test_settings_without_a_value(sales: Path) -> None:
    with pytest.raises(ConfigError, match="no NAME=VALUE"):
        run(head, str(sales), "--set", "separator")
