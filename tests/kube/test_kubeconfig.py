"""Which cluster is meant and who we are there."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairway.errors import ConfigError
from fairway.kube import config
from fairway.kube.client import KubeClient
from fairway.kube.config import ClientSettings, load_connection, merge_kubeconfigs
from fairway.kube.credentials import Credential, ExecPlugin, PluginAuth, TokenFileAuth, parse_credential
from tests.kube.emulator import Emulator

V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own configuration is nobody's business here."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write(path: Path, *, name: str = "lab", user: dict[str, Any] | None = None, current: bool = True, **cluster: Any) -> Path:
    """A kubeconfig with one context, its cluster and its user, all of one name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": name if current else "",
                "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"{name}-space"}}],
                "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example.org", **cluster}}],
                "users": [{"name": name, "user": user or {"token": "secret"}}],
            }
        )
    )
    return path


def token_of(auth: Any) -> str:
    """What an auth object puts on a request."""
    import httpx2

    flow = auth.auth_flow(httpx2.Request("GET", "https://x"))
    return next(flow).headers["Authorization"]


def test_the_current_context_of_the_usual_file_is_meant(tmp_path: Path) -> None:
    write(tmp_path / "home/.kube/config")
    found = load_connection(ClientSettings())
    assert (found.server, found.namespace, found.context, found.user) == ("https://lab.example.org", "lab-space", "lab", "lab")
    assert token_of(found.arguments["auth"]) == "Bearer secret"


def test_what_the_settings_say_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    more = yaml.safe_load(path.read_text())
    more["contexts"].append({"name": "plain", "context": {"cluster": "lab"}})
    path.write_text(yaml.safe_dump(more))
    assert load_connection(ClientSettings(kubeconfig=str(path), namespace="mine")).namespace == "mine"
    plain = load_connection(ClientSettings(kubeconfig=str(path), context="plain"))
    assert (plain.namespace, plain.user, plain.arguments["auth"]) == ("default", "", None)


def test_of_several_files_the_first_that_says_something_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write(tmp_path / "a", name="one", current=False), write(tmp_path / "b/config", name="two")
    changed = yaml.safe_load(second.read_text())
    changed["clusters"].append({"name": "one", "cluster": {"server": "https://other.example.org"}})
    second.write_text(yaml.safe_dump(changed))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}{os.pathsep}{first}{os.pathsep}{os.pathsep}{second}")
    assert load_connection(ClientSettings()).context == "two"
    assert load_connection(ClientSettings(context="one")).server == "https://one.example.org"


def test_files_that_a_kubeconfig_names_are_found_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "deep/config", user={"tokenFile": "token.txt"})
    (tmp_path / "deep/token.txt").write_text("from-file\n")
    monkeypatch.chdir(tmp_path)
    assert token_of(load_connection(ClientSettings(kubeconfig=str(path))).arguments["auth"]) == "Bearer from-file"


def test_proxies_and_names_of_certificates_are_taken_from_the_cluster(tmp_path: Path) -> None:
    path = write(tmp_path / "a", **{"proxy-url": "http://proxy.example.org:3128", "tls-server-name": "kubernetes"})
    found = load_connection(ClientSettings(kubeconfig=str(path)))
    assert (found.arguments["proxy"], found.server_name) == ("http://proxy.example.org:3128", "kubernetes")


def test_in_a_pod_its_service_account_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"token": "t1", "namespace": "team\n", "ca.crt": ""}.items():
        (tmp_path / name).write_text(text)
    import certifi

    (tmp_path / "ca.crt").write_text(Path(certifi.where()).read_text())
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = load_connection(ClientSettings())
    assert (found.server, found.namespace, found.context) == ("https://[fd00::1]:443", "team", "")
    auth = found.arguments["auth"]
    assert token_of(auth) == "Bearer t1"
    (tmp_path / "token").write_text("t2")  # the kubelet renews it
    os.utime(tmp_path / "token", (1, 1))
    assert token_of(auth) == "Bearer t2"


def test_without_any_cluster_the_error_says_where_one_would_be_found() -> None:
    with pytest.raises(ConfigError, match="no cluster is known here") as caught:
        load_connection(ClientSettings())
    assert "KUBECONFIG" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update({"current-context": "gone"}), "has no context 'gone'"),
        (lambda c: c.update({"current-context": ""}), "has no current context"),
        (lambda c: c.update(clusters=[]), "names a cluster that is not there: lab"),
        (lambda c: c.update(users=[]), "names a user that is not there: lab"),
        (lambda c: c.update(contexts="x"), "is not a kubeconfig"),
        (
            lambda c: c["clusters"][0]["cluster"].update({"certificate-authority": "/no/such/file"}),
            "context 'lab' of the kubeconfig cannot be used",
        ),
        (lambda c: c["clusters"][0]["cluster"].update(server=7), "context 'lab' of the kubeconfig cannot be used"),
        (lambda c: c["users"][0].update(user={"auth-provider": {"name": "gcp"}}), "auth-provider not supported"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_what_is_wrong(tmp_path: Path, change: Any, words: str) -> None:
    path = write(tmp_path / "a")
    changed = yaml.safe_load(path.read_text())
    change(changed)
    path.write_text(yaml.safe_dump(changed))
    with pytest.raises(ConfigError, match=words):
        load_connection(ClientSettings(kubeconfig=str(path)))


def test_files_that_are_missing_or_are_no_yaml_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        load_connection(ClientSettings(kubeconfig=str(tmp_path / "nowhere")))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="KUBECONFIG names files that do not exist"):
        load_connection(ClientSettings())
    (tmp_path / "bad").write_text("{: [")
    with pytest.raises(ConfigError, match="bad is not a kubeconfig"):
        merge_kubeconfigs([tmp_path / "bad"])


