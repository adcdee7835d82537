"""Search in a log that may be of any size: fed from the front in chunks, it answers with the lines that have what is sought.

What is sought is looked for in the text that is seen: without the time that each line begins with (unless that is shown, too) and without
the escapes that colour it. A line is one hit, however often it matches; one that is very long is one hit for each `PIECE_BYTES` of it.

A regular expression can keep an interpreter busy for years, so it is tried in a process of its own, which is this file run as a program: it
uses the standard library alone.
"""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

CHUNK_BYTES = 256 << 10
PIECE_BYTES = 16 << 10
HITS_MOST = 10_000
REPLY_S = 5.0
"""How long an expression may take over one chunk."""
ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?[Zz] ")
_STAMP_LEAST, _STAMP_MOST = 21, 40
_IN_STAMPS = b"0123456789:-.TtZz "
_USUAL = (b"z ", b"Z ")
_BUSY_BYTES = 500
_CASELESS_LEAST = 2
Hit = tuple[int, int, int]
"""Number of the line, from 1; byte at which the line (or the piece of it) begins; byte at which the match begins."""


class Search:
    """`feed` takes the log in order and returns new hits; `position` and `line` are those of the next byte that has not been looked at.

    A match that is parted by colours is found unless they change more than twice in it. `text` may be sought whatever its case.
    `number_at` tells the number of the line at a byte: with it, lines that have nothing are not counted here.
    """

    def __init__(
        self,
        text: str,
        *,
        case: bool = False,
        stamps: bool = False,
        position: int = 0,
        line: int = 1,
        number_at: Callable[[int], int] | None = None,
    ) -> None:
        self.position = position
        self._line = line
        self._number_at = number_at
        self._stamps = stamps
        self._case = case
        self._wanted = (text if case else text.lower()).encode("utf-8", "surrogatepass")
        self._lower = None if case or text.isascii() else re.compile(_any_case(text))
        self._caseless = b"" if case else max(re.split(rb"[a-z\x80-\xff]+", self._wanted), key=len)
        self._parts = _telling(self._wanted)
        self._like_stamp = not stamps and not self._wanted.strip(_IN_STAMPS)
        self._rest = b""
        self._line_at = position
        self._last: tuple[int, int] = (0, -1)

    @property
    def line(self) -> int:
        """Number of the line at `position`."""
        if self._line < 0 and self._number_at is not None:
            self._line = self._number_at(self.position)
        return self._line

    def feed(self, data: bytes) -> list[Hit]:
        """Look at the log's next bytes."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) < PIECE_BYTES:
            self._rest = data
            return []
        keep = 0 if end else min(len(data) - 1, 2 * len(self._wanted) + 64)
        size = end or len(data)
        hits = self._scan(data[:size]) if self._may_have(data, size) else []
        self._rest = data[size - keep :]
        if end:
            self._line_at = self.position + size
            self._line = -1 if self._number_at is not None else self._line + data.count(b"\n", 0, size)
        self.position += size - keep
        return hits

    def finish(self) -> list[Hit]:
        """Look at a last line that has no end (yet). It stays unread: when there is more of it, it is looked at again."""
        return self._scan(self._rest) if self._rest else []

    def _scan(self, raw: bytes) -> list[Hit]:
        parted = b"\x1b" in raw
        text = raw if self._case or self._lower else raw.lower()
        text = ESCAPE.sub(b"", text) if parted else text
        if not self._like_stamp or text.count(self._wanted) <= len(text) // _BUSY_BYTES:
            return self._look(raw, text, parted, self.position, self.line, self._line_at)
        hits: list[Hit] = []  # most lines have it in their time: that is not to be found again and again
        at = self.position
        for number, (line, bare) in enumerate(zip(raw.split(b"\n"), text.split(b"\n"), strict=True)):
            if bare.find(self._wanted, _STAMP_LEAST) >= 0 or (
                bare[23:25] not in _USUAL and self._wanted in bare and not _STAMP.match(bare)
            ):
                hits += self._look(line, bare, parted, at, self.line + number, at if number else self._line_at)
            at += len(line) + 1
        return hits

    def _look(self, raw: bytes, text: bytes, parted: bool, position: int, line: int, line_at: int) -> list[Hit]:
        """Hits in `raw`, which is at `position`, in the line of this number that begins at `line_at`; `text` is what can be seen of it."""
        hits: list[Hit] = []
        escapes = iter(ESCAPE.finditer(raw)) if parted else iter(())
        removed, escape = 0, next(escapes, None)
        counted, at = 0, -1
        while (at := self._find(text, at + 1)) >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            if not self._stamps and (start or position == line_at):
                stamp = _STAMP.match(text, start, start + _STAMP_MOST)
                if stamp is not None and at < stamp.end():
                    at = stamp.end() - 1
                    continue
            line += text.count(b"\n", counted, start)
            counted = start
            while escape is not None and escape.start() - removed <= at:
                removed += escape.end() - escape.start()
                escape = next(escapes, None)
            where = position + at + removed
            begin = position + raw.rfind(b"\n", 0, at + removed) + 1 if start else line_at
            piece = (where - begin) // PIECE_BYTES
            if (line, piece) > self._last:
                self._last = line, piece
                hits.append((line, begin + piece * PIECE_BYTES, where))
            limit = begin + (piece + 1) * PIECE_BYTES - position - removed  # where the next piece begins, at the earliest
            newline = text.find(b"\n", at, max(limit, at))
            at = newline if newline >= 0 else max(limit - 1, at)
        return hits

    def _may_have(self, data: bytes, size: int) -> bool:
        """Is it worth while to look closer at the first `size` bytes? As cheaply as can be: this is where the time goes."""
        plain = data.find(b"\x1b", 0, size) < 0
        if plain and len(self._caseless) >= _CASELESS_LEAST and data.find(self._caseless, 0, size) < 0:
            return False  # found out without a copy
        if self._lower is not None:
            return True
        text = data if self._case else data.lower()
        return any(text.find(part, 0, size) >= 0 for part in ((self._wanted,) if plain else self._parts))

    def _find(self, text: bytes, at: int) -> int:
        if self._lower is None:
            return text.find(self._wanted, at)
        found = self._lower.search(text, at)
        return found.start() if found else -1


class PatternSearch:
    """As `Search`, for a regular expression: each line by itself. Raises `re.error` for what is none."""

    def __init__(self, pattern: str, *, case: bool = False, stamps: bool = False, position: int = 0, line: int = 1) -> None:
        self._search = re.compile(pattern, 0 if case else re.IGNORECASE).search
        self._literal = find_literal(pattern).lower().encode()
        self.position, self.line = position, line
        self._stamps = stamps
        self._rest = b""
        self._done = 0

    def feed(self, data: bytes) -> list[Hit]:
        """Look at the log's next bytes."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        hits: list[Hit] = []
        if newline:
            if self._done or self._may_match(whole):
                hits = self._try_lines(whole)
            self.position += len(whole) + 1
            self.line += whole.count(b"\n") + 1
            self._done = 0
        while len(self._rest) - self._done >= PIECE_BYTES:  # of an endless line one piece after another
            hits += self._try_piece(self._rest, self._done, self.position, self.line)
            self._done += PIECE_BYTES
        return hits

    def finish(self) -> list[Hit]:
        """Look at a last line that has no end (yet)."""
        return self._try_line(self._rest, self.position, self.line) if self._rest else []

    def _may_match(self, raw: bytes) -> bool:
        """Without what every match has, there is none."""
        if not self._literal:
            return True
        text = ESCAPE.sub(b"", raw) if b"\x1b" in raw else raw
        return self._literal in text.lower()

    def _try_lines(self, whole: bytes) -> list[Hit]:
        hits: list[Hit] = []
        at = self.position
        for number, raw in enumerate(whole.split(b"\n"), self.line):
            if not self._literal or self._literal in raw.lower() or b"\x1b" in raw:
                hits += self._try_line(raw, at, number)
            self._done = 0
            at += len(raw) + 1
        return hits

    def _try_line(self, raw: bytes, position: int, line: int) -> list[Hit]:
        if len(raw) <= PIECE_BYTES and not self._done:
            return self._try_piece(raw, 0, position, line)
        return [hit for at in range(self._done, len(raw), PIECE_BYTES) for hit in self._try_piece(raw, at, position, line)]

    def _try_piece(self, raw: bytes, at: int, position: int, line: int) -> list[Hit]:
        piece = raw[at : at + PIECE_BYTES]
        stamp = _STAMP.match(piece) if not at and not self._stamps else None
        cut = stamp.end() if stamp else 0
        text = ESCAPE.sub(b"", piece[cut:]) if b"\x1b" in piece else piece[cut:]
        found = self._search(text.decode("utf-8", "replace"))
        if found is None:
            return []
        exact = len(text) == len(piece) - cut and text.isascii()
        return [(line, position + at, position + at + cut + (found.start() if exact else 0))]


