"""test_commands, in a cluster."""

from tests.semantics.test_commands import *  # noqa: F403
