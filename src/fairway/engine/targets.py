"""The targets of a project: the settings that each kind has, and the reading of one, with the line of what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairway.engine.project import SETTINGS_FILE, Project
from fairway.engine.settings import Setting, nearest
from fairway.errors import ConfigError, FairwayError
from fairway.spec.placement import Toleration
from fairway.spec.target import DEFAULT_IMAGE, KINDS, ROLES, Limits, OidcSettings, TargetSettings

LOCAL_SETTINGS = (
    Setting("cpu", "number", "Cores that runs may take of this machine.", "", "all"),
    Setting("memory", "amount", 'Memory that runs may take, such as `"8Gi"`.', "", "all"),
    Setting("disk", "amount", "Disk space that runs may take."),
    Setting("accelerators", "table of counts", 'Accelerators by resource name, such as `{ "nvidia.com/gpu" = 1 }`.'),
    Setting("grace", "duration", "How long a step has between SIGTERM and SIGKILL.", "", "10s"),
)
LIMIT_SETTINGS = (
    Setting("max-pods", "whole number", "The most worker pods at once; 0 is no limit of Fairway's own.", "", 0),
    Setting("cpu", "number", "The most cores that worker pods ask for at once.", "", "no limit"),
    Setting("memory", "amount", "The most memory that worker pods ask for at once.", "", "no limit"),
    Setting("accelerators", "table of counts", "The most accelerators at once, by resource name.", "", "no limit"),
)
KUBERNETES_SETTINGS = (
    Setting("context", "text", "The kubeconfig's context; the current one if left out."),
    Setting("namespace", "text", "The one namespace that everything is in; the context's if left out."),
    Setting("kubeconfig", "text", "Another kubeconfig file than `$KUBECONFIG` or `~/.kube/config`; relative to the project's root."),
    Setting("server", "name", "What the server's objects are called; another name is another, separate server.", "", "fairway"),
    Setting("image", "image", "The image of steps that name none: any with Python 3.11 or newer.", "", DEFAULT_IMAGE),
    Setting("python", "version", "The Python minor version in `image`; `fairway doctor` holds it against this machine's."),
    Setting(
        "server-image",
        "image",
        "The server's own image, used as it is (`fairway image build --server` makes one). Without it `fairway up` puts the server into "
        "`image`.",
    ),
    Setting("store", "text", "Where artifacts are kept: on the server's volume, or at `s3://…`, `gs://…`, `az://…`.", "", "the volume"),
    Setting("store-secret", "name", "A Secret of the namespace whose keys are the server's variables for that store (its credentials)."),
    Setting(
        "journal", "text", "Where events are kept: SQLite on the volume, or the PostgreSQL URL in `secret:NAME/KEY`.", "", "the volume"
    ),
    Setting("storage", "amount", "The size of the server's volume.", "", "10Gi"),
    Setting("storage-class", "name", "The volume's storage class; the cluster's default if left out."),
    Setting("nodes", "table of texts", "Labels that a node must have to run pods of Fairway."),
    Setting("tolerations", "list", 'Taints that pods tolerate: `"gpu"`, `"gpu=yes:NoSchedule"`, or tables as Kubernetes spells them.'),
    Setting("queue", "name", "The Kueue local queue of worker pods, where Kueue is installed."),
    Setting("registry", "text", "A repository to push images to, such as `registry.example.org/team/churn`."),
    Setting("platforms", "list of texts", "What images are built for: `linux/amd64`, `linux/arm64`.", "", ["linux/amd64"]),
    Setting("pull-secrets", "list of names", "Secrets of the namespace to pull images with."),
    Setting("service-account", "name", "The service account of worker pods; its token is not given to them."),
    *LIMIT_SETTINGS,
    Setting("address", "URL", "Where browsers reach the server, such as `https://fairway.example.org`, if something leads there."),
    Setting("oidc", "table", "An OpenID Connect provider whose users may sign in to the pages; see below."),
    Setting("per-run", "table", "`max-pods`, `cpu`, `memory`, `accelerators` that one run may have at once."),
    Setting("disk", "amount", "Scratch space of a worker pod whose step asks for none."),
    Setting("grace", "duration", "How long a step has between SIGTERM and SIGKILL.", "", "10s"),
    Setting("requests-per-second", "number", "The most requests a second that the server makes to the Kubernetes API.", "", 20),
)
OIDC_SETTINGS = (
    Setting("issuer", "URL", "The provider's issuer, as its discovery document spells it."),
    Setting("client-id", "text", "What the provider calls this server."),
    Setting("client-secret", "text", "The client's secret, as `secret:NAME/KEY` of a Secret in the namespace. None for a public client."),
    Setting("name", "text", "What the login page calls the provider.", "", "its host"),
    Setting("user-claim", "text", "The claim that names a user. `email` counts only if the provider has verified it.", "", "email"),
    Setting("groups-claim", "text", "The claim that lists a user's groups.", "", "groups"),
    Setting("roles", "table of texts", 'A role by group: `{ "ml-admins" = "admin", "ml" = "run", "*" = "view" }`; `*` is everybody.'),
    Setting("domains", "list of texts", "Domains of verified e-mail addresses that are let in; all of them if left out."),
    Setting("scopes", "list of texts", "What the provider is asked for.", "", ["openid", "email", "profile"]),
)
SERVER_SETTINGS = (Setting("url", "URL", "Where the server answers, such as `http://127.0.0.1:8080`."),)
KIND_SETTING = Setting("kind", "text", f"One of: {', '.join(f'`{kind}`' for kind in KINDS)}.", "", "`local` for the target `local`")
_BY_KIND = {"local": LOCAL_SETTINGS, "kubernetes": KUBERNETES_SETTINGS, "server": SERVER_SETTINGS}

Problem = Callable[[str, str, str, str], ConfigError]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REPOSITORY = re.compile(r"[a-zA-Z0-9][\w.-]*(:\d+)?(/[a-zA-Z0-9][\w.-]*)*")
_IMAGE = re.compile(_REPOSITORY.pattern + r"(:\w[\w.-]*)?(@sha256:[0-9a-f]{64})?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
_JOURNAL = re.compile(rf"secret:{_NAME.pattern}/[-\w.]+")
_URL = re.compile(r"https?://[^\s/?#@]+[^\s?#@]*")
_ADDRESS = re.compile(r"https?://[^\s/?#@]+/?")
_STORE = re.compile(r"(s3|gs|az)://\S+")
_TAINT = re.compile(r"([^=:\s]+)(?:=([^:\s]*))?(?::(NoSchedule|PreferNoSchedule|NoExecute))?")
PLATFORMS = ("linux/amd64", "linux/arm64")
_APP_LENGTH = 40  # what is derived from it has to be a name too


class _Wrong(Exception):
    """A setting that is not allowed: which key's line is meant ("per-run.cpu" if it stands in a table), what is wrong, what to do."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


