"""Two versions of a step's code compared: the edited part, its line, the way to it; whatever the edit is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.engine.codediff import CodeChange, Snapshot, changed_files, compare
from fairway.engine.explain import Explanation
from fairway.engine.keydiff import Reason
from fairway.spec.graph import StepDef

STEP = StepDef("one", module="flow", qualname="one")
FLOW = """import fairway as fw
from lib import helper
import lib

TABLE = {"a": 1}


@fw.step
def one(x):
    return helper(x) + TABLE["a"]
"""
LIB = '''"""A library."""


class Shape:
    side = 1

    def area(self, factor):
        if factor > 1:
            return self.side * factor
        else:
            return self.side


def helper(x):
    """Helps."""
    try:
        value = Shape().area(x)
    except ValueError as error:
        value = str(error)
    match value:
        case 1:
            value = 2
    return value
'''


def bundle(folder: Path, **files: str) -> Snapshot:
    """A run's code: `flow.py`, `lib.py` and others by name."""
    for name, text in {"flow": FLOW, "lib": LIB, **files}.items():
        path = folder / (name if "." in name else f"{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Snapshot(str(folder))


def changes(tmp_path: Path, step: StepDef = STEP, **files: str) -> list[CodeChange]:
    return compare(bundle(tmp_path / "old"), step, bundle(tmp_path / "new", **files), step)


EDITS = [
    ("side = 1", "side = 2", "lib.Shape", "side = 1", "side = 2"),
    ("return self.side * factor", "return self.side + factor", "lib.Shape", "return self.side * factor", "return self.side + factor"),
    ("if factor > 1:", "if factor > 2:", "lib.Shape", "if factor > 1:", "if factor > 2:"),
    ("def area(self, factor)", "def area(self, factor=1)", "lib.Shape", "def area(self, factor):", "def area(self, factor=1):"),
    ("except ValueError as error", "except TypeError as error", "lib.helper", "except ValueError as error:", "except TypeError as error:"),
    ("case 1:", "case 3:", "lib.helper", "case 1:", "case 3:"),
    ("        value = str(error)", "        value = repr(error)", "lib.helper", "value = str(error)", "value = repr(error)"),
    ("    return value", "    print(value)\n    return value", "lib.helper", "", "print(value)"),
]


@pytest.mark.parametrize(("old", "new", "name", "before", "after"), EDITS)
def test_the_edited_line_is_found(tmp_path: Path, old: str, new: str, name: str, before: str, after: str) -> None:
    text = LIB.replace(old, new)
    (change,) = changes(tmp_path, lib=text)
    assert (change.kind, change.name, change.before, change.after) == ("edited", name, before, after)
    assert change.where == f"lib.py:{next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() == after)}"
    assert change.chain[0].startswith("flow.one (flow.py:") and change.chain[-1].startswith(f"{name} (lib.py:")


def test_a_deleted_line_is_shown_where_it_stood(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, lib=LIB.replace("        value = str(error)", "        pass"))
    assert (change.before, change.after) == ("value = str(error)", "")


def test_remarks_beside_an_edit_are_passed_over(tmp_path: Path) -> None:
    (change,) = changes(
        tmp_path, lib=LIB.replace('"""Helps."""', '"""Helps a lot."""\n    # really').replace("    return value", "    return -value")
    )
    assert (change.before, change.after) == ("return value", "return -value")


def test_nothing_differs_in_equal_code(tmp_path: Path) -> None:
    assert changes(tmp_path) == []
    assert changed_files(bundle(tmp_path / "a"), bundle(tmp_path / "b", extra="x = 1\n")) == ["extra.py"]


def test_an_added_decorator_is_an_edit_and_a_setting_is_none(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, lib=LIB.replace("def helper(x):", "@cached\ndef helper(x):"))
    assert change.after == "@cached"
    assert changes(tmp_path, flow=FLOW.replace("@fw.step\n", "@fw.step(cpu=4, retries=3)\n")) == []


def test_a_touched_container_is_an_edit_of_it(tmp_path: Path) -> None:
    (change,) = changes(tmp_path, flow=FLOW.replace('TABLE = {"a": 1}', 'TABLE = {"a": 1}\nTABLE["b"] = 2'))
    assert (change.name, change.after) == ("flow.TABLE", 'TABLE["b"] = 2')


def test_an_import_from_elsewhere_is_named(tmp_path: Path) -> None:
    found = changes(
        tmp_path, flow=FLOW.replace("from lib import helper", "from other import helper"), other="def helper(x):\n    return x\n"
    )
    first = found[0]
    assert (first.kind, first.name, first.before, first.after) == (
        "edited",
        "flow.helper",
        "from lib import helper",
        "from other import helper",
    )
    assert {(c.kind, c.name) for c in found[1:]} >= {("added", "other.helper"), ("removed", "lib.helper"), ("removed", "lib.Shape")}


def test_a_module_that_cannot_be_followed_is_named_as_a_whole(tmp_path: Path) -> None:
    flow = FLOW.replace("return helper(x)", "return getattr(lib, 'hel' + 'per')(x)")
    before = bundle(tmp_path / "old", flow=flow)
    after = bundle(tmp_path / "new", flow=flow, lib=LIB.replace("value = 2", "value = 3"))
    (change,) = compare(before, STEP, after, STEP)
    assert (change.name, change.before, change.after) == ("the module lib", "value = 2", "value = 3")


def test_a_step_that_a_bundle_does_not_have_cannot_be_compared(tmp_path: Path) -> None:
    assert compare(bundle(tmp_path / "old"), StepDef("one", module="gone", qualname="one"), bundle(tmp_path / "new"), STEP) == []


def test_scripts_of_commands_are_compared_line_by_line(tmp_path: Path) -> None:
    command = StepDef("fit", kind="command", argv=("Rscript", "./fit.R", "1"))
    before = bundle(tmp_path / "old", **{"fit.R": "a\nb\n", "gone.R": "x\n"})
    after = bundle(tmp_path / "new", **{"fit.R": "a\nc\n", "new.R": "y\n"})
    (change,) = compare(before, command, after, command)
    assert change == CodeChange("edited", "fit.R", "fit.R:2", "b", "c")
    old, new = StepDef("fit", kind="command", argv=("R", "gone.R")), StepDef("fit", kind="command", argv=("R", "new.R"))
    assert [(c.kind, c.name) for c in compare(before, old, after, new)] == [("added", "new.R"), ("removed", "gone.R")]


def test_an_explanation_is_told_in_indented_lines() -> None:
    said = Explanation("t", "succeeded", "t ran: its code was edited", (Reason("code", "f was edited\n- a\n+ b"),), "r1", "t")
    assert said.lines() == ["t ran: its code was edited", "  f was edited", "    - a", "    + b", "compared with t of run r1"]
    assert Explanation("t", "cached", "t came from the cache", (), "r1", "t").lines() == ["t came from the cache"]
