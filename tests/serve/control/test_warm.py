"""The process that keeps libraries warm: it forks while it learns, starts nothing twice, mixes up no modules, comes back when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.control import zygote
from fairway.serve.control.launching import package_root
from fairway.serve.control.processes import ask_ready, is_running
from fairway.spec.endpoint import Endpoint, Revision, Scaling
from fairway.testing.contracts.fleet import count, until
from tests import waiting
from tests.serve.control.test_localfleet import Machine, ask, until_warm
from tests.waiting import Gate, await_true

_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from fairway.serve.control.warm import main; main()"
QUICK = "import colorsys\ndef init(): pass\ndef run(raw_data): return colorsys.rgb_to_hsv(0, 0, 0)[0]\n"


def slow(gate: Gate) -> str:
    """A script whose import waits at the gate."""
    return f"{gate.code}\n" + QUICK


class Warm:
    """The process by itself, asked as the server asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, str(folder / "z.sock")
        self.process = subprocess.Popen([sys.executable, "-P", "-c", _CODE, package_root(), self.path], start_new_session=True)
        self.started: list[int] = []
        await_true(Path(self.path).exists, "it does not listen")

    def script(self, name: str, source: str) -> str:
        (self.folder / name).mkdir()
        (self.folder / name / "score.py").write_text(source)
        return str(self.folder / name)

    def send(self, **asked: Any) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(60)
        link.connect(self.path)
        link.sendall(json.dumps(asked).encode() + b"\n")
        return link

    def start(self, folder: str, name: str, **more: Any) -> dict[str, Any]:
        words = [folder, "--uds", self.uds(name), "--options", "{}"]
        said = hear(self.send(start=words, variables=dict(os.environ), log=str(self.folder / "log"), **more))
        if "pid" in said:
            self.started.append(said["pid"])
        return said

    def uds(self, name: str) -> str:
        return str(self.folder / f"{name}.sock")

    def close(self) -> None:
        for pid in self.started:
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


def hear(link: socket.socket) -> dict[str, Any]:
    with link, link.makefile("rb") as file:
        return json.loads(file.readline())


def test_who_sees_its_socket_is_answered(tmp_path: Path) -> None:
    look = "import os, socket, sys; socket.socket.listen = lambda self, number: sys.exit('too soon' if os.path.exists(sys.argv[1]) else 0)"
    told = subprocess.run([sys.executable, "-P", "-c", f"{look}; {_CODE}", package_root(), tmp_path / "z.sock"], check=False)
    assert told.returncode == 0


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    made = Warm(tmp_path)
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "home")
    yield made
    made.clear()


def test_it_forks_while_it_learns(warm: Warm, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    quick = warm.script("quick", QUICK)
    assert hear(warm.send(rehearse=quick))["why"] == ""
    learning = warm.send(rehearse=warm.script("slow", slow(gate)))
    assert warm.start(quick, "r")["pid"]
    await_true(lambda: asyncio.run(ask_ready(warm.uds("r"))), "it is not ready")
    gate.open()
    assert hear(learning)["why"] == ""


def test_it_starts_nothing_for_somebody_who_has_given_up(warm: Warm) -> None:
    quick = warm.script("quick", QUICK)
    assert warm.start(quick, "r", until=time.time() - 1) == {"late": True}
    assert warm.start(quick, "s", until=time.time() + 60)["pid"]
    await_true(lambda: asyncio.run(ask_ready(warm.uds("s"))), "it is not ready")
    assert not Path(warm.uds("r")).exists()


def test_a_module_of_the_package_is_not_taken_for_a_library_of_the_same_name(machine: Machine) -> None:
    spec = machine.make("good")
    folder = machine.home.parent / "good"
    (folder / "colorsys.py").write_text("own = 6\n")
    (folder / "score.py").write_text("import colorsys\ndef init(): pass\ndef run(raw_data): return {'sum': colorsys.own}\n")
    revision = Revision(1, machine.make_from(folder, spec))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(0, 2))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 0)
        await until_warm(machine)
        await fleet.apply(endpoint, revision, 1)
        (one,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        assert one.warm
        assert await ask(one.address) == {"sum": 6}
        await fleet.remove("risk")
        await until(fleet, lambda replicas: not replicas)
        await fleet.close()

    asyncio.run(main())


def test_it_comes_back_when_it_was_killed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote, "_MEASURE_S", 0.05)
    revision = Revision(1, machine.make("good"))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(0, 2))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 0)
        first = await until_warm(machine)
        os.kill(first["pid"], signal.SIGKILL)
        second = await until_warm(machine, besides=first["pid"])
        assert is_running(second["pid"], second["process"])
        await fleet.remove("risk")
        await fleet.close()

    asyncio.run(main())


def test_a_replica_that_is_wanted_while_it_learns_begins_with_what_it_has(machine: Machine) -> None:
    spec = machine.make("good")
    folder = machine.home.parent / "good"
    gate = Gate(machine.home.parent / "gate")
    (folder / "score.py").write_text(slow(gate))
    revision = Revision(1, machine.make_from(folder, spec))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(0, 2))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 0)
        await waiting.until(lambda: any(Path(one["uds"]).exists() for one in machine.kept("zygotes")))
        await fleet.apply(endpoint, revision, 1)
        (one,) = await until(fleet, lambda replicas: any(one.where for one in replicas))
        assert one.warm and one.state == "starting"
        gate.open()
        await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        await fleet.remove("risk")
        await until(fleet, lambda replicas: not replicas)
        await fleet.close()

    asyncio.run(main())


def test_the_last_replica_stays_until_its_libraries_are_warm(machine: Machine) -> None:
    spec = machine.make("good")
    folder = machine.home.parent / "good"
    gate, begun = Gate(machine.home.parent / "gate"), machine.home.parent / "begun"
    source = f"import pathlib\nbegun = pathlib.Path({str(begun)!r})\nif begun.exists():\n"  # the replica starts at once
    source += f"    {gate.code}\nbegun.touch()\n"
    (folder / "score.py").write_text(source + QUICK)
    revision = Revision(1, machine.make_from(folder, spec))
    endpoint = Endpoint("risk", revisions=(revision,), traffic=((1, 100.0),), scaling=Scaling(0, 2))

    async def main() -> None:
        fleet = await machine.open()
        await fleet.apply(endpoint, revision, 1)
        await until(fleet, lambda replicas: count(replicas, "ready") == 1)
        await waiting.until(lambda: machine.kept("zygotes"))
        await fleet.apply(endpoint, revision, 0)
        assert count(tuple(await fleet.observe()), "ready") == 1
        gate.open()
        await until(fleet, lambda replicas: not replicas)
        assert (await until_warm(machine))["folders"]
        await fleet.remove("risk")
        await fleet.close()

    asyncio.run(main())
