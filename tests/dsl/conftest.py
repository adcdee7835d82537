"""Pipelines for the tests, written as a user would, in files of their own."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairway.dsl.load import load_pipeline
from fairway.spec.graph import Graph

_numbers = itertools.count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Write a user's file; its modules and paths are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def make(source: str, name: str = "") -> Path:
        path = tmp_path / (name or f"flow_{next(_numbers)}.py")
        path.write_text(textwrap.dedent(source).lstrip("\n"))
        return path

    yield make
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


STEPS = """
from typing import NamedTuple
import fairway as fw

class Report(NamedTuple):
    auc: float
    note: str

@fw.step
def numbers(n: int = 3) -> list[int]:
    return list(range(n))

@fw.step
def load(path: fw.File) -> list[int]:
    return [1]

@fw.step
def square(x: int) -> int:
    return x * x

@fw.step
def add(x: int, y: int = 1) -> int:
    return x + y

@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)

@fw.step
def evaluate(x: int) -> Report:
    return Report(1.0, "")

@fw.step
def pick(xs: list[int], aucs: list[float]) -> Report:
    return Report(1.0, "")

@fw.step
def publish(x: int) -> None:
    pass

@fw.step
def anything(x):
    return x

"""


@pytest.fixture
def trace(write: Callable[[str], Path]) -> Callable[[str], Graph]:
    """The graph of a pipeline's text, with the steps above it."""

    def make(source: str) -> Graph:
        found = load_pipeline(str(write(STEPS + textwrap.dedent(source))))
        return found if isinstance(found, Graph) else found.trace()

    return make
