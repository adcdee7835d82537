"""The quick reading of `fairway run`'s arguments: right, or left to click."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.cli import main
from fairway.cli.request import RunRequest, parse_plain, split_param
from tests.apart import project_folder


def test_file_and_parameters() -> None:
    assert parse_plain(["p.py", "--depths", "2,4", "--max-depth=3", "--rate", "-0.5"]) == RunRequest(
        "p.py", {"depths": "2,4", "max_depth": "3", "rate": "-0.5"}
    )


def test_our_own_options() -> None:
    request = parse_plain(
        ["p.py", "--no-cache", "--tag", "a", "--tag=b", "--name", "n", "--max-parallel", "3", "-o", "json", "-p", "name=x"]
    )
    assert request == RunRequest("p.py", {"name": "x"}, no_cache=True, tag=("a", "b"), name="n", max_parallel=3, output="json")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["p.py", "--help"],
        ["p.py", "-h"],
        ["p.py", "other.py"],
        ["p.py", "--flag"],
        ["p.py", "--flag", "--other", "1"],
        ["p.py", "--max-parallel", "many"],
        ["p.py", "-o", "xml"],
        ["p.py", "-p", "no-equals-sign"],
        ["p.py", "--no-cache=1"],
        ["p.py", "--", "x"],
    ],
)
def test_everything_else_is_left_to_click(words: list[str]) -> None:
    assert parse_plain(words) is None


def test_a_parameter_is_split_at_the_first_equals_sign() -> None:
    assert split_param("a=b=c") == ("a", "b=c")
    assert split_param("=b") is None


TWO_PARAMETERS = "import fairway as fw\n\n\n@fw.pipeline\ndef p(depth: int, rate: float = 0.5):\n    return None\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--unknown", "1", "--other", "x"],
            """error: pipeline 'p' has no parameters 'unknown', 'other'
  parameter 'depth' (int) has no value
  at p.py:4
  its parameters: depth, rate; give it: --depth …
""",
        ),
        (
            ["--depth", "1", "--un_known", "--other=3", "--other"],
            "error: No such options '--un_known', '--other'\n  see: fairway run --help\n",
        ),
        (["--depth=1", "--unknown"], "error: No such option '--unknown'. Did you mean '--on'?\n  see: fairway run --help\n"),
    ],
)
def test_all_options_that_there_are_not_are_told_at_once(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.py").write_text(TWO_PARAMETERS)
    with project_folder(tmp_path, monkeypatch):
        assert main(["run", "p.py", *words]) == 2
    assert capsys.readouterr().err == told
