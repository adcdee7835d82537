"""test_scripts, in a cluster."""

from tests.semantics.test_scripts import *  # noqa: F403
