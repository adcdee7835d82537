"""Replicas as processes: the real inference server, killed on purpose; and what keeps its libraries warm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.processes import identify_process
from fairway.serve.control.fleet import Replica
from fairway.serve.control.localfleet import LocalFleet
from fairway.serve.control.processes import is_running, open_socket_folder, read_last_lines, spell_end
from fairway.serve.control.zygote import Zygotes
from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Endpoint, Revision, Scaling, ServeSpec
from fairway.spec.record import replace, to_plain
from fairway.step.artifacts import import_path
from fairway.step.folder import FolderArtifactStore
from fairway.testing.contracts.fleet import FleetContract, FleetSubject, count, until
from tests import waiting

SCRIPT = """
import json
import colorsys

def init():
    global factor
    factor = 2

def run(raw_data):
    return {"sum": sum(json.loads(raw_data)["x"]) * factor}
"""
BODY = json.dumps({"x": [1, 2, 3]}).encode()


class Machine:
    """A home with a store, and packages in it."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, FolderArtifactStore(home / "blobs")
        self.zygotes = True

    def make(self, kind: str) -> ServeSpec:
        folder = self.home.parent / kind
        folder.mkdir(exist_ok=True)
        text = SCRIPT if kind == "good" else SCRIPT + "\nraise ValueError('no weights at hand')\n"
        (folder / "score.py").write_text(text)
        return ServeSpec(kind, to_plain(import_path(folder, self.store, scratch=self.home / "scratch")), framework="script")

    def make_from(self, folder: Path, spec: ServeSpec) -> ServeSpec:
        """The same of a folder as it is now."""
        return replace(spec, package=to_plain(import_path(folder, self.store, scratch=self.home / "scratch")))

    async def open(self) -> LocalFleet:
        fleet = LocalFleet(str(self.home), self.store, zygotes=Zygotes(str(self.home)) if self.zygotes else None, drain_delay_s=0.05)
        await fleet.start()
        return fleet

    async def kill(self, replica: Replica) -> None:
        os.kill(int(replica.where.removeprefix("process ")), signal.SIGKILL)

    def kept(self, kind: str = "*") -> list[dict[str, Any]]:
        """The records of its processes; "zygotes": of those that keep libraries warm."""
        found: list[dict[str, Any]] = []
        for path in (self.home / "serve").glob(f"{kind}/*.json"):
            with contextlib.suppress(FileNotFoundError):  # its process has ended just now
                found.append(json.loads(path.read_text()))
        return found

    def clear(self) -> None:
        """End what a failed test has left running."""
        for one in self.kept():
            if is_running(one["pid"], one["process"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one["pid"], signal.SIGKILL)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "home")
    yield made
    made.clear()


class TestLocalFleet(FleetContract):
    @pytest.fixture
    def subject(self, machine: Machine) -> FleetSubject:
        return FleetSubject(machine.open, machine.make, machine.kill)


async def ask(address: str) -> Any:
    upstream = Upstream(address)
    try:
        answer = await upstream.ask("POST", "/score", [(b"content-type", b"application/json")], BODY)
        assert answer.status == 200, answer.why or answer.body
        return json.loads(answer.body)
    finally:
        upstream.abort()


