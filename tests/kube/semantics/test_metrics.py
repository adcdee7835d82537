"""test_metrics, in a cluster."""

from tests.semantics.test_metrics import *  # noqa: F403
