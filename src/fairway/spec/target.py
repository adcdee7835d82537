"""Where runs go, as data: this machine, a Kubernetes namespace, or a server that is reached by its URL."""

from __future__ import annotations

from fairway.spec.placement import Toleration
from fairway.spec.record import Record, field, record

KINDS = ("local", "kubernetes", "server")
DEFAULT_IMAGE = "python:3.11-slim"
ROLES = ("view", "run", "admin")
"""What somebody may do on a server: each may what those before it may."""


@record
class Limits(Record):
    """The most that may be in use at once; 0 (or absent): no limit of ours. cpu in cores, accelerators by resource name."""

    max_pods: int = 0
    cpu: float = 0.0
    memory_bytes: int = 0
    accelerators: dict[str, int] = field(default_factory=dict)


@record
class OidcSettings(Record):
    """An OpenID Connect provider whose users may use the server's pages; `issuer` "" is none.

    `client_secret`: "secret:NAME/KEY", "" for a public client. `user_claim` names a user, `groups_claim` lists their groups, `roles` gives
    a role by group ("*" is everybody). `domains`: those of verified e-mail addresses that are let in; () are all. `name`: what the login
    page calls it.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    name: str = ""
    user_claim: str = "email"
    groups_claim: str = "groups"
    roles: dict[str, str] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("openid", "email", "profile")


@record
class TargetSettings(Record):
    """One target of a project; the settings of its kind, checked. The kinds are KINDS.

    `url`: of a server (kind "server"). `namespace` "": the one of the kube context. `app`: the name of the server's objects. `image`: of
    steps that name none. `server_image`: of the server, "" = `image`, into which `fairway up` puts the server. `store` "" is the built-in
    one; `store_secret` names the Secret whose keys are the server's variables for that store. `journal` "" is SQLite on the volume, else
    "secret:NAME/KEY", which holds a PostgreSQL URL. `service_account`: of worker pods. `python`: the Python minor of `image`, "" if unsaid.
    `platforms`: what images that are pushed to `registry` are built for. `address`: the URL that browsers know the server by, "" for none.
    """

    name: str = "local"
    kind: str = "local"
    url: str = ""
    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    app: str = "fairway"
    image: str = DEFAULT_IMAGE
    server_image: str = ""
    store: str = ""
    store_secret: str = ""
    journal: str = ""
    storage: str = "10Gi"
    storage_class: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    queue: str = ""
    registry: str = ""
    platforms: tuple[str, ...] = ("linux/amd64",)
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    limits: Limits = field(default_factory=Limits)
    per_run: Limits = field(default_factory=Limits)
    disk_bytes: int = 0
    grace_s: float = 10.0
    requests_per_s: float = 20.0
    python: str = ""
    address: str = ""
    oidc: OidcSettings = field(default_factory=OidcSettings)


def volume_claim(app: str) -> str:
    """The name of the claim of the server's volume."""
    return f"{app}-data"


def server_secret(app: str) -> str:
    """The name of the Secret with the signing key and the users' tokens."""
    return f"{app}-server"


def user_secrets(app: str) -> str:
    """The name of the Secret with what `fw.secret` and `fairway secret` name."""
    return f"{app}-secrets"
