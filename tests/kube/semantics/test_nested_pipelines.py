"""test_nested_pipelines, in a cluster."""

from tests.semantics.test_nested_pipelines import *  # noqa: F403
