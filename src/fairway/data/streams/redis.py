"""A Redis stream. Redis keeps what the group has acknowledged; entries of a member that died are taken over."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fairway.data.streams.transport import EndOfStream, Records, without_secrets
from fairway.data.streams.windows import parse_seconds
from fairway.errors import ConfigError, InfraError, UnsupportedError

_MOST_ENTRIES = 1_000
_PAYLOAD_FIELDS = (b"data", b"json", b"value", b"payload", b"message", b"record")
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = (b"true", b"false", b"null")
_LONGEST_WAIT_S = 5.0

Entry = tuple[bytes, dict[bytes, bytes]]


def open_redis(
    uri: str,
    *,
    group: str,
    start: Literal["new", "oldest"],
    once: bool,
    consumer: str = "",
    claim_after: str | float = 300.0,
    field: str = "",
) -> RedisTransport:
    """`redis://[user:password@]host:port/0?stream=NAME`; `rediss://` for TLS. `consumer`: this member's name in the group. `claim_after`:
    how long an entry may lie with another member (longer than the longest window takes) before it is taken over. `field`: which field of
    an entry holds the record. Raises ConfigError."""
    try:
        import redis
    except ImportError:
        raise UnsupportedError("reading Redis needs the package redis", hint="pip install 'fairway[streams]'") from None
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query))
    stream = query.pop("stream", "")
    if not stream:
        raise ConfigError(f"{without_secrets(uri)} does not name a stream", hint="write redis://host:6379/0?stream=NAME")
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))
    client = redis.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=10.0)
    entries = Entries(field)
    return RedisTransport(redis, client, stream, _Member(group, consumer or f"{socket.gethostname()}-{os.getpid()}", entries), start, once,
                          parse_seconds(claim_after))  # fmt: skip


class Entries:
    """Entries → records: the one field that holds JSON, or all fields as one object (texts of numbers as numbers)."""

    def __init__(self, field: str = "") -> None:
        self.field = field.encode()

    def payload(self, fields: dict[bytes, bytes]) -> bytes:
        if self.field:
            return fields.get(self.field, b"")
        if len(fields) == 1:
            name, value = next(iter(fields.items()))
            if name in _PAYLOAD_FIELDS:
                return value
        return b"{" + b",".join(_text(name) + b":" + _value(value) for name, value in fields.items()) + b"}"


def _text(raw: bytes) -> bytes:
    return json.dumps(raw.decode("utf-8", "replace"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _value(raw: bytes) -> bytes:
    return raw if raw in _WORDS or _NUMBER.fullmatch(raw) else _text(raw)


class _Member:
    """Who reads, and how entries become records."""

    def __init__(self, group: str, name: str, entries: Entries) -> None:
        self.group, self.name, self.entries = group, name, entries


class RedisTransport:
    """Reads first what this member had and did not acknowledge, then what members of this machine that are dead had, then what is new; from
    time to time what has lain with another member for too long. A position is a list of entries."""

    keeps_offsets = True

    def __init__(
        self, library: Any, client: Any, stream: str, member: _Member, start: Literal["new", "oldest"], once: bool, claim_after_s: float
    ) -> None:
        self._library, self._client, self._stream, self._member = library, client, stream, member
        self._start, self._once, self._claim_after_s = start, once, claim_after_s
        self.resumable = bool(member.group)
        self.notes: list[str] = []
        self._own = "0"
        self._last = "$" if start == "new" else "0"
        self._claim_at = 0.0
        self._wait_s = 0.1

    def open(self, position: Any) -> None:
        try:
            if self._member.group:
                self._make_group("$" if self._start == "new" else "0")
                self._take_over_dead()
            elif self._last == "$":
                newest = self._client.xrevrange(self._stream, count=1)
                self._last = newest[0][0].decode() if newest else "0"
        except self._library.RedisError as error:
            raise InfraError(
                f"Redis does not answer as it should: {_say(error)}", hint="check the URL, and that Redis is 6.2 or newer"
            ) from None

    def receive(self, timeout_s: float) -> Records | None:
        try:
            entries = self._read(max(1, int(timeout_s * 1000)))
        except self._library.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise InfraError(f"Redis refuses to go on: {_say(error)}") from None
            self._note("the stream was deleted: the group begins anew with what comes")
            self._make_group("0")
            return None
        except (self._library.ConnectionError, self._library.TimeoutError) as error:
            self._note(f"the connection to Redis broke ({_say(error)}); trying again")
            time.sleep(min(self._wait_s, timeout_s))
            self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
            self._own = "0"  # an answer may have been lost on its way
            return None
        self._wait_s = 0.1
        return self._records(entries)

    def commit(self, positions: list[Any]) -> None:
        """Acknowledges. Tries again while the connection is broken for a moment; what could not be acknowledged comes again."""
        if not self._member.group:
            return
        identifiers = [one for position in positions for one in position]
        for wait_s in (0.1, 0.5, None):
            try:
                self._client.xack(self._stream, self._member.group, *identifiers)
                return
            except (self._library.ConnectionError, self._library.TimeoutError) as error:
                if wait_s is None:
                    self._note(f"what was done could not be acknowledged and will come again: {_say(error)}")
                    return
                time.sleep(wait_s)

    def close(self) -> None:
        """Leaves the group if nothing is left with this member."""
        with suppress(self._library.RedisError):
            if self._member.group and not self._client.xpending_range(
                self._stream, self._member.group, "-", "+", 1, consumername=self._member.name
            ):
                self._client.xgroup_delconsumer(self._stream, self._member.group, self._member.name)
        self._client.close()

    def _make_group(self, place: str) -> None:
        try:
            self._client.xgroup_create(self._stream, self._member.group, id=place, mkstream=True)
        except self._library.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _read(self, block_ms: int) -> list[Entry]:
        stream, member = self._stream, self._member
        if not member.group:
            return _entries(self._client.xread({stream: self._last}, _MOST_ENTRIES, None if self._once else block_ms)) or self._end()
        if self._own != ">":
            entries = _entries(self._client.xreadgroup(member.group, member.name, {stream: self._own}, _MOST_ENTRIES))
            if entries:
                self._own = entries[-1][0].decode()
                return entries
            self._own = ">"
        claimed = self._claim()
        if claimed:
            return claimed
        block = None if self._once else block_ms
        return _entries(self._client.xreadgroup(member.group, member.name, {stream: ">"}, _MOST_ENTRIES, block)) or self._end()

    def _end(self) -> list[Entry]:
        if self._once:
            raise EndOfStream
        return []

    def _records(self, entries: list[Entry]) -> Records | None:
        kept = [(identifier, fields) for identifier, fields in entries if fields]  # an entry that was trimmed meanwhile has none
        if len(kept) < len(entries) and self._member.group:
            self._client.xack(self._stream, self._member.group, *(one for one, fields in entries if not fields))
            self._note("entries that were pending had been trimmed from the stream")
        if not kept:
            return None
        self._last = kept[-1][0].decode()
        payload = self._member.entries.payload
        identifiers = [one.decode() for one, _ in kept]
        return Records([payload(fields) for _, fields in kept], lambda count: identifiers[:count])

    def _claim(self) -> list[Entry]:
        """Entries that have lain with another member for too long."""
        now = time.monotonic()
        if now < self._claim_at:
            return []
        stream, member, idle_ms = self._stream, self._member, int(self._claim_after_s * 1000)
        pending = self._client.xpending_range(stream, member.group, "-", "+", _MOST_ENTRIES, idle=idle_ms)
        theirs = [one["message_id"] for one in pending if one["consumer"].decode() != member.name]
        entries = _claimed(self._client.xclaim(stream, member.group, member.name, idle_ms, theirs)) if theirs else []
        if entries:
            self._note(f"took over {len(entries)} entries that another member of the group had not acknowledged")
        else:
            self._claim_at = now + self._claim_after_s / 2
        return entries

    def _take_over_dead(self) -> None:
        """Members of this machine whose process is gone leave their entries to this one at once."""
        host, _, _ = self._member.name.rpartition("-")
        for told in self._client.xinfo_consumers(self._stream, self._member.group):
            name = told["name"].decode()
            machine, _, process = name.rpartition("-")
            if name == self._member.name or machine != host or not process.isdigit() or _is_alive(int(process)):
                continue
            while pending := self._client.xpending_range(self._stream, self._member.group, "-", "+", _MOST_ENTRIES, consumername=name):
                identifiers = [one["message_id"] for one in pending]
                self._client.xclaim(self._stream, self._member.group, self._member.name, 0, identifiers, justid=True)
            self._client.xgroup_delconsumer(self._stream, self._member.group, name)

    def _note(self, text: str) -> None:
        if len(self.notes) < 100 and text not in self.notes[-3:]:
            self.notes.append(text)


def _entries(answer: Any) -> list[Entry]:
    """Of an answer about one stream, whichever protocol it came by."""
    if not answer:
        return []
    told = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    return list(told)


def _claimed(answer: Any) -> list[Entry]:
    """Entries that were claimed; what was trimmed meanwhile is left out."""
    return [one for one in answer if one is not None and one[0] is not None]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _say(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