def read_targets(tables: Mapping[str, Any], root: str, problem: Problem) -> dict[str, TargetSettings]:
    """The targets by name; paths count from `root`. `problem(target, key, message, hint)` makes the error that points at the line."""
    found: dict[str, TargetSettings] = {}
    for name, table in tables.items():
        try:
            found[name] = _read_target(name, table, root)
        except _Wrong as wrong:
            raise problem(name, wrong.key, wrong.message, wrong.hint) from None
    return found


def get_target(project: Project, name: str = "") -> TargetSettings:
    """The project's target of that name; "" is the one that runs go to. Raises ConfigError that names those there are."""
    wanted = name or project.target
    if wanted in project.targets:
        return project.targets[wanted]
    if wanted == "local":
        return TargetSettings()
    known = ", ".join(dict.fromkeys(["local", *project.targets]))
    raise ConfigError(
        f"there is no target {wanted!r}", hint=f"known targets: {known}; define it under [targets.{wanted}] in {SETTINGS_FILE}"
    )


def get_cluster(project: Project, name: str) -> TargetSettings:
    """As `get_target`, of the kind "kubernetes"; "" is the project's target, or the only one of that kind."""
    clusters = [one for one in project.targets.values() if one.kind == "kubernetes"]
    if not name and project.target == "local" and len(clusters) == 1:
        return clusters[0]
    if not name and project.target == "local":
        known = ", ".join(one.name for one in clusters)
        hint = f"say which: --on {clusters[0].name} (there are: {known})" if clusters else _EXAMPLE
        raise ConfigError("no cluster is named" if clusters else "this project has no Kubernetes target", hint=hint)
    target = get_target(project, name)
    if target.kind != "kubernetes":
        raise ConfigError(f"the target {target.name!r} is no cluster, its kind is {target.kind}", hint=_EXAMPLE)
    return target


