"""What the keeper remembers of one endpoint between two looks at it: its traffic, its decisions, what happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.serve.control.autoscale import ScaleState
from fairway.serve.control.figures import RevisionTraffic, Series, Tally
from fairway.serve.control.fleet import Replica
from fairway.serve.control.rollout import Window
from fairway.serve.control.spreading import Weights
from fairway.serve.control.view import ColdStart, KeyUse, RefusedView, ShadowExample
from fairway.serve.feedback.gather import Gathered
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import replace

_REFUSED, _COLD_STARTS, _EXAMPLES = 50, 20, 10
_USE_S = 1800.0


class Shadow:
    """How its answers compare."""

    def __init__(self, revision: int, since: float) -> None:
        self.revision, self.since = revision, since
        self.equal = self.differing = self.errors = 0
        self.examples: deque[ShadowExample] = deque(maxlen=_EXAMPLES)


class Watched:
    """`traffic`: what the gateway has; `wanted`: replicas by revision, with `why` each; `changed_at`: since when the document wants
    another traffic than that; `gathered`: of its captured traffic; `stand` counts the changes of what is seen of it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.traffic: Weights = ()
        self.changed_at = 0.0
        self.scaling: dict[int, ScaleState] = {}
        self.wanted: dict[int, int] = {}
        self.why: dict[int, str] = {}
        self.revisions: dict[int, RevisionTraffic] = {}
        self.series = Series()
        self.replicas: Sequence[Replica] = ()
        self.refused: deque[RefusedView] = deque(maxlen=_REFUSED)
        self.cold_starts: deque[ColdStart] = deque(maxlen=_COLD_STARTS)
        self.shadow: Shadow | None = None
        self.gathered = Gathered()
        self.pinned: dict[int, float] = {}
        self.tried: set[int] = set()
        self.started: set[int] = set()  # revisions that have been ready since this server began
        self.trouble = ""
        self.stand = 0
        self._keys: dict[str, deque[tuple[float, int, int]]] = {}
        self._seen_ready: set[str] = set()
        self._held: dict[int, int] = {}
        self._unanswered: dict[int, str] = {}  # revision -> its replica that has started and answered nobody yet

    def revision(self, number: int) -> RevisionTraffic:
        """Its traffic."""
        return self.revisions.setdefault(number, RevisionTraffic())

    @property
    def waiting(self) -> int:
        """Requests that are held now."""
        return sum(traffic.waiting for traffic in self.revisions.values())

    def windows(self) -> dict[int, Window]:
        """What each revision did since the step of the rollout began, with the metric that it is judged by as far as that is known."""
        found = {number: traffic.step.window() for number, traffic in self.revisions.items() if number}
        going = self.endpoint.rollout
        if going is not None and going.metric and self.gathered.since == going.step_began_at:
            for number, (value, count) in self.gathered.metric.items():
                found[number] = replace(found.get(number, Window()), metric=value, labels=count)
        return found

    def see_gathered(self, gathered: Gathered | None) -> bool:
        """What is known of its captured traffic, None for nothing; whether that is news."""
        if gathered is None or gathered == self.gathered:
            return False
        self.gathered = gathered
        self.stand += 1
        return True

    def hear_window(self, gateway: str, at: float, window: Mapping[str, Any]) -> None:
        """What a gateway counted of one revision in a second (0: of what got to none)."""
        number = int(window["revision"])
        tally = self.revision(number).add(gateway, at, window)
        self.series.add(at, number, tally, window)
        self.series.hold(at, self.waiting)
        if tally.latencies and number in self._unanswered:
            self._note_first(self._unanswered.pop(number), tally)
        self.stand += 1

    def _note_first(self, replica: str, tally: Tally) -> None:
        """The first answers after a cold start have come: the slowest of them is what its caller still waited for."""
        for place, start in enumerate(self.cold_starts):
            if start.replica == replica:
                answer_s = (tally.percentile(1.0) or 0.0) / 1000.0
                self.cold_starts[place] = replace(start, phases=(*start.phases, ("first answer", answer_s)))

    def hear_wanted(self, gateway: str, number: int, waiting: int, now: float) -> None:
        """Somebody asks for a revision that does not run."""
        self.revision(number).want(gateway, waiting)
        self._held[number] = max(self._held.get(number, 0), waiting)
        if number not in dict(self.endpoint.traffic):
            self.pinned[number] = now + self.endpoint.scaling.idle_s

    def hear_refusal(self, item: Mapping[str, Any]) -> None:
        faults = tuple(str(fault) for fault in item.get("faults", ()))
        words = {name: item.get(name, "") for name in ("code", "id", "key")}
        self.refused.append(
            RefusedView(item["at"], item["status"], item["message"], **words, revision=item.get("revision", 0), faults=faults)
        )
        self.stand += 1

    def hear_shadow(self, item: Mapping[str, Any], at: float) -> None:
        """What a gateway compared in a second."""
        number = int(item.get("revision", self.endpoint.shadow))
        if self.shadow is None or self.shadow.revision != number:
            self.shadow = Shadow(number, at)
        self.shadow.equal += int(item.get("equal", 0))
        self.shadow.differing += int(item.get("differing", 0))
        self.shadow.errors += int(item.get("errors", 0))
        for one in item.get("examples", ()):
            texts = {name: str(one.get(name, "")) for name in ("id", "request", "answer", "shadow")}
            self.shadow.examples.append(ShadowExample(float(one.get("at", at)), **texts))

    def hear_keys(self, used: Mapping[str, Sequence[int]], at: float) -> None:
        """key -> (requests, those of them over its limit), in a second."""
        for name, counts in used.items():
            self._keys.setdefault(name, deque(maxlen=int(_USE_S))).append((at, int(counts[0]), int(counts[1])))

    def key_uses(self, now: float) -> tuple[KeyUse, ...]:
        """How each key was used."""
        out: list[KeyUse] = []
        for key in self.endpoint.keys:
            used = self._keys.get(key.name, deque())
            fresh = [one for one in used if one[0] > now - _USE_S]
            last = used[-1][0] if used else 0.0
            out.append(KeyUse(key.name, last, sum(one[1] for one in fresh), sum(one[2] for one in fresh)))
        return tuple(out)

    def lose_gateway(self, gateway: str) -> None:
        """What it has in hand is not known any more."""
        for traffic in self.revisions.values():
            traffic.lose(gateway)

    def see_replicas(self, replicas: Sequence[Replica]) -> None:
        """What runs now; a start that nothing else bridged is noted."""
        if replicas == self.replicas:
            return
        before = {one.revision for one in self.replicas if one.state == "ready"}
        for one in replicas:
            if one.state == "ready" and one.id not in self._seen_ready:
                self._seen_ready.add(one.id)
                if one.revision not in before and one.cold_start_s:
                    held = self._held.pop(one.revision, 0)
                    self._unanswered[one.revision] = one.id
                    self.cold_starts.append(ColdStart(one.since, one.revision, one.cold_start_s, one.phases, held, one.warm, one.id))
        self._seen_ready &= {one.id for one in replicas}
        self.replicas = tuple(replicas)
        self.stand += 1

    def ready(self) -> dict[int, int]:
        """Ready replicas by revision."""
        out: dict[int, int] = {}
        for one in self.replicas:
            if one.state == "ready":
                out[one.revision] = out.get(one.revision, 0) + 1
        return out
