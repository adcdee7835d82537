"""A gang's attempt in a pod that is one of its replicas: it says where it is, learns where the others are, and runs its own ranks.

Its end is not the attempt's: it goes to the server, which hears all of them. While its ranks run, a question is always with the server:
does it have to stop, because another has failed or what it was there for is done?
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import InfraError
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import LOOPBACK, PORTS_EACH, Place, World, places_of
from fairway.spec.layout import STREAMS
from fairway.spec.outcome import Outcome
from fairway.spec.record import Record, from_plain, record, to_plain
from fairway.step.control import Control, Poll
from fairway.step.folder import FolderStreamStore
from fairway.step.freeports import free_ports
from fairway.step.gangrank import get_framework
from fairway.step.gangreport import AGREED, STILL
from fairway.step.link import TRANSIENT, Patience, Refused
from fairway.step.program import HOME, WORK, first_port, host_name
from fairway.step.shipping import OF_A_RANK
from fairway.step.tending import Site, Tended, WorkerDesk

if TYPE_CHECKING:
    from fairway.step.agent import Settings

_WAIT_S = 25.0
_LONGEST_WAIT_S = 1.0  # a server that was started anew soon wants to know who is there
_OVER = 410
_LOOK_EVERY_S = 0.02
_FIRST = "first"


@record
class Here(Record):
    """This pod: the replica's completion index, its name, its address."""

    replica: int
    pod: str
    address: str = ""


class TendedReplica(Tended):
    """See the module."""

    def __init__(self, answer: Mapping[str, Any], control: Control, site: Site, worker: WorkerDesk, here: Here) -> None:
        super().__init__(answer, control, site, worker)
        self._here = here
        self._poll: Poll | None = None
        self._told = ""
        self._is_still = False
        self._said = FolderStreamStore(f"{site.home}/{STREAMS}")
        self._grace_s = float(answer.get("grace_s", 10.0))
        self._streams.follow({"log": f"leader.{here.replica}"})

    def stop(self, reason: str, grace_s: float) -> None:
        """As every attempt's; what it waits for is not waited for any more."""
        super().stop(reason, grace_s)
        self._drop()

    def _prepare(self) -> dict[str, Any]:
        frame = super()._prepare()
        world = self._meet()
        if world is not None:
            frame["world"] = to_plain(world)
            self._follow_ranks(world)
            if self.spec.n > 1:
                self._checkpoints.restore(self._ranks_of(world), len(world.hosts) * self.spec.step.gang.processes)
        return frame

    def _restore(self) -> None:
        """Once it is known which ranks run here: they need their own parts."""

    def _ranks_of(self, world: World) -> range:
        each = self.spec.step.gang.processes
        return range(world.replica * each, (world.replica + 1) * each)

    def _meet(self) -> World | None:
        """Who takes part; None if this one is not to wait any longer. Raises Refused if the gang is over."""
        gang, address = self.spec.step.gang, self._here.address or LOOPBACK
        ports = free_ports(gang.processes * PORTS_EACH)
        asked = {"replica": self._here.replica, "pod": self._here.pod, "host": address, "ports": list(ports), "wait_s": _WAIT_S}
        patience = Patience(self.control.link, _LONGEST_WAIT_S)
        while not self._stopped:
            try:
                answer = self._ask({**asked, "met": False})
            except TRANSIENT as error:
                if not self._stopped:
                    patience.wait("meeting the other replicas", error)
                continue
            patience.progress()
            if answer.get("stop"):
                raise Refused(f"the gang of {self.id} goes on without this pod ({answer['stop']})", status=_OVER)
            if answer.get("world"):
                threading.Thread(target=self._listen, args=({**asked, "met": True},), daemon=True).start()
                return from_plain(World, answer["world"])
        return None

    def _follow_ranks(self, world: World) -> None:
        """Ship the streams of the ranks that run here; what is the task's as a whole comes from the first replica."""
        names = {"log": f"leader.{self._here.replica}"}
        if world.replica == 0:
            names |= {kind: kind for kind in ("progress", "metrics", "samples", "reports")}
        for rank in self._ranks_of(world):
            names |= {f"{kind}.{rank}": f"{kind}.{rank}" for kind in OF_A_RANK}
        if world.replica == 0 and self.spec.step.kind != "python" and getattr(get_framework(self.spec.step.gang.framework), "tag", ""):
            names |= {
                f"log.{rank}": f"log.{rank}" for rank in range(len(world.hosts) * self.spec.step.gang.processes)
            }  # its launcher prints for all of them
        self._streams.follow(names)

    def _hear(self) -> None:
        super()._hear()
        still = self._said.read(self._stream(STILL)).endswith(b"1")
        if still != self._is_still:
            self._is_still = still
            self._drop()  # the server hears it at once

    def _stream(self, kind: str) -> str:
        return f"{self.spec.run}/{self.id}/{kind}"

    def _listen(self, asked: Mapping[str, Any]) -> None:
        """Until it has ended: does it have to? Without a server it runs on."""
        wait_s = 0.1
        while not self._ended.is_set():
            try:
                answer = self._ask({**asked, "still": self._is_still})
            except Refused as error:
                if error.status != _OVER:
                    return
                answer = {"stop": "over", "grace_s": 0.0}
            except (InfraError, *TRANSIENT):
                self._ended.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            wait_s = 0.1
            if answer.get("stop") == "stall":
                self._said.append(self._stream(AGREED), b"1")
                self._ended.wait(_LONGEST_WAIT_S)  # its leader looks where all stand, and ends them
            elif answer.get("stop"):
                self._told = str(answer["stop"])
                self.stop("over", float(answer.get("grace_s", self._grace_s)))
                return

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        poll = self._poll = Poll(self.control, f"attempts/{self.id}/gang", asked)
        try:
            if self._stopped or self._ended.is_set():
                return {}
            return poll.ask()
        finally:
            self._poll = None

    def note_ended(self) -> None:
        """As every attempt's; nobody needs to be asked any more."""
        super().note_ended()
        self._drop()

    def _drop(self) -> None:
        poll = self._poll
        if poll is not None:
            poll.drop()

    def _put(self, outcome: Outcome) -> None:
        here = self._here
        end = {"replica": here.replica, "pod": here.pod, "outcome": to_plain(outcome), "stopped": bool(self._told)}
        self.control.end_replica(self.id, end)
        self.outcome_stands = True


