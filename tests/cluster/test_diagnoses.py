"""Why it waits and why it died, in the words of `fairway show`, long after the pod is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster

STUCK = """
import fairway as fw


@fw.step(cpu=0.05, {settings})
def stuck() -> int:
    return 1


@fw.pipeline
def {name}():
    return stuck()
"""
WAITS = {
    "image": ('env=fw.env(image="localhost/nobody/has-this:1")', "cannot be pulled"),
    "selector": ('place=fw.place(patch={"spec": {"nodeSelector": {"example.org/no": "such"}}})', "no node fits"),
    "config_map": ('place=fw.place(variables_from=["config:nowhere"])', "nowhere"),
    "secret_volume": ('place=fw.place(volumes=[fw.volume("/etc/x", secret="nosuchsecret")])', "nosuchsecret"),
    "claim": ('place=fw.place(volumes=[fw.volume("/x", claim="nosuchclaim")])', "nosuchclaim"),
}
REFUSED = {
    "service_account": ('place=fw.place(service_account="nobody")', "nobody"),
    "priority": ('place=fw.place(priority_class="most-urgent")', "most-urgent"),
    "admission": ('place=fw.place(patch={"spec": {"hostNetwork": True}})', "admission rules"),
}


@pytest.fixture(scope="module")
def waiting(rig: Rig) -> Iterator[dict[str, str]]:
    """A run for each of WAITS, all started at once."""
    yield {name: start(rig, f"wait_{name}", settings) for name, (settings, _) in WAITS.items()}


def start(rig: Rig, name: str, settings: str) -> str:
    (rig.folder / f"{name}.py").write_text(STUCK.format(settings=settings, name=name))
    return rig.detach(f"{name}.py")


@pytest.mark.parametrize("name", WAITS)
def test_what_a_pod_waits_for_is_said_in_one_line_and_kept_when_the_pod_is_gone(rig: Rig, waiting: dict[str, str], name: str):
    run = waiting[name]
    reason = rig.await_reason(run, WAITS[name][1])
    assert "\n" not in reason
    assert WAITS[name][1] in rig.show(run)
    rig.fairway("cancel", run, "--on", "test")
    assert rig.finish(run).status == "cancelled"
    rig.await_gone([pod["metadata"]["name"] for pod in rig.pods_of(run)])
    assert WAITS[name][1] in rig.show(run, "stuck")


@pytest.mark.parametrize("name", REFUSED)
def test_a_pod_that_the_cluster_never_takes_fails_at_once_with_its_words(rig: Rig, name: str):
    run = start(rig, f"never_{name}", REFUSED[name][0])
    ended = rig.finish(run)
    assert ended.status == "failed"
    assert REFUSED[name][1] in rig.show(run)
    assert rig.pods_of(run) == []


def test_a_step_larger_than_every_node_is_refused_when_it_is_submitted(rig: Rig):
    (rig.folder / "huge.py").write_text(STUCK.format(settings='memory="900Ti"', name="huge"))
    refused = rig.fairway("run", "huge.py", "--on", "test", expect=2)
    assert "no node of the cluster could hold that (too small: memory)" in refused.stderr


def test_a_step_that_needs_more_memory_than_it_asked_for_is_told_so(rig: Rig):
    failed = rig.run("trouble.py:oom", expect=3)
    assert failed["error"]["code"] == "FW-TASK-OOM"
    assert "96" in rig.show(failed["run"])


def test_a_pod_that_fills_its_disk_is_evicted_and_said_to_be(rig: Rig):
    run = rig.detach("trouble.py:evicted")
    assert rig.finish(run).status == "failed"
    shown = rig.show(run)
    assert "disk" in shown or "ephemeral" in shown


def test_a_step_that_takes_too_long_is_ended(rig: Rig):
    failed = rig.run("trouble.py:late", expect=3)
    assert failed["error"]["kind"] == "timeout"
    rig.await_gone([pod["metadata"]["name"] for pod in rig.pods_of(failed["run"])])


def test_exit_codes_mean_what_the_step_says_of_them(rig: Rig):
    failed = rig.run("trouble.py:exits", expect=3)
    assert failed["counts"] == {"failed": 1, "skipped": 1}
    assert failed["error"]["kind"] == "exit:3"
    assert "half of it" in rig.fairway("logs", failed["run"], "--on", "test").stdout


def test_a_quota_holds_a_step_back_until_it_has_room(rig: Rig):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": rig.namespace},
        "spec": {"hard": {"pods": "1"}},
    }
    rig.wait(rig.kube.create(quota))
    try:
        run = start(rig, "held", "")
        assert "quota" in rig.await_reason(run, "quota")
        assert rig.pods_of(run) == []
    finally:
        rig.wait(rig.kube.delete("ResourceQuota", "few"))
    assert rig.finish(run).status == "succeeded"
