"""Frames between driver, worker and zygotes arrive whole, in order, with the descriptors that were sent beside them."""

from __future__ import annotations

import os
import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.step.wire import Channel

texts = st.text(st.characters(codec=None), max_size=60)  # half characters too: paths may hold them
messages = st.dictionaries(texts, st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts, max_size=3)), max_size=4)


def channels(buffer_bytes: int = 0) -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        if buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    return Channel(ours), Channel(theirs)


def exchange(sender: Channel, receiver: Channel, count: int) -> list[dict[str, Any]]:
    """Read `count` frames while what waits is sent."""
    got: list[dict[str, Any]] = []
    while len(got) < count:
        sender.flush()
        frames = receiver.receive()
        assert frames is not None
        got += frames
    return got


@given(st.lists(messages, max_size=12))
@settings(max_examples=60, deadline=None)
def test_frames_arrive_whole_and_in_order(sent: list[dict[str, Any]]) -> None:
    here, there = channels()
    for message in sent:
        here.send(message)
    assert exchange(here, there, len(sent)) == sent
    here.close()
    assert there.receive() is None
    there.close()


@given(st.lists(st.tuples(st.integers(0, 30_000), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_frames_larger_than_the_socket_takes_wait_and_keep_their_descriptors(sizes: list[tuple[int, bool]]) -> None:
    here, there = channels(4096)
    readers: list[int] = []
    for number, (size, with_file) in enumerate(sizes):
        fds: tuple[int, ...] = ()
        if with_file:
            reader, writer = os.pipe()
            os.write(writer, str(number).encode())
            os.close(writer)
            fds = (reader,)
        here.send({"n": number, "body": "x" * size}, fds)
        for fd in fds:
            os.close(fd)  # the sender may close its own at once
    got = exchange(here, there, len(sizes))
    assert [(frame["n"], len(frame["body"])) for frame in got] == [(n, size) for n, (size, _) in enumerate(sizes)]
    for number, (_, with_file) in enumerate(sizes):
        if with_file:
            readers += (fd := there.take_fds(1))
            assert os.read(fd[0], 10) == str(number).encode()
    for fd in readers:
        os.close(fd)
    here.close()
    there.close()


def test_a_frame_in_pieces_is_one_frame() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel, other = Channel(theirs), Channel(ours)
    other.send({"op": "start", "id": "a-1"})
    body = theirs.recv(1 << 16)
    for byte in body[:-1]:
        ours.send(bytes([byte]))
        assert channel.receive() == []
    ours.send(body[-1:])
    assert channel.receive() == [{"op": "start", "id": "a-1"}]
    other.close()
    channel.close()


def test_sending_to_one_who_is_gone_is_no_error() -> None:
    here, there = channels()
    there.close()
    reader, writer = os.pipe()
    here.send({"op": "x"}, (writer,))
    here.send({"op": "y"})
    assert not here.pending
    assert here.receive() is None
    os.close(writer)  # it was not closed for us
    os.close(reader)
    here.close()


def test_closing_gives_back_what_was_not_sent_and_not_taken() -> None:
    here, there = channels(4096)
    reader, writer = os.pipe()
    ours = {os.fstat(fd).st_ino for fd in (here.fileno(), there.fileno(), reader, writer)}
    here.send({"body": "x" * 100_000}, (reader,))
    here.send({"op": "later"}, (writer,))
    assert here.pending
    assert there.receive() == []
    os.close(reader)
    os.close(writer)
    here.close()
    there.close()
    assert ours.isdisjoint(map(inode_of, os.listdir("/proc/self/fd")))


def inode_of(fd: str) -> int:
    """0 if it was closed meanwhile, by another thread."""
    try:
        return os.fstat(int(fd)).st_ino
    except OSError:
        return 0
