"""Tracebacks as `fairway show` prints them."""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.tracebacks import fold_frames

LAYERS = """
class Layer:
    def __init__(self, *inner):
        self.inner = inner

    def __call__(self):
        return self.forward()

    def forward(self):
        for one in self.inner:
            one()
        if not self.inner:
            raise ValueError("3x8 and 7x1")
"""


def load(file: Path) -> ModuleType:
    file.parent.mkdir(exist_ok=True)
    file.write_text(LAYERS)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fail(module: Any) -> str:
    with pytest.raises(ValueError, match="3x8") as caught:
        module.Layer(module.Layer(module.Layer(module.Layer())))()
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("before", ["", "  [rank1]: "])
def test_frames_of_a_library_that_stand_above_are_not_repeated(tmp_path: Path, before: str) -> None:
    whole = fail(load(tmp_path / "site-packages" / "layers.py"))
    lines = fold_frames("".join(f"{before}{line}\n" for line in whole.splitlines()))
    assert whole.count(", in __call__") == 4
    assert [line.rpartition(", in ")[2] for line in lines if ", in " in line and "layers.py" in line] == ["__call__", "forward", "forward"]
    assert f"{before}  … __call__, forward, __call__, forward, … as above" in lines
    assert lines[-1] == f"{before}ValueError: 3x8 and 7x1"
    assert all(line.startswith(before) for line in lines)


def test_frames_of_one_s_own_code_all_stay(tmp_path: Path) -> None:
    whole = fail(load(tmp_path / "mine" / "layers.py"))
    assert fold_frames(whole) == whole.splitlines()


def test_each_exception_of_a_chain_has_its_frames(tmp_path: Path) -> None:
    one = fail(load(tmp_path / "site-packages" / "layers.py"))
    assert (
        fold_frames(f"{one}\nDuring handling of the above exception, another exception occurred:\n\n{one}").count(
            "  … __call__, forward, __call__, forward, … as above"
        )
        == 2
    )


def test_names_of_all_loaded_libraries_are_cut_short() -> None:
    line = "Extension modules: " + ", ".join(f"torch._C._{n}" for n in range(60))
    assert [len(shown) for shown in fold_frames(f"Fatal Python error: Aborted\n\n{line}\n")] == [27, 0, 160]


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9), max_size=9))
def test_what_is_no_traceback_stays_as_it_is(lines: list[str]) -> None:
    text = "\n".join(lines).rstrip()
    assert fold_frames(text) == text.splitlines()
