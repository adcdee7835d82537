"""One line for each way in which a pod waits or dies: the cause in the cluster's own words, and the cure. Statuses are as clusters write
them."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.errors import InfraError
from fairway.kube.diagnose import Diagnosis, explain_end, explain_refusal, explain_wait
from fairway.kube.errors import error_from_status
from fairway.spec.outcome import ErrorInfo

Object = dict[str, Any]
NO_CLAIMS = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def pod(status: Object, *, role: str = "attempt", image: str = "python:3.11-slim", resources: Object | None = None) -> Object:
    container = {"name": "main", "image": image, "resources": resources or {}}
    return {
        "metadata": {"name": "a1-1", "labels": {"fairway.dev/role": role}},
        "spec": {"containers": [container], "nodeName": "node7"},
        "status": status,
    }


def waits(reason: str, message: str = "", **more: Any) -> Object:
    return pod(
        {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]}, **more
    )


def unscheduled(message: str, reason: str = "Unschedulable", **more: Any) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod({"phase": "Pending", "conditions": [condition]}, **more)


def ended(code: int, reason: str = "Error", message: str = "", *, status: Object | None = None, **more: Any) -> Object:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return pod({"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}], **(status or {})}, **more)


def event(reason: str, message: str) -> Object:
    return {"reason": reason, "message": message, "type": "Warning"}


def refused(http_status: int, message: str) -> Diagnosis:
    return explain_refusal(error_from_status(http_status, {"message": message, "code": http_status}, what="create Pod a1-1"))


def why(found: Diagnosis | None) -> Diagnosis:
    assert found is not None
    assert "\n" not in found.line
    assert found.hint, "every cause has a cure"
    return found


# ---- images

BACK_OFF = 'Back-off pulling image "registry.invalid/nosuch:1": ErrImagePull: '
UNPACK = 'failed to pull and unpack image "docker.io/acme/x:1": failed to resolve reference "docker.io/acme/x:1": '
RESOLVE = 'failed to pull and unpack image "registry.invalid/nosuch:1": failed to resolve image: failed to do request: '
HEAD = 'Head "https://registry.invalid/v2/nosuch/manifests/1": '
NO_HOST = "dial tcp: lookup registry.invalid on 10.0.0.1:53: no such host"
DENIED = "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope"
LIMIT = "toomanyrequests: You have reached your pull rate limit."
PLATFORM = "no match for platform in manifest: not found"


@pytest.mark.parametrize(
    ("reason", "message", "words", "cure"),
    [
        ("ImagePullBackOff", BACK_OFF + RESOLVE + HEAD + NO_HOST, NO_HOST, "reach the registry"),
        (
            "ErrImagePull",
            f"rpc error: code = NotFound desc = {UNPACK}docker.io/acme/x:1: not found",
            "not found",
            "check the name and the tag",
        ),
        ("ErrImagePull", UNPACK + DENIED, DENIED, "pull_secrets="),
        ("ErrImagePull", LIMIT, LIMIT, "mirror"),
        ("ErrImagePull", PLATFORM, PLATFORM, "--platform"),
    ],
)
def test_an_image_that_cannot_be_pulled_is_told_in_the_registrys_words(reason: str, message: str, words: str, cure: str) -> None:
    found = why(explain_wait(waits(reason, message, image="python:9")))
    assert found.message == f"the image 'python:9' cannot be pulled: {words}"
    assert cure in found.hint
    assert (found.cause, found.kind, found.code, found.lasting, found.hopeless) == ("image", "image", "FW-IMAGE-UNAVAILABLE", True, False)


def test_a_back_off_without_the_registrys_words_finds_them_among_the_events() -> None:
    events = [
        event("Failed", 'Failed to pull image "python:9": rpc error: code = NotFound desc = manifest unknown'),
        event("Failed", "Error: x"),
    ]
    found = why(explain_wait(waits("ImagePullBackOff", 'Back-off pulling image "python:9"', image="python:9"), events))
    assert found.message.endswith("cannot be pulled: manifest unknown")


def test_a_name_that_is_no_images_is_given_up_at_once() -> None:
    message = 'Failed to apply default image tag "Not A Name": couldn\'t parse image name "Not A Name": invalid reference format'
    found = why(explain_wait(waits("InvalidImageName", message, image="Not A Name")))
    assert found.hopeless
    assert "invalid reference format" in found.message
    assert why(explain_wait(waits("ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never'))).hopeless


def test_a_missing_pull_secret_is_named() -> None:
    events = [
        event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (nopull); attempting to pull may not succeed.")
    ]
    found = why(explain_wait(waits("ContainerCreating"), events))
    assert "nopull" in found.message


# ---- scheduling


def test_no_room_says_what_is_asked_and_how_many_nodes_lack_it() -> None:
    resources = {"requests": {"cpu": "64", "memory": "1073741824"}}
    message = f"0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {{gpu: }}. {NO_CLAIMS}"
    found = why(explain_wait(unscheduled(message, resources=resources)))
    assert found.message == (
        "no node has room for 64 cpu; closest: 1 node lacks cpu "
        "(0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {gpu: })"
    )
    assert (found.cause, found.code, found.lasting) == ("unschedulable", "FW-UNSCHEDULABLE", False)


def test_the_nodes_that_come_closest_are_named_where_nodes_may_be_read() -> None:
    nodes = [
        {"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "nvidia.com/gpu": gpus}}}
        for name, cpu, gpus in (("small", "2", "0"), ("middle", "16", "1"), ("big", "48", "0"))
    ]
    resources = {"requests": {"cpu": "24", "nvidia.com/gpu": "4"}}
    message = f"0/3 nodes are available: 3 Insufficient nvidia.com/gpu, 2 Insufficient cpu. {NO_CLAIMS}"
    found = why(explain_wait(unscheduled(message, resources=resources), nodes=nodes))
    assert "no node has room for 4 nvidia.com/gpu, 24 cpu; closest: middle has 1 nvidia.com/gpu in all (" in found.message


def test_no_fitting_node_says_what_does_not_match() -> None:
    message = f"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NO_CLAIMS}"
    found = why(explain_wait(unscheduled(message)))
    assert found.message == "no node fits (0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector)"
    assert "--show-labels" in found.hint


def test_a_pod_in_a_queue_says_which() -> None:
    made = unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated")
    made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    assert why(explain_wait(made)).message == "waits in the queue 'team-a'"


# ---- what is missing


@pytest.mark.parametrize(
    ("made", "events", "message", "cure"),
    [
        (waits("CreateContainerConfigError", 'secret "db" not found'), [], "there is no secret 'db'", "kubectl create secret generic db"),
        (waits("CreateContainerConfigError", 'configmap "paths" not found'), [], "there is no config map 'paths'", "configmap paths"),
        (
            waits("ContainerCreating"),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "db" not found')],
            "there is no secret 'db'",
            "kubectl create secret",
        ),
        (
            waits("ContainerCreating"),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "paths" not found')],
            "there is no config map 'paths'",
            "kubectl create configmap",
        ),
        (
            unscheduled('0/1 nodes are available: persistentvolumeclaim "corpus" not found. not found'),
            [],
            "there is no volume claim 'corpus'",
            "kubectl get pvc",
        ),
        (
            waits("CreateContainerConfigError", "couldn't find key TOKEN in Secret lab/fairway-secrets"),
            [],
            "the secret 'fairway-secrets' has no key 'TOKEN'",
            "fairway secret set TOKEN",
        ),
        (
            waits("ContainerCreating"),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "v" : references non-existent secret key: crt')],
            "the secret has no key 'crt'",
            "add the key",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_and_waited_for_only_a_while(made: Object, events: list[Object], message: str, cure: str) -> None:
    found = why(explain_wait(made, events))
    assert found.message == message
    assert cure in found.hint
    assert (found.kind, found.code, found.lasting, found.hopeless) == ("refused", "FW-NOT-FOUND", True, False)


def test_a_claim_without_a_volume_and_a_volume_that_is_elsewhere_are_told() -> None:
    bound = why(explain_wait(unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")))
    assert "no volume yet" in bound.message
    events = [event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other')]
    assert "ReadWriteMany" in why(explain_wait(waits("ContainerCreating"), events)).hint


def test_a_node_that_cannot_set_a_pod_up_is_told() -> None:
    events = [event("FailedCreatePodSandBox", "Failed to create pod sandbox: plugin type=bridge failed: no IP addresses available")]
    assert "no IP addresses available" in why(explain_wait(waits("ContainerCreating"), events)).message


def test_a_pod_that_just_starts_has_nothing_to_explain() -> None:
    assert explain_wait(waits("ContainerCreating")) is None
    assert explain_wait(pod({"phase": "Pending"})) is None
    assert explain_wait(pod({"phase": "Pending"}), [event("Unhealthy", "Readiness probe failed: connection refused")]) is None


# ---- what the API server refuses


def test_a_quota_that_is_used_up_is_waited_for() -> None:
    found = why(refused(403, 'pods "a1-1" is forbidden: exceeded quota: small, requested: cpu=4, used: cpu=8, limited: cpu=10'))
    assert found.message == "the namespace's quota does not allow it: small, requested: cpu=4, used: cpu=8, limited: cpu=10"
    assert (found.cause, found.kind, found.code, found.hopeless) == ("quota", "lost", "FW-QUOTA", False)


def test_a_quota_that_wants_more_said_is_not_waited_for() -> None:
    found = why(refused(403, 'pods "a1-1" is forbidden: failed quota: q2: must specify limits.memory for: main'))
    assert found.message == "the namespace's quota wants every pod to say limits.memory for: main"
    assert found.hopeless
    assert "memory=" in found.hint


def test_a_missing_service_account_is_named() -> None:
    found = why(refused(403, 'pods "a1-1" is forbidden: error looking up service account lab/reader: serviceaccount "reader" not found'))
    assert found.message == "there is no service account 'reader'"
    assert "kubectl create serviceaccount reader" in found.hint
    assert found.hopeless
    assert not found.as_error().retryable


def test_a_missing_priority_class_is_named() -> None:
    found = why(refused(403, 'pods "a1-1" is forbidden: no PriorityClass with name high was found'))
    assert found.message == "there is no priority class 'high'"


def test_admission_rules_that_refuse_are_quoted() -> None:
    words = 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "main" must set …)'
    found = why(refused(403, f'pods "a1-1" is forbidden: {words}'))
    assert found.message == f"the cluster's admission rules refuse the pod: {words}"
    assert (found.cause, found.code, found.hopeless) == ("admission", "FW-ADMISSION", True)
    webhook = why(refused(400, 'admission webhook "policy.example.org" denied the request: no latest tags'))
    assert "no latest tags" in webhook.message
    assert webhook.hopeless


def test_a_pod_that_is_not_valid_says_which_field() -> None:
    found = why(refused(422, 'Pod "a1-1" is invalid: spec.containers[0].volumeMounts[3].name: Not found: "x"'))
    assert "spec.containers[0].volumeMounts[3].name" in found.message
    assert found.hopeless


def test_an_api_server_that_does_not_answer_is_asked_again() -> None:
    found = why(explain_refusal(InfraError("cannot create Pod a1-1: the server does not answer in time", hint="is the network up?")))
    assert not found.hopeless
    assert found.kind == "lost"


# ---- ends


def disrupted(reason: str, message: str) -> Object:
    """As a pod's status says since 1.26."""
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]}


