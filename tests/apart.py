"""Tests stand apart: from what the person who runs them has set, and from what each has imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def forget_settings(patch: pytest.MonkeyPatch) -> None:
    """Nothing is said by variables."""
    for name in ("FAIRWAY_HOME", "FAIRWAY_JOURNAL", "FAIRWAY_PROJECT", "FAIRWAY_TOKEN", "FORCE_COLOR", "FAIRWAY_DEBUG"):
        patch.delenv(name, raising=False)


@contextmanager
def forgotten_settings() -> Iterator[None]:
    """The same, for what lives longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        yield


@contextmanager
def project_folder(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is in the folder; what it imports from there it has not imported afterwards."""
    forget_settings(patch)
    patch.setattr(sys, "path", list(sys.path))
    patch.chdir(folder)
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]
