"""Drive a graph on the ports in memory, with whatever schedule, faults and kills a test asks for."""

from __future__ import annotations

from typing import Any

from fairway.engine.driver import Driver
from fairway.engine.services import Services
from fairway.engine.state import RunState
from fairway.spec import event as ev
from fairway.spec.event import address
from fairway.spec.graph import Graph
from fairway.spec.ports import run_now
from fairway.testing.faults import Killed, KillSwitch, watched
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from fairway.testing.scripted import Faults, ScriptedExecutor, in_order

RUN = "20260101-000000-test"


class World:
    """Ports in memory that outlive any driver."""

    def __init__(self, compute: Any, *, choose: Any = in_order, faults: Faults | None = None, slots: int = 4, window: int = 256) -> None:
        self.journal = MemoryJournal()
        self.artifacts = MemoryArtifactStore()
        self.executor = ScriptedExecutor(self.artifacts, compute, choose=choose, faults=faults, slots=slots)
        self.window = window

    def services(self, switch: KillSwitch | None = None) -> Services:
        ports: list[Any] = [self.journal, self.artifacts, self.executor]
        if switch is not None:
            ports = [watched(port, switch) for port in ports]
        return Services("", ports[0], ports[1], MemoryStreamStore(), ports[2], window=self.window, python="3.11")

    def driver(self, begin: list[ev.Event], switch: KillSwitch | None = None, run: str = RUN, **more: Any) -> Driver:
        return Driver(run, self.services(switch), begin=begin, clock=self.executor.clock, **more)

    def start(self, graph: Graph, switch: KillSwitch | None = None, run: str = RUN, params: Any = None, **options: Any) -> RunState:
        begin: list[ev.Event] = [ev.RunStarted(run, graph, params or {}, "bundle", self.executor.now, options=ev.RunOptions(**options))]
        return run_now(self.driver(begin, switch, run).drive())

    def go_on(self, switch: KillSwitch | None = None, begin: list[ev.Event] | None = None, run: str = RUN) -> RunState:
        return run_now(self.driver(begin or [], switch, run).drive())

    def survive(self, graph: Graph, kills: list[int], *, lose: bool = False) -> RunState:
        """Kill the driver at the moments in `kills`, one driver after the other; the last one lives."""
        for moment in [*kills, None]:
            switch = KillSwitch(moment)
            try:
                if run_now(self.journal.head(RUN)) == 0:
                    return self.start(graph, switch)
                return self.go_on(switch)
            except Killed:
                self.executor.restart(lose=lose)
        raise AssertionError("the last driver was not to be killed")


def statuses(state: RunState) -> dict[str, str]:
    """Task address -> status, with what only differs in how it came about made equal."""
    return {address(s, n, i): {"cached": "succeeded"}.get(task.status, task.status) for s, n, i, task in state.tasks()}


def outputs(state: RunState) -> dict[str, Any]:
    """The run's outputs by digest: equal digests are equal values."""
    return {name: ref.digest for name, ref in state.outputs.items()}
