"""test_parameters, in a cluster."""

from tests.semantics.test_parameters import *  # noqa: F403
