"""test_timeouts, in a cluster."""

from tests.semantics.test_timeouts import *  # noqa: F403
