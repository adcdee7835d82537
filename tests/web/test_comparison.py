"""Runs side by side, without the page: values, sentences, unified diffs, tables that are ROC curves or confusion matrices."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.differ import Difference
from fairway.web.comparison import (
    ABSENT,
    SAID,
    Phrase,
    compare_maps,
    compare_values,
    direction,
    phrase_many,
    phrase_names,
    phrase_steps,
    phrase_two,
    shorten,
)
from fairway.web.differences import LINES_LIMIT, read_diff, read_lines
from fairway.web.runresults import read_confusion, read_roc

numbers = st.one_of(st.just(ABSENT), st.integers(-50, 50), st.floats(-1e6, 1e6))
values = st.one_of(numbers, st.text(max_size=4), st.booleans(), st.lists(st.integers(), max_size=2))


@pytest.mark.parametrize(
    ("name", "better"),
    [
        *(
            (name, -1)
            for name in ("loss", "val_loss", "valLoss", "test/rmse", "logloss", "mean_squared_error", "train_seconds", "latency_ms", "fpr")
        ),
        *((name, 1) for name in ("auc", "val_acc", "f1", "r2", "accuracy", "precision@10", "best_score", "recall@5")),
        *((name, 0) for name in ("", "window", "lr", "learning_rate", "epoch", "n", "rows", "sampleCount")),
    ],
)
def test_which_way_is_better_is_told_by_the_name(name: str, better: int) -> None:
    assert direction(name) == better


def is_like(one: Any, other: Any) -> bool:
    """Equal, and of one kind: 1 is 1.0, but neither is True."""
    kinds = [type(value) if isinstance(value, bool) or not isinstance(value, int | float) else float for value in (one, other)]
    return kinds[0] is kinds[1] and one == other


@given(st.lists(values, min_size=1, max_size=6), st.data())
def test_values_are_the_same_only_if_all_are(some: list[Any], data: st.DataObject) -> None:
    base = data.draw(st.integers(0, len(some) - 1))
    line = compare_values("param", "x", some, base)
    assert line.same == all(is_like(one, some[0]) for one in some)
    assert not line.cells[base].other and not line.cells[base].delta
    assert all(cell.other or not cell.delta for cell in line.cells)
    assert not any(cell.best for cell in line.cells)


@given(st.lists(numbers, min_size=2, max_size=6), st.sampled_from([-1, 1]))
def test_the_best_are_all_that_reach_the_bound_and_none_if_all_do(some: list[Any], better: int) -> None:
    line = compare_values("metric", "x", some, 0, better)
    known = [one for one in some if one is not ABSENT]
    best = [one for one, cell in zip(some, line.cells, strict=True) if cell.best]
    if len(set(known)) < 2:
        assert best == []
    else:
        bound = max(known) if better > 0 else min(known)
        assert best == [one for one in known if one == bound]


@given(st.lists(numbers, min_size=2, max_size=6), st.sampled_from([-1, 0, 1]))
def test_a_delta_is_signed_and_judged(some: list[Any], better: int) -> None:
    line = compare_values("metric", "x", some, 0, better)
    for one, cell in zip(some[1:], line.cells[1:], strict=True):
        if ABSENT in (one, some[0]) or one == some[0]:
            assert (cell.delta, cell.good) == ("", None)
        else:
            assert cell.delta[0] == ("+" if one > some[0] else "−")
            assert cell.good is (None if not better else (one > some[0]) == (better > 0))


def test_truth_is_no_number() -> None:
    line = compare_values("param", "x", [True, 1], 0)
    assert not line.same and line.cells[1].delta == ""


def test_a_metric_is_turned_round_and_one_without_a_way_gets_one() -> None:
    maps = [{"loss": 1.0, "lr": 0.1}, {"loss": 2.0, "lr": 0.2}]
    assert [line.better for line in compare_maps("metric", maps, 0)] == [-1, 0]
    turned = compare_maps("metric", maps, 0, ["loss", "lr"])
    assert [line.better for line in turned] == [1, 1]
    assert turned[0].cells[1].best


# ---- sentences


def test_two_runs_are_told_from_before_to_after() -> None:
    lines = compare_maps("param", [{"depth": 4, "rows": 5, "old": "x"}, {"depth": 8, "rows": 5, "new": True}], 0)
    assert [(one.name, one.text) for one in phrase_two(lines)] == [("depth", "4 → 8"), ("old", "x → none"), ("new", "none → true")]


@pytest.mark.parametrize("base", [0, 1])
def test_what_got_better_is_said_so_whichever_is_the_baseline(base: int) -> None:
    lines = compare_maps("metric", [{"auc": 0.8, "loss": 0.1}, {"auc": 0.9, "loss": 0.2}], base)
    assert [one.good for one in phrase_two(lines)] == [True, False]


def test_packages_are_added_and_removed() -> None:
    lines = compare_maps("package", [{"numpy": "1.26", "old": "1"}, {"numpy": "2.0", "new": "3"}], 0)
    assert [one.text for one in phrase_two(lines)] == ["1.26 → 2.0", "1 removed", "3 added"]


def test_many_runs_are_told_by_their_range_and_the_best() -> None:
    rows = [0.7, 0.9, 0.8]
    phrase = phrase_many(compare_values("metric", "auc", rows, 0, 1), ["a", "b", "c"], rows)
    assert phrase is not None and phrase.text == "0.7 – 0.9, best in b"
    tied = [0.9, 0.9, 0.8]
    phrase = phrase_many(compare_values("metric", "auc", tied, 0, 1), ["a", "b", "c"], tied)
    assert phrase is not None and phrase.text == "0.8 – 0.9"
    assert phrase_many(compare_values("metric", "auc", [1, 1], 0, 1), ["a", "b"], [1, 1]) is None
    kinds = ["red", "blue", "red", "green", "x", "y"]
    phrase = phrase_many(compare_values("param", "kind", kinds, 0), list("abcdef"), kinds)
    assert phrase is not None and phrase.text == "red, blue, green, x and 1 more"


def test_steps_whose_code_changed_came_or_went_are_named() -> None:
    two = [{"load": "1", "train": "2", "old": "3"}, {"load": "1", "train": "9", "new": "4"}]
    assert [(one.name, one.text) for one in phrase_steps(two)] == [
        ("code of train", "changed"),
        ("step new", "added"),
        ("step old", "removed"),
    ]
    three = [*two, {"load": "1", "train": "5"}]
    assert [(one.name, one.text) for one in phrase_steps(three)] == [("code of train", "in 3 versions"), ("steps old, new", "only in some")]
    assert phrase_steps([{"a": "1"}, {"a": "1"}]) == []


def test_things_that_words_cannot_tell_are_only_named() -> None:
    assert phrase_names([], "output", "results") == []
    assert phrase_names(["roc"], "output", "results") == [Phrase("results", "output roc", "differs")]
    assert phrase_names(list("abcdef"), "output", "results") == [Phrase("results", "outputs a, b, c, d and 2 more", "differ")]


@given(st.integers(0, 20), st.integers(1, 5))
def test_of_many_phrases_some_are_told_and_the_rest_counted(count: int, said: int) -> None:
    found = shorten([Phrase("", f"p{n}", "x") for n in range(count)], "table", "things", said)
    told = sum(one.text == "x" for one in found)
    rest = [int(one.name.split()[0]) for one in found if not one.text]
    assert told + sum(rest) == count
    assert len(found) <= said + 1
    assert all(number > 1 for number in rest)  # "1 more" would take no less room than the thing itself
    assert SAID > 1


# ---- code

texts = st.lists(st.sampled_from(["a", "b", "+c", "-d", "", " e", "@@ -1 +1 @@"]), max_size=25)


@given(texts, texts)
def test_a_unified_diff_is_read_with_its_line_numbers(old: list[str], new: list[str]) -> None:
    text = "\n".join(unified_diff(old, new, "a/x", "b/x", lineterm="", n=2))
    lines = read_lines(text)
    for line in lines:
        if line.old:
            assert old[line.old - 1] == line.text
        if line.new:
            assert new[line.new - 1] == line.text
        assert (line.kind, bool(line.old), bool(line.new)) in [
            ("add", False, True),
            ("del", True, False),
            ("same", True, True),
            ("gap", False, False),
        ]
    left = [at for at, _ in enumerate(old, 1) if at not in {line.old for line in lines if line.kind == "del"}]
    kept = [at for at, _ in enumerate(new, 1) if at not in {line.new for line in lines if line.kind == "add"}]
    assert [old[at - 1] for at in left] == [new[at - 1] for at in kept]


def test_files_that_came_or_went_or_are_lost_are_told_so() -> None:
    text = "\n".join(unified_diff([], ["x"] * (LINES_LIMIT + 7), "/dev/null", "b/new.py", lineterm=""))
    added = read_diff(Difference("code", "new.py", None, "5 lines", text))
    assert (added.state, added.added, added.removed, len(added.lines), added.more) == ("added", LINES_LIMIT + 7, 0, LINES_LIMIT, 7)
    assert read_diff(Difference("code", "old.py", "5 lines", None, "")).state == "removed"
    assert read_diff(Difference("code", "bundle", "ab12", "cd34")).state == "unknown"


# ---- results


def test_a_table_with_rates_is_a_roc_curve() -> None:
    rows = [[1, 1.0, "x"], [0.0, 0.0, "x"], [0.5, 0.9, "y"], [None, 0.1, "y"]]
    assert read_roc(["FPR", "tpr", "class"], rows) == {"x": [[0.0, 0.0], [1.0, 1.0]], "y": [[0.5, 0.9]]}
    assert read_roc(["false positive rate", "true positive rate"], [[0, 1]]) == {"": [[0.0, 1.0]]}
    assert read_roc(["x", "y"], [[0, 1]]) is None
    assert read_roc(["fpr", "tpr"], []) is None


def test_a_table_of_counts_is_a_confusion_matrix_by_its_names_or_its_name() -> None:
    matrix = read_confusion(["was", "no", "yes"], [["no", 30, 10], ["yes", 0, 0]], "table")
    assert matrix is not None
    assert (matrix.rows, matrix.columns, matrix.corner) == (("no", "yes"), ("no", "yes"), "was")
    assert matrix.shares == ((0.75, 0.25), (0.0, 0.0))
    others = ["customers who", "not flagged", "flagged"], [["paid", 3, 1], ["defaulted", 1, 2]]
    assert read_confusion(*others, "scores") is None
    assert read_confusion(*others, "report.confusion") is not None


@pytest.mark.parametrize(
    "rows",
    [
        [["no", 1, 2]],
        [["no", 1, "x"], ["yes", 1, 1]],
        [["no", -1, 2], ["yes", 1, 1]],
        [["no", 1], ["yes", 1, 1]],
        [["no", True, 2], ["yes", 1, 1]],
    ],
)
def test_what_is_no_matrix_is_none(rows: list[list[Any]]) -> None:
    assert read_confusion(["was", "no", "yes"], rows, "confusion") is None
