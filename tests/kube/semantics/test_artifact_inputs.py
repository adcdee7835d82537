"""test_artifact_inputs, in a cluster."""

from tests.semantics.test_artifact_inputs import *  # noqa: F403
