"""Whether a regular expression can match one text in so many ways that trying all takes years: exponential ambiguity.

The expression becomes an automaton of its letters (Glushkov), with how often one may follow another. It is slow when a letter can be
reached from itself by one text in two ways (Weber and Seidl, 1991). Bounded repetitions are taken for unbounded ones where they are long.
"""

from __future__ import annotations

import re._constants as constants  # type: ignore[import-not-found]  # what `re` itself compiles by; nothing public takes patterns apart
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_MOST_LETTERS = 250
_WRITTEN_OUT = 3
_SAMPLE = "aAzZmM019_ \t\n-.,:;/@+'\"é漢"


@dataclass
class _Part:
    """Ways to match nothing, letters that may come first and last."""

    empty: int = 1
    first: Counter[int] = field(default_factory=Counter[int])
    last: Counter[int] = field(default_factory=Counter[int])


class Automaton:
    """Of one parsed expression."""

    def __init__(self, parsed: Any) -> None:
        self.letters: list[Any] = []
        self.follow: Counter[tuple[int, int]] = Counter()
        self._sequence(parsed)

    def is_exponential(self) -> bool:
        """Whether one text leads from a letter back to itself in two ways. False for expressions too large to tell."""
        if len(self.letters) > _MOST_LETTERS:
            return False
        after: dict[int, set[int]] = {}
        for one, other in self.follow:
            after.setdefault(one, set()).add(other)
        component = _components(range(len(self.letters)), lambda one: after.get(one, set()))
        inside = {edge: count for edge, count in self.follow.items() if component[edge[0]] == component[edge[1]]}
        return any(count > 1 for count in inside.values()) or self._has_two_ways(inside)

    def _has_two_ways(self, inside: dict[tuple[int, int], int]) -> bool:
        sets = self._sets()
        after: dict[int, list[int]] = {}
        for one, other in inside:
            after.setdefault(one, []).append(other)

        def pairs(state: tuple[int, int]) -> set[tuple[int, int]]:
            return {(a, b) for a in after.get(state[0], []) for b in after.get(state[1], []) if sets[a] & sets[b]}

        seen, waiting = set[tuple[int, int]](), [(one, one) for one in after]
        while waiting:
            state = waiting.pop()
            if state not in seen:
                seen.add(state)
                if len(seen) > 8_000:
                    return False
                waiting += pairs(state)
        component = _components(sorted(seen), pairs)
        same = {component[state] for state in seen if state[0] == state[1]}
        return any(state[0] != state[1] and component[state] in same for state in seen)

    def _sets(self) -> list[frozenset[str]]:
        """The letters that each place matches, of those that make a difference."""
        known = set(_SAMPLE)
        for one in self.letters:
            known |= _mentioned(one)
        return [frozenset(letter for letter in known if _matches(one, letter)) for one in self.letters]

    def _sequence(self, items: Any) -> _Part:
        made = _Part()
        for kind, argument in items:
            made = self._joined(made, self._one(kind, argument))
        return made

    def _one(self, kind: Any, argument: Any) -> _Part:
        if kind in (constants.LITERAL, constants.NOT_LITERAL, constants.ANY, constants.IN):
            self.letters.append((kind, argument))
            place = len(self.letters) - 1
            return _Part(0, Counter({place: 1}), Counter({place: 1}))
        if kind is constants.SUBPATTERN:
            return self._sequence(argument[-1])
        if kind is constants.BRANCH:
            made = _Part(0)
            for branch in argument[1]:
                one = self._sequence(branch)
                made = _Part(min(made.empty + one.empty, 2), made.first + one.first, made.last + one.last)
            return made
        if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            return self._repeated(*argument)
        return _Part()  # a look-ahead, an anchor, a reference: no letter of its own

    def _repeated(self, least: int, most: Any, body: Any) -> _Part:
        made = _Part()
        endless = most is constants.MAXREPEAT or int(most) > _WRITTEN_OUT
        for number in range(1 if endless else int(most)):
            if len(self.letters) > _MOST_LETTERS:
                break
            one = self._sequence(body)
            if endless:
                self._link(one.last, one.first)
            if number >= least or (endless and not least):
                one.empty = max(one.empty, 1)
            made = self._joined(made, one)
        return made

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        first = one.first + Counter({place: count * one.empty for place, count in other.first.items() if one.empty})
        last = other.last + Counter({place: count * other.empty for place, count in one.last.items() if other.empty})
        return _Part(min(one.empty * other.empty, 2), first, last)

    def _link(self, last: Counter[int], first: Counter[int]) -> None:
        for one, times in last.items():
            for other, count in first.items():
                self.follow[one, other] += times * count


def _mentioned(letter: tuple[Any, Any]) -> set[str]:
    kind, argument = letter
    if kind in (constants.LITERAL, constants.NOT_LITERAL):
        return {chr(argument)}
    made = set[str]()
    for inner, value in argument or () if kind is constants.IN else ():
        if inner is constants.LITERAL:
            made.add(chr(value))
        elif inner is constants.RANGE:
            made |= {chr(value[0]), chr(value[1])}
    return made


def _matches(letter: tuple[Any, Any], text: str) -> bool:
    kind, argument = letter
    if kind is constants.ANY:
        return text != "\n"
    if kind in (constants.LITERAL, constants.NOT_LITERAL):
        return (ord(text) == argument) is (kind is constants.LITERAL)
    inverted = bool(argument) and argument[0][0] is constants.NEGATE
    return any(_holds(inner, value, text) for inner, value in argument) is not inverted


def _holds(kind: Any, value: Any, text: str) -> bool:
    if kind is constants.LITERAL:
        return ord(text) == value
    if kind is constants.RANGE:
        return value[0] <= ord(text) <= value[1]
    if kind is not constants.CATEGORY:
        return False
    name = str(value)
    told = text.isdigit() if name.endswith("DIGIT") else text.isspace() if name.endswith("SPACE") else text.isalnum() or text == "_"
    return told is not ("NOT" in name)


def _components(states: Any, after: Any) -> dict[Any, int]:
    """The strongly connected component of each state (Tarjan's, without recursion)."""
    index: dict[Any, int] = {}
    low: dict[Any, int] = {}
    made: dict[Any, int] = {}
    open_: list[Any] = []
    for root in states:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        open_.append(root)
        walk = [(root, iter(after(root)))]
        while walk:
            state, left = walk[-1]
            found = next(left, None)
            if found is None:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[state])
                if low[state] == index[state]:
                    while True:
                        one = open_.pop()
                        made[one] = index[state]
                        if one == state:
                            break
            elif found not in index:
                index[found] = low[found] = len(index)
                open_.append(found)
                walk.append((found, iter(after(found))))
            elif found not in made:
                low[state] = min(low[state], index[found])
    return made
