"""test_cancel, in a cluster."""

from tests.semantics.test_cancel import *  # noqa: F403
