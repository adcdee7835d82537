"""test_outputs, in a cluster."""

from tests.semantics.test_outputs import *  # noqa: F403
