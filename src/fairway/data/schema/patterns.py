"""What texts have in common, as a pattern or a format of JSON Schema; "" where they are not built alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_FORMATS = ("uuid", "date", "date-time", "ipv4", "ipv6", "email")
_CLASSES = (("9", "[0-9]"), ("A", "[A-Z]"), ("a", "[a-z]"))
_FEWEST = 30
_LONGEST = 60
_MOST_SHAPES = 2
_CODES = ("[0-9a-f]", "[0-9A-F]", "[0-9a-zA-Z]")
_SPECIAL = frozenset("\\^$.|?*+()[]{}")


def format_of(texts: Sequence[str]) -> str:
    """The format that every one of the texts has."""
    from fairway.data.anomalies.textchecks import is_format

    if len(texts) < _FEWEST:
        return ""
    return next((name for name in _FORMATS if all(is_format(name, text) is True for text in texts)), "")


def pattern_of(texts: Sequence[str]) -> str:
    """The pattern of codes: one or two ways in which signs follow each other, with a digit or a sign of punctuation in each."""
    if len(texts) < _FEWEST or any(not text.isascii() or not text.isprintable() or not 0 < len(text) <= _LONGEST for text in texts):
        return ""
    shapes: dict[str, list[list[str]]] = {}
    for text in texts:
        runs = _runs(text)
        shapes.setdefault("".join(kind for kind, _ in runs), []).append([run for _, run in runs])
        if len(shapes) > _MOST_SHAPES:
            return _code_of(texts)
    if any(len(members) < _FEWEST / 3 for members in shapes.values()) or not all(set(shape) - {"A", "a", " "} for shape in shapes):
        return ""
    made = [_of_shape(shape, members) for shape, members in sorted(shapes.items())]
    return f"^{made[0]}$" if len(made) == 1 else f"^({'|'.join(made)})$"


def _code_of(texts: Sequence[str]) -> str:
    """Letters and digits anyhow, but always as many."""
    lengths = {len(text) for text in texts}
    if len(lengths) > 1 or min(lengths) < 6:
        return ""
    made = next((f"^{one}{{{min(lengths)}}}$" for one in _CODES if all(re.fullmatch(f"{one}+", text) for text in texts)), "")
    return made if any(sign.isdigit() for text in texts for sign in text) else ""


def _runs(text: str) -> list[tuple[str, str]]:
    """Each run of signs of a kind, and its kind: "9", "A", "a", or the sign itself."""
    return [(kind, "".join(part)) for kind, part in groupby(text, _kind)]


def _kind(sign: str) -> str:
    return "9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign


def _of_shape(shape: str, members: list[list[str]]) -> str:
    made: list[str] = []
    for place, kind in enumerate(shape):
        runs = {member[place] for member in members}
        lengths = {len(run) for run in runs}
        if len(runs) == 1:
            made.append(_literal(next(iter(runs))))
            continue
        sign = dict(_CLASSES).get(kind) or _literal(kind)
        length = min(lengths)
        made.append(sign + ("+" if len(lengths) > 1 else f"{{{length}}}" if length > 1 else ""))
    return "".join(made)


def _literal(text: str) -> str:
    """As a regular expression of Python's and of JavaScript's."""
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in text)
