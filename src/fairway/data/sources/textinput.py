"""The bytes of a text file as DuckDB reads them: unpacked, in UTF-8, with one kind of line end; through a pipe where the file is not so.

What is unpacked is counted: an archive that grows out of all proportion is refused before it fills anything.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from fairway.data.sources import files
from fairway.data.sources.encodings import Encoding, find_encoding
from fairway.data.sources.unpacking import Limits, find_packing, unpacked
from fairway.errors import ConfigError
from fairway.step.leftovers import goes_with_process, stays

PIECE = 1 << 18
SAMPLE_BYTES = 1 << 20
_WHOLE_BYTES = 64 << 20
_SPOTS, _SPOT_BYTES = 8, 1 << 16
_QUOTED = re.compile(rb'"[^"]*"')
_DIRECT = ("utf-8",)


@dataclass
class TextInput:
    """One text file, local or remote, with what was found out about its bytes."""

    path: str
    packing: str
    encoding: Encoding
    newline: str  # "\n", "\r\n", "\r" or "mixed"
    sample: str
    sample_is_all: bool
    spots: tuple[str, ...]
    limits: Limits
    notes: tuple[str, ...]
    once: BinaryIO | None = None
    begun: bytes = b""
    spent: bool = False
    narrowed: bool = False
    """A row has thousands of values too many, so that the bytes go through a filter."""

    @property
    def direct(self) -> bool:
        """DuckDB can read the file itself."""
        plain = not self.packing and self.encoding.name in _DIRECT and self.newline != "mixed" and not files.is_remote(self.path)
        return plain and self.once is None and not self.narrowed

    @property
    def again(self) -> bool:
        """The bytes can be read a second time."""
        return self.once is None

    def raw(self) -> Iterator[bytes]:
        """The unpacked bytes, as they are."""
        if self.once is not None:
            if self.spent:
                raise ConfigError(f"{self.path} is a pipe or device, whose bytes came already", hint="save it to a file to read it twice")
            self.spent = True
            begun, self.begun = self.begun, b""
            yield begun
            yield from iter(self._read_once, b"")
            return
        with files.reader(self.path) as file:
            yield from unpacked(file, self.packing, self.path, self.limits)

    def _read_once(self) -> bytes:
        assert self.once is not None
        return self.once.read(PIECE)

    def utf8(self) -> Iterator[bytes]:
        """The text in UTF-8, without a mark; mixed line ends made one. Raises ConfigError where bytes are not of the encoding."""
        decoder = codecs.getincrementaldecoder(self.encoding.name)("strict")
        skip, done, held = self.encoding.mark, 0, False
        as_it_is = self.encoding.name in _DIRECT
        for piece in self.raw():
            piece, skip = piece[skip:], max(0, skip - len(piece))
            if not as_it_is:
                try:
                    piece = decoder.decode(piece).encode("utf-8", "surrogatepass")
                except UnicodeDecodeError as error:
                    raise self._undecodable(error, done) from None
                done += len(piece)
            if self.newline == "mixed" and piece:
                piece = b"\r" * held + piece
                held = piece.endswith(b"\r")
                piece = piece[: len(piece) - held].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield piece
        yield b"\n" * held
        if not as_it_is:
            try:
                yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise self._undecodable(error, done) from None

    def _undecodable(self, error: UnicodeDecodeError, done: int) -> ConfigError:
        bad = error.object[error.start : error.start + 4]
        return ConfigError(
            f"{self.path} is not in {self.encoding.name}: {bad!r}, about {done:,} bytes in, is no text",
            hint='name its encoding: encoding="…"',
        )


def open_text(path: str, options: dict[str, Any]) -> TextInput:
    """Look at a file's head, and at spots further on. Raises ConfigError for one that is empty, no text, or a bomb."""
    limits = Limits.parse(options)
    once: BinaryIO | None = None
    packing = str(options.get("compression", ""))
    if not files.is_remote(path) and not files.is_regular(path):
        once = Path(path).open("rb", buffering=0)  # noqa: SIM115 - the rows come out of it later
        begun = _read_upto(once.read, SAMPLE_BYTES)
        packing = ""
        if find_packing(path, begun[:16], ""):
            raise ConfigError(f"{path} is a pipe or device that gives compressed bytes", hint="unpack them on the way: zcat FILE | …")
    else:
        packing = find_packing(path, files.head(path, 512), packing)
        with files.reader(path) as file:
            pieces = unpacked(file, packing, path, replace(limits, member=str(options.get("member", ""))))
            begun = _read_upto(lambda _size: next(pieces, b""), SAMPLE_BYTES)
    whole = len(begun) < SAMPLE_BYTES
    spots = [] if packing or once is not None or whole or files.is_remote(path) else _spots(path)
    encoding = _encoding(begun, spots, str(options.get("encoding", "")), whole)
    text = codecs.getincrementaldecoder(encoding.name)("replace").decode(begun[encoding.mark :], whole)
    aligned = encoding.name not in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    texts = tuple(_inner_lines(spot.decode(encoding.name, "replace")) for spot in spots) if aligned else ()
    newline = _pinned_newline(options) or _newline(text, spots, path, packing, once is not None)
    notes = _notes(path, encoding, newline, packing)
    return TextInput(path, packing, encoding, newline, text, whole, texts, limits, notes, once, begun if once is not None else b"")


