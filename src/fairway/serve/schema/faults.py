"""Faults as a refusal."""

from __future__ import annotations

from typing import Any

from fairway.data.schema.pointers import pointer
from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema import careful

BAD_INPUT = "FW-INPUT"
MOST_FAULTS = 20


def refusal(faults: list[Fault]) -> Refused:
    """422 with the first faults; the message is the very first."""
    faults = [_sayable(fault) for fault in faults[:MOST_FAULTS]]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Refused(422, BAD_INPUT, f"the input does not keep to the schema: {faults[0].text}{more}", faults=tuple(faults))


def _sayable(fault: Fault) -> Fault:
    """Names and values that came may hold what no answer can: half a character."""
    if fault.field.isascii() and fault.came.isascii() and fault.expected.isascii():
        return fault
    field, came, expected = (text.encode("utf-8", "backslashreplace").decode() for text in (fault.field, fault.came, fault.expected))
    return Fault(row=fault.row, field=field, came=came, expected=expected)


def wrong(came: str, expected: str, *, row: int = -1, field: str = "") -> Refused:
    """422 with one fault."""
    return refusal([Fault(row=row, field=field, came=came, expected=expected)])


def refuse_oddities(value: Any, at: tuple[str | int, ...] = ()) -> None:
    """Refused if `value` holds something that no JSON has."""
    faults: list[Fault] = []
    for path, came, expected in careful.oddities(value):
        faults.append(Fault(row=-1, field=pointer(*at, *path), came=came, expected=expected))
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise refusal(faults)
