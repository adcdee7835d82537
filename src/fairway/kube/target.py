"""What the executor must know to run attempts in one namespace: the target's settings, and what was found out about the cluster."""

from __future__ import annotations

from fairway.spec.record import Record, field, record
from fairway.spec.target import TargetSettings, user_secrets

CAPABILITIES = frozenset({"CONTAINER", "IMAGE", "POOL", "VOLUME", "GPU", "GANG"})
"""What a namespace can do. Whether there are accelerators only its scheduler knows."""


@record
class ClusterSettings(Record):
    """`kueue`: queues are Kueue's; else the target's own limits hold tasks back. `patience_s`: how long a pod may fail to start for a
    reason that does not cure itself before its attempt fails. `gpu_products`: as the nodes are labelled, where somebody may read that."""

    target: TargetSettings = field(default_factory=TargetSettings)
    namespace: str = "default"
    kueue: bool = False
    patience_s: float = 60.0
    gpu_products: tuple[str, ...] = ()

    @property
    def secrets(self) -> str:
        """The name of the Secret with the users' secrets."""
        return user_secrets(self.target.app)
