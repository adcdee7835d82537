"""Gangs as Kubernetes objects: valid on every version that is kept, restricted, whatever a step says; programs that know who they are."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest

from fairway.errors import UnsupportedError
from fairway.executors.gangprograms import program_of
from fairway.kube.gangs import HOSTS, INDEX, Program, render_gang, render_gang_of_programs
from fairway.kube.manifests import ATTEMPT, KUEUE_QUEUE, ROLE
from fairway.kube.target import ClusterSettings
from fairway.spec.gang import Gang
from fairway.spec.placement import Placement
from fairway.spec.target import TargetSettings
from tests.kube.test_manifests import FULL, GPU, LINK, OWNER, SETTINGS, VERSIONS, check_restricted, main_of, spec_of, variables

GIVEN: dict[str, Any] = {"link": LINK, "token": "w1.x.1.ab", "owner": OWNER}


def gang_of(placement: Placement | None = None, *, kind: str = "python", gang: Gang | None = None, **more: Any) -> Any:
    step = {"gang": gang or Gang(4), **({"image": "r:4"} if kind == "container" else {})}
    return spec_of(placement or Placement(), GPU, kind=kind, step=step, timeout_s=60.0, **more)


def rendered(kind: str, placement: Placement | None = None, among: ClusterSettings = SETTINGS, **more: Any) -> list[Any]:
    spec = gang_of(placement, kind=kind, **more)
    if kind != "container":
        return render_gang(spec, among, **GIVEN)
    return render_gang_of_programs(spec, among, **GIVEN, program=program_of(spec, ["train", "$RANK"]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["python", "container"])
@pytest.mark.parametrize("placement", [Placement(), FULL], ids=["plain", "full"])
def test_a_job_is_valid_restricted_small_and_always_the_same(kind: str, version: str, placement: Placement) -> None:
    (job,) = rendered(kind, placement, gang=Gang(4, "torch"))
    kubernetes_validate.validate(job, version, strict=True)
    check_restricted(job["spec"]["template"])
    assert len(json.dumps(job)) < 40_000
    assert [job] == rendered(kind, placement, gang=Gang(4, "torch"))


def test_none_of_its_pods_is_made_twice_and_all_are_made_at_once() -> None:
    (job,) = rendered("python")
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert job["metadata"]["ownerReferences"][0]["kind"] == "ConfigMap"
    labels = spec["template"]["metadata"]["labels"]
    assert labels[ATTEMPT] == job["metadata"]["name"]
    assert labels[ROLE] == "gang"
    assert "name" not in spec["template"]["metadata"]
    told = variables(main_of(spec["template"]))
    assert told["FAIRWAY_REPLICA"] == {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}


def test_what_it_may_wait_for_the_others_is_not_taken_from_its_time() -> None:
    (plain,) = rendered("python", gang=Gang(4, start_timeout_s=0.0))
    (patient,) = rendered("python", gang=Gang(4, start_timeout_s=500.0))
    deadline = [job["spec"]["template"]["spec"]["activeDeadlineSeconds"] for job in (plain, patient)]
    assert deadline[1] - deadline[0] == 500


def test_a_queue_has_the_job_and_not_its_pods() -> None:
    queued = ClusterSettings(TargetSettings(queue="team"), "lab", kueue=True)
    (job,) = rendered("python", among=queued, gang=Gang(4, min_replicas=4))
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"][KUEUE_QUEUE] == "team"
    assert KUEUE_QUEUE not in job["spec"]["template"]["metadata"]["labels"]
    assert "kueue.x-k8s.io/job-min-parallelism" not in job["metadata"]["annotations"]


def test_a_program_is_told_who_it_is_without_python_or_a_shell() -> None:
    (job,) = rendered("container", gang=Gang(3, "torch"))
    main = main_of(job["spec"]["template"])
    names = [one["name"] for one in main["env"]]
    told = variables(main)
    assert names[0] == "FAIRWAY_REPLICA", "what refers to it comes after it"
    assert (told["RANK"], told["WORLD_SIZE"], told["MASTER_ADDR"], told["MASTER_PORT"]) == ("$(FAIRWAY_REPLICA)", "3", "rank-0", "29500")
    hosts = next(mount for mount in main["volumeMounts"] if mount["mountPath"] == "/etc/hosts")
    assert (hosts["name"], hosts["subPath"]) == ("fairway", HOSTS)
    for container in job["spec"]["template"]["spec"]["initContainers"]:
        assert "FAIRWAY_REPLICA" in variables(container)
    assert "FAIRWAY_TOKEN" not in told


def test_a_number_inside_a_longer_text_is_the_replicas_too() -> None:
    program = program_of(gang_of(kind="container", gang=Gang(3, "tensorflow")), ["train"])
    config = json.loads(program.variables["TF_CONFIG"].replace("$(FAIRWAY_REPLICA)", "2"))
    assert config["task"]["index"] == 2
    assert config["cluster"]["worker"] == ["rank-0:29500", "rank-1:29500", "rank-2:29500"]
    assert isinstance(program, Program)


def test_what_no_pattern_can_say_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedError, match="FAIRWAY_ROLE is not the same for all replicas") as caught:
        program_of(gang_of(kind="container", gang=Gang(3, "tensorflow", roles={"chief": 1, "worker": 2})), ["train"])
    assert "roles" in (caught.value.hint or "")
    with pytest.raises(UnsupportedError, match="a container runs one program"):
        program_of(gang_of(kind="container", gang=Gang(3, "torch", 2)), ["train"])
