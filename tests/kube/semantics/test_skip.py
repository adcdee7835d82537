"""test_skip, in a cluster."""

from tests.semantics.test_skip import *  # noqa: F403
