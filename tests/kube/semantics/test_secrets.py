"""test_secrets, in a cluster: secrets are a Secret of its namespace."""

from collections.abc import Iterator

import pytest

from tests.kube.semantics.rig import Campus, ClusterRig
from tests.semantics.test_secrets import *  # noqa: F403
from tests.semantics.test_secrets import SOURCE, VALUE, files_with

# They are found on this machine there: in variables, in files, in a keyring.
del test_from_the_environment, test_from_a_dotenv_file_at_the_projects_root, test_the_environment_beats_the_file  # noqa: F821
del test_from_the_keyring, test_a_dotenv_file_does_not_travel_with_the_code  # noqa: F821
del test_one_that_nobody_has_is_refused_before_anything_runs, test_all_that_nobody_has_are_named_at_once  # noqa: F821


@pytest.fixture(autouse=True)
def secret(campus: Campus) -> Iterator[None]:
    """As `fairway secret set` makes it."""
    cluster = campus.cluster
    if cluster.find("Secret", "fairway-secrets") is None:
        cluster.create({"kind": "Secret", "metadata": {"name": "fairway-secrets"}, "stringData": {"API_TOKEN": VALUE}})
    yield


def test_its_value_stands_nowhere_in_the_cluster_but_in_its_secret(rig: ClusterRig) -> None:
    assert rig.run(SOURCE, name="main").status == "succeeded"
    cluster = rig.campus.cluster
    assert files_with(cluster.folder / "claims", VALUE) == []
    assert not any(VALUE in str(found) for kind in ("Pod", "ConfigMap", "Event", "Deployment") for found in cluster.list(kind))
