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


def too_large(limit: int, size: int) -> Refused:
    """A body over the limit. `size` 0: it did not say how large it would be."""
    came = f"{size / 1e6:.1f} MB" if size else "more"
    return Refused(
        413, "FW-TOO-LARGE", f"the body is too large: came {came}, at most {limit / 1e6:.1f} MB is taken",
        hint="send fewer rows at once, or serve with a larger limit: --limits body_bytes=…",
    )  # fmt: skip


CODES: dict[str, tuple[tuple[int, ...], str]] = {
    "FW-REQUEST": ((400, 414, 431), "The request itself cannot be read: its head, its form, a header, lengths that do not fit its body."),
    "FW-NOT-JSON": ((400,), "The body is not JSON; it says at which byte."),
    "FW-NOT-TABLE": ((400,), "The body is not the CSV, Arrow stream or Parquet file it is said to be."),
    "FW-INPUT": ((400, 422), "It does not keep to the schema (422), or a tensor or feedback is wrong (400); `faults` say where."),
    "FW-KEY": ((401,), "A key or token is missing, misspelled, revoked, or of another endpoint."),
    "FW-HOST": ((403,), "A gateway on your own machine was called by a name that is not its own."),
    "FW-NOT-FOUND": ((404,), "No such endpoint, revision, model, version or path; it says what there is."),
    "FW-UNSUPPORTED": ((400, 405, 406, 415, 501), "A method, or a form of body or answer, that is not known here; it says which are."),
    "FW-TIMEOUT": ((408,), "The request came too slowly."),
    "FW-TOO-LARGE": ((413,), "Over the size limit; refused before it is read."),
    "FW-RATE": ((429,), "The key is over its rate; `Retry-After` says when to come again."),
    "FW-CANCELLED": ((499,), "The caller has left, and so gets no answer; counted in the metrics."),
    "FW-MODEL": ((500,), "The model raised, or its script answered with a status that this protocol has no place for."),
    "FW-ANSWER": ((500,), "The model gave what cannot be sent, or not an answer for each row."),
    "FW-INTERNAL": ((500,), "A defect of Fairway; the log has the details."),
    "FW-MODEL-DIED": ((502,), "The model process died of this request; a new one takes its place."),
    "FW-REPLICA-LOST": ((502,), "A replica broke off while it worked on the request; nobody else is asked, it may be done already."),
    "FW-BUSY": ((503,), "Too many requests wait, or too many bytes, or the server is ending; come again after `Retry-After`."),
    "FW-STARTING": ((503,), "The model is still being loaded."),
    "FW-NOT-RUNNING": ((503,), "No replica has started in time: `fairway logs NAME` says why."),
    "FW-PAUSED": ((503,), "Somebody has paused the endpoint."),
    "FW-NO-TRAFFIC": ((503,), "No revision of the endpoint takes traffic."),
    "FW-FEEDBACK-UNWRITTEN": ((503, 507), "Feedback could not be written to the disk; nothing was kept, send it again."),
    "FW-DEADLINE": ((504,), "It took longer than `deadline_s`, or than the caller asked for."),
}
"""Every code that a model's server or a gateway answers with: its statuses, and what it means."""
