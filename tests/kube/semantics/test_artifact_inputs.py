"""test_artifact_inputs, in a cluster."""

from tests.semantics.test_artifact_inputs import *  # noqa: F403

# The server's store is shared: it has the content from the test before, so nothing is fetched.
del test_a_url_is_fetched_once_if_its_digest_is_stated  # noqa: F821
