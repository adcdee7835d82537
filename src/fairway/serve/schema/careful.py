"""JSON read with care: where it is broken, and what in it JSON does not have (NaN, a key twice, half a character)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fairway.serve.refusal import Refused

NOT_JSON = "FW-NOT-JSON"
_SHOWN = 24


class Odd:
    """A number that JSON does not have: NaN, Infinity, -Infinity."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Doubled(dict[str, Any]):
    """An object in which `key` came twice."""

    key = ""


def decode(body: bytes | bytearray | memoryview, where: str = "the body") -> Any:
    """The value; Refused (400) unless it is JSON. NaN and the like come as `Odd`, objects with a key twice as `Doubled`."""
    raw = bytes(body)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            400, NOT_JSON, f"{where} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}", hint="JSON is sent as UTF-8."
        ) from None
    if not text.strip(" \t\r\n"):
        raise Refused(400, NOT_JSON, f"{where} is empty, expected JSON", hint='For example {"inputs": [{…}]}.')
    if text[0] == "\ufeff":
        raise Refused(400, NOT_JSON, f"{where} begins with a byte order mark", hint="Send UTF-8 without one.")
    try:
        return json.loads(text, parse_constant=Odd, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _broken(text, error, where) from None
    except RecursionError:
        raise Refused(400, NOT_JSON, f"{where} is nested too deeply, expected at most some hundred levels") from None
    except ValueError:  # int() of thousands of digits
        raise Refused(400, NOT_JSON, f"{where} has a number of more than 4,300 digits, expected a number that fits 64 bits") from None


def members(body: bytes | bytearray | memoryview, where: str = "the body") -> dict[str, bytes]:
    """The members of an object, each as its text, in which NaN may be; {} for another value. Refused (400) as by `decode`."""
    if not isinstance(decode(body, where), dict):
        return {}
    text, found = bytes(body).decode(), dict[str, bytes]()
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begins = _after_space(text, text.index(":", at) + 1)
        _value, ends = _DECODER.raw_decode(text, begins)
        found[name] = text[begins:ends].encode()
        at = _after_space(text, ends)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return found


_DECODER = json.JSONDecoder()


def _after_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = Doubled(made)
    seen: set[str] = set()
    for key, _value in pairs:
        if key in seen:
            doubled.key = key
            break
        seen.add(key)
    return doubled


def _broken(text: str, error: json.JSONDecodeError, where: str) -> Refused:
    at = len(text[: error.pos].encode("utf-8", "surrogatepass"))
    before, after = text[max(0, error.pos - _SHOWN) : error.pos], text[error.pos : error.pos + _SHOWN]
    came = f"{before!r} then {after!r}" if after else f"the end, after {before!r}"
    return Refused(400, NOT_JSON, f"{where} is not JSON: byte {at}: {error.msg[:1].lower()}{error.msg[1:]}", hint=f"There stands {came}.")


def oddities(value: Any) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Where in `value` something is that no JSON has: its path, what came, what was expected. Numbers that are columns' own are left
    to the columns. Never recurses: depth is the sender's choice."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, one = stack.pop()
        if isinstance(one, dict):
            if isinstance(one, Doubled):
                yield (*path, one.key), "the field twice", "it once"
            for key, inner in one.items():
                if not key.isascii() and has_surrogate(key):
                    yield path, f"the field {key!r} with half a character (a lone surrogate)", "text"
                stack.append(((*path, key), inner))
        elif isinstance(one, list):
            stack.extend(((*path, number), inner) for number, inner in enumerate(one))
        elif isinstance(one, str):
            if not one.isascii() and has_surrogate(one):
                yield path, "half a character (a lone surrogate)", "text"
        elif isinstance(one, Odd):
            yield path, one.text, "a number"
        elif isinstance(one, float) and (one != one or one in (float("inf"), float("-inf"))):
            yield path, "a number too large for 64 bits", "a number up to 1.8e308"


def has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