def plugin(tmp_path: Path, script: str, **section: Any) -> ExecPlugin:
    """A credential plugin that is a shell script beside the kubeconfig."""
    path = tmp_path / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return ExecPlugin({"apiVersion": V1, "command": "./login", **section}, folder=tmp_path, cluster={"server": "https://lab"})


def credential(token: str, expires_at: datetime | None = None) -> str:
    status = {"token": token, **({"expirationTimestamp": expires_at.isoformat()} if expires_at else {})}
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


COUNTING = "n=$(cat count 2>/dev/null || echo 0); n=$((n + 1)); echo $n > count; sed s/TOKEN/t$n/ answer"


def test_a_plugin_is_run_once_and_again_when_its_token_is_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = plugin(tmp_path, COUNTING)
    (tmp_path / "answer").write_text(credential("TOKEN", datetime.now(UTC) + timedelta(hours=1)))
    assert [made.get_credential().token for _ in range(3)] == ["t1", "t1", "t1"]
    (tmp_path / "answer").write_text(credential("TOKEN", datetime.now(UTC) + timedelta(seconds=10)))
    assert made.get_credential(unlike="t1").token == "t2"
    assert made.get_credential().token == "t3"  # t2 ends in ten seconds


def test_a_plugin_is_told_its_arguments_its_variables_and_the_cluster(tmp_path: Path) -> None:
    script = """printf '{"status": {"token": "%s %s"}}' "$1" "$MODE"; printf '%s' "$KUBERNETES_EXEC_INFO" > told"""
    made = plugin(tmp_path, f"cd {tmp_path}; {script}", args=["get"], env=[{"name": "MODE", "value": "x"}], provideClusterInfo=True)
    assert made.get_credential().token == "get x"
    told = json.loads((tmp_path / "told").read_text())
    assert (told["apiVersion"], told["spec"]["cluster"], told["spec"]["interactive"]) == (V1, {"server": "https://lab"}, False)


@pytest.mark.parametrize(
    ("script", "section", "words"),
    [
        ("echo >&2 session expired; exit 3", {}, "failed with 3: session expired"),
        ("echo hello", {}, "gave no ExecCredential"),
        ("echo '{\"status\": {}}'", {}, "neither a token nor a certificate"),
        ("true", {"command": "no-such-program"}, "cannot be run: no-such-program"),
        ("true", {"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "speaks client.authentication.k8s.io/v1alpha1"),
    ],
)
def test_a_plugin_that_fails_says_how(tmp_path: Path, script: str, section: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plugin(tmp_path, script, **section).get_credential()


def test_a_plugin_that_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    made = plugin(tmp_path, "true", command="no-such-program", installHint="apt install it")
    with pytest.raises(ConfigError) as caught:
        made.get_credential()
    assert caught.value.hint == "apt install it"


def test_a_certificate_may_come_instead_of_a_token() -> None:
    found = parse_credential(b'{"status": {"clientCertificateData": "C", "clientKeyData": "K"}}', "x")
    assert found == Credential("", "C", "K", None)


def test_a_token_that_the_cluster_refuses_is_fetched_anew_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    monkeypatch.chdir(tmp_path)
    (tmp_path / "answer").write_text(credential("TOKEN"))
    flow = PluginAuth(plugin(tmp_path, COUNTING)).auth_flow(httpx2.Request("GET", "https://x"))
    assert next(flow).headers["Authorization"] == "Bearer t1"
    assert flow.send(httpx2.Response(401)).headers["Authorization"] == "Bearer t2"
    with pytest.raises(StopIteration):
        flow.send(httpx2.Response(401))


def test_a_token_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token file"):
        token_of(TokenFileAuth(tmp_path / "gone"))


def test_a_plugins_token_opens_the_cluster(tmp_path: Path) -> None:
    with Emulator(tmp_path / "cluster") as cluster:
        read = yaml.safe_load(cluster.kubeconfig.read_text())
        answer = tmp_path / "answer"
        answer.write_text(credential(cluster.authority.admin_token))
        read["users"][0]["user"] = {"exec": {"apiVersion": V1, "command": "cat", "args": [str(answer)], "interactiveMode": "Never"}}
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(read))

        async def ask() -> list[Any]:
            client = KubeClient.connect(kubeconfig=str(path))
            try:
                return await client.list("Pod")
            finally:
                await client.close()

        assert asyncio.run(ask()) == []
