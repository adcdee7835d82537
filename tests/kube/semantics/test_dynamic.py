"""test_dynamic, in a cluster."""

from tests.semantics.test_dynamic import *  # noqa: F403
