"""Bytes as streams bring them, cut anywhere: records of JSON, of CSV, and server-sent events; and the files that streams go on from."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from fairway.data.notify.journal import NotificationJournal
from fairway.data.streams.csvrecords import CsvDecoder
from fairway.data.streams.lines import Lines
from fairway.data.streams.ndjson import NdjsonDecoder
from fairway.data.streams.offsets import OffsetFile
from fairway.data.streams.rejects import StreamRejects
from fairway.data.streams.sse import Events
from fairway.errors import FairwayError
from tests.data.fuzz.targets import Target

_EVENTS = b'id: 1\r\ndata: {"a": 1}\r\n\r\n: note\nevent: x\ndata: {"a":\ndata: 2}\nretry: 50\n\ndata: {"a": null}\n\n'
_RECORDS = (
    b'{"at":"2024-01-01T00:00:00Z","n":1,"x":1.5,"s":"a","b":true,"o":{"i":{"j":1}}}\n' * 4 + b'{"n":null,"l":[1,"a"]}\n',
    b'{"a":1}\n{"a":2.5}\n{"a":"x"}\n{"a":123456789012345678901234567890}\n{"a":1e999,"A":1,"a.b":2}\n',
)
_CSV = (b'at,n,s\n2024-01-01T00:00:00Z,1,"a\nb"\n2024-01-02,2,\n,,""\n', b"n\n1\n2.5\nnan\n1_0\n99999999999999999999\n", b"a,a,\n1,2,3\n")


def _pieces(data: bytes) -> list[bytes]:
    """Cut where the data say."""
    size = 1 + (data[0] if data else 0) % 61
    return [data[start : start + size] for start in range(0, len(data), size)]


def _decoded(data: bytes, decoder: NdjsonDecoder | CsvDecoder, *, quoted: bool) -> None:
    lines, rejects, first = Lines(quoted=quoted, largest=4_096), decoder.rejects, 0
    pieces = _pieces(data)
    for number, piece in enumerate([*pieces, b""]):
        payloads, ends = lines.feed(piece, last=number == len(pieces))
        assert len(payloads) == len(ends)
        for some in (payloads[:2], payloads[2:]):
            if some:
                before = rejects.count
                batch = decoder.decode(some, first)
                headers = isinstance(decoder, CsvDecoder)
                assert batch.rows + rejects.count - before == len(some) or headers
                assert all(len(one) == batch.rows for one in batch.columns.values())
                for one in batch.columns.values():
                    if batch.rows:
                        one.value(0)
                        one.hashes()
                first += len(some)


def _ndjson(data: bytes) -> None:
    _decoded(data, NdjsonDecoder(StreamRejects()), quoted=False)
    _decoded(data, NdjsonDecoder(StreamRejects(), {"n": "integer", "x": "float", "at": "timestamp"}), quoted=False)


def _csv(data: bytes) -> None:
    _decoded(data, CsvDecoder(StreamRejects()), quoted=True)
    _decoded(data, CsvDecoder(StreamRejects(), {"n": "float"}, header=["at", "n", "s"]), quoted=True)


def _events(data: bytes) -> None:
    events = Events()
    for piece in _pieces(data):
        found = events.records(piece)
        if found is not None:
            NdjsonDecoder(StreamRejects()).decode(found.payloads, 0)
            found.mark(len(found.payloads))


def _places(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = OffsetFile(Path(folder), "g", "file:x")
        one.path.parent.mkdir(parents=True)
        one.path.write_bytes(data)
        with suppress(FairwayError):
            one.load()
        one.close()


def _alarms(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "alarms.ndjson")
        path.write_bytes(data)
        journal = NotificationJournal(path)
        with suppress(FairwayError):
            journal.open()
        journal.close()


_ALARM = (
    b'{"n": 0, "alarm": {"id": "a", "at": "2024-01-01T00:00:00+00:00", "kind": "drift", "column": "x", "severity": "error", '
    b'"message": "m", "value": 1.0, "threshold": 0.5, "state": "raised"}, "to": ["x", "y"]}\n{"done": [0], "to": "x"}\n'
)

TARGETS: tuple[Target, ...] = (
    Target("streamndjson", _ndjson, _RECORDS),
    Target("streamcsv", _csv, _CSV),
    Target("events", _events, (_EVENTS, b"\xef\xbb\xbfdata\n\ndata: x\n\n")),
    Target("places", _places, (b'{"offset": 12, "inode": 3, "uri": "x"}',)),
    Target("alarms", _alarms, (_ALARM,)),
)
