"""What the server may make for endpoints: as much as who sets it up may give, and what is missing is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.checkup import examine_target
from fairway.engine.project import load_project
from fairway.engine.rights import find_extras, find_ungiven
from fairway.kube.client import KubeClient
from fairway.kube.server_manifests import ServerPlan, render_server
from fairway.spec.target import TargetSettings
from tests.kube.emulator import Emulator

TARGET = TargetSettings("campus", "kubernetes", namespace="default")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path / "cluster", groups=("serving.knative.dev",)) as made:
        yield made


def ask(cluster: Emulator, question: Callable[[KubeClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        client = KubeClient.connect(kubeconfig=str(cluster.kubeconfig), requests_per_s=1000.0)
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(run())


def give(cluster: Emulator, extras: tuple[str, ...]) -> None:
    """The role that the server has in the cluster."""
    plan = ServerPlan(TARGET, "default", "0.1.0", extras=extras)
    cluster.create(next(one for one in render_server(plan) if one["kind"] == "Role"))


def test_the_server_gets_what_the_cluster_has_and_the_caller_may_give(cluster: Emulator) -> None:
    assert ask(cluster, find_extras) == ("policy", "autoscaling", "networking.k8s.io", "serving.knative.dev")
    cluster.faults.deny("create", "horizontalpodautoscalers")
    assert ask(cluster, find_extras) == ("policy", "networking.k8s.io", "serving.knative.dev")


def test_of_kueue_the_server_sees_why_something_waits_and_writes_nothing(tmp_path: Path) -> None:
    with Emulator(tmp_path / "queued", groups=("kueue.x-k8s.io",)) as cluster:
        extras = ask(cluster, find_extras)
        assert extras[-1] == "kueue.x-k8s.io"
        (role,) = [one for one in render_server(ServerPlan(TARGET, "default", "0.1.0", extras=extras)) if one["kind"] == "Role"]
        (rule,) = [one for one in role["rules"] if one["apiGroups"] == ["kueue.x-k8s.io"]]
        assert (rule["resources"], rule["verbs"]) == (["localqueues", "workloads"], ["get", "list"])
        cluster.faults.deny("list", "workloads")
        assert "kueue.x-k8s.io" not in ask(cluster, find_extras), "who may not see them cannot give that away"


def test_what_its_role_lacks_is_found(cluster: Emulator) -> None:
    assert ask(cluster, lambda client: find_ungiven(client, TARGET)) == ([], []), "there is no server yet"
    give(cluster, ("policy",))
    assert ask(cluster, lambda client: find_ungiven(client, TARGET)) == ([], ["horizontalpodautoscalers", "ingresses", "networkpolicies"])


def test_the_role_of_an_older_server_cannot_keep_endpoints(cluster: Emulator) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["create", "get"]}]
    cluster.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "fairway"}, "rules": rules})
    needed, _ = ask(cluster, lambda client: find_ungiven(client, TARGET))
    assert needed == ["deployments", "services"]


def test_who_may_not_see_roles_is_told_nothing(cluster: Emulator) -> None:
    give(cluster, ())
    cluster.faults.deny("get", "roles")
    assert ask(cluster, lambda client: find_ungiven(client, TARGET)) == ([], [])


def test_doctor_names_what_endpoints_and_gangs_do_without(cluster: Emulator, tmp_path: Path) -> None:
    give(cluster, ("policy", "networking.k8s.io"))
    (tmp_path / "fairway.toml").write_text(
        f'[targets.campus]\nkind = "kubernetes"\nnamespace = "default"\nkubeconfig = "{cluster.kubeconfig}"\n'
    )
    found = examine_target(load_project(str(tmp_path), variables={}), "campus")
    (told,) = [one for one in found if "endpoints and gangs do without" in one.what]
    assert (told.level, "horizontalpodautoscalers" in told.what, "fairway up --on campus" in told.hint) == ("note", True, True)