_EXAMPLE = f'write into {SETTINGS_FILE}: [targets.campus] and below it kind = "kubernetes", namespace = "…"'


def _read_target(name: str, table: Mapping[str, Any], root: str) -> TargetSettings:
    path = f"targets.{name}"
    if not _NAME.fullmatch(name):
        raise _Wrong(name, f"{name!r} cannot be a target's name", "use small letters, digits and hyphens")
    kind = table.get("kind", "local" if name == "local" else None)
    if kind is None:
        likely = "server" if "url" in table else "kubernetes"
        raise _Wrong(name, f"{path} does not say its kind", f'write kind = "{likely}" below [{path}]')
    if kind not in KINDS:
        raise _Wrong("kind", f"{path}.kind cannot be {kind!r}", f"write one of: {', '.join(KINDS)}")
    if (name == "local") != (kind == "local"):
        raise _Wrong("kind", f"the target {name!r} cannot be of the kind {kind!r}", "`local` is this machine, and this machine is `local`")
    allowed = {setting.key: setting for setting in (KIND_SETTING, *_BY_KIND[kind])}
    for key in table:
        if key not in allowed:
            raise _Wrong(key, f"there is no setting {path}.{key}", nearest(key, allowed))
    read = _Table(path, table)
    if kind == "local":
        return TargetSettings(name, kind, limits=_limits(read), disk_bytes=read.memory("disk"), grace_s=read.duration("grace", 10.0))
    return _server(name, read) if kind == "server" else _kubernetes(name, read, root)


def _server(name: str, read: _Table) -> TargetSettings:
    url = read.text("url")
    if not _URL.fullmatch(url):
        raise _Wrong(
            "url" if url else name,
            f"targets.{name}.url must be an http(s) URL without credentials, not {url!r}",
            'write url = "http://127.0.0.1:8080"',
        )
    return TargetSettings(name, "server", url=url.rstrip("/"))


def _kubernetes(name: str, read: _Table, root: str) -> TargetSettings:
    app = read.name("server", "fairway")
    if len(app) > _APP_LENGTH:
        raise read.wrong("server", f"may have {_APP_LENGTH} characters", app, 'write server = "fairway"')
    per_run = read.table.get("per-run", {})
    if not isinstance(per_run, dict):
        raise read.wrong("per-run", "must be a table", per_run, "write per-run = { max-pods = 20 }")
    return TargetSettings(
        name=name,
        kind="kubernetes",
        context=read.text("context"),
        namespace=read.name("namespace"),
        kubeconfig=os.path.join(root, os.path.expanduser(path)) if (path := read.text("kubeconfig")) else "",
        app=app,
        image=read.matching("image", _IMAGE, "an image", DEFAULT_IMAGE, DEFAULT_IMAGE),
        server_image=read.matching("server-image", _IMAGE, "an image", "registry.example.org/fairway:0.1"),
        store=read.matching("store", _STORE, "an s3://, gs:// or az:// URL", "s3://bucket/prefix"),
        store_secret=read.name("store-secret"),
        journal=read.matching("journal", _JOURNAL, "secret:NAME/KEY", "secret:postgres/url"),
        storage=read.amount("storage", "10Gi"),
        storage_class=read.matching("storage-class", re.compile(r"[a-z0-9][-a-z0-9.]{0,251}"), "a name", "standard"),
        nodes=read.labels("nodes"),
        tolerations=read.tolerations(),
        queue=read.name("queue"),
        registry=read.matching("registry", _REPOSITORY, "a repository without a scheme", "registry.example.org/team"),
        platforms=_platforms(read),
        pull_secrets=read.names("pull-secrets"),
        service_account=read.name("service-account"),
        limits=_limits(read),
        per_run=_limits(read.inner("per-run", per_run, LIMIT_SETTINGS)),
        disk_bytes=read.memory("disk"),
        grace_s=read.duration("grace", 10.0),
        requests_per_s=read.number("requests-per-second", 20.0),
        address=read.matching("address", _ADDRESS, "an http(s) URL without a path", "https://fairway.example.org").rstrip("/"),
        oidc=_oidc(read),
        python=read.matching("python", re.compile(r"3\.(1[1-9]|[2-9]\d)"), "a Python minor version from 3.11", "3.12"),
    )


