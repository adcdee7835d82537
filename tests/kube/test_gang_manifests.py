"""Gangs as Kubernetes objects: valid on every version that is kept, restricted, whatever a step says; programs that know who they are."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest

from fairway.errors import UnsupportedError
from fairway.executors.gangprograms import program_of, tell
from fairway.kube.gangs import HOSTS, INDEX, TOLD, render_gang, render_gang_of_programs
from fairway.kube.manifests import ATTEMPT, ROLE
from fairway.kube.queues import QUEUE_NAME
from fairway.kube.target import ClusterSettings
from fairway.spec.gang import Gang
from fairway.spec.placement import Placement, Toleration
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
    *beside, job = rendered(kind, placement, gang=Gang(4, "torch"))
    for obj in (*beside, job):
        kubernetes_validate.validate(obj, version, strict=True)
    check_restricted(job["spec"]["template"])
    assert len(json.dumps(job)) < 40_000
    assert [*beside, job] == rendered(kind, placement, gang=Gang(4, "torch"))


def test_none_of_its_pods_is_made_twice_and_all_are_made_at_once() -> None:
    *_, job = rendered("python")
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


@pytest.mark.parametrize("kind", ["python", "container"])
def test_a_node_that_is_lost_holds_up_the_others_for_a_minute_unless_the_step_says_how_long(kind: str) -> None:
    def how_long(*tolerations: Toleration) -> dict[str, int]:
        *_, job = rendered(kind, Placement(tolerations=tolerations))
        said = job["spec"]["template"]["spec"]["tolerations"]
        return {
            one.get("key", "any").rpartition("/")[2]: one.get("tolerationSeconds", -1) for one in said if one.get("effect") != "NoSchedule"
        }

    assert how_long() == {"not-ready": 60, "unreachable": 60}
    assert how_long(Toleration("node.kubernetes.io/unreachable", effect="NoExecute", seconds=600)) == {"unreachable": 600, "not-ready": 60}
    assert how_long(Toleration("node.kubernetes.io/not-ready")) == {"not-ready": -1, "unreachable": 60}
    assert how_long(Toleration()) == {"any": -1}


def test_what_it_may_wait_for_the_others_is_not_taken_from_its_time() -> None:
    *_, plain = rendered("python", gang=Gang(4, start_timeout_s=0.0))
    *_, patient = rendered("python", gang=Gang(4, start_timeout_s=500.0))
    deadline = [job["spec"]["template"]["spec"]["activeDeadlineSeconds"] for job in (plain, patient)]
    assert deadline[1] - deadline[0] == 500


def test_a_queue_has_the_job_and_not_its_pods() -> None:
    queued = ClusterSettings(TargetSettings(queue="team"), "lab", kueue=True)
    *_, job = rendered("python", among=queued, gang=Gang(4, min_replicas=4))
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"][QUEUE_NAME] == "team"
    assert QUEUE_NAME not in job["spec"]["template"]["metadata"]["labels"]
    assert "kueue.x-k8s.io/job-min-parallelism" not in job["metadata"]["annotations"]


def test_a_program_is_told_who_it_is_without_python_or_a_shell() -> None:
    *_, job = rendered("container", gang=Gang(3, "torch"))
    pod = job["spec"]["template"]["spec"]
    main = main_of(job["spec"]["template"])
    told = variables(main)
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "FAIRWAY_REPLICA"):
        assert told[name] == {"fieldRef": {"fieldPath": f"metadata.annotations['{TOLD}/{name}']"}}
    hosts = next(mount for mount in main["volumeMounts"] if mount["mountPath"] == "/etc/hosts")
    assert (hosts["name"], hosts["subPath"]) == ("fairway", HOSTS)
    for container in pod["initContainers"]:
        assert variables(container)["FAIRWAY_REPLICA"] == {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
        folder = variables(container)["FAIRWAY_TOLD"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == folder]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        assert volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == f"metadata.annotations['{TOLD}/key']"
    assert "FAIRWAY_TOKEN" not in told
    assert "FAIRWAY_TOLD" not in told


def test_what_it_is_told_depends_on_who_has_come_and_on_its_role() -> None:
    spec = gang_of(kind="container", gang=Gang(3, "tensorflow", min_replicas=2, roles={"chief": 1, "worker": 2}))
    config = [json.loads(one["TF_CONFIG"]) for one in tell(spec, ["train"], 3)]
    assert config[0]["cluster"] == {"chief": ["rank-0:29500"], "worker": ["rank-1:29500", "rank-2:29500"]}
    assert [one["task"] for one in config[1:]] == [{"type": "worker", "index": 0}, {"type": "worker", "index": 1}]
    fewer = tell(spec, ["train"], 2)
    assert [one["WORLD_SIZE"] for one in fewer] == ["2", "2"]
    assert json.loads(fewer[1]["TF_CONFIG"])["cluster"] == {"chief": ["rank-0:29500"], "worker": ["rank-1:29500"]}
    assert set(program_of(spec, ["train"]).variables) >= set(fewer[0])


def test_a_word_of_the_command_line_that_differs_is_a_variable() -> None:
    spec = gang_of(kind="container", gang=Gang(2, "accelerate", 2))
    program = program_of(spec, ["accelerate", "launch", "train.py", "--rate=$$5"])
    said = tell(spec, ["accelerate", "launch", "train.py", "--rate=$$5"], 2)
    filled = [[told.get(word[2:-1], word) for word in program.argv] for told in said]
    assert filled[0] != filled[1]
    for rank, words in enumerate(filled):
        assert words[words.index("--machine_rank") + 1] == str(rank)
        assert words[-1] == "--rate=$$5"


def test_launchers_start_the_ranks_of_their_replica_and_nothing_else_does() -> None:
    spec = gang_of(kind="container", gang=Gang(3, "torch", 2))
    assert program_of(spec, ["torchrun", "train.py"]).argv == ("torchrun", "train.py")
    assert [one["PET_NODE_RANK"] for one in tell(spec, ["torchrun", "train.py"], 3)] == ["0", "1", "2"]
    with pytest.raises(UnsupportedError, match="a container runs one program") as caught:
        program_of(spec, ["train"])
    assert "torchrun" in (caught.value.hint or "")
    with pytest.raises(UnsupportedError, match="starts its ranks itself") as caught:
        program_of(gang_of(kind="container", gang=Gang(3, "mpi")), ["train"])
    assert "fw.command" in (caught.value.hint or "")
