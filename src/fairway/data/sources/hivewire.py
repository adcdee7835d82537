"""HiveServer2's protocol: Thrift's binary encoding within SASL frames, as far as reading needs it. Columns of numbers are decoded by numpy.

The Thrift library decodes value by value, and the clients built upon it want a compiled SASL library; this is all that a reader uses.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fairway.errors import ConfigError, UnsupportedError

_BOOL, _BYTE, _DOUBLE, _I16, _I32, _I64, _STRING, _STRUCT, _MAP, _SET, _LIST = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
_PLAIN_NUMBERS = {_BOOL: "?", _BYTE: "b", _DOUBLE: ">d", _I16: ">h", _I32: ">i", _I64: ">q"}
_ARRAYS = {_BOOL: "i1", _BYTE: "i1", _DOUBLE: ">f8", _I16: ">i2", _I32: ">i4", _I64: ">i8"}
_CALL, _EXCEPTION, _VERSION = 1, 3, 0x80010000
_START, _OK, _BAD, _ERROR, _COMPLETE = 1, 2, 3, 4, 5
_PROTOCOL = 7  # columns, not rows
_MAX_MESSAGE_BYTES = 512 << 20
_MAX_DEPTH = 32
_RUNNING, _FINISHED = (0, 1, 7), 2
_CLASSES = re.compile(r"Error (?:running query|while compiling statement): |(?:\w+\.)+\w*Exception: ?|^\*?(?:\w+\.)+\w*Exception:")
_WAITS_S = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class HiveAddress:
    """Where a server is, and who asks."""

    host: str
    port: int
    database: str
    user: str
    password: str
    auth: str = "NONE"  # NONE, LDAP, CUSTOM (all three: user and password by SASL), NOSASL
    tls: bool = False
    timeout_s: float = 15.0


_Shape = TypeVar("_Shape")


def _taken(said: Any, take: Callable[[Any], _Shape]) -> _Shape:
    """What one needs of an answer. Raises ConfigError where the server has left it out."""
    try:
        return take(said)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise ConfigError(
            "HiveServer2 sent an answer in which something is missing", hint="is it a HiveServer2 of version 2 or newer?"
        ) from None


class HiveSession:
    """One session with a server. Raises ConfigError, whose messages hold no password."""

    def __init__(self, address: HiveAddress) -> None:
        self._address = address
        self._place = f"{address.host}:{address.port}"
        if address.auth not in ("NONE", "LDAP", "CUSTOM", "NOSASL"):
            raise UnsupportedError(
                f"auth={address.auth} is not spoken here",
                hint="NONE, LDAP, CUSTOM or NOSASL; for Kerberos read through a JDBC gateway, or the table's files",
            )
        try:
            self._socket = socket.create_connection((address.host, address.port), address.timeout_s)
        except OSError as error:
            raise ConfigError(
                f"no connection to HiveServer2 at {self._place}: {error}", hint="is it the right host and port (10000 is usual)?"
            ) from None
        try:
            self._socket.settimeout(max(60.0, address.timeout_s))
            if address.tls:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=address.host)
            self._in = _Incoming(self._socket, framed=address.auth != "NOSASL")
            if address.auth != "NOSASL":
                self._sign_in()
            self._number = 0
            said = self._call("OpenSession", {1: (_I32, _PROTOCOL), 2: (_STRING, address.user), 3: (_STRING, address.password)})
            self._session = _taken(said, lambda one: _handle(one[3]))
            if address.database:
                self.run(f"USE {_quoted(address.database)}").close()
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"HiveServer2 at {self._place} broke off: {error}", hint="does it speak binary Thrift, and with this auth=?"
            ) from None
        except BaseException:
            self._socket.close()
            raise

    def _sign_in(self) -> None:
        who = f"\0{self._address.user}\0{self._address.password or 'x'}".encode()
        self._socket.sendall(struct.pack(">BI", _START, 5) + b"PLAIN" + struct.pack(">BI", _OK, len(who)) + who)
        status, size = struct.unpack(">BI", self._in.exactly(5))
        said = self._in.exactly(min(size, 4_096)) if status in (_BAD, _ERROR, _COMPLETE) else b""
        if status != _COMPLETE:
            words = said.decode("utf-8", "replace") if status in (_BAD, _ERROR) else "it does not speak SASL"
            raise ConfigError(
                f"HiveServer2 at {self._place} does not let {self._address.user!r} in: {words}",
                hint="is the password right? which auth= has the server?",
            )

    def run(self, statement: str) -> HiveResult:
        """Have a statement carried out, and wait until it is."""
        request = {1: self._session_field(), 2: (_STRING, statement), 4: (_BOOL, True)}
        handle = _taken(self._call("ExecuteStatement", request), lambda one: _handle(one[2]))
        waits = iter(_WAITS_S)
        while (state := (said := self._call("GetOperationStatus", {1: handle})).get(2)) in _RUNNING:
            time.sleep(next(waits, _WAITS_S[-1]))
        if state != _FINISHED:
            raise ConfigError(
                f"HiveServer2 at {self._place} refuses: {_first_line(said.get(5) or b'the statement did not finish')}",
                hint="try it in beeline",
            )
        return HiveResult(self, handle)

    def _session_field(self) -> tuple[int, Any]:
        return self._session

    def call(self, method: str, request: Mapping[int, Any]) -> dict[int, Any]:
        """One call; the answer's fields by number. Raises ConfigError with what the server says is wrong."""
        try:
            return self._call(method, request)
        except OSError as error:
            raise ConfigError(f"HiveServer2 at {self._place} broke off: {error}", hint="try again; is the server still there?") from None

    def _call(self, method: str, request: Mapping[int, Any]) -> dict[int, Any]:
        self._number += 1
        name = method.encode()
        body = struct.pack(">II", _VERSION | _CALL, len(name)) + name + struct.pack(">I", self._number) + _struct({1: (_STRUCT, request)})
        self._socket.sendall(body if self._address.auth == "NOSASL" else struct.pack(">I", len(body)) + body)
        self._in.begin()
        version = self._in.number(">I")
        if version & 0xFFFF0000 != _VERSION:
            raise ConfigError(
                f"what answers at {self._place} is not HiveServer2", hint="is the port right? with auth=NOSASL, does the server use SASL?"
            )
        self._in.text()
        self._in.number(">I")
        answer = self._in.struct(0)
        if version & 0xFF == _EXCEPTION:
            raise ConfigError(f"HiveServer2 at {self._place} fails: {_first_line(answer.get(1, b''))}")
        said: dict[int, Any] = answer.get(0, {})
        status: dict[int, Any] = _taken(said, lambda one: dict(one.get(1, {})))
        if status.get(1, 0) not in (0, 1, 2):
            raise ConfigError(
                f"HiveServer2 at {self._place} refuses: {_first_line(status.get(5, b'no reason given'))}", hint="try it in beeline"
            )
        return said

    def close(self) -> None:
        """The session ends."""
        try:
            self._call("CloseSession", {1: self._session_field()})
        except (OSError, ConfigError):
            pass  # it ends with the connection, too
        finally:
            self._socket.close()