NODE_LOW = "The node was low on resource: {}. Threshold quantity: 100Mi, available: 20Mi. Container main was using 12Gi, request is 0."


def as_info(found: Diagnosis) -> tuple[str, str, bool]:
    info = why(found).as_error()
    assert isinstance(info, ErrorInfo)
    return info.kind, info.code, info.retryable


def test_an_eviction_for_the_nodes_disk_is_lost_and_tried_again() -> None:
    found = explain_end(ended(137, status={"reason": "Evicted", "message": NODE_LOW.format("ephemeral-storage")}))
    assert found.cause == "evicted-disk"
    assert found.message.startswith("evicted, its node ran out of disk: The node was low on resource: ephemeral-storage")
    assert as_info(found) == ("lost", "FW-LOST", True)


def test_an_eviction_for_the_nodes_memory_is_lost_and_tried_again() -> None:
    found = explain_end(ended(137, status={"reason": "Evicted", "message": NODE_LOW.format("memory")}))
    assert (found.cause, "memory=" in found.hint) == ("evicted-memory", True)
    assert as_info(found) == ("lost", "FW-LOST", True)


@pytest.mark.parametrize(
    "message",
    [
        "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ",
        'Container main exceeded its local ephemeral storage limit "1Gi". ',
        'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
    ],
)
def test_an_eviction_for_ones_own_disk_is_a_failure_of_the_step(message: str) -> None:
    found = explain_end(ended(137, status={"reason": "Evicted", "message": message}))
    assert message.strip() in found.message
    assert "disk=" in found.hint
    assert as_info(found) == ("disk", "FW-TASK-FAILED", True)