def test_what_is_in_hand_is_answered_before_a_replica_ends(machine: Machine) -> None:
    spec = machine.make("good")
    folder = machine.home.parent / "good"
    gate, begun = waiting.Gate(machine.home.parent / "gate"), machine.home.parent / "begun"
    source = f"def init(): pass\ndef run(raw_data):\n    open({str(begun)!r}, 'w').close()\n    {gate.code}\n    return 'slow'\n"
    (folder / "score.py").write_text(source)
    revision = Revision(1, replace(spec, package=to_plain(import_path(folder, machine.store))))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 1)
        (one,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        asked = asyncio.ensure_future(ask(one.address))
        await waiting.until(begun.exists)
        await fleet.remove("risk")
        gate.open()
        assert await asked == "slow"
        await until(fleet, lambda replicas: not replicas)
        await fleet.close()

    asyncio.run(main())


def test_libraries_are_kept_warm_only_where_nothing_need_run_and_outlive_the_server(machine: Machine) -> None:
    revision = Revision(1, machine.make("good"))
    sleepy = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(0, 2))
    awake = replace(sleepy, scaling=Scaling(1, 2))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(awake, revision, 0)
        assert machine.kept("zygotes") == []
        await fleet.apply(sleepy, revision, 0)
        kept = await until_warm(machine)
        await fleet.close()
        assert is_running(kept["pid"], kept["process"])
        fleet = await machine.open()
        await fleet.apply(sleepy, revision, 0)
        await waiting.until(lambda: fleet.warm_bytes("risk"))
        assert (await until_warm(machine))["pid"] == kept["pid"]
        await fleet.apply(sleepy, revision, 1)
        (one,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        assert one.warm
        assert await ask(one.address) == {"sum": 12}
        os.kill(kept["pid"], signal.SIGKILL)  # a replica does without the process that it was forked from
        assert await ask(one.address) == {"sum": 12}
        await fleet.remove("risk")
        await until(fleet, lambda replicas: not replicas)
        assert not is_running(kept["pid"], kept["process"])
        await fleet.close()

    asyncio.run(main())


def test_a_replica_that_hangs_is_ended_and_another_takes_its_place(machine: Machine) -> None:
    revision = Revision(1, machine.make("good"))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),))

    async def main() -> None:
        fleet = LocalFleet(str(machine.home), machine.store, drain_delay_s=0.05, hang_s=2.0)
        await fleet.start()
        await fleet.apply(endpoint, revision, 1)
        (hung,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        os.kill(int(hung.where.removeprefix("process ")), signal.SIGSTOP)
        replicas = await until(fleet, lambda replicas: count(replicas, "ready") == 1 and all(one.id != hung.id for one in replicas))
        assert await ask(replicas[0].address) == {"sum": 12}
        said = await fleet.logs("risk", replica=hung.id)
        assert said[-1] == f"{hung.id}  fairway: it gave no sign of life for 2 s, and was ended"
        await fleet.remove("risk")
        await until(fleet, lambda replicas: not replicas)
        await fleet.close()

    asyncio.run(main())


async def until_warm(machine: Machine, *, besides: int = 0) -> dict[str, Any]:
    """The record of the zygote, once it has learnt what to import. `besides`: another than this process."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [one for one in machine.kept("zygotes") if one.get("folders") and one["pid"] != besides]
        return bool(found)

    await waiting.until(look, "nothing is warm")
    return found[0]


def test_a_package_that_has_gone_says_so(machine: Machine) -> None:
    revision = Revision(1, replace(machine.make("good"), package={"digest": "0" * 64, "size_bytes": 1, "format": "dir"}))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),))

    async def main() -> str:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 1)
        (one,) = await until(fleet, lambda replicas: count(replicas, "failed") == 1)
        await fleet.remove("risk")
        await fleet.close()
        return one.reason

    assert "0000" in asyncio.run(main())


def test_sockets_have_short_paths_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    short = open_socket_folder(tmp_path / "s", str(tmp_path), 20)
    assert short == tmp_path / "s"
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    folder = open_socket_folder(deep / "sockets", str(deep), 60)
    assert len(str(folder)) + 61 < 100
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder == open_socket_folder(deep / "sockets", str(deep), 60)
    other = open_socket_folder(deep / "x" / "sockets", str(deep / "x"), 60)
    assert folder != other
    shutil.rmtree(folder)
    shutil.rmtree(other)


def test_a_folder_of_sockets_goes_with_its_home_unless_somebody_listens_in_it(tmp_path: Path) -> None:
    def open_for(name: str) -> tuple[Path, Path]:
        home = tmp_path / ("d" * 60) / ("e" * 60) / name
        home.mkdir(parents=True)
        return home, open_socket_folder(home / "sockets", str(home), 60)

    def listen(folder: Path) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(folder / "gateway.sock"))
        made.listen()
        return made

    (gone, of_gone), (left, of_left), (_, of_third) = open_for("gone"), open_for("left"), open_for("third")
    listen(of_gone).close()
    with listen(of_left):
        shutil.rmtree(gone)
        shutil.rmtree(left)
        _, own = open_for("own")
        assert [path.exists() for path in (of_gone, of_left, of_third, own)] == [False, True, True, True]
    for path in (of_left, of_third, own):
        shutil.rmtree(path)


def test_a_home_whose_name_is_no_utf_8_has_a_folder_of_sockets_too(tmp_path: Path) -> None:
    home = tmp_path / ("d" * 60) / ("e" * 60) / os.fsdecode(b"caf\xe9")
    home.mkdir(parents=True)
    folder = open_socket_folder(home / "sockets", str(home), 60)
    assert folder == open_socket_folder(home / "sockets", str(home), 60)
    home.rmdir()
    other = open_socket_folder(home.parent / "sockets", str(home.parent), 60)
    assert [folder.exists(), other.exists()] == [False, True]
    shutil.rmtree(other)


def test_the_end_of_a_process_is_told_in_its_own_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('loading\nTraceback …\nValueError: no weights\n{"ready": false}\n')
    assert spell_end(256, log) == "ValueError: no weights"
    assert "SIGKILL" in spell_end(signal.SIGKILL, log)
    assert spell_end(256, tmp_path / "none") == "it ended with status 1 and said nothing"
    assert read_last_lines(log, 2) == ["ValueError: no weights", '{"ready": false}']


def test_who_has_ended_and_was_not_waited_for_is_not_running() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
    identity = identify_process(pid)
    assert is_running(pid, identity)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert identify_process(pid) == identity
    assert not is_running(pid, identity)
    os.waitpid(pid, 0)
