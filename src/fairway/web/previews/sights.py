"""What can be asked for, each by a name: which function looks. Runs in a process of its own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fairway.web.previews.source import Source

_SIGHTS = {
    "rows": "tables:see_rows",
    "columns": "tables:see_columns",
    "array": "arrays:see_array",
    "sparse": "arrays:see_sparse",
    "markdown": "texts:see_markdown",
    "text": "texts:see_text",
    "value": "texts:see_value",
    "folder": "holders:see_folder",
    "items": "holders:see_items",
    "archive": "holders:see_archive",
    "tensors": "holders:see_tensors",
    "library": "figures:see_library",
}


class CannotSee(Exception):
    """There is nothing to show; `problem` says why, `hint` what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint


def see(what: str, source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """What `what` shows of the source. Raises CannotSee, and whatever a library raises."""
    module, _, name = _SIGHTS[what].partition(":")
    return getattr(import_module(f"fairway.web.previews.{module}"), name)(source, args)
