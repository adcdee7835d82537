"""What Kueue does with the Jobs of gangs: why one waits, and whether it has taken back the room of one that ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fairway.kube.queues import JOB_UID, QUEUE_NAME, explain_eviction, explain_queue, list_kueue
from fairway.spec.outcome import ErrorInfo
from fairway.spec.retry import REQUEUED

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_HIDDEN_S = 300.0  # how long what may not be seen is not asked for
_GOES_ON = "it goes on from its newest checkpoint when its queue has room again; this counts as no restart"


class GangQueue:
    """Looks at the Workloads that Kueue makes for Jobs. Without the right to see them it says what the Jobs show."""

    def __init__(self, client: KubeClient, clock: Callable[[], float]) -> None:
        self._client, self._clock = client, clock
        self._hidden_until = 0.0

    async def explain(self, job: Object, expected: int) -> str:
        """Why a suspended Job has no pods."""
        return explain_queue(job, expected, await self._find(job) if _queue_of(job) else None)

    async def find_eviction(self, id: str, made_at: str) -> ErrorInfo | None:
        """Why the gang's Job was suspended while it ran; None if it was not: then what its pods say of their ends holds. `made_at`: when
        its newest pod was made. What lost its room later may have been given room again by now."""
        job = await self._client.find("Job", id)
        if job is None:
            return None
        workloads = await self._find(job) or []
        said = next((words for one in workloads if (words := explain_eviction(one, since=made_at))), "")
        if not said and not job["spec"].get("suspend"):
            return None
        said = said or "its Job was suspended"
        return ErrorInfo("lost", REQUEUED, f"the queue {_queue_of(job)!r} took its room back: {said}", hint=_GOES_ON)

    async def _find(self, job: Object) -> list[Object] | None:
        """The Workloads of a Job, of which there is one; None if they may not be seen."""
        if self._clock() < self._hidden_until:
            return None
        found = await list_kueue(self._client, "Workload", labels=f"{JOB_UID}={job['metadata']['uid']}")
        if found is None:
            self._hidden_until = self._clock() + _HIDDEN_S
        return found


def _queue_of(job: Mapping[str, Any]) -> str:
    return job["metadata"].get("labels", {}).get(QUEUE_NAME, "")
