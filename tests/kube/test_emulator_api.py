"""The emulator's API server keeps the API conventions of Kubernetes."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.emulator import Emulator
from tests.kube.emulator.rig import Caller, Object, pod

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("cluster")), nodes=()) as made:
        yield made


@pytest.fixture
def call(cluster: Emulator) -> Caller:
    return Caller(cluster)


def config(name: str, *, labels: dict[str, str] | None = None, **data: str) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": labels or {}}, "data": data}


class Stream:
    """An open watch."""

    def __init__(self, call: Caller, query: str, plural: str = "configmaps") -> None:
        url = f"{call.cluster.url}{call.path(plural)}?watch=true&{query}"
        self._answer = urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {call.token}"}), timeout=60)

    def next(self) -> tuple[str, Object]:
        line = self._answer.readline()
        assert line, "the watch ended"
        event = json.loads(line)
        return event["type"], event["object"]

    def rest(self) -> list[tuple[str, Object]]:
        return [(event["type"], event["object"]) for event in map(json.loads, self._answer.read().splitlines())]


def version(found: Object) -> str:
    return found["metadata"]["resourceVersion"]


# ---- objects


def test_a_created_object_gets_an_identity_and_a_version(call: Caller) -> None:
    made = call.create(config("identity"))
    meta = made["metadata"]
    assert meta["uid"] and meta["creationTimestamp"] and int(meta["resourceVersion"])
    assert call("GET", "configmaps/identity").body == made


def test_a_name_is_generated_where_a_prefix_is_given(call: Caller) -> None:
    names = {call.create({"kind": "ConfigMap", "metadata": {"generateName": "many-"}})["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("many-") and len(name) == 10 for name in names)


def test_a_second_object_of_a_name_is_a_conflict(call: Caller) -> None:
    call.create(config("twice"))
    answer = call("POST", "configmaps", config("twice"))
    assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "twice" already exists'


def test_what_is_not_there_is_not_found(call: Caller) -> None:
    answer = call("GET", "configmaps/nowhere")
    assert (answer.code, answer.body["reason"], answer.body["kind"]) == (404, "NotFound", "Status")
    assert answer.body["message"] == 'configmaps "nowhere" not found'
    assert call("GET", "/apis/apps/v1/namespaces/default/deployments/x").body["message"] == 'deployments.apps "x" not found'


def test_an_unknown_kind_is_not_found(call: Caller) -> None:
    answer = call("GET", "/apis/kueue.x-k8s.io/v1beta1/namespaces/default/workloads")
    assert answer.code == 404
    assert answer.body["message"] == "the server could not find the requested resource"


def test_discovery_lists_what_there_is(call: Caller) -> None:
    assert {"apps", "batch"} <= {group["name"] for group in call("GET", "/apis").body["groups"]}
    names = {resource["name"] for resource in call("GET", "/api/v1").body["resources"]}
    assert {"pods", "pods/log", "pods/portforward", "pods/status", "secrets"} <= names
    assert call("GET", "/version").body["minor"] == "36"


def test_a_write_of_an_old_version_is_a_conflict(call: Caller) -> None:
    old = call.create(config("raced", a="1"))
    newer = call("PUT", "configmaps/raced", old | {"data": {"a": "2"}}).body
    assert int(version(newer)) > int(version(old))
    answer = call("PUT", "configmaps/raced", old | {"data": {"a": "3"}})
    assert (answer.code, answer.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.body["message"]
    assert call("GET", "configmaps/raced").body["data"] == {"a": "2"}


def test_a_write_without_a_version_overwrites(call: Caller) -> None:
    call.create(config("plain", a="1"))
    assert call("PUT", "configmaps/plain", config("plain", a="2")).code == 200


def test_a_write_that_changes_nothing_makes_no_new_version(call: Caller) -> None:
    made = call.create(config("still", a="1"))
    assert version(call("PATCH", "configmaps/still", {"data": {"a": "1"}}, kind=MERGE).body) == version(made)


def test_identity_cannot_be_changed(call: Caller) -> None:
    made = call.create(config("fixed"))
    answer = call("PATCH", "configmaps/fixed", {"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z"}}, kind=MERGE)
    assert answer.body["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


def test_a_dry_run_stores_nothing(call: Caller) -> None:
    assert call("POST", "configmaps?dryRun=All", config("dry")).code == 201
    assert call("GET", "configmaps/dry").code == 404


def test_bad_names_labels_and_keys_are_refused(call: Caller) -> None:
    assert call("POST", "configmaps", config("Not_A_Name")).code == 422
    assert call("POST", "configmaps", config("labelled", labels={"a": "x" * 64})).code == 422
    assert call("POST", "configmaps", config("keyed", **{"a/b": "1"})).code == 422
    assert call("POST", "configmaps", config("elsewhere") | {"metadata": {"name": "x", "namespace": "other"}}).code == 400


def test_an_object_too_large_is_refused(call: Caller) -> None:
    assert call("POST", "configmaps", config("huge", data="x" * 1_600_000)).code in (413, 422)


def test_a_secret_given_as_text_is_stored_encoded(call: Caller) -> None:
    made = call.create({"kind": "Secret", "metadata": {"name": "plain-text"}, "stringData": {"a": "hello"}})
    assert made["data"] == {"a": "aGVsbG8="}
    assert "stringData" not in made


# ---- the status


def test_the_status_is_written_by_its_own_endpoint_only(call: Caller) -> None:
    made = call.create(pod("statusful"))
    plain = call("PATCH", "pods/statusful", {"status": {"phase": "Running"}}, kind=MERGE).body
    assert plain["status"]["phase"] == "Pending"
    answer = call("PATCH", "pods/statusful/status", {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}}, kind=MERGE).body
    assert answer["status"]["phase"] == "Running"
    assert answer["metadata"]["labels"] == made["metadata"]["labels"]


def test_the_generation_counts_changes_of_the_specification(call: Caller) -> None:
    body = {
        "kind": "Job",
        "metadata": {"name": "counted"},
        "spec": {"suspend": True, "template": {"spec": pod("x")["spec"]}},
    }
    path = "/apis/batch/v1/namespaces/default/jobs"
    assert call("POST", path, body).body["metadata"]["generation"] == 1
    assert call("PATCH", f"{path}/counted", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE).body["metadata"]["generation"] == 1
    assert call("PATCH", f"{path}/counted", {"spec": {"parallelism": 3}}, kind=MERGE).body["metadata"]["generation"] == 2


# ---- patches


def test_a_merge_patch_merges_objects_and_replaces_lists(call: Caller) -> None:
    call.create(config("merged", a="1", b="2"))
    answer = call("PATCH", "configmaps/merged", {"data": {"a": None, "c": "3"}}, kind=MERGE)
    assert answer.body["data"] == {"b": "2", "c": "3"}


def test_a_json_patch_tests_and_changes(call: Caller) -> None:
    call.create(config("patched", a="1"))
    good = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]
    assert call("PATCH", "configmaps/patched", good, kind=JSON_PATCH).body["data"] == {"a": "2"}
    assert call("PATCH", "configmaps/patched", good, kind=JSON_PATCH).code == 422
    add = [{"op": "add", "path": "/metadata/labels", "value": {"x~y": "1"}}, {"op": "remove", "path": "/data/a"}]
    assert call("PATCH", "configmaps/patched", [{"op": "remove", "path": "/data/nope"}], kind=JSON_PATCH).code == 422
    assert call("PATCH", "configmaps/patched", add, kind=JSON_PATCH).code == 422  # ~y is no label


def test_a_strategic_patch_merges_lists_by_their_keys(call: Caller) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("x")["spec"] | {"restartPolicy": "Always"}}
    call(
        "POST",
        path,
        {"metadata": {"name": "merge"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template}},
    )
    patch = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}, {"name": "b", "image": "x"}]}}
        }
    }
    containers = call("PATCH", f"{path}/merge", patch, kind=STRATEGIC).body["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["main", "b"]
    assert containers[0]["image"] == "busybox:1.37"
    patch = {
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "b", "$patch": "delete"}, {"name": "main", "env": [{"name": "B", "value": "2"}]}]}
            }
        }
    }
    containers = call("PATCH", f"{path}/merge", patch, kind=STRATEGIC).body["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["main"]
    assert [each["name"] for each in containers[0]["env"]] == ["A", "B"]


def test_an_unknown_form_of_patch_is_refused(call: Caller) -> None:
    call.create(config("formless"))
    assert call("PATCH", "configmaps/formless", {}, kind="application/json").code == 415


# ---- server-side apply


def apply(call: Caller, body: Object, manager: str = "one", force: bool = False) -> Any:
    query = f"?fieldManager={manager}{'&force=true' if force else ''}"
    return call("PATCH", f"configmaps/{body['metadata']['name']}{query}", body, kind=APPLY)


def test_an_apply_creates_and_then_changes_and_says_who_owns_what(call: Caller) -> None:
    assert apply(call, config("applied", a="1")).code == 201
    answer = apply(call, config("applied", a="2"))
    assert (answer.code, answer.body["data"]) == (200, {"a": "2"})
    (entry,) = answer.body["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["fieldsV1"]["f:data"]) == ("one", "Apply", {"f:a": {}})


def test_an_apply_that_changes_nothing_makes_no_new_version(call: Caller) -> None:
    first = apply(call, config("idle", a="1")).body
    assert version(apply(call, config("idle", a="1")).body) == version(first)


def test_what_an_apply_no_longer_names_goes_but_not_what_others_own(call: Caller) -> None:
    apply(call, config("shrinks", a="1", b="2", c="3"))
    apply(call, config("shrinks", c="3"), "two")
    assert apply(call, config("shrinks", a="1")).body["data"] == {"a": "1", "c": "3"}


def test_applying_over_another_managers_field_is_a_conflict_unless_forced(call: Caller) -> None:
    apply(call, config("contended", a="1"))
    answer = apply(call, config("contended", a="2"), "two")
    assert (answer.code, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    forced = apply(call, config("contended", a="2"), "two", force=True)
    assert forced.body["data"] == {"a": "2"}
    assert {entry["manager"] for entry in forced.body["metadata"]["managedFields"] if "f:data" in entry["fieldsV1"]} == {"two"}


def test_a_field_changed_by_an_ordinary_write_changes_its_owner(call: Caller) -> None:
    apply(call, config("edited", a="1"))
    call("PATCH", "configmaps/edited?fieldManager=kubectl-edit", {"data": {"a": "9"}}, kind=MERGE)
    answer = apply(call, config("edited", a="1"))
    assert answer.code == 409
    assert 'conflict with "kubectl-edit"' in answer.body["message"]


def test_an_apply_needs_a_manager(call: Caller) -> None:
    assert call("PATCH", "configmaps/anon", config("anon"), kind=APPLY).code == 422


# ---- lists


def test_a_list_is_of_one_version_and_sorted(call: Caller) -> None:
    for name in ("list-b", "list-a"):
        call.create(config(name, labels={"of": "list"}))
    body = call("GET", "configmaps?labelSelector=of%3Dlist").body
    assert [item["metadata"]["name"] for item in body["items"]] == ["list-a", "list-b"]
    assert body["kind"] == "ConfigMapList"
    assert int(body["metadata"]["resourceVersion"]) >= max(int(version(item)) for item in body["items"])
    assert "kind" not in body["items"][0]


def test_a_long_list_comes_in_pages_of_one_snapshot(cluster: Emulator, call: Caller) -> None:
    for number in range(5):
        call.create(config(f"page-{number}", labels={"of": "pages"}))
    first = call("GET", "configmaps?labelSelector=of%3Dpages&limit=2").body
    assert first["metadata"]["remainingItemCount"] == 3
    call("DELETE", "configmaps/page-3")
    token = first["metadata"]["continue"]
    second = call("GET", f"configmaps?labelSelector=of%3Dpages&limit=10&continue={token}").body
    names = [item["metadata"]["name"] for item in first["items"] + second["items"]]
    assert names == [f"page-{number}" for number in range(5)]
    assert "continue" not in second["metadata"]


def test_a_page_asked_for_too_late_is_gone(cluster: Emulator, call: Caller) -> None:
    for number in range(2):
        call.create(config(f"late-{number}", labels={"of": "late"}))
    token = call("GET", "configmaps?labelSelector=of%3Dlate&limit=1").body["metadata"]["continue"]
    cluster.faults.expire()
    answer = call("GET", f"configmaps?limit=1&continue={token}")
    assert (answer.code, answer.body["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=a", {"sel-1"}),
        ("tier!=a", {"sel-2", "sel-3"}),
        ("tier in (a,b)", {"sel-1", "sel-2"}),
        ("tier notin (a, b)", {"sel-3"}),
        ("tier", {"sel-1", "sel-2"}),
        ("!tier", {"sel-3"}),
        ("tier=a,of=x", set[str]()),
    ],
)
def test_label_selectors(call: Caller, selector: str, found: set[str]) -> None:
    for name, labels in (("sel-1", {"tier": "a"}), ("sel-2", {"tier": "b"}), ("sel-3", {})):
        call("POST", "configmaps", config(name, labels={"of": "sel", **labels}))
    query = urllib.request.quote(f"of=sel,{selector}")  # type: ignore[attr-defined]
    assert {item["metadata"]["name"] for item in call("GET", f"configmaps?labelSelector={query}").body["items"]} == found


def test_field_selectors_and_those_that_are_not_there(call: Caller) -> None:
    call("POST", "configmaps", config("by-field"))
    names = [item["metadata"]["name"] for item in call("GET", "configmaps?fieldSelector=metadata.name%3Dby-field").body["items"]]
    assert names == ["by-field"]
    assert call("GET", "configmaps?fieldSelector=data.a%3D1").code == 400


# ---- watches


def test_a_watch_from_a_version_tells_what_came_after(call: Caller) -> None:
    made = call.create(config("watched", labels={"of": "watch"}))
    stream = Stream(call, f"labelSelector=of%3Dwatch&resourceVersion={version(made)}")
    call("PATCH", "configmaps/watched", {"data": {"a": "1"}}, kind=MERGE)
    call("DELETE", "configmaps/watched")
    (first, changed), (second, last) = stream.next(), stream.next()
    assert (first, changed["data"], second) == ("MODIFIED", {"a": "1"}, "DELETED")
    assert int(version(last)) > int(version(changed)) > int(version(made))


def test_a_watch_without_a_version_begins_with_what_is_there(call: Caller) -> None:
    call.create(config("there", labels={"of": "there"}))
    type_, found = Stream(call, "labelSelector=of%3Dthere").next()
    assert (type_, found["metadata"]["name"]) == ("ADDED", "there")


def test_an_object_that_leaves_a_watchs_selection_is_deleted_for_it(call: Caller) -> None:
    made = call.create(config("moves", labels={"of": "in"}))
    stream = Stream(call, f"labelSelector=of%3Din&resourceVersion={version(made)}")
    call("PATCH", "configmaps/moves", {"metadata": {"labels": {"of": "out"}}}, kind=MERGE)
    call("PATCH", "configmaps/moves", {"metadata": {"labels": {"of": "in"}}}, kind=MERGE)
    assert [stream.next()[0], stream.next()[0]] == ["DELETED", "ADDED"]


def test_a_watch_of_a_forgotten_version_ends_with_410(cluster: Emulator, call: Caller) -> None:
    made = call.create(config("old"))
    cluster.faults.expire()
    ((type_, status),) = Stream(call, f"resourceVersion={version(made)}").rest()
    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_bookmarks_carry_a_version_to_go_on_from(cluster: Emulator, call: Caller) -> None:
    made = call.create(config("marked"))
    stream = Stream(call, f"labelSelector=of%3Dnothing&allowWatchBookmarks=true&resourceVersion={version(made)}")
    later = call.create(config("marked-2"))
    cluster.faults.bookmark()
    type_, found = stream.next()
    assert (type_, found["kind"], version(found)) == ("BOOKMARK", "ConfigMap", version(later))


def test_a_watch_ends_after_its_time_with_a_bookmark(call: Caller) -> None:
    made = call.create(config("timed"))
    events = Stream(call, f"timeoutSeconds=0.05&allowWatchBookmarks=true&labelSelector=no&resourceVersion={version(made)}").rest()
    assert [type_ for type_, _ in events] == ["BOOKMARK"]


# ---- deletion


def test_a_deletion_answers_with_what_it_deleted(call: Caller) -> None:
    made = call.create(config("goes"))
    body = call("DELETE", "configmaps/goes").body
    assert (body["status"], body["details"]["uid"]) == ("Success", made["metadata"]["uid"])
    assert call("DELETE", "configmaps/goes").code == 404


def test_a_deletion_of_another_uid_is_a_conflict(call: Caller) -> None:
    call.create(config("reborn"))
    assert call("DELETE", "configmaps/reborn", {"preconditions": {"uid": "another"}}).code == 409
    assert call("GET", "configmaps/reborn").code == 200


def test_a_finalizer_holds_an_object_until_it_is_removed(call: Caller) -> None:
    body = config("held")
    body["metadata"]["finalizers"] = ["example.org/hold"]
    call.create(body)
    assert call("DELETE", "configmaps/held").body["metadata"]["deletionTimestamp"]
    assert call("GET", "configmaps/held").code == 200
    call("PATCH", "configmaps/held", {"metadata": {"finalizers": []}}, kind=MERGE)
    assert call("GET", "configmaps/held").code == 404


def test_a_collection_is_deleted_by_its_labels(call: Caller) -> None:
    for name, of in (("drop-1", "drop"), ("drop-2", "drop"), ("keep-1", "keep")):
        call.create(config(name, labels={"of": of}))
    assert call("DELETE", "configmaps?labelSelector=of%3Ddrop").code == 200
    assert [call("GET", f"configmaps/{name}").code for name in ("drop-1", "drop-2", "keep-1")] == [404, 404, 200]


# ---- rights


def review(call: Caller, verb: str, resource: str, group: str = "", sub: str = "") -> bool:
    attributes = {"verb": verb, "resource": resource, "group": group, "subresource": sub, "namespace": "default"}
    body = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"resourceAttributes": attributes}}
    return call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).body["status"]["allowed"]


def test_without_a_token_nothing_is_answered(cluster: Emulator) -> None:
    answer = Caller(cluster, "wrong")("GET", "configmaps")
    assert (answer.code, answer.body["reason"]) == (401, "Unauthorized")


def test_what_is_denied_is_said_by_a_review_and_refused(tmp_path: Path) -> None:
    with Emulator(tmp_path, nodes=()) as cluster:
        call = Caller(cluster)
        cluster.faults.deny("create", "pods/portforward")
        cluster.faults.deny("list", "nodes")
        assert review(call, "create", "pods")
        assert not review(call, "create", "pods", sub="portforward")
        answer = call("GET", "/api/v1/nodes")
        assert answer.code == 403
        assert (
            answer.body["message"] == 'nodes is forbidden: User "tester" cannot list resource "nodes" in API group "" at the cluster scope'
        )


def test_a_service_account_may_do_what_its_roles_say(cluster: Emulator, call: Caller) -> None:
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    rules.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["mine"]})
    call("POST", f"{base}/roles", {"metadata": {"name": "reads"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    binding = {"metadata": {"name": "reads"}, "subjects": [subject], "roleRef": {"kind": "Role", "name": "reads"}}
    call("POST", f"{base}/rolebindings", binding)
    robot = Caller(cluster, cluster.authority.issue("default", "robot"))
    assert robot("GET", "configmaps").code == 200
    assert robot("GET", "secrets/mine").code == 404
    assert robot("GET", "secrets/yours").code == 403
    answer = robot("POST", "configmaps", config("robots"))
    assert answer.code == 403
    assert 'User "system:serviceaccount:default:robot" cannot create resource "configmaps"' in answer.body["message"]
    assert review(robot, "list", "configmaps")
    assert not review(robot, "watch", "configmaps")


# ---- faults of requests


def test_requests_are_counted_and_objects_measured(tmp_path: Path) -> None:
    with Emulator(tmp_path, nodes=()) as cluster:
        call = Caller(cluster)
        call.create(config("big", data="x" * 5000))
        call("GET", "configmaps/big")
        assert [(each.verb, each.kind, each.name, each.code) for each in cluster.requests] == [
            ("create", "ConfigMap", "", 201),
            ("get", "ConfigMap", "big", 200),
        ]
        size, name = cluster.largest_object
        assert name == "ConfigMap/big"
        assert 5000 < size < 6000


def test_a_refusal_is_given_as_often_as_it_is_ordered(cluster: Emulator, call: Caller) -> None:
    cluster.faults.answer(429, "create", "ConfigMap", times=2, after=1, retry_after=3)
    codes = [call("POST", "configmaps", config(f"refused-{number}")) for number in range(4)]
    assert [answer.code for answer in codes] == [201, 429, 429, 201]
    assert (codes[1].headers["Retry-After"], codes[1].body["details"]["retryAfterSeconds"]) == ("3", 3)


def test_a_lost_reply_leaves_what_was_done(cluster: Emulator, call: Caller) -> None:
    cluster.faults.lose_reply("create", "ConfigMap")
    with pytest.raises(OSError, match=r"reset|without response|aborted"):
        call("POST", "configmaps", config("unheard"))
    assert call("GET", "configmaps/unheard").code == 200


def test_a_hanging_request_is_never_answered_and_does_nothing(cluster: Emulator, call: Caller) -> None:
    rule = cluster.faults.hang("create", "ConfigMap")
    request = urllib.request.Request(
        cluster.url + call.path("configmaps"),
        data=json.dumps(config("hung")).encode(),
        headers={"Authorization": f"Bearer {call.token}", "Content-Type": "application/json"},
    )
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.1)
    assert rule.met == 1
    assert call("GET", "configmaps/hung").code == 404


def test_lost_watches_break_off(cluster: Emulator, call: Caller) -> None:
    made = call.create(config("breaks"))
    stream = Stream(call, f"resourceVersion={version(made)}")
    cluster.wait(lambda: cluster.api.watches)
    cluster.faults.lose_watches()
    with pytest.raises(http.client.IncompleteRead):
        stream.rest()
