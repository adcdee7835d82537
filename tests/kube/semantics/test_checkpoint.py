"""test_checkpoint, in a cluster."""

from tests.semantics.test_checkpoint import *  # noqa: F403
