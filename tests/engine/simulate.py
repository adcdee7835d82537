"""Drive a graph on the ports in memory, with whatever schedule, faults and kills a test asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.engine.driver import Driver
from fairway.engine.services import Services
from fairway.engine.state import RunState
from fairway.spec import event as ev
from fairway.spec.event import address
from fairway.spec.graph import Graph
from fairway.spec.ports import run_now
from fairway.testing.faults import Killed, KillSwitch, watched
from fairway.testing.memory import MemoryStreamStore
from fairway.testing.scripted import Faults, ScriptedExecutor, in_order
from tests.engine.witness import Story, WitnessJournal, WitnessStore, check_promises, telling

RUN = "20260101-000000-test"


class World:
    """Ports in memory that outlive any driver. `attempts`: a switch that kills attempts, at moments of their own port calls."""

    def __init__(
        self,
        compute: Any,
        *,
        choose: Any = in_order,
        faults: Faults | None = None,
        slots: int = 4,
        window: int = 256,
        attempts: KillSwitch | None = None,
    ) -> None:
        self.story: Story = []
        self.journal = WitnessJournal(self.story)
        self.artifacts = WitnessStore(self.story)
        store = watched(self.artifacts, attempts) if attempts is not None else None
        self.executor = ScriptedExecutor(
            self.artifacts, telling(compute, self.story), choose=choose, faults=faults, slots=slots, attempt_store=store
        )
        self.window = window

    def services(self, switch: KillSwitch | None = None) -> Services:
        ports: list[Any] = [self.journal, self.artifacts, self.executor]
        if switch is not None:
            ports = [watched(port, switch) for port in ports]
        return Services("", ports[0], ports[1], MemoryStreamStore(), ports[2], window=self.window, python="3.11")

    def driver(self, begin: Sequence[ev.Event] = (), switch: KillSwitch | None = None, run: str = RUN, **more: Any) -> Driver:
        return Driver(run, self.services(switch), begin=begin, **{"clock": self.executor.clock, **more})

    def begin(self, graph: Graph, run: str = RUN, params: Any = None, **options: Any) -> list[ev.Event]:
        return [ev.RunStarted(run, graph, params or {}, "bundle", self.executor.now, options=ev.RunOptions(**options))]

    def start(self, graph: Graph, switch: KillSwitch | None = None, run: str = RUN, params: Any = None, **options: Any) -> RunState:
        return run_now(self.driver(self.begin(graph, run, params, **options), switch, run).drive())

    def go_on(self, switch: KillSwitch | None = None, begin: Sequence[ev.Event] = (), run: str = RUN) -> RunState:
        return run_now(self.driver(begin, switch, run).drive())

    def resume(self, graph: Graph | None = None, **more: Any) -> RunState:
        """Go on with a run that has ended, or with an edited graph."""
        return self.go_on(begin=[ev.RunResumed(self.executor.now, graph=graph, **more)])

    def survive(self, graph: Graph, kills: Sequence[int], *, lose: bool = False, **options: Any) -> RunState:
        """Kill the driver at the moments in `kills`, one driver after the other; the last one lives."""
        for moment in [*kills, None]:
            switch = KillSwitch(moment)
            try:
                if run_now(self.journal.head(RUN)) == 0:
                    return self.start(graph, switch, **options)
                return self.go_on(switch)
            except Killed:
                self.executor.restart(lose=lose)
        raise AssertionError("the last driver was not to be killed")

    def events(self, kind: type[Any] | None = None, run: str = RUN) -> list[Any]:
        """What is on record, of one kind if asked."""
        return [event for _, event in run_now(self.journal.read(run)) if kind is None or isinstance(event, kind)]

    def executed(self, task: str = "") -> list[str]:
        """Tasks whose function was called, in order."""
        return [name for _, name in self.executor.executed if not task or name == task or name.startswith(task + "[")]

    def check_promises(self, run: str = RUN) -> None:
        check_promises(self.story, self.journal, self.artifacts, run)


def statuses(state: RunState) -> dict[str, str]:
    """Task address -> status, with what only differs in how it came about made equal."""
    return {address(s, n, i): {"cached": "succeeded"}.get(task.status, task.status) for s, n, i, task in state.tasks()}


def outputs(state: RunState) -> dict[str, Any]:
    """The run's outputs by digest: equal digests are equal values."""
    return {name: ref.digest for name, ref in state.outputs.items()}
