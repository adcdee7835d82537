"""A Kubernetes cluster inside the test process: API server, controllers, kubelets that run pods as local processes. See `cluster.py`."""

from tests.kube.emulator.cluster import Emulator, Node
from tests.kube.emulator.images import Image

__all__ = ["Emulator", "Image", "Node"]
