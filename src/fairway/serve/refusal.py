"""Why a request is refused: a status, a code, and the faults, each with its row, field, what came and what was expected."""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, record


@record
class Fault(Record):
    """`row` counts from 0 (-1: none is to blame); `field` is a column's or tensor's name, or a JSON pointer."""

    row: int
    field: str
    came: str
    expected: str

    @property
    def text(self) -> str:
        """ "row 3, field 'age': came the text 'old', expected a number"."""
        where = ", ".join(
            part for part in (f"row {self.row}" if self.row >= 0 else "", f"field {self.field!r}" if self.field else "") if part
        )
        return f"{where}{': ' if where else ''}came {self.came}, expected {self.expected}"


class Refused(Exception):
    """A request that is not answered: 4xx (the caller's fault), 429 or 503 (come again after `retry_after_s`)."""

    def __init__(
        self, status: int, code: str, message: str, *, faults: tuple[Fault, ...] = (), hint: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.faults, self.hint = status, code, message, faults, hint
        self.retry_after_s = retry_after_s

    def plain(self, id: str) -> dict[str, Any]:
        """The body of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            error["hint"] = self.hint
        if self.faults:
            error["faults"] = [{"row": f.row, "field": f.field, "came": f.came, "expected": f.expected} for f in self.faults]
        return {"error": error, "id": id}
