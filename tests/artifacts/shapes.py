"""Classes that stored values name: they must be found again by module and name."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Labelled:
    label: str
    data: Any
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.label == "never":
            raise AssertionError("reading a stored value must not run its constructor")


class Pair(NamedTuple):
    left: Any
    right: Any


class Opaque:
    """Has no stored form."""
