"""What keeps strangers off the ports of a gang's pods: made before them, gone after them, and done without where the cluster refuses it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError, ForbiddenError, QuotaExceeded

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

KIND = "NetworkPolicy"
_OPEN = "whoever reaches its pods can connect to its ranks"


class Fences:
    """The NetworkPolicies of gangs. What the server's log says of a refusal it says once."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._said = ""

    async def put_up(self, policy: Mapping[str, Any]) -> str:
        """Make a gang's. Where the cluster never will: why not, since the gang runs all the same. Raises FairwayError for what may pass."""
        try:
            await self._client.create(dict(policy))
        except ConflictError:  # of an earlier round, from before a restart, or a lost answer
            return ""
        except FairwayError as error:
            if error.retryable and not isinstance(error, QuotaExceeded):
                raise
            why = f"{_OPEN}: {explain(error)}"
            if not self._said:
                self._said = why
                print(f"gangs: {why}", file=sys.stderr, flush=True)
            return why
        return ""

    async def take_down(self, id: str) -> None:
        """Its pods are gone. What may not be deleted goes with the run's ConfigMap, which owns it."""
        try:
            await self._client.delete(KIND, id)
        except ForbiddenError:
            return


def explain(error: FairwayError) -> str:
    """Why there is no policy, and who can change that."""
    if isinstance(error, ForbiddenError):
        return "the server may not make a NetworkPolicy here; `fairway up` gives it the right, if you have it"
    return f"the cluster does not take its NetworkPolicy ({error.message.partition('is forbidden: ')[2] or error.message})"
