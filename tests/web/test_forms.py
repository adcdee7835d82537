"""Parameters as fields of a form, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.library import StoreLibrary
from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Param
from fairway.step.folder import FolderArtifactStore
from fairway.web.forms import make_fields, read_form, read_value, spell

FILE = ArtifactRef("a" * 64, 12, "file", "fairway.File", name="data.csv")


@pytest.fixture
def library(tmp_path: Path) -> StoreLibrary:
    return StoreLibrary(FolderArtifactStore(tmp_path))


@pytest.mark.parametrize(
    ("param", "kind"),
    [
        (Param("n", "int", 3), "number"),
        (Param("x", "float", 0.5), "number"),
        (Param("on", "bool", True), "check"),
        (Param("word", "str", "a"), "text"),
        (Param("maybe", "int | None", None), "text"),
        (Param("model", "str", "tree", choices=("tree", "forest")), "choice"),
        (Param("depths", "list[int]", [1, 2]), "text"),
        (Param("settings", "dict", {}), "long"),
        (Param("story", "str", "two\nlines"), "long"),
        (Param("data", "fairway.File", required=True), "file"),
    ],
)
def test_the_kind_of_field_follows_the_type(param: Param, kind: str) -> None:
    (field,) = make_fields((param,), {})
    assert field.kind == kind


def test_a_field_begins_with_what_the_run_had_and_says_that_it_is_not_the_default(library: StoreLibrary) -> None:
    params = (Param("n", "int", 3), Param("m", "int", 4))
    n, m = make_fields(params, {"n": library.constant(8), "m": library.constant(4)})
    assert (n.text, n.default, n.changed) == ("8", "3", True)
    assert (m.text, m.changed) == ("4", False)


VALUES: Any = st.one_of(
    st.tuples(st.just("int"), st.integers(-(10**12), 10**12)),
    st.tuples(st.just("float"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("str"), st.text()),
    st.tuples(st.just("list[int]"), st.lists(st.integers(-999, 999))),
    st.tuples(st.just("list[str]"), st.lists(st.text())),
    st.tuples(st.just("dict"), st.dictionaries(st.text(), st.integers(0, 9))),
    st.tuples(st.just("int | None"), st.none() | st.integers(0, 9)),
)


@given(VALUES)
def test_what_is_written_into_a_field_is_read_as_the_same_value(typed: tuple[str, Any]) -> None:
    kind, value = typed
    assert read_value(Param("p", kind), spell(value)) == value


def test_everything_that_is_wrong_is_said_at_once_in_words(library: StoreLibrary) -> None:
    params = (Param("n", "int", 3), Param("x", "float"), Param("model", "str", "tree", choices=("tree", "forest")), Param("ok", "int", 1))
    made, wrong = read_form(params, {}, {"n": "many", "x": "", "model": "bush", "ok": "5"}, library)
    assert set(wrong) == {"n", "x", "model"}
    assert "a whole number" in wrong["n"]
    assert "--" not in "".join(wrong.values()), "a form knows no flags"
    assert "tree, forest" in wrong["model"]
    assert made["ok"].inline == "5"


def test_a_box_that_is_not_ticked_means_false(library: StoreLibrary) -> None:
    made, wrong = read_form((Param("on", "bool", True),), {}, {}, library)
    assert (made["on"].inline, wrong) == ("false", {})


def test_a_file_stays_as_the_run_had_it_and_cannot_be_made_up(library: StoreLibrary) -> None:
    params = (Param("data", "fairway.File", required=True),)
    assert read_form(params, {"data": FILE}, {"data": "/etc/passwd"}, library) == ({"data": FILE}, {})
    made, wrong = read_form(params, {}, {"data": "/etc/passwd"}, library)
    assert made == {}
    assert "command line" in wrong["data"]
