"""`fairway up`: a namespace and a bare Python image become a server, in a cluster whose pods really run."""

from __future__ import annotations

import asyncio
import base64
import gc
import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairway.engine.credentials import find_token, server_key
from fairway.engine.deploy import connect, deploy
from fairway.engine.parity import LEVELS
from fairway.engine.project import load_project
from fairway.engine.remote import open_connection
from fairway.errors import ConflictError, FairwayError, ImageUnavailable, InfraError, NotFoundError
from fairway.kube.server_call import call_pod
from fairway.kube.server_manifests import ServerPlan, render_server
from fairway.spec.record import replace
from fairway.spec.tokens import digest_token, user_of
from tests.kube.emulator import Emulator
from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import DEPLOYMENT
from tests.kube.uprig import Campus

OBJECTS = [
    "Deployment fairway",
    "PersistentVolumeClaim fairway-data",
    "Role fairway",
    "RoleBinding fairway",
    "Secret fairway-server",
    "Service fairway",
    "ServiceAccount fairway",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with pytest.MonkeyPatch.context() as patch, Emulator(tmp_path_factory.mktemp("cluster"), pace=0.1) as made:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("USER", "ada")
        for name in ("FAIRWAY_USER", "FAIRWAY_TOKEN", "FAIRWAY_TARGET", "FAIRWAY_CONFIG"):
            patch.delenv(name, raising=False)
        yield made


@pytest.fixture(scope="module")
def campus(cluster: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Campus:
    """A namespace in which `fairway up` was said once."""
    made = Campus(tmp_path_factory.mktemp("campus"), cluster, "team")
    said = made.ask("up")
    assert said.status == 0, said.text
    made.first = said  # type: ignore[attr-defined]
    return made


@pytest.fixture
def empty(cluster: Emulator, tmp_path: Path, request: pytest.FixtureRequest) -> Campus:
    """A namespace of the test's own, in which nothing is."""
    return Campus(tmp_path, cluster, f"ns-{abs(hash(request.node.name)) % 10**8}")


def call(campus: Campus, request: str, token: str = "") -> tuple[int, bytes]:
    """The server's answer."""

    async def ask() -> tuple[int, bytes]:
        client = connect(campus.target)
        try:
            headers = {"Fairway-Token": token} if token else {}
            return await call_pod(client, campus.pod()["metadata"]["name"], 8080, request, headers=headers)
        finally:
            await client.close()

    return asyncio.run(ask())


def set_up(campus: Campus, **options: Any) -> list[str]:
    """`deploy` with impatience; what it said. Raises what it raises."""
    said: list[str] = []
    given: dict[str, Any] = {"timeout_s": 20.0, "patience_s": 0.0, **options}

    async def go() -> None:
        client = connect(campus.target)
        try:
            await deploy(client, campus.target, say=said.append, **given)
        except FairwayError as error:
            error.said = said  # type: ignore[attr-defined]
            raise
        finally:
            await client.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRWAY_CONFIG", str(campus.config))
        asyncio.run(go())
    return said


def test_one_command_makes_these_objects_and_a_server_that_answers(campus: Campus) -> None:
    assert sorted(campus.versions()) == OBJECTS
    assert call(campus, "GET /readyz")[0] == 200
    assert call(campus, "GET /api/v1/target")[0] == 401
    status, body = call(campus, "GET /api/v1/target", campus.token)
    assert status == 200 and b'"user":"ada"' in body.replace(b" ", b"")


def test_it_says_what_it_waits_for_and_how_to_go_on(campus: Campus) -> None:
    lines = campus.first.err.splitlines()  # type: ignore[attr-defined]
    assert lines[0].startswith("applied Secret fairway-server, ")
    assert any(line.startswith("collecting Fairway 0.1.0 for Python 3.11") for line in lines)
    assert any(line.startswith("sending it, ") for line in lines)
    assert " is ready in the namespace team, after " in lines[-2]
    assert lines[-1] == "you are 'ada' there; next: fairway run FILE --on campus"
    assert campus.first.out == ""  # type: ignore[attr-defined]


def test_the_token_is_the_callers_alone_and_shown_nowhere(campus: Campus) -> None:
    (path,) = (campus.config / "tokens").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert user_of(campus.token) == "ada"
    secret = campus.token.rpartition(".")[2]
    assert secret not in campus.first.text  # type: ignore[attr-defined]
    assert secret not in campus.everything()
    data = campus.find("Secret", "fairway-server")["data"]
    assert base64.b64decode(data["token.ada"]).decode() == digest_token(campus.token)
    assert base64.b64encode(campus.token.encode()).decode() not in campus.everything()


def test_saying_it_again_changes_nothing(campus: Campus) -> None:
    before, token = campus.versions(), campus.token
    said = campus.ask("up")
    assert (said.status, said.err.splitlines()[0].partition(" in the")[0]) == (0, "Fairway 0.1.0 was ready already")
    assert (campus.versions(), campus.token) == (before, token)


def test_a_pod_that_is_ready_or_not_meanwhile_is_no_change_of_ours(campus: Campus) -> None:
    """Whether it is, stands in the Deployment's status, and counts for its version."""
    cluster, noted = campus.cluster, {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}

    def tell_of_it() -> bool:
        status = {"conditions": [noted]}
        cluster.memory.change(DEPLOYMENT, campus.namespace, "fairway", lambda it: it["status"].update(status), subresource="status")
        return True

    held = cluster.faults.hold(tell_of_it, "apply", "Deployment")
    before = campus.find("Deployment", "fairway")["metadata"]["resourceVersion"]
    said = campus.ask("up")
    assert held.met == 1 and campus.find("Deployment", "fairway")["metadata"]["resourceVersion"] != before
    assert (said.status, said.err.splitlines()[0].partition(" in the")[0]) == (0, "Fairway 0.1.0 was ready already")


def test_a_changed_setting_upgrades_in_place_and_keeps_what_the_volume_has(campus: Campus) -> None:
    before, pod = campus.versions(), campus.pod()["metadata"]["name"]
    campus.write("max-pods = 7\n")
    said = campus.ask("up")
    assert said.status == 0, said.text
    changed = [name for name, version in campus.versions().items() if before[name] != version]
    assert changed == ["Deployment fairway"]
    assert said.err.startswith("applied Deployment fairway\n")
    assert "sending" not in said.err
    assert campus.pod()["metadata"]["name"] != pod
    assert b'"max_pods":7' in call(campus, "GET /api/v1/target", campus.token)[1].replace(b" ", b"")


def test_the_dashboard_is_shown_for_as_long_as_somebody_looks(campus: Campus) -> None:
    words = [sys.executable, "-m", "fairway.cli", "-C", str(campus.folder), "ui", "--on", "campus"]
    environ = {**os.environ, "FAIRWAY_CONFIG": str(campus.config)}
    looking = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert looking.stdout is not None
    assert looking.stderr is not None
    try:
        at, _, code = looking.stdout.readline().strip().partition("/login#code=")
        assert "Ctrl-C closes it" in looking.stderr.readline()
        browser = http.client.HTTPConnection(at.removeprefix("http://"), timeout=60)
        browser.request("POST", "/session", f"code={code}", {"Content-Type": "application/x-www-form-urlencoded", "Origin": at})
        cookie = (browser.getresponse().headers["set-cookie"] or "").partition(";")[0]
        browser.close()
        browser.request("GET", "/runs", headers={"Cookie": cookie})
        assert browser.getresponse().status == 200
        browser.close()
    finally:
        looking.send_signal(signal.SIGINT)
    assert looking.wait(60) == 0, looking.stderr.read()
    with pytest.raises(ConnectionRefusedError):
        browser.request("GET", "/runs")


def test_a_server_that_is_killed_comes_back_without_the_client(campus: Campus) -> None:
    pod = campus.pod()["metadata"]["name"]

    async def kill() -> None:
        client = connect(campus.target)
        await client.delete("Pod", pod, grace_s=0)
        await client.close()

    asyncio.run(kill())

    def again() -> bool:
        pods = [one for one in campus.cluster.list("Pod", "team") if one["metadata"]["name"] != pod]
        states = [one for each in pods for one in each["status"].get("conditions") or ()]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in states)

    campus.cluster.wait(again)
    assert call(campus, "GET /api/v1/target", campus.token)[0] == 200


def test_a_second_person_gets_a_token_of_their_own(campus: Campus, tmp_path: Path) -> None:
    other = Campus(tmp_path, campus.cluster, "team", "max-pods = 7\n")
    said = other.ask("up")
    assert said.status == 0 and said.err.startswith("applied Secret fairway-server\n"), said.text
    assert user_of(other.token) == "ada-2"
    assert call(campus, "GET /api/v1/target", other.token)[0] == call(campus, "GET /api/v1/target", campus.token)[0] == 200


def test_a_taken_name_is_not_taken_over(campus: Campus, tmp_path: Path) -> None:
    said = Campus(tmp_path, campus.cluster, "team", "max-pods = 7\n").ask("up", "--user", "ada")
    assert (said.status, said.err.splitlines()[0]) == (2, "error: the user 'ada' has a token already, and it is not here")


def test_missing_rights_are_all_named_and_nothing_is_applied(empty: Campus) -> None:
    denied = empty.cluster.authority.denied
    denied += [("create", "deployments"), ("patch", "roles"), ("create", "pods/portforward"), ("get", "secrets")]
    try:
        said = empty.ask("up")
    finally:
        denied.clear()
    assert said.status == 2
    assert "you lack 6 rights in the namespace" in said.err
    for text in (
        "create deployments.apps",
        "patch roles.rbac.authorization.k8s.io",
        "create pods/portforward",
        "get secrets fairway-server",
    ):
        assert f"  {text}\n" in said.err
    role, binding = yaml.safe_load_all(said.out)
    verbs = {resource: rule["verbs"] for rule in role["rules"] for resource in rule["resources"]}
    assert (verbs["deployments"], verbs["pods/portforward"]) == (["create", "get", "delete"], ["create"])
    assert (binding["subjects"][0]["name"], role["metadata"]["namespace"]) == ("tester", empty.namespace)
    assert empty.versions() == {}


def test_a_dry_run_prints_what_would_be_applied_and_applies_nothing(empty: Campus) -> None:
    said = empty.ask("up", "--dry-run")
    assert said.status == 0
    shows = "`fairway train FILE --dry-run --on campus` shows a gang's"
    assert said.err == f"of runs nothing is in it: the server makes their objects; {shows}\n"
    made = list(yaml.safe_load_all(said.out))
    assert sorted(f"{one['kind']} {one['metadata']['name']}" for one in made) == [one for one in OBJECTS if not one.startswith("Secret")]
    (deployment,) = [one for one in made if one["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["command"][2].startswith("import sys\n")
    assert empty.versions() == {}


def test_an_old_cluster_is_refused(tmp_path: Path) -> None:
    with Emulator(tmp_path / "old", version="1.28") as old:
        said = Campus(tmp_path / "campus", old, "team").ask("up")
    assert said.err == "error: the cluster runs Kubernetes 1.28\n  Fairway needs 1.29 or newer\n"


def test_a_namespace_that_is_not_there_says_how_to_make_it(cluster: Emulator, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no namespace 'nowhere'") as caught:
        set_up(Campus(tmp_path, cluster, "nowhere", make=False))
    assert "kubectl create namespace nowhere" in caught.value.hint


def test_an_image_that_cannot_be_pulled_is_told_with_the_registrys_words(empty: Campus) -> None:
    empty.write('image = "python:3.99"\n')
    with pytest.raises(ImageUnavailable, match=r"'python:3.99' cannot be pulled: .*not found"):
        set_up(empty)


def test_a_server_that_no_node_can_hold_is_told_for_as_long_as_it_waits(empty: Campus) -> None:
    empty.write('nodes = { "gpu" = "h100" }\n')
    with pytest.raises(InfraError, match=r"was not ready after 3 s: no node fits"):
        set_up(empty, timeout_s=3.0)


def test_a_volume_that_nobody_makes_is_told(empty: Campus) -> None:
    empty.cluster.claims.bind = False
    try:
        with pytest.raises(InfraError, match=r"was not ready after 3 s: its volume claim has no volume yet"):
            set_up(empty, timeout_s=3.0)
    finally:
        empty.cluster.claims.bind = True


def test_a_secret_for_the_journal_that_is_not_there_is_told(empty: Campus) -> None:
    empty.write('journal = "secret:postgres/url"\n')
    with pytest.raises(InfraError, match=r"there is no secret 'postgres'") as caught:
        set_up(empty)
    assert "kubectl create secret generic postgres" in caught.value.hint


def test_a_quota_that_lets_no_pod_in_is_told(empty: Campus) -> None:
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "none", "namespace": empty.namespace}}
    empty.cluster.create({**quota, "spec": {"hard": {"pods": "0"}}})
    with pytest.raises(InfraError, match=r"the cluster does not take the pod: .*exceeded quota"):
        set_up(empty)


def test_a_server_that_ends_at_once_is_told_with_its_last_lines(empty: Campus) -> None:
    empty.write('server-image = "python:3.12-slim"\n')
    with pytest.raises(InfraError, match=r"ends as soon as it has started: Error, exit code 1\n.*No module named"):
        set_up(empty)


def test_the_last_line_of_a_servers_log_is_told_where_its_node_has_missed_it(empty: Campus) -> None:
    """A node reads what a container wrote last when that ends; the line that says what went wrong may come a moment later."""
    empty.cluster.images.hasty = True
    empty.write('server-image = "python:3.12-slim"\n')
    try:
        with pytest.raises(InfraError, match=r"ends as soon as it has started: Error, exit code 1\n.*No module named 'fairway'"):
            set_up(empty)
    finally:
        empty.cluster.images.hasty = False


SILENT = (
    'Internal error occurred: failed calling webhook "mpod.kb.io": failed to call webhook: Post '
    '"https://kueue-webhook-service.kueue-system.svc:443/mutate--v1-pod?timeout=10s": dial tcp 10.96.7.12:443: connect: connection refused'
)
DENIES = 'admission webhook "images.example.org" denied the request: images must come from registry.example.org'


@contextmanager
def refused(empty: Campus, kind: str, message: str, code: int) -> Generator[None]:
    """The namespace takes nothing of that kind, not even of the cluster's own controllers."""

    def refuse(found: Any, new: Any, old: Any, subresource: str) -> None:
        if found.kind == kind and new["metadata"].get("namespace") == empty.namespace and old is None:
            raise ApiError(code, message)

    empty.cluster.call(lambda: empty.cluster.memory.admit.append(refuse))
    try:
        yield
    finally:
        empty.cluster.call(lambda: empty.cluster.memory.admit.remove(refuse))


@pytest.mark.parametrize("quiet", [False, True], ids=["by the Deployment", "by events"])
@pytest.mark.parametrize(
    ("code", "message", "cure"),
    [
        (500, SILENT, "the cluster's webhook 'mpod.kb.io' does not answer, and nothing gets past it: tell who runs the cluster"),
        (403, DENIES, "the cluster's webhook 'images.example.org' refuses it: its words say why"),
        (403, 'pods "fairway" is forbidden: maximum cpu usage per Container is 1, but limit is 2', "kubectl describe limitrange -n ns-"),
        (403, 'pods "fairway" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3', "kubectl describe quota -n ns-"),
        (403, 'pods "fairway" is forbidden: somebody minds', "kubectl describe deployments,replicasets -n ns-"),
    ],
)
def test_a_pod_that_is_refused_is_told_with_the_clusters_words_and_a_cure(
    empty: Campus, code: int, message: str, cure: str, quiet: bool
) -> None:
    empty.cluster.quiet = quiet
    try:
        with refused(empty, "Pod", message, code), pytest.raises(InfraError) as caught:
            set_up(empty)
    finally:
        empty.cluster.quiet = False
    assert caught.value.message == f"the cluster does not take the pod: {message}"
    assert cure in caught.value.hint


def test_a_replica_set_that_is_refused_is_told_too(empty: Campus) -> None:
    words = 'replicasets.apps "fairway" is forbidden: exceeded quota: sets, requested: count/replicasets.apps=1'
    with refused(empty, "ReplicaSet", words, 403), pytest.raises(InfraError, match=r"count/replicasets\.apps=1") as caught:
        set_up(empty)
    assert "kubectl describe quota" in caught.value.hint


def test_a_cluster_that_makes_no_pod_and_says_nothing_is_not_waited_for_in_silence(empty: Campus) -> None:
    empty.cluster.quiet = True
    denied = empty.cluster.authority.denied
    denied.append(("list", "events"))
    try:
        with (
            refused(empty, "Pod", SILENT, 500),
            pytest.raises(InfraError, match="was not ready after 5 s: the cluster has not made the server's pod"),
        ):
            set_up(empty, timeout_s=5.0)
    finally:
        denied.clear()
        empty.cluster.quiet = False


def test_a_pod_that_comes_while_it_is_asked_why_there_is_none_is_not_called_the_one_before(empty: Campus) -> None:
    def runs() -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in empty.cluster.list("Pod", empty.namespace))

    rule = empty.cluster.faults.hold(runs, "list", "Event")
    try:
        said = set_up(empty, patience_s=60.0, timeout_s=120.0)
    finally:
        empty.cluster.faults.clear()
    assert rule.met == 1
    assert not [line for line in said if "the server before" in line]


def test_a_deployment_that_is_not_ours_is_left_alone(empty: Campus) -> None:
    (deployment,) = [one for one in render_server(ServerPlan(empty.target, empty.namespace, "1")) if one["kind"] == "Deployment"]
    deployment["metadata"]["labels"] = {"app": "theirs"}
    empty.cluster.create(deployment)
    with pytest.raises(ConflictError, match="has a Deployment 'fairway' that is not Fairway's"):
        set_up(empty)
    assert empty.names("Secret") == []


def test_a_newer_server_is_not_replaced_by_an_older_one(empty: Campus) -> None:
    (deployment,) = [one for one in render_server(ServerPlan(empty.target, empty.namespace, "0.7.2")) if one["kind"] == "Deployment"]
    empty.cluster.create(deployment)
    with pytest.raises(ConflictError, match=r"the server is Fairway 0.7.2, this is 0.1.0") as caught:
        set_up(empty)
    assert caught.value.hint == "pip install -U 'fairway==0.7.2'"


def test_a_claim_keeps_its_class_and_never_shrinks(empty: Campus) -> None:
    plan = ServerPlan(replace(empty.target, storage="20Gi", storage_class="slow"), empty.namespace, "0.1.0")
    (claim,) = [one for one in render_server(plan) if one["kind"] == "PersistentVolumeClaim"]
    empty.cluster.create(claim)
    empty.write('storage = "5Gi"\nstorage-class = "fast"\nnodes = { "gpu" = "h100" }\n')
    with pytest.raises(InfraError):
        set_up(empty, timeout_s=0.1)
    spec = empty.find("PersistentVolumeClaim", "fairway-data")["spec"]
    assert (spec["storageClassName"], spec["resources"]["requests"]["storage"]) == ("slow", "20Gi")


def test_the_token_is_found_again_by_who_runs_pipelines(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_CONFIG", str(campus.config))
    assert find_token(server_key(campus.target)) == campus.token


PIPELINE = """
import os
import fairway as fw
import uvicorn

TEAM = os.environ["TEAM_OF_THIS_SHELL"]

@fw.step
def small(x: int) -> int:
    return x + len(uvicorn.__version__)

@fw.step(cpu=500)
def large(x: int, key: str) -> int:
    return x

@fw.pipeline
def flow():
    return large(small(1), fw.secret("DB"))
"""


def test_doctor_compares_a_pipeline_with_the_cluster_and_says_what_matters_first(
    campus: Campus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_OF_THIS_SHELL", "vision")
    (campus.folder / "flow.py").write_text(PIPELINE)
    said = campus.ask("doctor", str(campus.folder / "flow.py"), "--on", "campus", "-o", "json")
    assert said.status == 2, said.text
    found = json.loads(said.out)
    assert [one["level"] for one in found] == sorted((one["level"] for one in found), key=list(LEVELS).index)
    levels = {one["what"]: one["level"] for one in found}
    assert levels["the image python:3.11-slim has no uvicorn, which step 'small' imports"] == "problem"
    assert levels["the target 'campus' has no secret 'DB'"] == "problem"
    assert levels["step 'large' asks for 500 cpu, and no node of the cluster could hold that (too small: cpu)"] == "problem"
    assert levels["the variable TEAM_OF_THIS_SHELL is set here, and not at the target; without it this fails"] == "warning"
    assert "Kubernetes 1.36" in next(what for what, level in levels.items() if level == "ok")


def test_doctor_without_a_pipeline_looks_at_the_target(campus: Campus) -> None:
    said = campus.ask("doctor", "--on", "campus")
    assert said.status == 0, said.text
    assert "✓ the server is Fairway 0.1.0" in said.out and "✓ 1 node; the largest has 64 cpu" in said.out


def test_doctor_says_what_it_cannot_see_without_rights_to_nodes(campus: Campus) -> None:
    denied = campus.cluster.authority.denied
    denied.append(("list", "nodes"))
    try:
        said = campus.ask("doctor", "--on", "campus")
    finally:
        denied.clear()
    assert "· you may not list nodes: what fits is known only as far as quotas say" in said.out


def test_doctor_names_missing_rights_and_a_missing_server(campus: Campus, empty: Campus) -> None:
    denied = campus.cluster.authority.denied
    denied.append(("create", "pods/portforward"))
    try:
        said = campus.ask("doctor", "--on", "campus")
    finally:
        denied.clear()
    assert said.status == 2 and "✗ you may not create pods/portforward there" in said.out
    assert "you have no token for this server\n    `fairway up --on campus` makes one" in empty.ask("doctor", "--on", "campus").out


def test_what_cannot_run_is_refused_at_submit(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_OF_THIS_SHELL", "vision")
    file = campus.folder / "flow.py"
    file.write_text(PIPELINE.replace("import uvicorn\n", "").replace(" + len(uvicorn.__version__)", ""))
    said = campus.ask("run", str(file), "--on", "campus")
    assert said.err.startswith("error: step 'large' asks for 500 cpu, and no node of the cluster could hold that (too small: cpu)\n  at ")
    file = campus.folder / "other.py"
    file.write_text(PIPELINE.replace("(cpu=500)", "").replace(", key: str", "").replace(', fw.secret("DB")', ""))
    said = campus.ask("run", str(file), "--on", "campus")
    assert said.err.startswith("error: the image python:3.11-slim has no uvicorn, which step 'small' imports\n"), said.text
    assert json.loads(campus.ask("runs", "--on", "campus", "-o", "json").out) == []


def test_a_connection_that_nobody_holds_any_more_lets_its_forward_go(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook opens one with each `fw.runs`, and closes none."""
    monkeypatch.setenv("FAIRWAY_CONFIG", str(campus.config))
    monkeypatch.setenv("FAIRWAY_TARGET", "campus")
    before = set(threading.enumerate())
    connection = open_connection(load_project(str(campus.folder)))
    assert connection.facts["version"]
    (thread,) = {one for one in threading.enumerate() if one.name.startswith("forward")} - before
    del connection
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
