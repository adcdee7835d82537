"""NDJSON (JSON Lines): one object a line. A line that is none is a reject."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from fairway.data.sources import files
from fairway.data.sources.jsonrecords import Record, record_source
from fairway.data.sources.rejects import Rejects
from fairway.data.sources.rowbuilder import RowSource
from fairway.data.sources.textinput import TextInput, open_text

_LINE_BYTES = 64 << 20


def open(uri: str | Sequence[str], options: dict[str, Any]) -> RowSource:
    """Raises ConfigError, NotFoundError."""
    paths = files.expand(uri, ("ndjson", "jsonl"))
    inputs = [open_text(path, {**options, "newline": "lf"}) for path in paths]
    longest = int(options.get("max_line_bytes", _LINE_BYTES))
    notes = [note for one in inputs for note in one.notes]

    def read(rejects: Rejects) -> Iterator[Record]:
        for one in inputs:
            yield from _records(one, longest, rejects, one.path if len(inputs) > 1 else "")

    return record_source(uri if isinstance(uri, str) else uri[0], options, read, notes, "ndjson")


def _records(one: TextInput, longest: int, rejects: Rejects, file: str) -> Iterator[Record]:
    for number, line in enumerate(lines(one.utf8(), longest), 1):
        if line is None:
            rejects.add(number, "", "", "the line is longer than max_line_bytes allows", file)
            continue
        if not line.strip():
            continue
        try:
            yield number, parsed(line)
        except (ValueError, RecursionError) as error:
            said = "nested too deep" if isinstance(error, RecursionError) else f"is no JSON: {_said(error)}"
            rejects.add(number, "", line[:2000].decode("utf-8", "replace"), said, file)


def _said(error: Exception) -> str:
    return "a whole number has thousands of digits" if "integer string conversion" in str(error) else str(error)


def parsed(line: bytes) -> Any:
    """One value. Raises ValueError, RecursionError; also for texts that are no Unicode."""
    text = line.decode("utf-8")
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def lines(pieces: Iterator[bytes], longest: int) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is longer than `longest`, which is not kept in memory."""
    held: list[bytes] = []
    size, lost = 0, False
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            if lost or size + end - start > longest:
                yield None
            else:
                held.append(piece[start:end])
                yield b"".join(held)
            held, size, lost, start = [], 0, False, end + 1
        rest = piece[start:]
        size += len(rest)
        if lost or size > longest:
            held, lost = [], True
        elif rest:
            held.append(rest)
    if lost:
        yield None
    elif held:
        yield b"".join(held)
