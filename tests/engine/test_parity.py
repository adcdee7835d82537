"""What differs between here and a target: what is refused, what is told, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.lookup import refuse
from fairway.engine.parity import (
    LEVELS,
    Facts,
    Finding,
    Side,
    Used,
    Variable,
    check,
    check_machines,
    check_own_queue,
    check_versions,
    in_order,
)
from fairway.errors import UnsupportedError
from fairway.kube.inventory import take_inventory
from fairway.spec.environment import Environment
from fairway.spec.gang import Gang
from fairway.spec.graph import Expr, Graph, Node, StepDef
from fairway.spec.placement import Placement
from fairway.spec.record import replace
from fairway.spec.resources import Resources
from fairway.spec.target import Limits, TargetSettings

HERE = Side("0.3.1", "3.12", "x86_64", "glibc 2.36", 3, {"numpy": "2.1"})
CAMPUS = TargetSettings("campus", "kubernetes", image="python:3.12-slim")
SAME = Facts(HERE, HERE, CAMPUS, secrets=())


def graph(*steps: StepDef, **inputs: Expr) -> Graph:
    made = {step.name: step for step in steps or (StepDef("train", module="churn", qualname="train", where="churn.py:7"),)}
    return Graph("churn", steps=made, nodes=tuple(Node(name, name, inputs=inputs, where=f"churn.py:{name}") for name in made))


def step(name: str = "train", **more: Any) -> StepDef:
    return StepDef(name, module="churn", qualname=name, where=f"churn.py:{name}", **more)


def there(**more: Any) -> Facts:
    return replace(SAME, there=replace(HERE, **more))


def found(made: Graph, facts: Facts, used: Used | None = None) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in check(made, facts, used)]


def node(name: str, cpu: str = "8", memory: str = "32Gi", *, labels: dict[str, str] | None = None, **more: str) -> dict[str, Any]:
    room = {"cpu": cpu, "memory": memory, "pods": "110", **more}
    ready = [{"type": "Ready", "status": "True"}]
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {}, "status": {"allocatable": room, "conditions": ready}}


def cluster(*nodes: dict[str, Any], quotas: tuple[dict[str, Any], ...] = (), **more: Any) -> Facts:
    return replace(SAME, inventory=take_inventory(nodes, [], quotas), **more)


def test_nothing_is_said_where_nothing_differs() -> None:
    assert check(graph(), cluster(node("n1"))) == []


@pytest.mark.parametrize(
    ("theirs", "level", "hint"),
    [
        ("0.2.9", "note", "fairway up --on campus"),
        ("0.4.0", "note", "pip install -U fairway"),
        ("0.1.0", "problem", "fairway up --on campus"),
        ("0.5.0", "problem", "pip install -U fairway"),
        ("1.3.0", "problem", "pip install -U fairway"),
    ],
)
def test_versions_one_minor_apart_work_and_further_apart_are_refused(theirs: str, level: str, hint: str) -> None:
    (one,) = check_versions(there(fairway=theirs))
    assert (one.level, one.hint) == (level, hint)


def test_another_python_is_refused_for_steps_that_use_the_images() -> None:
    (one,) = check(graph(), there(python="3.11"))
    assert (one.level, one.where) == ("problem", "churn.py:7")
    assert one.what == "this is Python 3.12, and step 'train' would run under Python 3.11 of python:3.12-slim"
    assert 'image = "python:3.12-slim" below [targets.campus]' in one.hint


@pytest.mark.parametrize(
    "own", [{"environment": Environment(image="ours:1")}, {"image": "r-base:4"}, {"environment": Environment(lock="l")}]
)
def test_another_python_is_no_matter_for_steps_with_an_interpreter_of_their_own(own: dict[str, Any]) -> None:
    assert check(graph(step(**own)), there(python="3.11")) == []


def test_a_lock_for_another_python_than_the_images_is_told() -> None:
    locked = step(environment=Environment(python="3.12.4", lock="l"))
    (one,) = check(graph(locked), there(python="3.11"))
    assert (one.level, one.where) == ("warning", "churn.py:train")
    assert "is for Python 3.12, the image python:3.12-slim has 3.11" in one.what


def test_a_package_that_the_image_lacks_is_refused() -> None:
    used = Used({"train": {"numpy": "2.1", "scikit-learn": "1.7"}})
    (one,) = check(graph(), SAME, used)
    assert (one.level, one.where) == ("problem", "churn.py:7")
    assert one.what == "the image python:3.12-slim has no scikit-learn, which step 'train' imports"
    assert 'env=fw.env(packages=["scikit-learn"])' in one.hint


def test_what_a_search_needs_itself_is_said_of_no_step_that_nobody_has_written() -> None:
    ours = replace(step("suggest"), module="fairway.train.tune.suggesting")
    (one,) = check(graph(ours), SAME, Used({"suggest": {"optuna": "5.0"}}))
    assert one.what == "the image python:3.12-slim has no optuna, which chooses the parameters of trials"
    assert 'env=fw.env(packages=["optuna"]) (for what the search calls, or for the whole project)' in one.hint


def test_a_package_of_another_version_is_told() -> None:
    assert found(graph(), SAME, Used({"train": {"numpy": "1.26"}})) == [("warning", "numpy is 1.26 here and 2.1 in the image")]


def test_what_a_lock_brings_is_not_looked_for_in_the_image() -> None:
    locked = graph(step(environment=Environment(packages=("scikit-learn",), python="3.12", lock="l")))
    assert check(locked, SAME, Used({"train": {"scikit-learn": "1.7"}})) == []


@pytest.mark.parametrize("facts", [there(packages=None), SAME])
def test_an_image_that_cannot_be_seen_is_said_to_be_unseen(facts: Facts) -> None:
    own = step(environment=Environment(image="" if facts.there.packages is None else "ours:1"))
    ((level, what),) = found(graph(own), facts, Used({"train": {"scikit-learn": "1.7"}}))
    assert level == "note" and "cannot be seen from here" in what


def test_a_missing_secret_is_refused_with_the_command_that_sets_it() -> None:
    made = graph(StepDef("train", where="churn.py:7", secrets=("TOKEN",)), key=Expr("secret", "DB"))
    assert [(one.level, one.what, one.hint, one.where) for one in check(made, SAME)] == [
        ("problem", "the target 'campus' has no secret 'DB'", "fairway secret set DB --on campus", "churn.py:train"),
        ("problem", "the target 'campus' has no secret 'TOKEN'", "fairway secret set TOKEN --on campus", "churn.py:train"),
    ]
    assert check(made, replace(SAME, secrets=("DB", "TOKEN"))) == []
    assert check(made, replace(SAME, secrets=None)) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Resources(cpu=9), "asks for 9 cpu, and no node of the cluster could hold that (too small: cpu)"),
        (Resources(memory_bytes=64 << 30), "asks for 1 cpu, 64 GiB of memory, and no node"),
        (Resources(accelerators={"nvidia.com/gpu": 1}), "asks for 1 cpu, 1 nvidia.com/gpu, and no node"),
        (Resources(accelerators={"amd.com/gpu": 2}), "asks for 1 cpu, 2 amd.com/gpu, and no node"),
    ],
)
def test_more_than_the_largest_node_has_is_refused(asked: Resources, words: str) -> None:
    ((level, what),) = found(graph(step(resources=asked)), cluster(node("n1"), node("n2", "4", **{"amd.com/gpu": "1"})))
    assert level == "problem" and words in what


def test_a_step_that_fits_an_empty_node_is_not_refused_because_others_are_busy() -> None:
    running = {
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "8"}}}]},
    }
    facts = replace(SAME, inventory=take_inventory([node("n1")], [running]))
    assert check(graph(step(resources=Resources(cpu=8))), facts) == []


def test_a_step_whose_pod_is_patched_is_not_refused_for_where_it_would_have_been_placed() -> None:
    patched = step(resources=Resources(cpu=64), placement=Placement(patch={"spec": {"tolerations": [{"operator": "Exists"}]}}))
    ((level, what),) = found(graph(patched), cluster(node("n1")))
    assert level == "warning" and "no node of the cluster could hold that" in what


def test_a_cluster_that_grows_may_get_such_a_node() -> None:
    ((level, what),) = found(graph(step(resources=Resources(cpu=64))), cluster(node("n1"), growing=True))
    assert level == "warning" and "no node of the cluster could hold that" in what


def test_nodes_that_a_step_may_not_run_on_do_not_count() -> None:
    wanted = step(resources=Resources(cpu=2), placement=Placement(nodes={"disk": "ssd"}))
    assert [level for level, _ in found(graph(wanted), cluster(node("n1")))] == ["problem"]
    assert found(graph(wanted), cluster(node("n1", labels={"disk": "ssd"}))) == []


def test_more_than_a_quota_ever_allows_is_refused_even_where_nodes_cannot_be_seen() -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "4"}}, "status": {"hard": {"requests.cpu": "4"}, "used": {}}}
    ((level, what),) = found(graph(step(resources=Resources(cpu=5))), cluster(quotas=(quota,)))
    assert (level, what) == ("problem", "step 'train' asks for 5 cpu, and the quota 'team' allows 4 requests.cpu in all")


def test_a_quota_that_is_used_up_now_is_no_reason_to_refuse() -> None:
    hard = {"requests.cpu": "4"}
    quota = {"metadata": {"name": "team"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": {"requests.cpu": "4"}}}
    assert check(graph(step(resources=Resources(cpu=4))), cluster(quotas=(quota,))) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (replace(CAMPUS, limits=Limits(cpu=4.0)), "asks for 8 cpu, and the limit cpu of [targets.campus] is 4"),
        (
            replace(CAMPUS, per_run=Limits(memory_bytes=1 << 30)),
            "2 GiB of memory, and the limit per-run.memory of",
        ),
        (replace(CAMPUS, limits=Limits(accelerators={"gpu": 0})), "1 gpu, and the limit accelerators of [targets.campus] is 0"),
    ],
)
def test_more_than_the_targets_own_limits_is_refused(target: TargetSettings, words: str) -> None:
    asked = Resources(cpu=8, memory_bytes=2 << 30, accelerators={"gpu": 1})
    ((level, what),) = found(graph(step(resources=asked)), replace(SAME, target=target))
    assert level == "problem" and words in what


@pytest.mark.parametrize(
    ("side", "level", "words"),
    [
        ({"machine": "aarch64", "cpu_level": 0}, "warning", "this machine is x86_64, the cluster's is aarch64"),
        ({"cpu_level": 2}, "warning", "the features of x86-64-v3, the cluster's those of v2"),
        ({"cpu_level": 4}, "note", "the cluster's processors can do more (x86-64-v4)"),
        ({"libc": "musl 1.2"}, "warning", "the C library here is glibc 2.36, in the image musl 1.2"),
        ({"libc": "glibc 2.31"}, "note", "the C library in the image is older (glibc 2.31)"),
    ],
)
def test_machines_that_differ_are_told_by_how_much_it_matters(side: dict[str, Any], level: str, words: str) -> None:
    (one,) = check_machines(there(**side))
    assert one.level == level and words in one.what


def test_what_is_not_known_of_a_machine_is_no_difference() -> None:
    assert list(check_machines(replace(SAME, there=Side("0.3.1", "3.12")))) == []


def test_a_store_that_is_not_reached_is_refused() -> None:
    assert found(graph(), replace(SAME, store="no such bucket")) == [("problem", "the target's store cannot be reached: no such bucket")]


def test_variables_of_this_shell_are_told_where_the_code_reads_them() -> None:
    used = Used(variables=(Variable("HERE", "a.py:1", True), Variable("MAYBE", "a.py:2", False), Variable("UNSET", "a.py:3", True)))
    facts = replace(SAME, variables=frozenset({"HERE", "MAYBE"}))
    assert [(one.level, one.where) for one in check(graph(), facts, used)] == [("warning", "a.py:1"), ("note", "a.py:2")]
    given_one = graph(step(environment=Environment(variables={"HERE": "1", "MAYBE": "2"})))
    assert check(given_one, facts, used) == []


def test_a_queue_without_kueue_is_told() -> None:
    queued = graph(step(placement=Placement(queue="team")))
    assert [level for level, _ in found(queued, replace(SAME, kueue=False))] == ["note"]
    assert found(queued, replace(SAME, kueue=None)) == []


def test_a_queue_that_is_not_there_is_refused_with_those_there_are() -> None:
    """Kueue takes what names no queue of its own, and lets it wait for ever."""
    facts = replace(SAME, kueue=True, queues={"team-a": "", "night": ""})
    queued = graph(step(placement=Placement(queue="taem-a")), step("test", placement=Placement(queue="night")))
    (one,) = check(queued, facts)
    assert (one.level, one.where) == ("problem", "churn.py:train")
    assert one.what == "there is no queue 'taem-a' of Kueue at the target 'campus': step 'train' would wait for ever"
    assert one.hint == "did you mean 'team-a'? there are team-a, night; change the step's queue="
    (none,) = check(queued, replace(facts, queues={"night": ""}))
    assert none.hint == "there is night; change the step's queue="
    assert "has no queue at all" in check(queued, replace(facts, queues={}))[0].hint
    assert check(queued, replace(facts, queues=None)) == [], "who may not list them is not kept from trying"


def test_the_targets_own_queue_is_looked_at_too() -> None:
    target = replace(CAMPUS, queue="taem")
    (one,) = check(graph(step(), step("test")), replace(SAME, target=target, kueue=True, queues={"team": ""}))
    assert one.what == "there is no queue 'taem' of Kueue at the target 'campus': 2 steps (train, test) would wait for ever"
    assert (one.hint, one.where) == ("did you mean 'team'? there is team; change queue below [targets.campus]", "")
    assert check(graph(), replace(SAME, target=replace(CAMPUS, queue="team"), kueue=True, queues={"team": ""})) == []


def test_a_queue_that_admits_nothing_now_is_told_and_not_refused() -> None:
    facts = replace(SAME, kueue=True, queues={"team": "Can't submit new workloads to clusterQueue"})
    queued = graph(step(placement=Placement(queue="team")))
    assert found(queued, facts) == [("warning", "the queue 'team' admits nothing now: Can't submit new workloads to clusterQueue")]


def test_the_targets_own_queue_is_told_of_whatever_runs_there() -> None:
    facts = replace(SAME, target=replace(CAMPUS, queue="taem"), kueue=True, queues={"team": "", "night": "Stopped"})
    (one,) = check_own_queue(facts)
    assert (one.level, one.hint) == ("problem", "did you mean 'team'? there are team, night; change queue below [targets.campus]")
    assert one.what == "there is no queue 'taem' of Kueue at the target 'campus': what names no other would wait for ever"
    (closed,) = check_own_queue(replace(facts, target=replace(CAMPUS, queue="night")))
    assert (closed.level, closed.what) == ("warning", "the queue 'night' admits nothing now: Stopped")
    for well in ({"target": replace(CAMPUS, queue="team")}, {"target": CAMPUS}, {"queues": None}, {"kueue": None}, {"kueue": False}):
        assert list(check_own_queue(replace(facts, **well))) == []


def test_a_gang_that_its_queue_can_never_hold_is_told_and_not_refused() -> None:
    """Somebody may raise the quota while it waits."""
    facts = replace(SAME, kueue=True, queues={"team": ""}, bounds={"team": {"cpu": 8.0, "memory": 8.0 * 2**30}})

    def said(replicas: int, fewest: int = 0, *, queue: str = "team", patch: dict[str, Any] | None = None, **asked: Any) -> list[Any]:
        gang, placement = Gang(replicas, min_replicas=fewest), Placement(queue=queue, patch=patch or {})
        return found(graph(step(gang=gang, resources=Resources(**asked), placement=placement)), facts)

    assert said(2, cpu=4) == []
    words = "step 'train' needs 12 cpu for 3 replicas, and the queue 'team' never gives more than 8 cpu"
    assert said(3, cpu=4) == [("warning", words)]
    assert said(3, 2, cpu=4) == [], "it begins with two"
    assert said(0, cpu=9) == [("warning", "step 'train' needs 9 cpu, and the queue 'team' never gives more than 8 cpu")]
    ((_, memory),) = said(3, cpu=1, memory_bytes=3 << 30)
    assert memory.endswith("needs 9 GiB of memory for 3 replicas, and the queue 'team' never gives more than 8 GiB of memory")
    assert said(3, cpu=1, accelerators={"nvidia.com/gpu": 8}) == [], "what has no quota there may be none of Kueue's business"
    assert said(3, cpu=4, patch={"spec": {"containers": []}}) == []
    assert said(3, cpu=4, queue="") == []


def test_a_submission_is_refused_with_the_first_problem_and_the_number_of_others() -> None:
    refuse([Finding("warning", "w"), Finding("note", "n")])
    with pytest.raises(UnsupportedError) as caught:
        refuse([Finding("problem", "one", "do this", "a.py:1"), Finding("problem", "two"), Finding("warning", "w")])
    assert (caught.value.message, caught.value.hint, caught.value.where) == ("one (and 1 more: see fairway doctor)", "do this", "a.py:1")


SIDES = st.builds(
    Side,
    fairway=st.sampled_from(["0.1.0", "0.2.0", "0.9.0", "1.0", "", "unknown"]),
    python=st.sampled_from(["", "3.11", "3.12"]),
    machine=st.sampled_from(["", "x86_64", "aarch64"]),
    libc=st.sampled_from(["", "glibc 2.31", "glibc 2.36", "musl 1.2"]),
    cpu_level=st.integers(0, 4),
    packages=st.none() | st.dictionaries(st.sampled_from(["numpy", "torch"]), st.sampled_from(["1", "2"])),
)


@given(here=SIDES, other=SIDES, packages=st.dictionaries(st.sampled_from(["numpy", "torch"]), st.sampled_from(["1", "2"])))
def test_what_is_found_is_in_order_and_a_side_never_differs_from_itself(here: Side, other: Side, packages: dict[str, str]) -> None:
    made = check(graph(), replace(SAME, here=here, there=other), Used({"train": packages}))
    assert made == in_order(made)
    assert all(one.level in LEVELS[:3] and one.what for one in made)
    own = Used({"train": dict(here.packages or {})})
    if here.packages is not None:
        assert check(graph(), replace(SAME, here=here, there=here), own) == []
