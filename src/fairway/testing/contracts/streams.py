"""What every stream store promises. Give a fixture `streams`: an empty one."""

from __future__ import annotations

import threading

import pytest

from fairway.spec.ports import StreamStore


class StreamReaderContract:
    """What everybody may ask of a stream store. Subclass it and give the fixture `streams`; `writer`, the same store as attempts see it,
    only where that is another object."""

    @pytest.fixture
    def writer(self, streams: StreamStore) -> StreamStore:
        return streams

    def test_appended_bytes_are_read_by_offset(self, streams: StreamStore, writer: StreamStore) -> None:
        writer.append("r/a-1/log", b"hello ")
        writer.append("r/a-1/log", b"world\xff\x00\n")
        assert streams.read("r/a-1/log") == b"hello world\xff\x00\n"
        assert streams.read("r/a-1/log", 6) == b"world\xff\x00\n"
        assert streams.read("r/a-1/log", 6, 5) == b"world"
        assert streams.read("r/a-1/log", 100) == b""
        assert streams.size("r/a-1/log") == 14

    def test_a_stream_that_is_not_there_is_empty(self, streams: StreamStore) -> None:
        assert streams.read("r/a-1/log") == b""
        assert streams.size("r/a-1/log") == 0
        assert list(streams.list("")) == []

    def test_listing_takes_the_beginning_of_a_name(self, streams: StreamStore, writer: StreamStore) -> None:
        names = ["r1/a-1/log", "r1/a-1/metrics", "r1/a-10/log", "r2/a-1/log"]
        for name in names:
            writer.append(name, b"x")
        assert sorted(streams.list("")) == names
        assert sorted(streams.list("r1/a-1")) == names[:3]
        assert sorted(streams.list("r1/a-1/")) == names[:2]


class StreamStoreContract(StreamReaderContract):
    """All of it: what attempts and the server need too. Subclass it and give the fixture `streams`."""

    def test_deleting_takes_a_whole_name_or_folder(self, streams: StreamStore) -> None:
        streams.delete("r")  # absent = success
        names = ["r1/a-1/log", "r1/a-1/metrics", "r1/a-10/log", "r2/a-1/log"]
        for name in names:
            streams.append(name, b"x")
        streams.delete("r1/a-1/log")
        assert sorted(streams.list("")) == names[1:]
        streams.delete("r1/a-1")
        assert sorted(streams.list("")) == names[2:]
        streams.delete("r1/")
        assert sorted(streams.list("")) == names[3:]
        streams.append("r1/a-1/log", b"again")
        assert streams.read("r1/a-1/log") == b"again"

    def test_appends_of_many_writers_are_not_mixed(self, streams: StreamStore) -> None:
        def write(letter: bytes) -> None:
            for _ in range(200):
                streams.append("r/a-1/log", letter * 99 + b"\n")

        threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = streams.read("r/a-1/log").splitlines()
        assert len(lines) == 600
        assert all(len(line) == 99 and len(set(line)) == 1 for line in lines)