def write_hosts(spec: AttemptSpec, control: Control, settings: Settings) -> bool:
    """Meet the others, for a program that cannot: their addresses go into a file that is its /etc/hosts. What its variables are to be the
    server has written on the pod before it answers; this waits until the kubelet has read that. False if this pod has to go."""
    gang = spec.step.gang
    ports = [first_port(number) for number in range(gang.processes * PORTS_EACH)]
    asked = {"replica": settings.replica, "pod": settings.pod, "host": settings.address, "ports": ports, "met": False, "wait_s": _WAIT_S}
    patience = Patience(control.link, _LONGEST_WAIT_S)
    while True:
        try:
            answer = Poll(control, f"attempts/{spec.id}/gang", asked).ask()
        except TRANSIENT as error:
            patience.wait("meeting the other replicas", error)
            continue
        patience.progress()
        if answer.get("stop"):
            return False
        if answer.get("world"):
            break
    world = from_plain(World, answer["world"])
    _await_kubelet(settings, world.key)
    lines = [f"{LOOPBACK} localhost", "::1 localhost", f"{settings.address} {os.uname().nodename}"]
    lines += [f"{host} {host_name(rank)}" for rank, host in enumerate(world.hosts)]
    folder = f"{settings.home}/etc"
    os.makedirs(folder, exist_ok=True)
    for name, text in (("hosts", "\n".join(lines) + "\n"), (_FIRST, str(int(world.replica == 0)))):
        with open(f"{folder}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    row = import_module("fairway.train.frameworks").get_framework(gang.framework)
    place = program_places(spec, len(world.hosts))[world.replica * gang.processes]
    for name, text in row.files(place, gang).items() if hasattr(row, "files") else ():
        with open(f"{settings.home}{WORK.removeprefix(HOME)}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    return True


def program_places(spec: AttemptSpec, count: int) -> list[Place]:
    """Where the ranks of a container step's gang stand if `count` replicas have met: at names and ports that are always the same, since
    each pod has a network of its own."""
    gang = spec.step.gang
    ports = tuple(first_port(number) for number in range(gang.processes * PORTS_EACH))
    world = World(tuple(host_name(replica) for replica in range(count)), (ports,) * count)
    return places_of(gang, world, spec.id, spec.n, cpus=max(1, int(spec.resources.cpu / gang.processes)), folder=WORK)


def is_first(settings: Settings) -> bool:
    """Is this pod's program the one whose outputs are the step's? `write_hosts` has written it down."""
    try:
        with open(f"{settings.home}/etc/{_FIRST}", encoding="ascii") as file:
            return file.read() == "1"
    except FileNotFoundError:  # it never began
        return False


def _await_kubelet(settings: Settings, key: str) -> None:
    """Until the pod as its kubelet knows it is the one that the server has written on."""
    until = time.monotonic() + settings.patience_s
    while True:
        with suppress(FileNotFoundError), open(f"{settings.told}/key", encoding="ascii") as file:
            if file.read() == key:
                return
        if time.monotonic() > until:
            raise InfraError("the node's kubelet does not show what the pod was told", hint="is the node overloaded?")
        time.sleep(_LOOK_EVERY_S)
