"""test_conditions, in a cluster."""

from tests.semantics.test_conditions import *  # noqa: F403
