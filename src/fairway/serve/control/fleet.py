"""What runs replicas: processes of this machine, or pods. The keeper says how many of which revision there are to be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fairway.spec.endpoint import Endpoint, Revision
from fairway.spec.record import Record, record


@record
class Replica(Record):
    """One running inference server.

    `state`: "starting", "ready", "draining" (it gets nothing new and ends), "failed" (it could not start or has died; `reason` says why).
    `since`: of this state. `address`: "unix:/path" or "host:port"; `grpc`: "host:port" of its second port. `where`: its process, or its
    pod and node. `cold_start_s`: from its beginning to ready, made of `phases`; `warm`: its libraries were there already.
    """

    id: str
    endpoint: str
    revision: int
    address: str = ""
    state: str = "starting"
    since: float = 0.0
    reason: str = ""
    where: str = ""
    grpc: str = ""
    memory_bytes: int = 0
    cold_start_s: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()
    warm: bool = False


def phases_of(whole_s: float, known: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """What a start of `whole_s` was made of, in order: what is `known`, and the rest as "process". They add up, whatever clocks say."""
    left, found = whole_s, dict[str, float]()
    for name in ("libraries", "model", "warm-up", "pod placed", "image"):
        if name in known:
            found[name] = min(max(0.0, known[name]), left)
            left -= found[name]
    found["process"] = left
    return tuple((name, found[name]) for name in ("pod placed", "image", "process", "libraries", "model", "warm-up") if name in found)


def parse_ready(answer: bytes) -> dict[str, Any] | None:
    """What an inference server says in an answer to /health/ready: "phases" and more. None where it is not ready, or was not asked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        return None
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


class Fleet(Protocol):
    """Everything is idempotent. What runs goes on when whoever keeps it ends, and is known to the next one."""

    async def apply(self, endpoint: Endpoint, revision: Revision, replicas: int) -> None:
        """Have that many replicas of the revision: start what is missing, drain what is too much. Returns before they are ready.
        A revision with 0 may keep what makes its next start quick."""
        ...

    async def observe(self) -> Sequence[Replica]:
        """All replicas there are."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Until something about them has changed since the last `observe`, or the time is over."""
        ...

    async def remove(self, endpoint: str, revision: int = 0) -> None:
        """Drain and forget the revision, with all that belongs to it (0: the whole endpoint). Absent is success."""
        ...

    async def logs(self, endpoint: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        """The last lines that its replicas wrote, oldest first: "REPLICA  TIME TEXT", the time in UTC ("2026-11-28T20:15:03.123Z")."""
        ...

    def scales_itself(self, endpoint: Endpoint) -> bool:
        """Does something else set the number of its replicas (a HorizontalPodAutoscaler)? Then `apply` leaves it alone."""
        ...

    def scaled_by(self, endpoint: Endpoint) -> str:
        """What else that is, and by what it goes; "" for nothing."""
        ...

    def warm_bytes(self, endpoint: str) -> int:
        """Memory of what keeps the libraries of the endpoint warm; 0 for nothing."""
        ...

    async def close(self) -> None:
        """Let go of them; they go on."""
        ...
