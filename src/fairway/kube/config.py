"""Where the cluster is and who we are there: kubeconfig files, contexts, credential plugins, a pod's own service account."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairway.errors import ConfigError, UnsupportedError
from fairway.spec.record import Record, record

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_VIEW = "kubectl config view shows what it says"


@record
class ClientSettings(Record):
    """How to reach a cluster. "" means: what the kubeconfig says. `patience_s`: for how long one request is tried again; `timeout_s`: how
    long one try may take; `silence_s`: a watch on which nothing comes for longer is taken for dead (bookmarks come every minute)."""

    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    requests_per_s: float = 20.0
    patience_s: float = 30.0
    timeout_s: float = 40.0
    silence_s: float = 150.0


@record
class Connection(Record):
    """An API server: its address, the namespace meant, and the arguments of an `httpx2.AsyncClient` that may talk to it."""

    server: str
    namespace: str
    context: str
    user: str
    arguments: dict[str, Any]
    server_name: str = ""  # the name that its certificate bears, if it is not the address's


@record
class _Context(Record):
    name: str
    namespace: str
    cluster: dict[str, Any]
    user: dict[str, Any]
    user_name: str
    folder: Path


def load_connection(settings: ClientSettings) -> Connection:
    """The connection that `settings` mean: from a kubeconfig, else from the pod's service account. Raises ConfigError."""
    try:
        from lightkube.core.exceptions import ConfigError as LightkubeConfigError
    except ImportError as error:
        raise UnsupportedError("Kubernetes needs packages that are not installed", hint="pip install 'fairway[kubernetes]'") from error

    context = _load_context(settings)
    try:
        return _connect(context, settings)
    except (LightkubeConfigError, KeyError, TypeError, OSError, ValueError) as error:
        raise ConfigError(f"the context {context.name!r} of the kubeconfig cannot be used: {error}", hint=_VIEW) from error


def kubeconfig_paths(given: str = "") -> list[Path]:
    """The kubeconfig files that are meant and there: `given`, else KUBECONFIG's list, else ~/.kube/config. Raises ConfigError if what was
    named is missing."""
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ConfigError(f"the kubeconfig {given} does not exist")
        return [path]
    named = os.environ.get("KUBECONFIG", "")
    if not named:
        usual = Path("~/.kube/config").expanduser()
        return [usual] if usual.is_file() else []
    found = [path for one in named.split(os.pathsep) if one and (path := Path(one).expanduser()).is_file()]
    if not found:
        raise ConfigError(f"KUBECONFIG names files that do not exist: {named}")
    return found


def merge_kubeconfigs(paths: Sequence[Path]) -> dict[str, Any]:
    """One kubeconfig of several, as kubectl does it: of each name, and of the current context, the first counts. Its entries say from which
    folder they are ("folder")."""
    import yaml

    merged: dict[str, Any] = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for path in paths:
        try:
            read = yaml.safe_load(path.read_text()) or {}
            merged["current-context"] = merged["current-context"] or read.get("current-context") or ""
            for section, key in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
                for entry in read.get(section) or []:
                    merged[section].setdefault(entry["name"], {"folder": path.resolve().parent, **(entry.get(key) or {})})
        except (yaml.YAMLError, OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not a kubeconfig: {error}", hint=_VIEW) from error
    return merged


def _load_context(settings: ClientSettings) -> _Context:
    paths = kubeconfig_paths(settings.kubeconfig)
    if not paths:
        return _service_account_context()
    merged = merge_kubeconfigs(paths)
    name = settings.context or merged["current-context"]
    known = ", ".join(sorted(merged["contexts"])) or "none"
    if not name:
        raise ConfigError("the kubeconfig has no current context", hint=f"set the target's `context`; contexts: {known}")
    context = merged["contexts"].get(name)
    if context is None:
        raise ConfigError(f"the kubeconfig has no context {name!r}", hint=f"contexts: {known}")
    cluster, user_name = merged["clusters"].get(context.get("cluster")), context.get("user") or ""
    if cluster is None:
        raise ConfigError(f"the kubeconfig's context {name!r} names a cluster that is not there: {context.get('cluster')}", hint=_VIEW)
    user = merged["users"].get(user_name) if user_name else {}
    if user is None:
        raise ConfigError(f"the kubeconfig's context {name!r} names a user that is not there: {user_name}", hint=_VIEW)
    folder = user.get("folder") or context["folder"]
    return _Context(name, context.get("namespace") or "default", _absolute(cluster), _absolute(user), user_name, folder)


def _service_account_context() -> _Context:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (SERVICE_ACCOUNT / "token").is_file():
        raise ConfigError("no cluster is known here", hint="set KUBECONFIG, or the target's `kubeconfig`; kubectl get pods must work")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    cluster = {"server": server, "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")}
    namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
    return _Context("", namespace, cluster, {"tokenFile": str(SERVICE_ACCOUNT / "token")}, "", SERVICE_ACCOUNT)


def _absolute(section: dict[str, Any]) -> dict[str, Any]:
    folder: Path = section["folder"] if "folder" in section else Path()
    files = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in files and value else value for key, value in section.items() if key != "folder"}


def _connect(context: _Context, settings: ClientSettings) -> Connection:
    from lightkube.config.client_adapter import ConnectionParams
    from lightkube.config.kubeconfig import KubeConfig

    from fairway.kube.credentials import ExecPlugin, PluginAuth, TokenFileAuth

    user, cluster, auth = dict(context.user), dict(context.cluster), None
    if str(cluster.get("server", "")).startswith("http://"):
        cluster["insecure-skip-tls-verify"] = True  # there is no TLS: the system's certificates need not be read (25 ms)
    if section := user.pop("exec", None):
        plugin = ExecPlugin(section, folder=context.folder, cluster=context.cluster)
        credential = plugin.get_credential()
        if credential.certificate:
            user["client-certificate-data"] = base64.b64encode(credential.certificate.encode()).decode()
            user["client-key-data"] = base64.b64encode(credential.key.encode()).decode()
        auth = PluginAuth(plugin)
    elif user.get("tokenFile"):
        auth = TokenFileAuth(Path(user.pop("tokenFile")))
    plain = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user}],
    }
    single = KubeConfig.from_dict(plain).get()
    assert single is not None
    arguments = ConnectionParams(proxy=context.cluster.get("proxy-url") or None).httpx_params(single)
    if auth is not None:
        arguments["auth"] = auth
    return Connection(
        server=single.cluster.server,
        namespace=settings.namespace or context.namespace,
        context=context.name,
        user=context.user_name,
        arguments=arguments,
        server_name=str(context.cluster.get("tls-server-name") or ""),
    )
