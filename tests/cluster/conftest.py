"""One namespace and one server for the whole suite. KUBECONFIG says which cluster, FAIRWAY_TEST_IMAGE an image with Python."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.rig import OURS, Rig

KINDS = "Pod ConfigMap Secret ServiceAccount Role RoleBinding Service Deployment ReplicaSet Job NetworkPolicy PersistentVolumeClaim"


@pytest.fixture(scope="session")
def image() -> str:
    """The image of steps and of the server."""
    found = os.environ.get("FAIRWAY_TEST_IMAGE", "")
    if not found:
        pytest.exit("FAIRWAY_TEST_IMAGE has to name an image with Python 3.11 or newer that the cluster can pull", returncode=4)
    return found


@pytest.fixture(scope="session")
def rig(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The namespace with the server in it. At the end `fairway down` takes it out, and nothing of ours is left."""
    root = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        kubeconfig = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        for name in [name for name in os.environ if name.startswith("FAIRWAY_") and not name.startswith("FAIRWAY_TEST_")]:
            patch.delenv(name)
        patch.setenv("KUBECONFIG", os.path.abspath(kubeconfig))
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(root / "home" / name.lower()))
        rig = Rig(root / "project", image)
        try:
            rig.open()
            rig.up = rig.fairway("up", "--on", "test").stderr
            rig.up_again = rig.fairway("up", "--on", "test", "-o", "json").stdout
            yield rig
            rig.fairway("down", "--on", "test", "--volume", "--yes")
            rig.wait(rig.kube.delete("Secret", "fairway-secrets"))  # the users', which `down` leaves alone
            assert rig.objects(KINDS) == [], f"what bears {OURS} is left behind"
        finally:
            rig.close()
