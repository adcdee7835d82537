"""Files that grow, rotate and are truncated; standard input."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.data.streams import Stream, Window, follow
from fairway.data.streams.lines import Lines
from fairway.data.streams.stdin import StdinTransport
from fairway.data.streams.tail import TailTransport
from fairway.data.streams.transport import EndOfStream
from fairway.errors import ConfigError, ConflictError, NotFoundError


def _lines(*numbers: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % number for number in numbers)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


class Reader:
    """A tail that does not sleep: `more()` is what is there now."""

    def __init__(self, path: Path, *, position: Any = None, grace_s: float = 0.0, **options: Any) -> None:
        self.transport = TailTransport(path, **{"start": "oldest", **options})
        self.transport.grace_s = grace_s
        self.transport.open(position)
        self.position: Any = position

    def more(self) -> list[int]:
        told: list[int] = []
        for _ in range(6):
            records = self.transport.receive(0)
            if records is not None:
                told += [json.loads(one)["n"] for one in records.payloads]
                self.position = records.mark(len(records.payloads))
        return told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "app.log"
    made.write_bytes(_lines(1, 2))
    return made


def test_lines_come_when_they_are_whole(path: Path) -> None:
    reader = Reader(path)
    assert reader.more() == [1, 2]
    _append(path, b'{"n": ')
    assert reader.more() == []
    _append(path, b'3}\n{"n": 4')
    assert reader.more() == [3]
    _append(path, b"}\r\n\n" + _lines(5))
    assert reader.more() == [4, 5]


def test_new_is_after_the_last_whole_line(path: Path) -> None:
    _append(path, b'{"n": ')
    reader = Reader(path, start="new")
    assert reader.more() == []
    _append(path, b"3}\n")
    assert reader.more() == [3]


def test_a_rotated_file_is_read_to_its_end_then_the_new_one(path: Path) -> None:
    reader = Reader(path)
    assert reader.more() == [1, 2]
    path.rename(path.with_name("app.log.1"))
    _append(path.with_name("app.log.1"), _lines(3))
    assert reader.more() == [3]
    path.write_bytes(_lines(4))
    _append(path.with_name("app.log.1"), b'{"n": 99}')  # without an end of line: the last record of a file that nobody writes to any more
    assert reader.more() == [99, 4]


def test_whoever_still_writes_to_the_old_file_has_time_to_notice(path: Path) -> None:
    reader = Reader(path, grace_s=1000)
    assert reader.more() == [1, 2]
    path.rename(path.with_name("app.log.1"))
    path.write_bytes(_lines(4))
    assert reader.more() == []
    _append(path.with_name("app.log.1"), _lines(3))
    assert reader.more() == [3]
    reader.transport.grace_s = 0
    assert reader.more() == [4]


def test_a_truncated_file_is_read_from_its_start(path: Path) -> None:
    reader = Reader(path)
    reader.more()
    path.write_bytes(_lines(7))
    assert reader.more() == [7]
    path.write_bytes(_lines(*range(100, 140)))  # truncated, and longer than before when we look again
    assert reader.more() == list(range(100, 140))
    assert "truncated" in reader.transport.notes[0]


def test_a_position_is_found_again_in_a_file_that_was_rotated_meanwhile(path: Path) -> None:
    reader = Reader(path)
    reader.more()
    position = reader.position
    _append(path, _lines(3))
    path.rename(path.with_name("app.log.2"))
    path.with_name("app.log.1").write_bytes(_lines(4))
    path.write_bytes(_lines(5))
    os.utime(path.with_name("app.log.2"), (1000, 1000))
    os.utime(path.with_name("app.log.1"), (2000, 2000))
    again = Reader(path, position=position)
    assert again.more() == [3, 4, 5]
    assert Reader(path, position=again.position).more() == []


def test_a_position_in_another_file_is_not_used(path: Path) -> None:
    reader = Reader(path)
    reader.more()
    path.unlink()
    path.write_bytes(_lines(8, 9))
    assert Reader(path, position=reader.position).more() == [8, 9]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        next(iter(follow(str(tmp_path / "none"))))
    reader = Reader(tmp_path / "later", wait=True)
    assert reader.more() == []
    (tmp_path / "later").write_bytes(_lines(1))
    assert reader.more() == [1]


def test_waiting_does_not_spin(path: Path) -> None:
    reader = Reader(path)
    reader.more()
    naps: list[float] = []
    reader.transport.sleep = naps.append
    original = TailTransport._read
    looks = 0

    def counted(self: TailTransport) -> Any:
        nonlocal looks
        looks += 1
        if len(naps) == 5:
            _append(path, _lines(3))
        return original(self)

    TailTransport._read = counted  # type: ignore[method-assign]
    try:
        records = reader.transport.receive(1000)
    finally:
        TailTransport._read = original  # type: ignore[method-assign]
    assert records is not None
    assert looks == 6
    assert all(nap >= 0.05 for nap in naps)


def _numbers(window: Window) -> list[int]:
    return window.batch.columns["n"].data.tolist() if window.batch.rows else []


def _stream(path: Path, **options: Any) -> Stream:
    usual: dict[str, Any] = {"window": "2 rows", "start": "oldest", "once": True, "group": "g", "offsets": path.parent / "offsets"}
    return follow(str(path), **{**usual, **options})


def _all(path: Path, **options: Any) -> list[int]:
    told: list[int] = []
    for window in _stream(path, **options):
        told += _numbers(window)
        window.commit()
    return told


def test_a_group_goes_on_where_it_committed(path: Path) -> None:
    _append(path, _lines(3, 4, 5))
    windows = iter(_stream(path))
    next(windows).commit()
    assert _numbers(next(windows)) == [3, 4]  # not committed
    windows.close()  # type: ignore[attr-defined]
    second = iter(_stream(path))
    window = next(second)
    assert window.batch.first_row == 2
    assert window.offsets == {"first": 2, "last": 3}
    second.close()  # type: ignore[attr-defined]
    assert _all(path) == [3, 4, 5]
    assert _all(path) == []
    assert _all(path, group="other") == [1, 2, 3, 4, 5]


def test_without_a_group_nothing_is_kept(path: Path) -> None:
    assert _all(path, group="") == [1, 2]
    assert not (path.parent / "offsets").exists()


def test_two_processes_of_one_group_do_not_follow_one_file(path: Path) -> None:
    first = iter(_stream(path))
    next(first)
    with pytest.raises(ConflictError, match="another process"):
        next(iter(_stream(path)))
    first.close()  # type: ignore[attr-defined]


def test_a_last_line_without_an_end_is_a_record_when_the_end_is_the_end(path: Path) -> None:
    _append(path, b'{"n": 3}')
    assert _all(path) == [1, 2, 3]


def test_csv_with_a_header_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('a,n,t\n"x, ""y""\nz",1,2026-03-02T00:00:00Z\nb,2,\n')
    windows = list(_stream(path, format="csv", window="10 rows"))
    batch = windows[0].batch
    assert {name: one.kind for name, one in batch.columns.items()} == {"a": "string", "n": "integer", "t": "timestamp"}
    assert batch.columns["a"].value(0) == 'x, "y"\nz'
    assert batch.columns["t"].nulls == 1
    windows[0].commit()
    _append(path, b"c,3,\na,n,t\nd,4,\nbad\n")  # a rotated file begins with the header again
    stream = _stream(path, format="csv")
    assert [number for window in stream for number in _numbers(window)] == [3, 4]
    assert [one.reason for one in stream.rejects.rows] == ["1 values where there are 3 columns"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["1", "", "3"], "integer"), (["1", "2.5"], "float"), (["007", "1"], "float"), (["true", "False"], "boolean"), (["", ""], "null"),
     (["2026-03-02", "2026-03-03"], "date"), (["a", ""], "string"), (["99999999999999999999", "1"], "float")],
)  # fmt: skip
def test_kinds_of_csv(tmp_path: Path, values: list[str], kind: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text("k,n\n" + "".join(f"x,{value}\n" for value in values))
    (window,) = _stream(path, format="csv", window="10 rows", group="")
    assert window.batch.columns["n"].kind == kind


def test_what_is_wrong_is_said(path: Path) -> None:
    for options, problem in (
        ({"windw": 1}, "has no option 'windw'"),
        ({"headers": {}}, "has no option 'headers'"),
        ({"start": "yesterday"}, "cannot start at"),
        ({"format": "xml"}, "cannot be 'xml'"),
        ({"group": "a/b"}, "no name of a group"),
        ({"fields": {"n": "number"}}, "cannot be 'number'"),
        ({"time": "t", "window": "5 rows"}, "have a length of time"),
    ):
        with pytest.raises(ConfigError) as caught:
            _stream(path, **options)
        assert problem in str(caught.value)
        assert caught.value.hint
    with pytest.raises(ConfigError, match="ftp:// is no stream"):
        follow("ftp://x")
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET is not set"):
        follow("http://x/${NO_SUCH_SECRET}")


def test_addresses_are_shown_without_secrets() -> None:
    assert follow("http://me:pw@h/s?token=abc&x=1").uri == "http://me:…@h/s?token=…&x=1"
    assert follow("redis://:pw@h/0?stream=s", group="g").uri == "redis://:…@h/0?stream=s"


def test_a_long_record_is_cut_and_memory_is_bounded() -> None:
    lines = Lines(largest=10)
    told = [lines.feed(piece)[0] for piece in (b"short\n" + b"x" * 8, b"x" * 8, b"x" * 50, b"x\nnext\n")]
    assert told == [[b"short"], [b"x" * 10], [], [b"next"]]
    assert lines.position == len(b"short\n") + 8 + 8 + 50 + len(b"x\nnext\n")
    assert lines.waiting == 0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_standard_input_ends_with_its_writer(pipe: tuple[int, int]) -> None:
    transport = StdinTransport(descriptor=pipe[0])
    assert transport.receive(0) is None
    os.write(pipe[1], b'{"n": 1}\n{"n"')
    records = transport.receive(5)
    assert records is not None
    assert records.payloads == [b'{"n": 1}']
    os.write(pipe[1], b": 2}")
    os.close(pipe[1])
    told = []
    with pytest.raises(EndOfStream):
        while True:
            records = transport.receive(5)
            told += records.payloads if records else []
    assert told == [b'{"n": 2}']
