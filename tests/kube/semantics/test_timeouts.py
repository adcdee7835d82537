"""test_timeouts, in a cluster."""

import pytest

from tests.kube.semantics.rig import ClusterRig
from tests.semantics import test_timeouts as original
from tests.semantics.test_timeouts import *  # noqa: F403


def test_a_resumed_run_has_its_time_anew(rig: ClusterRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that a pod takes to start."""
    monkeypatch.setattr(original, "RUN", original.RUN.replace("400ms", "2s"))
    original.test_a_resumed_run_has_its_time_anew(rig)
