"""test_retries, in a cluster."""

import pytest

from tests.kube.semantics.rig import ClusterRig
from tests.semantics import test_retries as original
from tests.semantics.test_retries import *  # noqa: F403


def test_a_run_that_only_waits_for_a_retry_ends_by_its_timeout(rig: ClusterRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that two pods take."""
    monkeypatch.setattr(original, "PATIENCE", "4s")
    original.test_a_run_that_only_waits_for_a_retry_ends_by_its_timeout(rig)
