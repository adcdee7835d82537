"""test_issue_example, in a cluster."""

from tests.semantics.test_issue_example import *  # noqa: F403
