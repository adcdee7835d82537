"""What is asked of the API server about rights, and what an administrator is handed."""

from __future__ import annotations

import pytest
import yaml

from fairway.errors import (
    AdmissionRefused,
    ConfigError,
    ConflictError,
    FairwayError,
    ForbiddenError,
    InfraError,
    NotFoundError,
    QuotaExceeded,
)
from fairway.kube.errors import error_from_status, error_from_transport
from fairway.kube.rights import Right, render_role, render_rule, review_for, role_for, rules_for


def test_a_right_reads_as_an_administrator_says_it() -> None:
    assert Right("create", "pods", subresource="portforward").text == "create pods/portforward"
    assert Right("get", "deployments", "apps").text == "get deployments.apps"


def test_a_review_asks_in_the_namespace_and_a_cluster_wide_one_does_not() -> None:
    asked = review_for(Right("get", "pods", subresource="log"), "team")
    assert asked["spec"]["resourceAttributes"] == {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "team"}
    assert "namespace" not in review_for(Right("list", "nodes", cluster=True), "team")["spec"]["resourceAttributes"]


def test_rights_of_the_same_verbs_share_a_rule() -> None:
    rights = [
        Right("get", "pods"),
        Right("list", "pods"),
        Right("get", "services"),
        Right("list", "services"),
        Right("get", "jobs", "batch"),
    ]
    assert rules_for([*rights, rights[0]]) == [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
    ]


def test_the_yaml_for_an_administrator_is_a_role_and_its_binding_in_the_namespace() -> None:
    role, binding = yaml.safe_load_all(render_role([Right("get", "pods")], namespace="team", user="ann"))
    assert (role["kind"], role["metadata"]["namespace"], role["rules"][0]["verbs"]) == ("Role", "team", ["get"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == "ann"


def test_a_single_rule_fits_a_line_of_a_hint() -> None:
    line = render_rule(Right("get", "pods", subresource="log"))
    assert yaml.safe_load(line) == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    assert "\n" not in line


def test_rights_over_the_whole_cluster_need_a_cluster_role() -> None:
    kinds = [one["kind"] for one in role_for([Right("list", "nodes", cluster=True)], namespace="team")]
    assert kinds == ["ClusterRole", "ClusterRoleBinding"]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "Unauthorized", ConfigError),
        (403, 'pods is forbidden: User "ann" cannot create resource "pods" in API group "" in the namespace "t"', ForbiddenError),
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', QuotaExceeded),
        (403, 'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: main', AdmissionRefused),
        (403, 'pods "p" is forbidden: maximum cpu usage per Container is 2, but limit is 4', AdmissionRefused),
        (403, 'pods "p" is forbidden: violates PodSecurity "restricted:latest": must specify limits', AdmissionRefused),
        (403, 'pods "p" is forbidden: no PriorityClass with name high was found', AdmissionRefused),
        (403, "nobody may do this today", ForbiddenError),
        (404, 'pods "p" not found', NotFoundError),
        (409, 'pods "p" already exists', ConflictError),
        (422, 'Pod "p" is invalid: spec.containers: Required value', ConfigError),
        (400, "the object is unrecognized", ConfigError),
        (500, "etcdserver: leader changed", InfraError),
        (502, "", InfraError),
    ],
)
def test_each_answer_is_the_error_that_says_who_can_help(code: int, message: str, kind: type[FairwayError]) -> None:
    error = error_from_status(code, {"message": message, "code": code} if message else {}, what="create Pod p")
    assert type(error) is kind
    assert (message or "answered 502") in error.message or code == 401


def test_a_kind_that_the_cluster_has_not_is_told_apart_from_an_object_that_is_missing() -> None:
    assert error_from_status(404, {}, what="list LocalQueue").message == "cannot list LocalQueue: the cluster does not know this kind"


def test_a_webhooks_refusal_is_one_whatever_status_it_chose() -> None:
    for code in (400, 403, 422):
        message = 'admission webhook "policy.example.org" denied the request: images must be signed'
        assert type(error_from_status(code, {"message": message}, what="create Pod p")) is AdmissionRefused


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TimeoutError(), InfraError, "does not answer in time"),
        (OSError("All connection attempts failed"), InfraError, "cannot be reached: All connection attempts failed"),
        (OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), ConfigError, "certificate that is not trusted"),
    ],
)
def test_what_the_network_did_is_said_in_words(error: Exception, kind: type[FairwayError], words: str) -> None:
    found = error_from_transport(error, server="https://lab", what="list Pod")
    assert type(found) is kind
    assert words in found.message
    assert found.hint


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_webhook_that_does_not_answer_has_refused_nothing(status: int) -> None:
    words = 'failed calling webhook "mdeployment.kb.io": failed to call webhook: Post "https://10.0.0.1": connect: connection refused'
    error = error_from_status(status, {"message": f"Internal error occurred: {words}"}, what="apply Deployment fairway")
    assert isinstance(error, InfraError)
    assert error.hint.startswith("the cluster's webhook 'mdeployment.kb.io' does not answer, and nothing gets past it")


@pytest.mark.parametrize("status", [400, 403])
def test_a_webhook_that_refuses_is_named(status: int) -> None:
    words = 'admission webhook "images.example.org" denied the request: no'
    error = error_from_status(status, {"message": words}, what="create Pod a")
    assert isinstance(error, AdmissionRefused)
    assert "the cluster's webhook 'images.example.org' refuses it" in error.hint
