"""test_each, in a cluster."""

from tests.semantics.test_each import *  # noqa: F403
