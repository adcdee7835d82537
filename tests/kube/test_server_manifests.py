"""The server's objects: valid on every Kubernetes that is kept, with no right and no privilege too many."""

from __future__ import annotations

import base64
import json
from typing import Any

import kubernetes_validate
import pytest

from fairway.kube.rights import Right
from fairway.kube.server_manifests import STANDARD_EXTRAS, ServerPlan, extra_rights, labels, pod_labels, render_server, server_rights
from fairway.kube.serving_gateway import gateway_token
from fairway.spec.placement import Toleration
from fairway.spec.record import from_plain, replace
from fairway.spec.target import Limits, OidcSettings, TargetSettings

PLAIN = ServerPlan(TargetSettings("campus", "kubernetes"), "team", "0.1.0", "r1", "ab" * 32, {"ada": "cd" * 32})
FULL = replace(
    PLAIN,
    target=TargetSettings(
        "campus",
        "kubernetes",
        context="uni",
        kubeconfig="/home/ada/.kube/config",
        app="two",
        image="python:3.12-slim",
        server_image="registry.example.org/fairway:0.1",
        store="s3://bucket/prefix",
        store_secret="bucket",
        journal="secret:postgres/url",
        storage="50Gi",
        storage_class="fast",
        nodes={"kubernetes.io/arch": "amd64"},
        tolerations=(Toleration("gpu"), Toleration("team", "Equal", "vision", "NoExecute", 30)),
        queue="team-a",
        pull_secrets=("pull",),
        service_account="worker",
        limits=Limits(100, 64.0),
        address="https://fairway.example.org",
        oidc=OidcSettings("https://login.example.org", "fairway", "secret:oidc/client", roles={"*": "view"}),
    ),
)
PLANS = pytest.mark.parametrize("plan", [PLAIN, FULL], ids=["bare image", "every setting"])


def find(plan: ServerPlan, kind: str) -> dict[str, Any]:
    (found,) = [one for one in render_server(plan) if one["kind"] == kind]
    return found


def pod(plan: ServerPlan) -> dict[str, Any]:
    return find(plan, "Deployment")["spec"]["template"]["spec"]


def container(plan: ServerPlan) -> dict[str, Any]:
    (only,) = pod(plan)["containers"]
    return only


def variables(plan: ServerPlan) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(plan)["env"]}


@PLANS
@pytest.mark.parametrize("minor", range(28, 38))
def test_every_object_is_valid_strictly_on_every_version(plan: ServerPlan, minor: int) -> None:
    for made in render_server(plan):
        kubernetes_validate.validate(made, f"1.{minor}", strict=True)


@PLANS
def test_a_server_is_these_seven_objects_in_one_namespace(plan: ServerPlan) -> None:
    made = render_server(plan)
    app = plan.target.app
    assert [(one["kind"], one["metadata"]["name"]) for one in made] == [
        ("Secret", f"{app}-server"),
        ("ServiceAccount", app),
        ("Role", app),
        ("RoleBinding", app),
        ("PersistentVolumeClaim", f"{app}-data"),
        ("Service", app),
        ("Deployment", app),
    ]
    assert all(one["metadata"]["namespace"] == "team" and one["metadata"]["labels"] == labels(app) for one in made)


@PLANS
def test_the_pod_passes_the_restricted_standard(plan: ServerPlan) -> None:
    spec = pod(plan)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert container(plan)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {"persistentVolumeClaim", "secret", "emptyDir"}


