"""What a handler gives back when it is more than a JSON value."""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, field, record


@record
class Reply(Record):
    """A JSON `value` with a status and headers of its own."""

    value: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@record
class Encoded(Record):
    """JSON that has been encoded already, because there is much of it."""

    data: bytes
