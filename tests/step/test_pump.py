"""An attempt's output becomes log lines: all of it, in order, stamped, masked, whatever bytes it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.engine.reading import read_log
from fairway.errors import StoreUnavailable
from fairway.step.pump import LINE_BYTES, LogPump
from fairway.testing.memory import MemoryStreamStore

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


class Pipe:
    """A pump on a pipe, and what it has written."""

    def __init__(self, secrets: tuple[str, ...] = (), streams: MemoryStreamStore | None = None) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        self.streams = streams or MemoryStreamStore()
        self.pump = LogPump(reader, "r/a-1/log", self.streams, secrets)

    def feed(self, data: bytes) -> None:
        """Write and move it, in pieces that a pipe holds."""
        for start in range(0, len(data), 30_000):
            os.write(self.writer, data[start : start + 30_000])
            assert self.pump.pump()

    def texts(self) -> list[str]:
        self.pump.drain()
        return [line.text for line in read_log(self.streams, "r", "a-1", "t")]

    def close(self) -> None:
        os.close(self.writer)
        self.pump.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_every_line_is_stamped_and_in_order(pipe: Pipe) -> None:
    pipe.feed(b"one\ntwo\n\nfour\n")
    assert pipe.texts() == ["one", "two", "", "four"]
    assert all(STAMP.match(line) for line in pipe.streams.read("r/a-1/log").decode().splitlines())


def test_a_line_waits_for_its_end_and_the_last_one_need_not_have_one(pipe: Pipe) -> None:
    pipe.feed(b"begin ")
    assert pipe.streams.read("r/a-1/log") == b""
    pipe.feed(b"middle\nend")
    assert [line.text for line in read_log(pipe.streams, "r", "a-1", "t")] == ["begin middle"]
    assert pipe.texts() == ["begin middle", "end"]


def test_unicode_survives_being_cut_anywhere(pipe: Pipe) -> None:
    for byte in "żółw 🚢 naïve\n".encode():
        pipe.feed(bytes([byte]))
    assert pipe.texts() == ["żółw 🚢 naïve"]


def test_binary_garbage_becomes_replacement_characters(pipe: Pipe) -> None:
    pipe.feed(b"\xff\xfe\x00\x80 ok\n" + bytes(range(256)) + b"\n")
    texts = pipe.texts()
    assert texts[0] == "��\x00� ok"
    assert len(texts) == 3 and "\ufffd" in texts[2]


def test_a_very_long_line_is_cut_and_loses_nothing(pipe: Pipe) -> None:
    pipe.feed(b"x" * 200_000 + b"\nshort\n")
    texts = pipe.texts()
    assert texts[-1] == "short"
    assert "".join(texts[:-1]) == "x" * 200_000
    assert all(len(text) <= 2 * LINE_BYTES for text in texts)


def test_of_a_progress_bar_only_the_last_state_is_kept(pipe: Pipe) -> None:
    pipe.feed(b"\r 10%\r 50%\r100%\nwindows\r\nplain\n")
    assert pipe.texts() == ["100%", "windows", "plain"]


def test_secrets_are_masked_even_where_one_holds_another() -> None:
    pipe = Pipe(("hunter2", "hunter", ""))
    pipe.feed(b"password hunter2, user hunter\n")
    assert pipe.texts() == ["password ***, user ***"]
    assert b"hunter" not in pipe.pump.tail
    pipe.close()


def test_a_secret_in_a_line_without_end_is_masked_wherever_the_line_is_read_apart() -> None:
    pipe = Pipe(("hunter2",))
    for offset in range(-8, 3):
        pipe.feed(b"x" * (LINE_BYTES + offset) + b"hun")
        pipe.feed(b"ter2!\n")
    text = "".join(pipe.texts())
    assert text.count("***!") == 11
    assert "hun" not in text and "ter2" not in text
    pipe.close()


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    pipe = Pipe(("-----BEGIN KEY-----\nc2VjcmV0IQ==\n-----END KEY-----\n",))
    pipe.feed(b"-----BEGIN KEY-----\n")
    pipe.feed(b"c2VjcmV0IQ==\n")
    assert pipe.texts() == ["***", "***"]
    pipe.close()


def test_a_hundred_thousand_lines_lose_none(pipe: Pipe) -> None:
    pipe.feed(b"".join(b"line %d\n" % n for n in range(100_000)))
    texts = pipe.texts()
    assert len(texts) == 100_000
    assert (texts[0], texts[-1]) == ("line 0", "line 99999")


def test_the_end_of_the_output_is_noticed() -> None:
    pipe = Pipe()
    os.close(pipe.writer)
    assert not pipe.pump.pump()
    pipe.pump.close()
    pipe.pump.close()


def test_the_tail_holds_the_last_words(pipe: Pipe) -> None:
    pipe.feed(b"x" * 100_000 + b"\nthe end\n")
    assert pipe.pump.tail.endswith(b"\nthe end\n")
    assert len(pipe.pump.tail) < 20_000


class FullStreams(MemoryStreamStore):
    """A disk with no room left."""

    def append(self, stream: str, data: bytes) -> None:
        raise StoreUnavailable("no space left on device")


def test_a_log_that_cannot_be_written_does_not_stop_the_step(capfd: pytest.CaptureFixture[str]) -> None:
    pipe = Pipe(streams=FullStreams())
    pipe.feed(b"one\n")
    pipe.feed(b"two\n")
    assert pipe.pump.tail == b"one\ntwo\n"
    assert capfd.readouterr().err.splitlines() == ["fairway: output is not kept any more: no space left on device"]
    pipe.close()


@given(st.lists(st.binary(max_size=40), max_size=20))
@settings(max_examples=60, deadline=None)
def test_however_the_output_is_cut_the_text_is_the_same(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    one, many = Pipe(), Pipe()
    one.feed(whole)
    for piece in pieces:
        many.feed(piece)
    assert one.texts() == many.texts()
    one.close()
    many.close()
