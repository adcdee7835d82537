"""test_containers, in a cluster."""

from tests.semantics.test_containers import *  # noqa: F403