def _oidc(read: _Table) -> OidcSettings:
    table = read.table.get("oidc")
    if table is None:
        return OidcSettings()
    if not isinstance(table, dict):
        raise read.wrong("oidc", "must be a table", table, 'write oidc = { issuer = "…", client-id = "…", roles = { "*" = "view" } }')
    inner = read.inner("oidc", table, OIDC_SETTINGS)
    issuer = inner.matching("issuer", _URL, "an http(s) URL", "https://login.example.org")
    for key, value in (("issuer", issuer), ("client-id", inner.text("client-id"))):
        if not value:
            raise _Wrong("oidc", f"{read.path}.oidc has no {key}", f'write {key} = "…"')
    if not read.text("address"):
        raise _Wrong("oidc", f"{read.path}.oidc needs an address to come back to", 'write address = "https://fairway.example.org"')
    roles = table.get("roles", {})
    if not isinstance(roles, dict) or not roles or not all(role in ROLES for role in roles.values()):
        raise inner.wrong("roles", f"must give groups one of the roles {', '.join(ROLES)}", roles, 'write roles = { "*" = "view" }')
    return OidcSettings(
        issuer=issuer,
        client_id=inner.text("client-id"),
        client_secret=inner.matching("client-secret", _JOURNAL, "secret:NAME/KEY", "secret:fairway-oidc/client-secret"),
        name=inner.text("name"),
        user_claim=inner.text("user-claim", "email"),
        groups_claim=inner.text("groups-claim", "groups"),
        roles=dict(roles),
        domains=tuple(domain.lower() for domain in inner.texts("domains")),
        scopes=inner.texts("scopes", OidcSettings().scopes),
    )


def _platforms(read: _Table) -> tuple[str, ...]:
    value = read.table.get("platforms", [PLATFORMS[0]])
    if not isinstance(value, list) or not value or not all(one in PLATFORMS for one in value):
        raise read.wrong("platforms", f"must be a list of {' and '.join(PLATFORMS)}", value, f'write platforms = ["{PLATFORMS[0]}"]')
    return tuple(value)


def _limits(read: _Table) -> Limits:
    return Limits(read.count("max-pods"), read.number("cpu", 0.0), read.memory("memory"), read.counts("accelerators"))