def _read_upto(read: Callable[[int], bytes], size: int) -> bytes:
    parts: list[bytes] = []
    left = size
    while left > 0 and (piece := read(left)):
        parts.append(piece)
        left -= len(piece)
    return b"".join(parts)


def _spots(path: str) -> list[bytes]:
    size = os.stat(path).st_size  # noqa: PTH116
    made: list[bytes] = []
    with Path(path).open("rb") as file:
        for n in range(1, _SPOTS + 1):
            file.seek(max(SAMPLE_BYTES, (size - _SPOT_BYTES) * n // _SPOTS))
            made.append(file.read(_SPOT_BYTES))
    return made


def _inner_lines(text: str) -> str:
    """Without the first and last line, which are cut."""
    return text.partition("\n")[2].rpartition("\n")[0]


def _encoding(begun: bytes, spots: list[bytes], pinned: str, whole: bool) -> Encoding:
    found = find_encoding(begun, pinned, whole=whole)
    if found.name == "utf-8" and found.known == "bytes" and not pinned:
        for spot in spots:  # a head in ASCII says nothing of what follows
            inner = spot[next((n for n in range(4) if n < len(spot) and spot[n] & 0xC0 != 0x80), 0) :]
            if find_encoding(inner).name != "utf-8":
                return find_encoding(inner)
    return found


def _pinned_newline(options: dict[str, Any]) -> str:
    said = str(options.get("newline", ""))
    known = {"": "", "lf": "\n", "crlf": "\r\n", "cr": "\r", "mixed": "mixed", "\n": "\n", "\r\n": "\r\n", "\r": "\r"}
    if said.lower() not in known:
        raise ConfigError(f"newline={said!r} is no line end", hint='write "lf", "crlf", "cr" or "mixed"')
    return known[said.lower()]


def _newline(text: str, spots: list[bytes], path: str, packing: str, once: bool) -> str:
    found = _line_ends(text.encode("utf-8", "replace"))
    for spot in spots:
        found |= _line_ends(spot.replace(b"\0", b""))
    if len(found) == 1 and not packing and not once and not files.is_remote(path):
        size = os.stat(path).st_size  # noqa: PTH116
        if SAMPLE_BYTES <= size <= _WHOLE_BYTES:
            found |= _line_ends(Path(path).read_bytes().replace(b"\0", b""))
    if len(found) > 1 or (packing and found == {"\r"}):
        return "mixed"
    return found.pop() if found else "\n"


def _line_ends(raw: bytes) -> set[str]:
    """The kinds of line end outside of quotes."""
    plain = _QUOTED.sub(b"", raw)
    pairs, feeds, returns = plain.count(b"\r\n"), plain.count(b"\n"), plain.count(b"\r")
    returns -= plain.endswith(b"\r")  # its other half may be cut off
    feeds -= raw.startswith(b"\n")
    return {kind for kind, count in (("\r\n", pairs), ("\n", feeds - pairs), ("\r", returns - pairs)) if count > 0}


def _notes(path: str, encoding: Encoding, newline: str, packing: str) -> tuple[str, ...]:
    del path
    notes: list[str] = []
    if encoding.known == "guess":
        notes.append(f"encoding {encoding.name}, guessed from the bytes; pin it with encoding={encoding.name!r}")
    elif encoding.known == "mark":
        notes.append(f"encoding {encoding.name.upper()}, as its byte order mark says")
    if newline == "mixed":
        notes.append("line ends are mixed (LF, CRLF, CR): each ends a row, also within quotes; pin one with newline=")
    elif newline == "\r":
        notes.append("lines end in CR, as on old Macs")
    if packing:
        notes.append(f"unpacked as {packing}")
    return tuple(notes)


class Pipe:
    """A named pipe through which a thread feeds bytes to whoever opens `path`. `close` ends it whatever its state."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._folder = tempfile.mkdtemp(prefix="fairway-pipe-")
        goes_with_process(self._folder)
        self.path = f"{self._folder}/text"
        os.mkfifo(self.path, 0o600)
        self._pieces, self._closing = pieces, threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="fairway-pipe", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        try:
            handle = os.open(self.path, os.O_WRONLY)
        except OSError as error:
            self.failure = error
            return
        try:
            if self._closing.is_set():
                return
            for piece in self._pieces():
                view = memoryview(piece)
                while view:
                    view = view[os.write(handle, view) :]
                if self._closing.is_set():
                    return
        except OSError as error:
            if error.errno != errno.EPIPE:  # the reader has had enough
                self.failure = error
        except BaseException as error:  # noqa: BLE001 - raised by who reads, in its own thread
            self.failure = error
        finally:
            os.close(handle)

    def close(self) -> None:
        """The thread has ended, the pipe is gone."""
        self._closing.set()
        with suppress(OSError):
            while self._thread.is_alive():  # whoever waits for a reader meets one that goes away
                reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
                self._thread.join(0.02)
                os.close(reader)
                self._thread.join(0.02)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)
        stays(self._folder)