def test_two_servers_never_share_the_volume() -> None:
    spec = find(PLAIN, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_service_and_the_deployment_select_the_server_and_no_worker() -> None:
    template = find(PLAIN, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert find(PLAIN, "Service")["spec"]["selector"] == template == pod_labels("fairway")
    assert template != labels("fairway")


def test_the_secret_holds_the_key_and_digests_of_tokens_only() -> None:
    data = {name: base64.b64decode(value).decode() for name, value in find(PLAIN, "Secret")["data"].items()}
    assert data == {"signing-key": "ab" * 32, "token.ada": "cd" * 32, "gateway-key": gateway_token("ab" * 32)}


def test_no_secret_stands_in_yaml_that_is_given_away() -> None:
    made = render_server(replace(PLAIN, signing_key=""))
    assert "Secret" not in [one["kind"] for one in made]
    assert "cd" * 32 not in json.dumps(made)


def test_the_role_reads_two_secrets_by_name_and_no_other() -> None:
    rules = [rule for rule in find(PLAIN, "Role")["rules"] if "secrets" in rule["resources"]]
    assert rules == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["fairway-server", "fairway-secrets"], "verbs": ["get"]}
    ]


def test_the_role_has_no_wildcard_and_touches_no_roles() -> None:
    for rule in find(PLAIN, "Role")["rules"]:
        assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
        assert not {"roles", "rolebindings", "pods/exec"} & set(rule["resources"])


def test_the_rights_are_what_the_role_gives() -> None:
    given = set()
    for rule in find(PLAIN, "Role")["rules"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    plain, _, subresource = resource.partition("/")
                    given.add(Right(verb, plain, rule["apiGroups"][0], subresource, name))
    extras = {right for group in STANDARD_EXTRAS for right in extra_rights(group)}
    assert {*server_rights(PLAIN.target), *extras} == given


def test_the_role_has_what_endpoints_are_better_with_only_as_far_as_it_can_be_given() -> None:
    groups = {rule["apiGroups"][0] for rule in find(replace(PLAIN, extras=("policy",)), "Role")["rules"]}
    assert groups == {"", "apps", "batch", "policy"}


def test_the_server_is_told_its_settings_and_nothing_of_the_laptop() -> None:
    told = variables(FULL)
    target = from_plain(TargetSettings, json.loads(told["FAIRWAY_TARGET"]))
    assert (target.app, target.queue, target.limits) == ("two", "team-a", Limits(100, 64.0))
    assert "ada" not in told["FAIRWAY_TARGET"] and "uni" not in told["FAIRWAY_TARGET"]
    assert (told["FAIRWAY_HOME"], told["FAIRWAY_PORT"], told["FAIRWAY_BLOBS_PORT"]) == ("/fairway", "8080", "8081")
    assert told["FAIRWAY_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_a_journal_and_a_store_elsewhere_come_from_secrets() -> None:
    told = variables(FULL)
    assert told["FAIRWAY_JOURNAL"] == {"secretKeyRef": {"name": "postgres", "key": "url"}}
    assert told["FAIRWAY_STORE"] == "s3://bucket/prefix"
    assert container(FULL)["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert told["FAIRWAY_OIDC_SECRET"] == {"secretKeyRef": {"name": "oidc", "key": "client"}}
    assert not {"FAIRWAY_JOURNAL", "FAIRWAY_STORE", "FAIRWAY_OIDC_SECRET"} & set(variables(PLAIN))


def test_a_named_server_image_is_used_as_it_is() -> None:
    assert container(FULL)["image"] == "registry.example.org/fairway:0.1"
    assert container(FULL)["command"] == ["python3", "-m", "fairway.web"]
    assert "FAIRWAY_RELEASE" not in variables(FULL)


def test_a_bare_image_boots_into_the_release() -> None:
    assert container(PLAIN)["image"] == "python:3.11-slim"
    assert container(PLAIN)["command"][:2] == ["python3", "-c"]
    assert variables(PLAIN)["FAIRWAY_RELEASE"] == "r1"


def test_placement_and_storage_are_those_of_the_target() -> None:
    spec = pod(FULL)
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert spec["tolerations"] == [
        {"key": "gpu", "operator": "Exists"},
        {"key": "team", "operator": "Equal", "value": "vision", "effect": "NoExecute", "tolerationSeconds": 30},
    ]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    claim = find(FULL, "PersistentVolumeClaim")["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", "50Gi")


def test_a_server_that_has_come_back_is_seen_to_be_ready_within_a_second() -> None:
    assert container(PLAIN)["readinessProbe"]["periodSeconds"] == 1
