"""Attempts as pods: valid on every Kubernetes that is kept, within the restricted standard, and saying all that a step says."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fairway as fw
from fairway.kube.manifests import (
    ATTEMPT,
    POOL,
    ROLE,
    RUN,
    Link,
    merge,
    owner_reference,
    pool_of,
    render_attempt,
    render_container_step,
    render_pool_worker,
    render_run_owner,
)
from fairway.kube.placing import match_models
from fairway.kube.queues import QUEUE_NAME
from fairway.kube.target import ClusterSettings
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.environment import Environment
from fairway.spec.graph import StepDef
from fairway.spec.placement import Placement, Toleration, Volume
from fairway.spec.record import replace
from fairway.spec.resources import Resources
from fairway.spec.target import TargetSettings

Object = dict[str, Any]
VERSIONS = [f"1.{minor}" for minor in range(28, 38)]
RUN_ID = "20261124-182105-ffc6j"
SETTINGS = ClusterSettings(TargetSettings("campus", "kubernetes"), "lab")
LINK = Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "ab" * 32)
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "run-x", "uid": "u-1"}}


def spec_of(
    placement: Placement | None = None, resources: Resources | None = None, *, kind: str = "python", items: int = 1, **more: Any
) -> AttemptSpec:
    step = StepDef(
        "train", kind=kind, placement=placement or Placement(), argv=("prog",) if kind == "container" else (), **more.pop("step", {})
    )
    return AttemptSpec(
        attempt_id(RUN_ID, "train", 1),
        RUN_ID,
        "train",
        1,
        step,
        "b" * 64,
        tuple(AttemptItem(f"train[{n}]", seed=n) for n in range(items)),
        resources=resources or Resources(),
        **more,
    )


def attempt(spec: AttemptSpec, among: ClusterSettings = SETTINGS) -> Object:
    return render_attempt(spec, among, link=LINK, token="w1.x.1.ab", owner=OWNER)


def program(spec: AttemptSpec, *argv: str, among: ClusterSettings = SETTINGS) -> Object:
    return render_container_step(spec, among, link=LINK, token="w1.x.1.ab", owner=OWNER, argv=argv or ("prog",))


def worker(spec: AttemptSpec, among: ClusterSettings = SETTINGS) -> Object:
    key = pool_of(spec, among)
    return render_pool_worker(f"pool-{key}-0", key, spec, among, link=LINK, token="w1.x.1.ab", owner=OWNER)


def main_of(pod: Object) -> Object:
    return next(one for one in pod["spec"]["containers"] if one["name"] == "main")


def variables(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def check_restricted(pod: Object) -> None:
    """The rules of the restricted Pod Security Standard, for all containers."""
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
    kinds = {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "downwardAPI"}
    assert all(len(kinds & set(volume)) == 1 for volume in spec["volumes"])


FULL = Placement(
    queue="team-a",
    spot=True,
    nodes={"example.org/disk": "ssd"},
    tolerations=(Toleration("gpu", "Equal", "yes", "NoSchedule"), Toleration("x", effect="NoExecute", seconds=30)),
    affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}},
    priority_class="high",
    volumes=(
        Volume("/data", claim="corpus", read_only=True, sub_path="july"),
        Volume("/creds", secret="db"),
        Volume("/paths", config_map="paths"),
        Volume("/scratch", empty_bytes=1 << 30),
        Volume("/ram", empty_bytes=1 << 20, memory=True),
    ),
    variables_from=("secret:db", "config:paths"),
    service_account="reader",
    pull_secrets=("registry",),
    labels={"team": "a"},
    annotations={"note": "anything at all"},
    user=1000,
    writable_root=True,
    home="/scratch",
    patch={"spec": {"hostname": "here"}},
)
GPU = Resources(4.0, 8 << 30, 20 << 30, {"nvidia.com/gpu": 2}, "H100", "", 2 << 30)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_kinds_of_pods_are_valid_on_every_version(version: str) -> None:
    spec = spec_of(FULL, GPU, secrets=("TOKEN",), timeout_s=60.0)
    container = spec_of(FULL, GPU, kind="container", secrets=("TOKEN",), timeout_s=60.0, step={"image": "r:4"})
    for made in (attempt(spec), worker(spec), program(container, "Rscript", "train.R"), render_run_owner(RUN_ID, SETTINGS, user="ada")):
        kubernetes_validate.validate(made, version, strict=True)


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
volumes = st.builds(
    lambda n, source, read_only: replace(source, path=f"/v{n}", read_only=read_only),
    st.integers(0, 9),
    st.one_of(
        st.builds(lambda name: Volume("", claim=name), names),
        st.builds(lambda name: Volume("", secret=name), names),
        st.builds(lambda name: Volume("", config_map=name), names),
        st.builds(lambda size, memory: Volume("", empty_bytes=size, memory=memory), st.integers(1, 1 << 40), st.booleans()),
    ),
    st.booleans(),
)
placements = st.builds(
    Placement,
    queue=st.one_of(st.just(""), names),
    spot=st.booleans(),
    nodes=st.dictionaries(names, names, max_size=3),
    tolerations=st.lists(st.builds(Toleration, names, seconds=st.integers(-1, 99)), max_size=3).map(tuple),
    priority_class=st.one_of(st.just(""), names),
    volumes=st.lists(volumes, max_size=4, unique_by=lambda volume: volume.path).map(tuple),
    service_account=st.one_of(st.just(""), names),
    labels=st.dictionaries(names, names, max_size=2),
    user=st.integers(1, 2**31 - 1),
    writable_root=st.booleans(),
    home=st.sampled_from(["", "/home/me"]),
)
DEVICES = ["nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "google.com/tpu", "x.org/fpga"]
resources = st.builds(
    Resources,
    cpu=st.floats(0.001, 512),
    memory_bytes=st.integers(0, 1 << 42),
    disk_bytes=st.integers(0, 1 << 42),
    accelerators=st.dictionaries(st.sampled_from(DEVICES), st.integers(1, 16)),
    model=st.sampled_from(["", "H100", "NVIDIA-L4", "MI300", "tpu-v5p-slice", "unheard of"]),
    topology=st.sampled_from(["", "2x4"]),
    shared_memory_bytes=st.integers(0, 1 << 36),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(placements, resources, st.integers(1, 3000), st.sampled_from(VERSIONS), st.sampled_from(["attempt", "pool", "container"]))
def test_whatever_a_step_says_its_pod_is_valid_restricted_and_small(
    placement: Placement, asked: Resources, items: int, version: str, role: str
) -> None:
    spec = spec_of(placement, asked, kind="container" if role == "container" else "python", items=items)
    made = {"attempt": attempt, "pool": worker, "container": program}[role](spec)
    kubernetes_validate.validate(made, version, strict=True)
    check_restricted(made)
    assert len(json.dumps(made)) < 40_000
    assert made == {"attempt": attempt, "pool": worker, "container": program}[role](spec), "the same attempt is the same object"
    mounts = [mount["mountPath"] for mount in main_of(made)["volumeMounts"]]
    assert len(set(mounts)) == len(mounts)
    assert {mount["name"] for mount in main_of(made)["volumeMounts"]} == {volume["name"] for volume in made["spec"]["volumes"]}


def test_a_pod_is_named_by_its_attempt_and_owned_by_its_run() -> None:
    made = attempt(spec_of())
    meta = made["metadata"]
    assert meta["name"] == attempt_id(RUN_ID, "train", 1)
    assert meta["ownerReferences"] == [{"apiVersion": "v1", "kind": "ConfigMap", "name": "run-x", "uid": "u-1"}]
    assert meta["labels"][RUN] == RUN_ID
    assert meta["labels"][ATTEMPT] == meta["name"]
    assert meta["labels"][ROLE] == "attempt"
    assert meta["labels"]["app.kubernetes.io/part-of"] == "fairway"
    assert made["spec"]["restartPolicy"] == "Never"


def test_the_runs_object_does_not_grow_with_its_tasks() -> None:
    made = render_run_owner(RUN_ID, SETTINGS, pipeline="churn", user="ada")
    assert made["metadata"]["name"] == f"run-{RUN_ID}"
    assert made["data"] == {"run": RUN_ID, "pipeline": "churn", "user": "ada"}
    assert owner_reference({**made, "metadata": {**made["metadata"], "uid": "u"}})["kind"] == "ConfigMap"


def test_a_plain_step_writes_only_to_its_own_volumes_as_a_user_without_rights() -> None:
    made = attempt(spec_of())
    check_restricted(made)
    main = main_of(made)
    assert main["securityContext"]["readOnlyRootFilesystem"] is True
    assert [(mount["name"], mount["mountPath"]) for mount in main["volumeMounts"]] == [("fairway", "/fairway"), ("tmp", "/tmp")]
    assert made["spec"]["securityContext"]["runAsUser"] == 65532
    told = variables(main)
    assert (told["HOME"], told["USER"], told["FAIRWAY_HOME"]) == ("/tmp", "fairway", "/fairway")
    assert (told["FAIRWAY_URL"], told["FAIRWAY_BLOBS_URL"]) == ("http://10.0.0.1:8080", "http://10.0.0.1:8081")
    assert told["FAIRWAY_RUNTIME"] == "ab" * 32
    assert main["command"][:2] == ["python3", "-c"]
    assert main["command"][3] == "pod"
    assert made["spec"]["enableServiceLinks"] is False


def test_a_step_may_have_a_user_a_home_and_a_writable_root_of_its_own() -> None:
    made = attempt(spec_of(Placement(user=1000, writable_root=True, home="/home/me")))
    check_restricted(made)
    assert made["spec"]["securityContext"]["fsGroup"] == 1000
    assert main_of(made)["securityContext"]["readOnlyRootFilesystem"] is False
    assert variables(main_of(made))["HOME"] == "/home/me"


def test_resources_are_asked_for_and_all_but_cores_are_bounds() -> None:
    asked = main_of(attempt(spec_of(resources=GPU)))["resources"]
    assert asked["requests"] == {"cpu": "4000m", "memory": str(8 << 30), "ephemeral-storage": str(20 << 30), "nvidia.com/gpu": "2"}
    assert asked["limits"] == {"memory": str(8 << 30), "ephemeral-storage": str(20 << 30), "nvidia.com/gpu": "2"}
    assert main_of(attempt(spec_of(resources=Resources(0.25))))["resources"] == {"requests": {"cpu": "250m"}}


def test_a_target_says_how_much_disk_steps_have_that_ask_for_none() -> None:
    among = ClusterSettings(TargetSettings(disk_bytes=1 << 30), "lab")
    assert main_of(attempt(spec_of(), among))["resources"]["limits"] == {"ephemeral-storage": str(1 << 30)}
    assert main_of(attempt(spec_of(resources=Resources(disk_bytes=5)), among))["resources"]["limits"] == {"ephemeral-storage": "5"}


def test_shared_memory_is_a_volume_in_memory() -> None:
    made = attempt(spec_of(resources=Resources(shared_memory_bytes=64 << 20)))
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(64 << 20)}} in made["spec"]["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in main_of(made)["volumeMounts"]


def test_volumes_are_mounted_from_claims_secrets_config_maps_and_nothing() -> None:
    made = attempt(spec_of(FULL))
    sources = {volume["name"]: {key: value for key, value in volume.items() if key != "name"} for volume in made["spec"]["volumes"]}
    mounted = {mount["mountPath"]: (sources[mount["name"]], mount) for mount in main_of(made)["volumeMounts"]}
    assert mounted["/data"][0] == {"persistentVolumeClaim": {"claimName": "corpus", "readOnly": True}}
    assert mounted["/data"][1]["subPath"] == "july"
    assert mounted["/data"][1]["readOnly"] is True
    assert mounted["/creds"][0] == {"secret": {"secretName": "db", "defaultMode": 0o440}}
    assert mounted["/paths"][0]["configMap"]["name"] == "paths"
    assert mounted["/scratch"][0] == {"emptyDir": {"sizeLimit": str(1 << 30)}}
    assert mounted["/ram"][0] == {"emptyDir": {"medium": "Memory", "sizeLimit": str(1 << 20)}}


def test_a_volume_at_one_of_our_own_paths_takes_its_place() -> None:
    made = attempt(spec_of(Placement(volumes=(Volume("/tmp", claim="big"),))))
    assert [mount["mountPath"] for mount in main_of(made)["volumeMounts"]] == ["/fairway", "/tmp"]
    assert [volume["name"] for volume in made["spec"]["volumes"] if "persistentVolumeClaim" in volume] == ["tmp"]


def test_secrets_come_by_reference_and_variables_from_whole_objects() -> None:
    made = attempt(spec_of(FULL, secrets=("TOKEN",)))
    assert variables(main_of(made))["FAIRWAY_SECRET_TOKEN"] == {"secretKeyRef": {"name": "fairway-secrets", "key": "TOKEN"}}
    assert main_of(made)["envFrom"] == [{"secretRef": {"name": "db"}}, {"configMapRef": {"name": "paths"}}]


def test_placement_stands_in_the_pod_beside_the_targets_own() -> None:
    target = TargetSettings(
        nodes={"zone": "a", "example.org/disk": "hdd"},
        tolerations=(Toleration("team"),),
        pull_secrets=("shared",),
        service_account="worker",
        queue="common",
    )
    made = attempt(spec_of(FULL), ClusterSettings(target, "lab"))["spec"]
    assert made["nodeSelector"] == {"zone": "a", "example.org/disk": "ssd"}
    assert made["tolerations"][:3] == [
        {"operator": "Exists", "key": "team"},
        {"operator": "Equal", "key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"operator": "Exists", "key": "x", "effect": "NoExecute", "tolerationSeconds": 30},
    ]
    assert made["imagePullSecrets"] == [{"name": "registry"}, {"name": "shared"}]
    assert made["serviceAccountName"] == "reader"
    assert made["priorityClassName"] == "high"
    assert "podAntiAffinity" in made["affinity"]
    assert attempt(spec_of(), ClusterSettings(target, "lab"))["spec"]["serviceAccountName"] == "worker"


def test_a_queue_is_a_label_where_kueue_is_installed_and_nothing_where_it_is_not() -> None:
    assert QUEUE_NAME not in attempt(spec_of(FULL))["metadata"]["labels"]
    with_kueue = replace(SETTINGS, kueue=True)
    assert attempt(spec_of(FULL), with_kueue)["metadata"]["labels"][QUEUE_NAME] == "team-a"
    common = replace(with_kueue, target=TargetSettings(queue="common"))
    assert worker(spec_of(), common)["metadata"]["labels"][QUEUE_NAME] == "common"
    assert QUEUE_NAME not in attempt(spec_of(), with_kueue)["metadata"]["labels"]


def test_autoscalers_may_end_only_what_agreed_to_it() -> None:
    safe = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert attempt(spec_of())["metadata"]["annotations"][safe] == "false"
    assert attempt(spec_of(Placement(spot=True)))["metadata"]["annotations"][safe] == "true"
    assert worker(spec_of())["metadata"]["annotations"][safe] == "true"


def test_a_step_that_may_be_taken_away_prefers_and_tolerates_spot_machines() -> None:
    made = attempt(spec_of(Placement(spot=True)))["spec"]
    preferred = made["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert "cloud.google.com/gke-spot" in [one["preference"]["matchExpressions"][0]["key"] for one in preferred]
    assert {"operator": "Exists", "key": "kubernetes.azure.com/scalesetpriority", "effect": "NoSchedule"} in made["tolerations"]
    assert "affinity" not in attempt(spec_of())["spec"]


def required(pod: Object) -> list[Object]:
    return pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]


def test_a_gpus_model_is_found_by_the_labels_of_whoever_labels_nodes() -> None:
    terms = {one["key"]: one["values"] for term in required(attempt(spec_of(resources=GPU))) for one in term["matchExpressions"]}
    assert "NVIDIA-H100-80GB-HBM3" in terms["nvidia.com/gpu.product"]
    assert not any("A100" in value for value in terms["nvidia.com/gpu.product"])
    assert "nvidia-h100-80gb" in terms["cloud.google.com/gke-accelerator"]
    assert terms["karpenter.k8s.aws/instance-gpu-name"] == ["h100"]


def test_a_model_that_only_the_cluster_knows_is_found_among_its_labels() -> None:
    asked = Resources(accelerators={"nvidia.com/gpu": 1}, model="RTX-9999")
    among = replace(SETTINGS, gpu_products=("NVIDIA-RTX-9999-Turbo", "NVIDIA-L4"))
    assert required(attempt(spec_of(resources=asked), among))[0]["matchExpressions"][0]["values"][0] == "NVIDIA-RTX-9999-Turbo"
    assert required(attempt(spec_of(resources=asked)))[0]["matchExpressions"][0]["values"][0] == "RTX-9999"


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("A100-80GB", ["NVIDIA-A100-80GB-PCIe", "NVIDIA-A100-SXM4-80GB"]),
        ("NVIDIA-L4", ["NVIDIA-L4"]),
        ("L4", ["NVIDIA-L4"]),
        ("t4", ["Tesla-T4"]),
        ("nothing", []),
    ],
)
def test_part_of_a_models_name_stands_for_all_that_have_it(model: str, found: list[str]) -> None:
    known = ["NVIDIA-A100-80GB-PCIe", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-40GB", "NVIDIA-L4", "NVIDIA-L40", "Tesla-T4"]
    assert match_models(model, known) == found


def test_a_users_own_affinity_holds_beside_the_model() -> None:
    own = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [z]}]} for z in "ab"]
            }
        }
    }
    asked = Resources(accelerators={"amd.com/gpu": 1}, model="MI300X")
    terms = required(attempt(spec_of(Placement(affinity=own), asked)))
    assert [[one["key"] for one in term["matchExpressions"]] for term in terms] == [["zone", "amd.com/gpu.product-name"]] * 2
    assert [term["matchExpressions"][0]["values"] for term in terms] == [["a"], ["b"]]


def test_a_tpus_topology_is_a_label_of_its_node() -> None:
    asked = Resources(accelerators={"google.com/tpu": 8}, topology="2x4", model="tpu-v5-lite-podslice")
    made = attempt(spec_of(resources=asked))
    assert made["spec"]["nodeSelector"] == {"cloud.google.com/gke-tpu-topology": "2x4"}
    assert required(made)[0]["matchExpressions"] == [
        {"key": "cloud.google.com/gke-tpu-accelerator", "operator": "In", "values": ["tpu-v5-lite-podslice"]}
    ]
    assert {"operator": "Exists", "key": "google.com/tpu", "effect": "NoSchedule"} in made["spec"]["tolerations"]


def test_the_image_is_the_steps_or_its_environments_or_the_targets() -> None:
    assert main_of(attempt(spec_of()))["image"] == "python:3.11-slim"
    assert main_of(attempt(spec_of(environment=Environment(image="env:1"))))["image"] == "env:1"
    assert main_of(attempt(spec_of(environment=Environment(image="env:1", built="made:1"))))["image"] == "made:1"
    assert main_of(program(spec_of(kind="container", step={"image": "r:4"})))["image"] == "r:4"


def test_a_program_has_its_inputs_fetched_before_and_its_outputs_shipped_after() -> None:
    literal = Environment(variables={"A": "$(B)"})
    spec = spec_of(resources=Resources(2.0, 1 << 30), kind="container", step={"image": "r:4"}, secrets=("TOKEN",), environment=literal)
    made = program(spec, "Rscript", "train.R")
    check_restricted(made)
    fetch, ship = sorted(made["spec"]["initContainers"], key=lambda one: one["name"])
    assert (fetch["name"], fetch["image"], fetch["command"][3], "restartPolicy" in fetch) == ("fetch", "python:3.11-slim", "fetch", False)
    assert (ship["name"], ship["command"][3], ship["restartPolicy"]) == ("ship", "ship", "Always")
    main = main_of(made)
    assert (main["image"], main["command"], main["workingDir"]) == ("r:4", ["Rscript", "train.R"], "/fairway/work")
    told = variables(main)
    assert told["TOKEN"] == {"secretKeyRef": {"name": "fairway-secrets", "key": "TOKEN"}}
    assert told["A"] == "$$(B)", "what a user writes is not expanded"
    assert told["FAIRWAY_SEED"] == "0"
    assert told["FAIRWAY_CHECKPOINTS"].startswith("/fairway/checkpoints/")
    assert not any(name in told for name in ("FAIRWAY_TOKEN", "FAIRWAY_URL")), "a user's program is given no token"
    assert made["metadata"]["labels"][ROLE] == "container"
    assert made["spec"]["terminationGracePeriodSeconds"] >= 600, "outputs may take a while to upload"


def test_a_pools_worker_belongs_to_no_run() -> None:
    made = worker(spec_of(Placement(labels={"team": "a"})))
    assert RUN not in made["metadata"]["labels"]
    assert ATTEMPT not in made["metadata"]["labels"]
    assert made["metadata"]["labels"][POOL] == pool_of(spec_of(Placement(labels={"team": "a"})), SETTINGS)
    assert made["metadata"]["labels"]["team"] == "a"
    assert main_of(made)["command"][3] == "pool"
    assert "FAIRWAY_ATTEMPT" not in variables(main_of(made))


def test_attempts_share_a_pool_if_one_pod_could_run_both() -> None:
    one = spec_of()
    assert pool_of(one, SETTINGS) == pool_of(replace(one, id="other", run="other", node="other", bundle="c" * 64), SETTINGS)
    for other in (
        spec_of(resources=Resources(2.0)),
        spec_of(Placement(spot=True)),
        spec_of(environment=Environment(variables={"A": "1"})),
        spec_of(environment=Environment(image="own:1")),
        spec_of(secrets=("TOKEN",)),
    ):
        assert pool_of(other, SETTINGS) != pool_of(one, SETTINGS)


def test_a_patch_has_the_last_word() -> None:
    made = attempt(spec_of(Placement(patch={"metadata": {"annotations": None}, "spec": {"hostname": "here", "tolerations": []}})))
    assert made["spec"]["hostname"] == "here"
    assert "annotations" not in made["metadata"]
    assert made["spec"]["tolerations"] == []


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=8,
)


@given(json_values, json_values)
def test_a_merge_patch_does_what_rfc_7386_says(value: Any, patch: Any) -> None:
    made = merge(value, patch)
    if not isinstance(patch, dict):
        assert made == patch
        return
    for name, change in patch.items():
        if change is None:
            assert name not in made
        elif not isinstance(change, dict):
            assert made[name] == change
    kept = value if isinstance(value, dict) else {}
    assert all(made[name] == kept[name] for name in kept if name not in patch)
    assert merge(made, patch) == made, "applied again it changes nothing"


def test_a_batch_of_a_thousand_makes_no_bigger_pod_than_one() -> None:
    refs = {"x": Input(ArtifactRef("c" * 64, 9, "json", inline="1"))}
    big = replace(spec_of(), items=tuple(AttemptItem(f"train[{n}]", refs) for n in range(1000)))
    assert len(json.dumps(attempt(big))) - len(json.dumps(attempt(spec_of()))) < 40


def test_what_the_decorators_say_is_what_the_pod_has() -> None:
    def work() -> None: ...

    step = fw.step(place=fw.place(nodes={"a": "b"}, volumes=fw.volume("/data", claim="c")), spot=True, shared_memory="1Gi")(
        work
    ).definition()
    made = attempt(replace(spec_of(), step=step, resources=step.resources))["spec"]
    assert made["nodeSelector"] == {"a": "b"}
    assert {"shm", "fairway", "tmp"} < {volume["name"] for volume in made["volumes"]}
