"""The quick reading of `fairway run`'s arguments: right, or left to click."""

from __future__ import annotations

import pytest

from fairway.cli.request import RunRequest, parse_plain, split_param


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