class HiveResult:
    """What a statement gives."""

    def __init__(self, session: HiveSession, handle: tuple[int, Any]) -> None:
        self._session, self._handle = session, handle

    def columns(self) -> list[tuple[str, int, dict[str, int]]]:
        """Name, number of the type, its qualifiers (precision, scale)."""
        said = self._session.call("GetResultSetMetadata", {1: self._handle})
        return _taken(said, self._columns)

    @staticmethod
    def _columns(said: Mapping[int, Any]) -> list[tuple[str, int, dict[str, int]]]:
        made: list[tuple[str, int, dict[str, int]]] = []
        for one in said.get(2, {}).get(1, []):
            entry = one[2][1][0].get(1, {})
            qualifiers = entry.get(2, {}).get(1, {})
            made.append((one[1].decode(), entry.get(1, 7), {name.decode(): value.get(1, 0) for name, value in qualifiers.items()}))
        return made

    def batches(self, rows: int = 10_000) -> Iterator[list[list[Any]]]:
        """The columns' values, None where null, `rows` at a time."""
        request = {1: self._handle, 2: (_I32, 0), 3: (_I64, rows)}
        while True:
            said = self._session.call("FetchResults", request)
            columns = _taken(said, lambda one: [_values(column) for column in one.get(3, {}).get(3, [])])
            if not columns or not columns[0]:
                return
            if len({len(one) for one in columns}) > 1:
                raise ConfigError("HiveServer2 sent columns of different lengths")
            yield columns

    def close(self) -> None:
        """The server may forget it."""
        self._session.call("CloseOperation", {1: self._handle})


def _values(column: Mapping[int, Any]) -> list[Any]:
    if len(column) != 1:
        raise ConfigError("HiveServer2 sent a column of no type")
    number, content = next(iter(column.items()))
    values, nulls = content.get(1, []), content.get(2, b"")
    made: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if number == 1:
        made = [one == 1 for one in made]
    if number == 7:
        made = [one.decode("utf-8", "replace") for one in made]
    if any(nulls):
        where = np.flatnonzero(np.unpackbits(np.frombuffer(nulls, np.uint8), bitorder="little")[: len(made)])
        for place in where.tolist():
            made[place] = None
    return made


