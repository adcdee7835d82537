"""A project of a test's own in a cluster that several tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.apart import project_folder
from tests.kube.semantics.rig import Campus, ClusterRig


@contextmanager
def project(folder: Path, campus: Campus, *, pooled: bool = False) -> Iterator[ClusterRig]:
    """A rig in the folder; afterwards this process is as it was."""
    with pytest.MonkeyPatch.context() as patch, project_folder(folder, patch):
        for name, value in campus.variables.items():
            patch.setenv(name, value)
        rig = ClusterRig(folder, campus, pooled=pooled)
        try:
            yield rig
        finally:
            rig.close()