def test_out_of_memory_says_what_was_asked_and_the_peak() -> None:
    found = explain_end(ended(137, "OOMKilled", resources={"limits": {"memory": "67108864"}}), peak_bytes=60 << 20)
    assert found.message == "killed by the system for memory, it had asked for 64 MiB, and was last seen with 60 MiB"
    assert as_info(found) == ("oom", "FW-TASK-OOM", True)
    assert explain_end(ended(137, "OOMKilled")).message == "killed by the system for memory"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (disrupted("PreemptionByScheduler", "default-scheduler: preempting"), "higher priority"),
        ({"reason": "Preempting", "message": "Preempted in order to admit critical pod"}, "preempted"),
        ({"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}, "node was shut down on node7"),
        (disrupted("TerminationByKubelet", "node shutdown"), "on node7"),
        (disrupted("EvictionByEvictionAPI", "Eviction API"), "drained on node7"),
    ],
)  # fmt: skip
def test_a_machine_that_is_taken_away_is_no_failure_of_the_step(status: Object, words: str) -> None:
    found = explain_end(ended(143, status=status))
    assert words in found.message
    assert found.cause == "preempted"
    assert as_info(found) == ("lost", "FW-PREEMPTED", True)


def test_a_pod_whose_queue_takes_its_room_back_counts_for_nothing() -> None:
    words = "Preempted to accommodate a workload (UID: 1b4f) due to prioritization in the ClusterQueue"
    taken = {"type": "TerminationTarget", "status": "True", "reason": "WorkloadEvicted", "message": words}
    made = ended(143, status={"conditions": [taken]})
    made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    found = explain_end(made, gone=True)
    assert found.message == f"the queue 'team-a' took its room back: {words}"
    assert as_info(found) == ("lost", "FW-REQUEUED", True)


