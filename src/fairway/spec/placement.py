"""Where and how an attempt runs beyond its resources: what a cluster can be told, and a laptop passes over."""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, field, record


@record
class Volume(Record):
    """One thing mounted at `path` of an attempt. Exactly one source: an existing claim, a secret or a config map by name, or an empty
    volume of at most `empty_bytes` (in memory if `memory`). `sub_path` mounts only that path of it."""

    path: str
    claim: str = ""
    secret: str = ""
    config_map: str = ""
    empty_bytes: int = 0
    memory: bool = False
    read_only: bool = False
    sub_path: str = ""


@record
class Toleration(Record):
    """As Kubernetes spells it. `seconds` < 0: for ever."""

    key: str = ""
    operator: str = "Exists"
    value: str = ""
    effect: str = ""
    seconds: int = -1


@record
class Placement(Record):
    """`queue`: a Kueue local queue. `spot`: may run on machines that are taken away; being taken away is then no failure. `nodes`: labels
    a node must have. `affinity` and `patch` are Kubernetes' own structures; `patch` is merged into the pod last (RFC 7386).
    `variables_from`: names of secrets ("secret:NAME") and config maps ("config:NAME") whose keys become variables. `user`: the numeric user
    id, never 0. `writable_root`: the image's own files may be written. `home`: HOME, "" for a scratch folder."""

    queue: str = ""
    spot: bool = False
    nodes: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    affinity: dict[str, Any] = field(default_factory=dict)
    priority_class: str = ""
    volumes: tuple[Volume, ...] = ()
    variables_from: tuple[str, ...] = ()
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    user: int = 65532
    writable_root: bool = False
    home: str = ""
    patch: dict[str, Any] = field(default_factory=dict)


@record
class Pool(Record):
    """Warm workers that take attempt after attempt of one environment and one size. `size` 0: none, each attempt has its own pod.
    `idle_s`: how long a worker waits for the next attempt before it goes."""

    size: int = 0
    idle_s: float = 60.0
