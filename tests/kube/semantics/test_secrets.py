"""test_secrets, in a cluster."""

from tests.semantics.test_secrets import *  # noqa: F403
