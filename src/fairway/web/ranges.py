"""Ranges of bytes (RFC 9110)."""

from __future__ import annotations

import re

from starlette.requests import Request

from fairway.web.problem import Refused

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def find_range(request: Request, size: int) -> tuple[int, int] | None:
    """[start, end) that `Range` asks for; None if it asks for none, or for several, which may be answered with the whole.

    `start` is `size` or more where nothing lies in the range.
    """
    found = _ONE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = int(found[2])
        return (max(0, size - length), size) if length else (size, size)
    start, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < start:
        return None
    return start, min(last + 1, size)


def unsatisfiable(size: int) -> Refused:
    """416, with the size there is."""
    return Refused(416, f"there are only {size} bytes", code="FW-CONFIG", headers={"content-range": f"bytes */{size}"})
