"""A user's folder for gangs, whose processes bear a mark, so that a test sees what is left of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairway.step.processes import find_marked
from tests.apart import project_folder
from tests.semantics.rig import Rig
from tests.waiting import await_true

DEADLINE_S = 60

MEETING = """
import os, signal, socket, struct, time
from pathlib import Path

class Peers:
    '''A sum over all ranks, by way of rank 0: whoever loses its connection says so, as collectives do.'''

    def __init__(self):
        place = fw.context().place
        self.rank = place.rank
        address = (place.hosts[0], place.ports[0][0])
        if place.rank == 0:
            self.server = socket.create_server(address)
            self.socks = [self.server.accept()[0] for _ in range(place.world_size - 1)]
        else:
            while True:
                try:
                    self.socks = [socket.create_connection(address)]
                    return
                except ConnectionRefusedError:
                    time.sleep(0.002)

    def sum(self, value):
        if self.rank == 0:
            value += sum(self._receive(sock) for sock in self.socks)
            for sock in self.socks:
                sock.sendall(struct.pack("d", value))
            return value
        self.socks[0].sendall(struct.pack("d", value))
        return self._receive(self.socks[0])

    def _receive(self, sock):
        data = sock.recv(8)
        if not data:
            raise RuntimeError("Connection closed by peer")
        return struct.unpack("d", data)[0]

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


class GangRig(Rig):
    """A rig that counts the processes it has started, and all that those have."""

    mark = ""

    def left(self) -> list[int]:
        """Processes of this test that still live."""
        return find_marked(f"FAIRWAY_TEST_MARK={self.mark}")

    def await_gone(self) -> None:
        """Wait until none lives."""
        self.await_true(lambda: not self.left(), "processes are left")

    def await_true(self, condition: Callable[[], object], what: str) -> None:
        await_true(condition, what)

    def settings(self, text: str) -> None:
        """The project's fairway.toml."""
        (self.root / "fairway.toml").write_text(text)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GangRig]:
    with project_folder(tmp_path, monkeypatch):
        made = GangRig(tmp_path)
        made.mark = os.urandom(6).hex()
        monkeypatch.setenv("FAIRWAY_TEST_MARK", made.mark)
        made.settings("[targets.local]\ncpu = 4\n")
        yield made
        made.close()
