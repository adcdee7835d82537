from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.serve.feedback.privacy import Privacy, Withheld

SECRET = b"k" * 32
COLUMNS = ("age", "job", "email")


def cover(
    body: Any, *, drop: tuple[str, ...] = (), hash: tuple[str, ...] = (), columns: tuple[str, ...] = COLUMNS, is_request: bool = True
) -> Any:
    privacy = Privacy(drop, hash, secret=SECRET, columns=columns)
    return json.loads(privacy.cover_body(json.dumps(body).encode(), "application/json; charset=utf-8", is_request=is_request))


def digest(value: Any) -> str:
    return Privacy((), ("x",), secret=SECRET).digest(value)


@pytest.mark.parametrize(
    ("body", "covered"),
    [
        ({"inputs": [{"age": 1, "job": "a", "email": "e"}]}, {"inputs": [{"job": "a", "email": digest("e")}]}),
        ([{"age": 1, "job": "a"}], [{"job": "a"}]),
        ({"age": 1, "job": "a"}, {"job": "a"}),
        (
            {"inputs": {"age": [1, 2], "job": ["a", "b"], "email": ["e", "f"]}},
            {"inputs": {"job": ["a", "b"], "email": [digest("e"), digest("f")]}},
        ),
        ({"columns": ["job", "age"], "data": [["a", 1], ["b", 2]]}, {"columns": ["job"], "data": [["a"], ["b"]]}),
        (
            {"dataframe_split": {"columns": ["email", "age"], "data": [["e", 1]]}},
            {"dataframe_split": {"columns": ["email"], "data": [[digest("e")]]}},
        ),
        ({"inputs": [[1, "a", "e"], [2, "b", "e"]]}, {"inputs": [["a", digest("e")], ["b", digest("e")]]}),
        ([[1, "a", "e"]], [["a", digest("e")]]),
        ({"inputs": [1, "a", "e"]}, {"inputs": ["a", digest("e")]}),
        (
            {
                "inputs": [
                    {"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]},
                    {"name": "job", "shape": [1], "datatype": "BYTES", "data": ["a"]},
                ]
            },
            {"inputs": [{"name": "job", "shape": [1], "datatype": "BYTES", "data": ["a"]}]},
        ),
        (
            {"inputs": [{"name": "email", "shape": [1], "datatype": "BYTES", "data": ["e"]}]},
            {"inputs": [{"name": "email", "shape": [1], "datatype": "BYTES", "data": [digest("e")]}]},
        ),
        (
            {"inputs": [{"name": "input", "shape": [2, 3], "datatype": "FP32", "data": [1, 5, 7, 2, 6, 7]}]},
            {"inputs": [{"name": "input", "shape": [2, 2], "datatype": "FP32", "data": [[5, digest(7)], [6, digest(7)]]}]},
        ),
        ({"inputs": []}, {"inputs": []}),
    ],
)
def test_a_field_is_found_in_every_form_of_request(body: Any, covered: Any) -> None:
    assert cover(body, drop=("age",), hash=("email",)) == covered


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [[1, 2]]},
        {"inputs": [[1, "a", "e"], 3]},
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]},
        [1, 2],
    ],
)
def test_what_cannot_be_searched_is_not_kept(body: Any) -> None:
    with pytest.raises(Withheld, match="have no names"):
        cover(body, drop=("age",))
    with pytest.raises(Withheld, match="have no names"):
        cover({"inputs": [[1, "a", "e"]]}, drop=("age",), columns=())


def test_bare_rows_are_kept_where_no_column_of_theirs_is_meant() -> None:
    assert cover({"inputs": [[1, "a", "e"]]}, drop=("token",)) == {"inputs": [[1, "a", "e"]]}


def test_answers_are_covered_by_name_alone() -> None:
    body = {"predictions": [[0.1, 0.9]], "email": "e", "debug": {"age": 3}}
    assert cover(body, drop=("age",), hash=("email",), is_request=False) == {"predictions": [[0.1, 0.9]], "email": digest("e"), "debug": {}}


def test_a_path_means_one_place() -> None:
    body = {"customer": {"email": "a"}, "shop": {"email": "b"}}
    assert cover(body, drop=("customer.email",)) == {"customer": {}, "shop": {"email": "b"}}


def test_csv_goes_without_its_columns() -> None:
    privacy = Privacy(("age",), ("email",), secret=SECRET, columns=COLUMNS)
    kept = privacy.cover_body(b'age,job,email\n1,"a,b",e\n', "text/csv", is_request=True)
    assert kept == f'job,email\n"a,b",{digest("e")}\n'
    with pytest.raises(Withheld):
        privacy.cover_body(b"1,a,e\n", "text/csv", is_request=True)


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "application/octet-stream", "text/html"])
def test_other_forms_are_not_kept_where_there_are_rules(kind: str) -> None:
    with pytest.raises(Withheld, match=kind):
        Privacy(("age",)).cover_body(b"1", kind, is_request=True)


def test_without_rules_everything_that_is_text_is_kept() -> None:
    assert Privacy().cover_body(b'{"a":  1}', "", is_request=True) == '{"a":  1}'
    assert Privacy().cover_body(b"a,b", "text/csv", is_request=True) == "a,b"
    for body, kind in ((b"\xff", "application/json"), (b"PAR1", "application/vnd.apache.parquet")):
        with pytest.raises(Withheld):
            Privacy().cover_body(body, kind, is_request=True)
    with pytest.raises(Withheld, match="cannot be read"):
        Privacy(("age",)).cover_body(b"{", "application/json", is_request=True)


def test_digests_differ_between_endpoints() -> None:
    assert Privacy(hash=("x",), secret=b"1").digest("bob") != Privacy(hash=("x",), secret=b"2").digest("bob")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["age", "job", "inputs", "data", "columns", "name", "shape"]), inner, max_size=5),
    ),
    max_leaves=20,
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_a_dropped_name_never_survives_whatever_comes(body: Any) -> None:
    try:
        covered = cover(body, drop=("age",))
    except Withheld:
        return

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    assert "age" not in names(covered)