class _Table:
    """Takes checked values out of one target's table."""

    def __init__(self, path: str, table: Mapping[str, Any], prefix: str = "") -> None:
        self.path, self.table, self.prefix = path, table, prefix

    def inner(self, name: str, table: Mapping[str, Any], settings: Sequence[Setting]) -> _Table:
        """A table in this one, which may have those settings."""
        allowed = tuple(setting.key for setting in settings)
        for key in table:
            if key not in allowed:
                raise _Wrong(f"{name}.{key}", f"there is no setting {self.path}.{name}.{key}", nearest(key, allowed))
        return _Table(f"{self.path}.{name}", table, f"{name}.")

    def wrong(self, key: str, expected: str, value: Any, hint: str) -> _Wrong:
        return _Wrong(self.prefix + key, f"{self.path}.{key} {expected}, not {value!r}", hint)

    def text(self, key: str, default: str = "") -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "must be a text", value, f'write {key} = "…"')
        return value

    def matching(self, key: str, pattern: re.Pattern[str], what: str, example: str, default: str = "") -> str:
        value = self.text(key, default)
        if value and not pattern.fullmatch(value):
            raise self.wrong(key, f"must be {what}", value, f'write {key} = "{example}"')
        return value

    def name(self, key: str, default: str = "") -> str:
        return self.matching(key, _NAME, "a name of small letters, digits and hyphens", "fairway", default) or default

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.table.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(key, "must be a list of texts", value, f'write {key} = ["…"]')
        return tuple(value)

    def names(self, key: str) -> tuple[str, ...]:
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and _NAME.fullmatch(item) for item in value):
            raise self.wrong(key, "must be a list of names", value, f'write {key} = ["…"]')
        return tuple(value)

    def count(self, key: str) -> int:
        value = self.table.get(key, 0)
        if type(value) is not int or value < 0:
            raise self.wrong(key, "must be a whole number from 0", value, f"write {key} = 20")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.table.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise self.wrong(key, "must be a number of cores" if key == "cpu" else "must be a number above 0", value, f"write {key} = 2")
        return float(value)

    def counts(self, key: str) -> dict[str, int]:
        value = self.table.get(key, {})
        if not isinstance(value, dict) or not all(type(count) is int and count >= 0 for count in value.values()):
            raise self.wrong(key, "must be a table of counts", value, f'write {key} = {{ "nvidia.com/gpu" = 1 }}')
        return dict(value)

    def amount(self, key: str, default: str) -> str:
        """An amount of bytes in the spelling of the file, which Kubernetes understands too."""
        self.memory(key)
        value = self.table.get(key, default)
        return str(value) if isinstance(value, int) else str(value).strip().removesuffix("B").replace("K", "k" if "i" not in value else "K")

    def memory(self, key: str) -> int:
        from fairway.spec.resources import parse_memory

        try:
            return parse_memory(self.table[key]) if key in self.table else 0
        except FairwayError as error:
            raise _Wrong(self.prefix + key, f"{self.path}.{key}: {error.message}", error.hint) from None

    def duration(self, key: str, default: float) -> float:
        from fairway.spec.resources import parse_duration

        try:
            return parse_duration(self.table[key]) if key in self.table else default
        except FairwayError as error:
            raise _Wrong(self.prefix + key, f"{self.path}.{key}: {error.message}", error.hint) from None

    def labels(self, key: str) -> dict[str, str]:
        value = self.table.get(key, {})
        if not isinstance(value, dict) or not all(
            _LABEL_KEY.fullmatch(name) and isinstance(text, str) and _LABEL_VALUE.fullmatch(text) for name, text in value.items()
        ):
            raise self.wrong(key, "must be a table of node labels", value, f'write {key} = {{ "kubernetes.io/arch" = "amd64" }}')
        return dict(value)

    def tolerations(self) -> tuple[Toleration, ...]:
        value = self.table.get("tolerations", [])
        if not isinstance(value, list):
            raise self.wrong("tolerations", "must be a list", value, 'write tolerations = ["gpu"]')
        return tuple(self.toleration(item) for item in value)

    def toleration(self, item: Any) -> Toleration:
        hint = 'write tolerations = ["gpu", "team=vision:NoSchedule"], or tables with key, operator, value, effect, seconds'
        if isinstance(item, str) and (match := _TAINT.fullmatch(item)):
            key, text, effect = match[1], match[2], match[3] or ""
            return Toleration(key, "Exists" if text is None else "Equal", text or "", effect)
        if isinstance(item, dict) and set(item) <= set(Toleration.record_fields):
            made = Toleration(**item)
            texts = (made.key, made.operator, made.value, made.effect)
            known = made.operator in ("Exists", "Equal") and made.effect in ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
            if known and all(isinstance(text, str) for text in texts) and type(made.seconds) is int:
                return made
        raise self.wrong("tolerations", "has what is no toleration", item, hint)
