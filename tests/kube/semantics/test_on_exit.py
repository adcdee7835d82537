"""test_on_exit, in a cluster."""

from tests.semantics.test_on_exit import *  # noqa: F403
