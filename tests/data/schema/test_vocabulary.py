"""The words of x-fairway: each has a value like its example, and the guide shows the table that they are checked by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fairway.data.schema.vocabulary import CADENCE, COLUMN, ROWS, SLICE, Word

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "schemas.md"
ALL = {"column": COLUMN, "rows": ROWS, "cadence": CADENCE, "slice": SLICE}


@pytest.mark.parametrize("words", ALL.values(), ids=ALL)
def test_the_guide_has_the_table(words: Mapping[str, Word]) -> None:
    rows = [f"| `{name}` | {word.kind} | {word.meaning} | `{word.example}` |" for name, word in words.items()]
    assert "\n".join(["| word | is | says | example |", "| --- | --- | --- | --- |", *rows, ""]) in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("words", ALL.values(), ids=ALL)
def test_examples_are_values_of_their_word_and_other_things_are_not(words: Mapping[str, Word]) -> None:
    for name, word in words.items():
        if "…" not in word.example:
            assert word.check(json.loads(word.example)), name
        assert not word.check(None) and not word.check(float("nan")), name