class PatternProcess:
    """`PatternSearch` in a process of its own. `close` ends it, whatever it does."""

    def __init__(self, pattern: str, *, case: bool = False, stamps: bool = False, position: int = 0, line: int = 1) -> None:
        self.position, self.line = position, line
        asked = {"pattern": pattern, "case": case, "stamps": stamps, "position": position, "line": line}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def feed(self, data: bytes) -> list[Hit]:
        """As `Search.feed`. Raises TimeoutError if the expression takes too long, ValueError if the process is gone."""
        return self._ask(data)

    def finish(self) -> list[Hit]:
        """As `Search.finish`."""
        return self._ask(b"")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, data: bytes) -> list[Hit]:
        to, back = self._process.stdin, self._process.stdout
        assert to is not None and back is not None
        try:
            to.write(len(data).to_bytes(4, "big") + data)
            to.flush()
        except BrokenPipeError:
            raise ValueError("the search's process has ended") from None
        if not select.select([back], [], [], REPLY_S)[0]:
            raise TimeoutError
        reply = back.readline()
        if not reply:
            raise ValueError("the search's process has ended")
        self.position, self.line, hits = json.loads(reply)
        return [(number, start, at) for number, start, at in hits]


def check_pattern(pattern: str) -> str:
    """What is wrong with a regular expression, "" if nothing is."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def find_literal(pattern: str) -> str:
    """Text that is in whatever the expression matches, in any case; "" if none is easily known."""
    if "|" in pattern or "(?" in pattern or not pattern.isascii():
        return ""
    best = run = ""
    depth = at = 0
    while at < len(pattern):
        character = pattern[at]
        following = pattern[at + 1 : at + 2]
        at += 1
        if character == "\\" or character in "[(" or character in ")^$.*+?{" or depth:
            best, run = max(best, run, key=len), ""
            if character == "\\":
                at += 1
            elif character == "[":
                at = _skip_set(pattern, at)
            elif character == "{":
                at = max(pattern.find("}", at) + 1, at)
            depth += (character == "(") - (character == ")")
        elif following in ("*", "?", "{"):
            best, run = max(best, run, key=len), ""
        else:
            run += character
    return max(best, run, key=len)


def _skip_set(pattern: str, at: int) -> int:
    """Behind the `]` of a set whose inside begins at `at`."""
    at += pattern.startswith("^", at)
    at += pattern.startswith("]", at)
    while at < len(pattern) and pattern[at] != "]":
        at += 1 + (pattern[at] == "\\")
    return at + 1


def _telling(wanted: bytes) -> tuple[bytes, ...]:
    """Of these, one is in any coloured text in which `wanted` is to be seen. What is short may be parted by colours anywhere; of what is
    longer one third has to be of one colour."""
    if len(wanted) < 6:
        return (wanted, *(wanted[:n] + b"\x1b" for n in range(1, len(wanted))))
    size = -(-len(wanted) // 3)
    return tuple(wanted[at : at + size] for at in range(0, len(wanted), size))


def _any_case(text: str) -> bytes:
    """An expression for `text` in any case, beyond ASCII too."""
    made: list[bytes] = []
    for character in text:
        forms = dict.fromkeys([character, character.lower(), character.upper()])
        made.append(b"(?:" + b"|".join(re.escape(form.encode("utf-8", "surrogatepass")) for form in forms) + b")")
    return b"".join(made)


def _serve(asked: dict[str, Any], source: BinaryIO, target: BinaryIO) -> None:
    search = PatternSearch(asked.pop("pattern"), **asked)
    while len(head := source.read(4)) == 4:
        data = source.read(int.from_bytes(head, "big"))
        hits = search.feed(data) if data else search.finish()
        target.write(json.dumps([search.position, search.line, hits]).encode() + b"\n")
        target.flush()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
