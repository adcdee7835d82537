"""What stands for an executor where nothing is started from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.errors import UnsupportedError

if TYPE_CHECKING:
    from fairway.spec.ports import Observation


class AbsentExecutor:
    """The part of the port that has nothing to do. A subclass says what may be asked of the place that it stands for, and why nothing
    starts: `refusal`, (message, hint)."""

    refusal = ("nothing starts here", "")

    async def submit(self, attempts: Any) -> None:
        """Never: raises UnsupportedError."""
        message, hint = self.refusal
        raise UnsupportedError(message, hint=hint)

    async def observe(self, ids: Any) -> Mapping[str, Observation]:
        """Nothing is known here."""
        return {}

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """There is nothing to wait for."""
        return []

    def wake(self) -> None:
        """Nobody waits."""

    async def cancel(self, id: str, grace_s: float) -> None:
        """Unknown = success."""

    async def close(self) -> None:
        """Nothing is open."""