def _first_line(said: Any) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return _CLASSES.sub("", lines[0] if lines else "no reason given")[:400]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _handle(said: Mapping[int, Any]) -> tuple[int, dict[int, Any]]:
    """A handle that the server gave, as it gave it."""
    inner = {1: (_STRING, said[1][1]), 2: (_STRING, said[1][2])}
    made: dict[int, Any] = {1: (_STRUCT, inner)}
    if 2 in said:
        made |= {2: (_I32, said[2]), 3: (_BOOL, bool(said.get(3)))}
    return _STRUCT, made


def _struct(fields: Mapping[int, tuple[int, Any]]) -> bytes:
    parts: list[bytes] = []
    for number, (kind, value) in fields.items():
        parts.append(struct.pack(">bh", kind, number))
        if kind == _STRUCT:
            parts.append(_struct(value))
        elif kind == _STRING:
            raw = value.encode() if isinstance(value, str) else value
            parts.append(struct.pack(">I", len(raw)) + raw)
        else:
            parts.append(struct.pack(_PLAIN_NUMBERS[kind], value))
    return b"".join(parts) + b"\0"


class _Incoming:
    """What the server sends: frames put together, numbers and structs taken from them, within bounds."""

    def __init__(self, link: socket.socket, *, framed: bool) -> None:
        self._socket, self._framed = link, framed
        self._buffer, self._place, self._taken = b"", 0, 0

    def exactly(self, size: int) -> bytes:
        """So many bytes of the connection."""
        made = bytearray()
        while len(made) < size:
            piece = self._socket.recv(min(size - len(made), 1 << 20))
            if not piece:
                raise OSError("the connection was closed")
            made += piece
        return bytes(made)

    def begin(self) -> None:
        """A message begins."""
        self._buffer, self._place, self._taken = b"", 0, 0

    def take(self, size: int) -> memoryview:
        """So many bytes of the message."""
        if size < 0 or self._taken + size > _MAX_MESSAGE_BYTES:
            raise ConfigError("HiveServer2 sent a message that is none, or one of more than 512 MB")
        self._taken += size
        while len(self._buffer) - self._place < size:
            rest = self._buffer[self._place :]
            if self._framed:
                length = int(struct.unpack(">I", self.exactly(4))[0])
                if length > _MAX_MESSAGE_BYTES:
                    raise ConfigError("what answers does not speak as HiveServer2 does", hint="is the port right, and auth=?")
                self._buffer = rest + self.exactly(length)
            else:
                self._buffer = rest + self.exactly(size - len(rest))
            self._place = 0
        start, self._place = self._place, self._place + size
        return memoryview(self._buffer)[start : self._place]

    def number(self, shape: str) -> int:
        """One number."""
        return int(struct.unpack(shape, self.take(struct.calcsize(shape)))[0])

    def text(self) -> bytes:
        """One text or some bytes."""
        return bytes(self.take(self.number(">i")))

    def struct(self, depth: int) -> dict[int, Any]:
        """A struct's fields by number."""
        if depth > _MAX_DEPTH:
            raise ConfigError("HiveServer2 sent something nested without end")
        made: dict[int, Any] = {}
        while (kind := self.number("B")) != 0:
            number = self.number(">h")
            made[number] = self._value(kind, depth)
        return made

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _PLAIN_NUMBERS:
            return struct.unpack(_PLAIN_NUMBERS[kind], self.take(struct.calcsize(_PLAIN_NUMBERS[kind])))[0]
        if kind == _STRING:
            return self.text()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _MAP:
            keys, values, count = self.number("B"), self.number("B"), self.number(">i")
            return {self._value(keys, depth + 1): self._value(values, depth + 1) for _ in range(self._bounded(count))}
        raise ConfigError("HiveServer2 sent something that is no Thrift")

    def _list(self, depth: int) -> Any:
        kind, count = self.number("B"), self._bounded(self.number(">i"))
        if kind in _ARRAYS:
            dtype = np.dtype(_ARRAYS[kind])
            return np.frombuffer(bytes(self.take(count * dtype.itemsize)), dtype)
        if kind == _STRING:
            return [self.text() for _ in range(count)]
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _bounded(self, count: int) -> int:
        if not 0 <= count <= _MAX_MESSAGE_BYTES:
            raise ConfigError("HiveServer2 sent a list without end")
        return count
