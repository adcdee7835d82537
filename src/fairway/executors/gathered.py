"""What the Kubernetes executor remembers of a gang, and what of it is kept so that the next server knows it too."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fairway.errors import NotFoundError
from fairway.executors.meeting import Meeting, Met
from fairway.executors.pods import Pod, Tracked
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, from_plain, record, to_plain

_FEWER_AFTER_S = 30.0  # how long a gang that may begin with fewer waits for those that have no place
_FEWER_AGAIN_S = 15.0  # the same after a loss, whether they have a place or not: others stand idle that had been at work


class Replica(Pod):
    """One pod of a gang, by its completion index. `placed`: it holds room on a node; `noted`: its end is known."""

    __slots__ = ("index", "noted", "placed")

    def __init__(self, name: str, run: str, role: str, index: int) -> None:
        super().__init__(name, run, role)
        self.index = index
        self.placed = self.noted = False


class Gathered:
    """One gang. `phase`: "held" (by the target's limits), "line" (it has no Job), "gathering", "running", "leaving" (its Job goes;
    `retries`: to be made again). `lack`: of room, when that was last looked at; `why`: what its driver was told. `tracked` is None until
    a driver asks for it, and again when it has its outcome. `together`: somebody else sees to it that all or none of its pods get a
    place (`queued`: Kueue; `asking`: it is being asked whether it has taken the gang's room back; `evicted`: that it has, and why).
    `gone`: its Job is deleted. `fenced`: nobody else reaches its pods, as far as the cluster lets us (`bare`: why it does not)."""

    def __init__(self, id: str, run: str) -> None:
        self.id, self.run = id, run
        self.tracked: Tracked | None = None
        self.meeting = Meeting(Gang(1), patience_s=0.0, grace_s=0.0)
        self.pods: dict[str, Replica] = {}
        self.removed_jobs: set[str] = set()
        self.phase, self.job, self.why, self.lack, self.bare = "held", "", "", "", ""
        self.rounds = 0
        self.since = self.asked_at = self.not_before = self.looked_at = self.told_at = 0.0
        self.together = self.queued = self.asking = self.busy = self.retries = self.removing = self.gone = self.fenced = False
        self.made_at = ""  # the newest pod, by the cluster's own clock
        self.evicted: ErrorInfo | None = None
        self.news = asyncio.Event()
        self._spec: AttemptSpec | None = None

    def claim(self, tracked: Tracked, grace_s: float, now: float) -> None:
        """A driver waits for it."""
        self.tracked, self._spec = tracked, tracked.spec
        self.asked_at = tracked.since
        self.since = self.since or now
        self.renew(grace_s)

    def renew(self, grace_s: float) -> None:
        """Nobody has come yet."""
        gang = self.spec.step.gang
        again = self.spec.n > 1
        fewer_s = _FEWER_AGAIN_S if again else _FEWER_AFTER_S
        self.meeting = Meeting(gang, patience_s=gang.start_timeout_s, grace_s=grace_s, fewer_s=fewer_s)
        self.meeting.is_short = again

    def look_round(self) -> None:
        """Are those on the way that have not come? Else it is short of room."""
        there = self.meeting.there
        on_the_way = any(pod.placed and pod.index not in there for pod in self.pods.values())
        self.meeting.is_short = self.spec.n > 1 or not on_the_way

    @property
    def spec(self) -> AttemptSpec:
        """Of the attempt; a driver has asked for it."""
        assert self._spec is not None
        return self._spec

    @property
    def expected(self) -> int:
        """How many pods are to come."""
        return self.meeting.expected

    @property
    def is_unplaced(self) -> bool:
        """Does it need room that it has not, while it may hold some?"""
        placed = sum(pod.placed for pod in self.pods.values())
        return self.phase == "gathering" and not self.together and placed < self.expected

    def tell(self) -> None:
        """Whoever waits for news of it hears that there are some."""
        news, self.news = self.news, asyncio.Event()
        news.set()


@record
class _KeptEnd(Record):
    outcome: Outcome
    stopped: bool = False


def keep_met(gang: Gathered, artifacts: ArtifactStore) -> None:
    """Before anybody is told who takes part."""
    assert gang.meeting.met is not None
    artifacts.put(f"{_prefix(gang)}.met", _encode(gang.meeting.met), if_absent=False)


def keep_end(gang: Gathered, replica: int, outcome: Outcome, stopped: bool, artifacts: ArtifactStore) -> None:
    """What a replica has said at its end; the first word counts."""
    artifacts.put(f"{_prefix(gang)}.end.{replica}", _encode(_KeptEnd(outcome, stopped)))


def recall(gang: Gathered, artifacts: ArtifactStore) -> None:
    """What an earlier server has kept of it."""
    try:
        met = from_plain(Met, json.loads(artifacts.get(f"{_prefix(gang)}.met")))
    except NotFoundError:
        return
    gang.meeting.met = met
    for replica in met.replicas:
        try:
            end = from_plain(_KeptEnd, json.loads(artifacts.get(f"{_prefix(gang)}.end.{replica}")))
        except NotFoundError:
            continue
        gang.meeting.end(replica, end.outcome, gang.since, stopped=end.stopped)


def forget(gang: Gathered, artifacts: ArtifactStore) -> None:
    """Its outcome says it all."""
    for name in ("met", *(f"end.{replica}" for replica in range(gang.spec.step.gang.replicas))):
        artifacts.delete(f"{_prefix(gang)}.{name}")


def _prefix(gang: Gathered) -> str:
    return f"{outcome_key(gang.run, gang.id)}.gang"


def _encode(value: Any) -> bytes:
    return json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False).encode()
