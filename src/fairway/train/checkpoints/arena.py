"""Memory into which a state is copied while the training waits: kept from one save to the next, so that no page is touched first.

Copying is all that a save costs the training, so it is done as fast as the machine copies: large pieces, by two threads, without the
interpreter's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PIECE_BYTES = 64 << 20
_ALONE_BYTES = 8 << 20  # less than this one thread copies sooner than it could share it out
_THREADS = 4

Copy = tuple[int, int, int]
"""(address to, address from, bytes)."""


class Arena:
    """One buffer that grows to the largest state seen. Its owner hands it to one save at a time.

    `pinned`: memory from which a CUDA device copies by itself.
    """

    def __init__(self) -> None:
        self.size_bytes, self.pinned = 0, False
        self.buffer: Any = b""
        self.address = 0

    def ensure(self, size_bytes: int, *, pinned: bool = False) -> None:
        """Room for so many bytes. What was in it may be gone."""
        if size_bytes <= self.size_bytes and (self.pinned or not pinned):
            return
        self.buffer = b""  # the old one goes first
        if pinned:
            import torch

            tensor: Any = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=True)
            self.buffer, self.address = tensor.numpy(), tensor.data_ptr()
        else:
            memory = mmap.mmap(-1, max(size_bytes, 1))
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with contextlib.suppress(OSError):  # a kernel without huge pages: more faults, once
                    memory.madvise(mmap.MADV_HUGEPAGE)
            self.buffer, self.address = memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self.size_bytes, self.pinned = size_bytes, pinned

    def view(self, start: int, size_bytes: int) -> memoryview:
        """A part of it."""
        return memoryview(self.buffer)[start : start + size_bytes]


def copy_all(copies: Sequence[Copy]) -> None:
    """Do all of them, by several threads if that is worth it."""
    total = sum(size for _, _, size in copies)
    threads = min(_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if total < _ALONE_BYTES or threads < 2:
        copy_one_by_one(copies)
        return
    shares = _shared_out(copies, min(_PIECE_BYTES, -(-total // threads)))
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(copy_one_by_one, shares):
            pass


def copy_one_by_one(copies: Sequence[Copy]) -> None:
    """Do all of them in this thread."""
    move = ctypes.memmove
    for target, source, size in copies:
        move(target, source, size)


def _shared_out(copies: Sequence[Copy], piece: int) -> list[list[Copy]]:
    """Lists of copies of about `piece` bytes each; a large copy is cut."""
    shares: list[list[Copy]] = [[]]
    room = piece
    for target, source, size in copies:
        at = 0
        while at < size:
            part = min(room, size - at)
            shares[-1].append((target + at, source + at, part))
            at, room = at + part, room - part
            if not room:
                shares.append([])
                room = piece
    return [share for share in shares if share]
