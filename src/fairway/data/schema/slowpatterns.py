"""Regular expressions that a short text can hold up for years: a repetition within a repetition, alternatives that overlap."""

from __future__ import annotations

import re._constants as constants  # type: ignore[import-not-found]  # what `re` itself compiles by; nothing public takes patterns apart
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

from fairway.data.schema.ambiguity import Automaton

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)


def is_slow(pattern: str) -> bool:
    """Does the pattern repeat a repetition without bound, (a+)+ or ([a-z]*b?)*, or alternatives of which two match one text, (a|ab|b)*?"""
    parsed = parser.parse(pattern)
    return _holds(parsed) or Automaton(parsed).is_exponential()


def _holds(part: Any) -> bool:
    for kind, argument in part:
        if kind in _REPEATS:
            _, most, body = argument
            if most is constants.MAXREPEAT and _is_repetition(body):
                return True
        if any(_holds(inner) for inner in _inner(kind, argument)):
            return True
    return False


def _is_repetition(body: Any) -> bool:
    """A repetition without bound, beside which everything may be left out."""
    found = False
    for kind, argument in body:
        if kind is constants.SUBPATTERN and len(body) == 1:
            return _is_repetition(argument[-1])
        if kind in _REPEATS and argument[1] is constants.MAXREPEAT:
            found = True
        elif not (kind is constants.AT or (kind in _REPEATS and argument[0] == 0)):
            return False
    return found


def _inner(kind: Any, argument: Any) -> list[Any]:
    if kind in _REPEATS:
        return [argument[2]]
    if kind is constants.SUBPATTERN:
        return [argument[-1]]
    if kind is constants.BRANCH:
        return list(argument[1])
    return [argument[1]] if kind in (constants.ASSERT, constants.ASSERT_NOT) else []
