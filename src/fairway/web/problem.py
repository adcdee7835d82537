"""Errors as RFC 9457 problems, with the stable codes of `fairway.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from fairway.errors import (
    ConflictError,
    FairwayError,
    ForbiddenError,
    InfraError,
    InternalError,
    NotFoundError,
    UserError,
)

PROBLEM = "application/problem+json"
_STATUSES: tuple[tuple[type[FairwayError], int], ...] = (
    (NotFoundError, 404),
    (ForbiddenError, 403),
    (UserError, 422),
    (ConflictError, 409),
    (InfraError, 503),
    (InternalError, 500),
    (FairwayError, 422),
)


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong: `title` by `status`, `code` as in the reference of errors, `detail` for people, `hint` what to do about it, `where`
    the field or the line that is wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    where: str = ""


class Refused(FairwayError):
    """A request that HTTP itself has a status for. `code` is that of the nearest error."""

    def __init__(
        self, status: int, message: str, *, hint: str = "", where: str = "", code: str = "FW-USER", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def status_of(error: FairwayError) -> int:
    """The HTTP status for an error."""
    if isinstance(error, Refused):
        return error.status
    return next(status for cls, status in _STATUSES if isinstance(error, cls))


def render_problem(error: FairwayError) -> Response:
    """The answer to a request that failed with `error`."""
    status = status_of(error)
    problem = Problem(
        type=f"urn:fairway:error:{error.code.lower()}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        where=error.where,
    )
    headers = {"cache-control": "no-store", **(error.headers if isinstance(error, Refused) else {})}
    if status == 503:
        headers["retry-after"] = "1"
    return Response(encode(problem), status, headers, PROBLEM)


def encode(value: object) -> bytes:
    """JSON. Half a character, which UTF-8 has no bytes for, is written as an escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), allow_nan=False).encode()