@pytest.mark.parametrize(
    ("status", "node"),
    [
        ({"reason": "NodeLost", "message": "Node node7 which was running pod a1-1 is unresponsive"}, None),
        (disrupted("DeletionByTaintManager", "Taint manager: deleting"), None),
        (disrupted("DeletionByPodGC", "PodGC: node no longer exists"), None),
        ({}, {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}]}}),
    ],
)  # fmt: skip
def test_a_node_that_is_lost_is_named(status: Object, node: Object | None) -> None:
    found = explain_end(pod({"phase": "Running", **status}), gone=True, node=node)
    assert found.message.startswith("its node is lost on node7: ")
    assert as_info(found) == ("lost", "FW-LOST", True)


@pytest.mark.parametrize("reason", ["OutOfcpu", "OutOfpods", "UnexpectedAdmissionError", "NodeAffinity"])
def test_a_node_that_does_not_admit_a_pod_after_all_is_no_failure_of_the_step(reason: str) -> None:
    found = explain_end(pod({"phase": "Failed", "reason": reason, "message": "Pod was rejected: Allocate failed"}))
    assert f"did not admit it ({reason}): Pod was rejected" in found.message
    assert as_info(found) == ("lost", "FW-LOST", True)


@pytest.mark.parametrize("probe", ["Liveness probe failed: HTTP probe failed with statuscode: 500", "Startup probe failed: "])
def test_a_probe_that_failed_is_quoted(probe: str) -> None:
    found = explain_end(ended(137), [event("Unhealthy", probe)])
    assert found.message == f"killed after a failed probe: {probe.strip()}"
    assert as_info(found) == ("crash", "FW-TASK-CRASHED", True)


