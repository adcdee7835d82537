"""What attempts wrote lately elsewhere, for a display that must not wait for the network."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from fairway.engine.reading import find_last_line
from fairway.engine.recent import KEPT_BYTES, RecentStreams, as_recent
from fairway.testing.memory import MemoryStreamStore


class Far(MemoryStreamStore):
    """A store elsewhere: many streams in one exchange, which are counted. `came`: set after an exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, int]] = []
        self.came = threading.Event()
        self.blocked = threading.Event()
        self.blocked.set()
        self.asking = threading.Semaphore(0)

    def read_many(self, run: str, offsets: Mapping[str, int], *, wait_s: float = 0.0) -> dict[str, bytes]:
        self.asking.release()
        assert self.blocked.wait(60)
        self.asked.append(dict(offsets))
        found = {name: self.read(f"{run}/{name}", offset) for name, offset in offsets.items()}
        self.came.set()
        return {name: data for name, data in found.items() if data}


def test_what_is_asked_for_is_followed_and_nothing_waits_for_it() -> None:
    far = Far()
    far.append("r1/a1/log", b"2026-11-24T08:15:03.250Z one\n")
    far.blocked.clear()
    recent = RecentStreams(far)
    assert find_last_line(recent, "r1", "a1") == "", "nothing has come yet, and nobody waits for it"
    far.blocked.set()
    recent.refresh()
    assert find_last_line(recent, "r1", "a1") == "one"
    far.append("r1/a1/log", b"2026-11-24T08:15:04.250Z two\n")
    recent.refresh()
    assert find_last_line(recent, "r1", "a1") == "two"
    assert far.asked[-1]["a1/log"] > 0, "what has come is not sent again"


def test_two_that_fetch_the_same_at_once_keep_it_once() -> None:
    far = Far()
    far.append("r1/a1/log", b"one\n")
    recent = RecentStreams(far)
    far.blocked.clear()
    recent.size("r1/a1/log")  # begins to be followed
    others = [threading.Thread(target=recent.refresh) for _ in range(3)]
    for other in others:
        other.start()
    for _ in others:
        assert far.asking.acquire(timeout=60)
    far.blocked.set()
    for other in others:
        other.join()
    recent.refresh()
    assert recent.read("r1/a1/log") == b"one\n"


def test_all_streams_of_a_run_come_in_one_exchange() -> None:
    far = Far()
    recent = RecentStreams(far)
    far.blocked.clear()
    for n in range(8):
        far.append(f"r1/a{n}/log", b"x\n")
        recent.size(f"r1/a{n}/log")
    far.blocked.set()
    far.asked.clear()
    recent.refresh()
    assert len(far.asked[-1]) == 8


def test_only_the_end_of_a_long_stream_is_kept() -> None:
    far = Far()
    recent = RecentStreams(far)
    recent.read("r1/a1/log")
    far.append("r1/a1/log", b"x" * (3 * KEPT_BYTES) + b"\nlast\n")
    recent.refresh()
    size = 3 * KEPT_BYTES + 6
    assert recent.size("r1/a1/log") == size
    assert recent.read("r1/a1/log", size - 5) == b"last\n"
    assert recent.read("r1/a1/log", size - 5, 2) == b"la"
    assert len(recent.read("r1/a1/log")) == KEPT_BYTES


def test_a_thread_brings_it_by_itself() -> None:
    far = Far()
    far.append("r1/a1/log", b"2026-11-24T08:15:03.250Z hello\n")
    recent = RecentStreams(far)
    recent.size("r1/a1/log")
    assert far.came.wait(60)


def test_a_store_that_is_near_is_left_as_it_is() -> None:
    near = MemoryStreamStore()
    assert as_recent(near) is near
    assert isinstance(as_recent(Far()), RecentStreams)
