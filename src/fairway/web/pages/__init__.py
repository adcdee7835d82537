"""The dashboard's pages: one file a noun; this table joins them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from fairway.web.pages.page import Page

_FILES = (
    "artifacts", "home", "login", "news", "pipelines", "endpoints", "endpoint", "endpointparts", "system", "runs", "compare", "run", "task",
    "ranks", "tune", "logs", "actions",
)  # fmt: skip


def load_pages(files: Iterable[str] = _FILES) -> tuple[Page, ...]:
    """All rows of the page table."""
    return tuple(page for name in files for page in import_module(f"fairway.web.pages.{name}").PAGES)
