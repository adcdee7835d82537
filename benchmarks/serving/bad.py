"""Nine kinds of bad request in each contender's own protocol, sent on a raw socket, and what their refusals name."""

from __future__ import annotations

import copy
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.contenders import Contender, v2

ROW, COLUMN = 7, 13
"""Where the mistake is, of ten rows with 23 columns. Both numbers stand nowhere else in a request."""
LARGE = 50_000_000
KINDS = ("not JSON", "missing field", "22 values", "text", "NaN", "null", "lying shape", "empty rows", "50 MB")
_EXPECTED = {
    "not JSON": r"json",
    "missing field": r"missing|required|nothing|expected",
    "22 values": r"\b23\b",
    "text": r"number|float|numeric",
    "NaN": r"number|float|numeric|finite",
    "null": r"number|float|numeric",
    "lying shape": r"shape|elements|length|lengths|inhomogeneous",
    "empty rows": r"empty|at least|no rows",
    "50 MB": r"\b(large|limit|bytes|MB|MiB)\b",
}


@dataclass(frozen=True)
class BadRequest:
    """`has_to_name`: which of "row", "field" and "expected" its refusal can name: a body that is no JSON has no rows."""

    kind: str
    path: str
    body: bytes
    has_to_name: tuple[str, ...] = ("row", "field", "expected")


@dataclass(frozen=True)
class Answer:
    """`status`: 0 for a connection that ended without an answer, which `text` then describes."""

    status: int
    text: str
    seconds: float


def bad_requests(
    contender: Contender, rows: Sequence[Sequence[float]], columns: Sequence[str], *, names_columns: bool, large: int = LARGE
) -> list[BadRequest]:
    """All nine, made of ten good rows. Rows of names and values lack one name where the contender takes such rows (`names_columns`), else
    the body lacks what its protocol asks for; a shape lies where there are shapes, else one row is longer than the others say."""
    good = [list(row) for row in rows[:10]]
    is_v2 = contender.path.startswith("/v2/")

    def with_value(value: Any) -> bytes:
        spoiled: list[list[Any]] = copy.deepcopy(good)
        spoiled[ROW][COLUMN] = value
        return contender.body(spoiled)

    def make(kind: str, body: bytes, *has_to_name: str, path: str = contender.path) -> BadRequest:
        return BadRequest(kind, path, body, has_to_name or ("row", "field", "expected"))

    named = [dict(zip(columns, row, strict=True)) for row in good]
    del named[ROW][columns[COLUMN]]
    whole = json.loads(contender.body(good))
    short = [row[:-1] for row in good] if is_v2 else [*good[:ROW], good[ROW][:-1], *good[ROW + 1 :]]
    lying = json.loads(v2(good))
    lying["inputs"][0]["data"].pop()
    ragged = contender.body([*good[:ROW], [*good[ROW], 1.0], *good[ROW + 1 :]])
    speaks_v2 = is_v2 or names_columns
    huge = contender.body(good * (large * 11 // 10 // len(contender.body(good)) + 1))
    return [
        make("not JSON", contender.body(good)[:-20], "expected"),
        make("missing field", json.dumps({"data": named}).encode())
        if names_columns
        else make("missing field", _without(whole, is_v2=is_v2), "field", "expected"),
        make("22 values", contender.body(short), *(("expected",) if is_v2 else ("row", "expected"))),
        make("text", with_value("text")),
        make("NaN", with_value(float("nan"))),
        make("null", with_value(None)),
        make("lying shape", json.dumps(lying).encode(), "expected", path="/v2/models/m/infer")
        if speaks_v2
        else make("lying shape", ragged, "row", "expected"),
        make("empty rows", _empty(contender, is_v2=is_v2), "expected"),
        make("50 MB", huge, "expected"),
    ]


def _without(whole: dict[str, Any], *, is_v2: bool) -> bytes:
    if is_v2:
        del whole["inputs"][0]["data"]
    else:
        whole["dat"] = whole.pop("data")
    return json.dumps(whole).encode()


def _empty(contender: Contender, *, is_v2: bool) -> bytes:
    if not is_v2:
        return contender.body([])
    whole = json.loads(contender.body([[0.0] * 23]))
    whole["inputs"][0] |= {"shape": [0, 23], "data": []}
    return json.dumps(whole).encode()


def find_named(kind: str, text: str, column: str) -> set[str]:
    """Which of "row", "field", "expected" the answer's text names. A place in a flat list of values names both; it is read generously."""
    flat = _number(ROW * 23 + COLUMN, text)
    found = {"row"} if flat or _number(ROW, text) else set[str]()
    is_field = kind == "missing field" and re.search(r"[\"'\b](data|inputs)\b", text)
    if flat or column in text or _number(COLUMN, text) or is_field:
        found.add("field")
    if re.search(_EXPECTED[kind], text, re.IGNORECASE):
        found.add("expected")
    return found


def is_clear(request: BadRequest, answer: Answer, column: str) -> bool:
    """Is it a 4xx that names what can be named?"""
    return 400 <= answer.status < 500 and find_named(request.kind, answer.text, column).issuperset(request.has_to_name)


def _number(value: int, text: str) -> bool:
    return re.search(rf"(?<![\w.]){value}(?![\w.])", text) is not None


def send(port: int, path: str, body: bytes, *, timeout_s: float = 60.0) -> Answer:
    """One request on a connection of its own, timed from its first byte to the last of the answer, which may come before all is sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        began = time.perf_counter()
        sender = threading.Thread(target=_send_all, args=(sock, body), daemon=True) if len(body) > 100_000 else None
        try:
            if sender is None:
                sock.sendall(head + body)
            else:
                sock.sendall(head)
                sender.start()
            response = http.client.HTTPResponse(sock, method="POST")
            response.begin()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, f"no answer: {type(error).__name__}", time.perf_counter() - began)
        seconds = time.perf_counter() - began
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        if sender is not None:
            sender.join()
    return Answer(response.status, data.decode("utf-8", "replace"), seconds)


def _send_all(sock: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        sock.sendall(data)
