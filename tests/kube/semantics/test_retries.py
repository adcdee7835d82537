"""test_retries, in a cluster."""

from tests.semantics.test_retries import *  # noqa: F403
