"""An alarm, as monitors raise and clear it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Alarm:
    """Something that someone should look at, or that has passed. `id` is the same for an alarm raised and cleared."""

    id: str
    at: dt.datetime
    kind: str
    column: str
    severity: str
    message: str
    value: float
    threshold: float
    state: Literal["raised", "cleared"]

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Alarm:
        plain: dict[str, Any] = {**document, "at": dt.datetime.fromisoformat(document["at"])}
        return cls(**plain)