def test_a_probe_of_readiness_kills_nobody() -> None:
    assert explain_end(ended(137), [event("Unhealthy", "Readiness probe failed: connection refused")]).cause == "crash"
    assert explain_end(ended(3), [event("Unhealthy", "Liveness probe failed: x")]).cause == "crash"


def test_a_deadline_is_a_timeout() -> None:
    found = explain_end(
        ended(137, status={"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"})
    )
    assert as_info(found) == ("timeout", "FW-TASK-TIMEOUT", True)


def test_a_crash_has_its_exit_code_and_its_last_lines() -> None:
    lines = b"\n".join(b"line %d" % n for n in range(9)) + b"\n"
    found = explain_end(ended(3, role="container"), tail=lines)
    assert found.message == "the process ended with exit code 3: line 8"
    assert found.traceback.splitlines() == [f"line {n}" for n in range(4, 9)]
    assert as_info(found) == ("exit:3", "FW-TASK-FAILED", True)
    assert explain_end(ended(3, message="from the status\n", role="container")).message.endswith("exit code 3: from the status")


def test_a_signal_has_its_name() -> None:
    found = explain_end(ended(139))
    assert found.message == "the process was ended by SIGSEGV (exit code 139)"
    assert as_info(found) == ("crash", "FW-TASK-CRASHED", True)


def test_an_image_without_python_says_so_and_is_not_tried_again() -> None:
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: exec: "python3": executable file not found in $PATH'
    )
    found = explain_end(ended(128, "StartError", message))
    assert found.message == 'the container does not start: exec: "python3": executable file not found in $PATH'
    assert "no python3" in found.hint
    assert as_info(found) == ("refused", "FW-TASK-FAILED", False)


def test_an_image_with_an_old_python_says_so_and_is_not_tried_again() -> None:
    found = explain_end(ended(1, message="fairway: this image has Python 3.9; steps need 3.11 or newer\n"))
    assert found.message == "this image has Python 3.9; steps need 3.11 or newer"
    assert as_info(found) == ("refused", "FW-UNSUPPORTED", False)


def test_an_agent_that_did_not_reach_its_server_is_lost() -> None:
    found = explain_end(ended(1, message="fairway: no runtime from http://10.0.0.1:8080: timed out\n"))
    assert found.message == "its pod ended before its outcome was stored on node7: no runtime from http://10.0.0.1:8080: timed out"
    assert as_info(found) == ("lost", "FW-LOST", True)
    assert "SIGTERM" in explain_end(ended(143)).message


def test_an_init_container_that_failed_is_named() -> None:
    made = pod(
        {"phase": "Failed", "initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 1, "message": "no"}}}]},
        role="container",
    )
    made["spec"]["initContainers"] = [{"name": "fetch"}]
    found = explain_end(made)
    assert found.message == "the process of 'fetch' ended with exit code 1: no"
    assert found.kind == "crash"


def test_a_pod_that_vanished_says_on_which_node() -> None:
    assert explain_end(pod({"phase": "Running"}), gone=True).message == "its pod was deleted on node7"
    assert explain_end(pod({"phase": "Succeeded"})).message == "its pod ended on node7 and left no outcome"
    assert as_info(explain_end(pod({"phase": "Running"}), gone=True)) == ("lost", "FW-LOST", True)


def test_words_without_end_are_cut() -> None:
    assert len(why(explain_wait(waits("ErrImagePull", "x" * 10_000))).line) < 1000
