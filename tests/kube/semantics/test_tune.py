"""test_tune, in a cluster."""

from tests.semantics.test_tune import *  # noqa: F403
