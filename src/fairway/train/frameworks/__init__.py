"""The rendezvous table: one row for each training framework. Built-ins stand here; others are found by entry point.

A row says what every process of a gang is told in variables, and how its command is started. Rows are pure: a `Place` in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from fairway.errors import NotFoundError

if TYPE_CHECKING:
    from fairway.spec.ports import Framework

GROUP = "fairway.frameworks"
_HERE = "fairway.train.frameworks."
BUILT_IN = {
    "plain": "plain:Plain",
    "torch": "torch:Torch",
}
"""What is written under each name of the group in pyproject.toml, relative to this package (a test holds the two equal)."""


def get_framework(name: str) -> Framework:
    """The row `name`. Raises NotFoundError, which names the rows there are."""
    where = _HERE + BUILT_IN[name] if name in BUILT_IN else _find_elsewhere(name)
    if not where:
        raise NotFoundError(f"there is no framework {name!r} for a gang", hint=f"there are {', '.join(names())}")
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)()


def names() -> Sequence[str]:
    """All rows, built-in and installed."""
    from importlib.metadata import entry_points

    return sorted({*BUILT_IN, *(each.name for each in entry_points(group=GROUP))})


def _find_elsewhere(name: str) -> str:
    from importlib.metadata import entry_points

    return next((each.value for each in entry_points(group=GROUP, name=name)), "")
