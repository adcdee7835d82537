"""`fw.follow`: from a URI to its windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import msgspec
import numpy as np

from fairway.data.batch import Kind
from fairway.data.streams.columns import STREAM_KINDS
from fairway.data.streams.csvrecords import CsvDecoder
from fairway.data.streams.ndjson import NdjsonDecoder
from fairway.data.streams.offsets import OffsetFile, check_group
from fairway.data.streams.rejects import StreamRejects
from fairway.data.streams.stream import Decoder, Stream
from fairway.data.streams.transport import Transport, fill_variables, without_secrets
from fairway.data.streams.windows import ArrivalWindows, EventWindows, TimeOf, Windowing, parse_cut, parse_seconds
from fairway.errors import ConfigError

OFFSETS_FOLDER = Path(".fairway/streams-offsets")
_COMMON = ("time", "lateness", "idle", "rejects", "once", "offsets", "columns", "delimiter")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "-": (),
    "file": ("wait",),
    "http": ("headers", "retry_s"),
    "kafka": ("config", "retry_s"),
    "redis": ("consumer", "claim_after", "field"),
}
_SCHEMES = {"": "file", "file": "file", "http": "http", "https": "http", "kafka": "kafka", "redis": "redis", "rediss": "redis"}


class _FieldLike(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...


Fields = Mapping[str, Kind] | Sequence[_FieldLike]


def follow(
    uri: str,
    *,
    window: str | int = "1000 rows",
    group: str = "",
    start: Literal["new", "oldest"] = "new",
    format: Literal["ndjson", "csv"] = "ndjson",
    fields: Fields | None = None,
    **options: Any,
) -> Stream:
    """The windows of a stream: `-` (standard input), a path (a file that grows), `http(s)://…` (NDJSON or server-sent events),
    `kafka://host:port/topic`, `redis://host:port/0?stream=NAME`. Nothing is opened until the first window is asked for.

    `window`: `"1000 rows"`, `"10s"` or `"1000 rows or 10s"`. `group`: whose place in the stream is kept, by `window.commit()`; without one
    nothing is kept. `start`: where a group begins that has no place yet. `fields`: what kinds columns are; else the first window says.

    Options of all: `time="at"` (windows by the time in this column), `lateness="5s"`, `idle="10s"` (when nothing came for so long, windows
    close), `rejects="rejects.ndjson"`, `once=True` (end at what is the end now), `offsets=FOLDER`; of CSV: `columns`, `delimiter`; of a
    file: `wait`; of HTTP: `headers`, `retry_s`; of Kafka: `config`, `retry_s`; of Redis: `consumer`, `claim_after`, `field`."""
    uri = os.fspath(uri)
    carrier = _carrier(uri)
    _check_options(uri, carrier, options)
    if start not in ("new", "oldest"):
        raise ConfigError(f"a stream cannot start at {start!r}", hint='write start="new" or start="oldest"')
    if format not in ("ndjson", "csv"):
        raise ConfigError(f"records of a stream cannot be {format!r}", hint='write format="ndjson" or format="csv"')
    kinds = _kinds(fields)
    check_group(group)
    rejects = StreamRejects(Path(options["rejects"]) if options.get("rejects") else None)
    transport = _transport(fill_variables(uri, os.environ), carrier, group=group, start=start, format=format, options=options)
    decoder: Decoder
    if format == "csv":
        decoder = CsvDecoder(rejects, kinds, header=options.get("columns", ()), delimiter=options.get("delimiter", ","))
        if carrier in ("kafka", "redis") and not options.get("columns"):
            raise ConfigError("messages of CSV have no header", hint='name their columns: columns=["at", "value"] (--columns at,value)')
    else:
        decoder = NdjsonDecoder(rejects, kinds)
    offsets = None
    if group and transport.resumable and not transport.keeps_offsets:
        offsets = OffsetFile(Path(options.get("offsets", OFFSETS_FOLDER)), group, _name_of(uri, carrier))
    return Stream(without_secrets(uri), transport, decoder, _windowing(window, format, options), rejects, offsets=offsets)


def _carrier(uri: str) -> str:
    if uri == "-":
        return "-"
    scheme = uri.partition("://")[0].lower() if "://" in uri else ""
    carrier = _SCHEMES.get(scheme)
    if carrier is None:
        raise ConfigError(f"{scheme}:// is no stream", hint="a stream is -, a file's path, http(s)://, kafka:// or redis://")
    return carrier


def _name_of(uri: str, carrier: str) -> str:
    """What the offsets are kept under: the stream, whatever its password or the folder one stands in."""
    return str(Path(uri.removeprefix("file://")).absolute()) if carrier == "file" else without_secrets(uri)


def _check_options(uri: str, carrier: str, options: Mapping[str, Any]) -> None:
    known = (*_COMMON, *_OPTIONS[carrier])
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, 1)
            said = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{without_secrets(uri)} has no option {name!r}", hint=said)


def _kinds(fields: Fields | None) -> dict[str, Kind]:
    if fields is None:
        return {}
    pairs = fields.items() if isinstance(fields, Mapping) else ((one.name, one.kind) for one in fields)
    made: dict[str, Kind] = {}
    for name, kind in pairs:
        if isinstance(fields, Mapping) and kind not in STREAM_KINDS:
            raise ConfigError(f"column {name!r} of a stream cannot be {kind!r}", hint=f"kinds: {', '.join(STREAM_KINDS)}")
        if kind in STREAM_KINDS and kind != "null":
            made[name] = kind
    return made


def _transport(
    uri: str, carrier: str, *, group: str, start: Literal["new", "oldest"], format: str, options: Mapping[str, Any]
) -> Transport:
    once = bool(options.get("once", False))
    if carrier == "-":
        from fairway.data.streams.stdin import StdinTransport

        return StdinTransport(quoted=format == "csv")
    if carrier == "file":
        from fairway.data.streams.tail import TailTransport

        path = Path(uri.removeprefix("file://"))
        return TailTransport(path, start=start, quoted=format == "csv", once=once, wait=bool(options.get("wait", False)))
    mine = {name: options[name] for name in _OPTIONS[carrier] if name in options}
    if carrier == "http":
        from fairway.data.streams.http import HttpTransport

        return HttpTransport(uri, quoted=format == "csv", once=once, **mine)
    if carrier == "kafka":
        from fairway.data.streams.kafka import open_kafka

        return open_kafka(uri, group=group, start=start, once=once, **mine)
    from fairway.data.streams.redis import open_redis

    return open_redis(uri, group=group, start=start, once=once, **mine)


def _windowing(window: str | int, format: str, options: Mapping[str, Any]) -> Callable[[float], Windowing]:
    cut = parse_cut(window)
    column = options.get("time", "")
    if not column:
        waited_s = parse_seconds(options.get("idle", 0.0))
        return lambda now: ArrivalWindows(cut, now, waited_s)
    if not cut.seconds:
        raise ConfigError("windows by a time column have a length of time", hint='write window="10s"')
    if format != "ndjson":
        raise ConfigError("windows by a time column need records of JSON", hint="leave time out, or send NDJSON")
    lateness_s = parse_seconds(options.get("lateness", 0.0))
    idle_s = parse_seconds(options.get("idle", cut.seconds + lateness_s))
    return lambda now: EventWindows(cut, time_reader(column), lateness_s, idle_s, now)


def time_reader(column: str) -> TimeOf:
    """Reads one column's time out of records of JSON: ISO 8601, or numbers of seconds, milliseconds, microseconds or nanoseconds."""
    struct = msgspec.defstruct("Timed", [("at", str | float | None, None)], rename={"at": column}, gc=False)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)

    def read(payloads: Sequence[bytes]) -> list[float | None]:
        try:
            told = [one.at for one in decoder.decode_lines(b"\n".join(payloads))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = []
        if len(told) != len(payloads):
            told = [_told(decoder, one) for one in payloads]
        return [_seconds(one) for one in told]

    return read


def _told(decoder: msgspec.json.Decoder[Any], payload: bytes) -> Any:
    try:
        return decoder.decode(payload).at
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _seconds(told: str | float | None) -> float | None:
    if isinstance(told, str):
        from fairway.data.streams.times import parse_times

        raw = told.encode("utf-8", "replace")
        parsed = parse_times(np.array([0, len(raw)]), np.frombuffer(raw, np.uint8), None)
        return None if parsed is None else float(cast("int", parsed[0][0])) / 1e6
    if told is None:
        return None
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if abs(told) < limit:
            return told / unit
    return told / 1e9
