"""test_context, in a cluster."""

from tests.semantics.test_context import *  # noqa: F403
