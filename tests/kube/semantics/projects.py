"""A project of a test's own in a cluster that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kube.semantics.rig import Campus, ClusterRig


@contextmanager
def project(folder: Path, campus: Campus, *, pooled: bool = False) -> Iterator[ClusterRig]:
    """A rig in the folder; afterwards this process is as it was."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FAIRWAY_HOME", "FAIRWAY_JOURNAL", "FAIRWAY_PROJECT", "FAIRWAY_TOKEN", "FORCE_COLOR", "FAIRWAY_DEBUG"):
            patch.delenv(name, raising=False)
        for name, value in campus.variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(folder)
        before = set(sys.modules)
        rig = ClusterRig(folder, campus, pooled=pooled)
        try:
            yield rig
        finally:
            rig.close()
            for name in set(sys.modules) - before:
                if str(folder) in str(getattr(sys.modules[name], "__file__", None) or ""):
                    del sys.modules[name]
