"""What is beside `fairway up`: taking the server away, who may use it, what secrets its steps get, a pipeline stamped out as YAML."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fairway.engine import undeploy
from fairway.engine.deploy import connect
from fairway.engine.project import load_project
from fairway.kube.server_manifests import ServerPlan, pod_labels, render_server
from fairway.spec.record import replace
from fairway.spec.tokens import KeptToken, digest_token, make_user_token, parse_kept, user_of
from tests.kube.emulator import Emulator, Image
from tests.kube.emulator.kinds import get_kind
from tests.kube.emulator.rig import container, pod
from tests.kube.uprig import Campus

PIPELINE = """
import fairway as fw


@fw.step
def double(x: int) -> int:
    return 2 * x


@fw.pipeline
def small(x: int = 1):
    return double(double(x))
"""


# Says of runs how they are, as the server's API does.
SERVER = """
import json, os, sys, http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        run = self.path.split("/")[-2]
        status = json.loads(sys.argv[1]).get(run)
        body = json.dumps({"run": run, "status": status} if status else {}).encode()
        self.send_response(200 if status else 404); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Server).serve_forever()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    images = [Image("ours/fairway:1", python=sys.executable)]
    with pytest.MonkeyPatch.context() as patch, Emulator(tmp_path_factory.mktemp("cluster"), images=images, pace=0.1) as made:
        patch.setenv("USER", "ada")
        for name in ("FAIRWAY_USER", "FAIRWAY_TOKEN", "FAIRWAY_TARGET", "FAIRWAY_CONFIG"):
            patch.delenv(name, raising=False)
        yield made


@pytest.fixture
def campus(cluster: Emulator, tmp_path: Path, request: pytest.FixtureRequest) -> Campus:
    """A namespace with the objects of a server, whose image has it."""
    made = Campus(tmp_path, cluster, f"ns-{abs(hash(request.node.name)) % 10**8}", 'server-image = "ours/fairway:1"\n')
    (tmp_path / "small.py").write_text(PIPELINE)
    return made


def place(campus: Campus, *, key: str = "ab" * 32) -> None:
    """The server's objects as `fairway up` makes them, but the one that runs something."""
    for one in render_server(ServerPlan(campus.target, campus.namespace, "0.1.0", signing_key=key)):
        if one["kind"] != "Deployment":
            campus.cluster.create(one)


def apply(campus: Campus, objects: list[dict[str, Any]]) -> None:
    async def go() -> None:
        client = connect(campus.target)
        for one in objects:
            await client.apply(one)
        await client.close()

    asyncio.run(go())


def add_run(campus: Campus, run: str, **meta: Any) -> None:
    """What a run that goes on has in the namespace."""
    labels = {"app.kubernetes.io/managed-by": "fairway", "app.kubernetes.io/part-of": "fairway", "fairway.dev/run": run}
    owner = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": f"run-{run}", "namespace": campus.namespace, "labels": labels}}
    made = campus.cluster.create(owner)
    body = pod(f"{run}-1", script="sleep 600", labels=labels, terminationGracePeriodSeconds=0, nodeSelector={"no": "where"})
    body["metadata"] |= {"namespace": campus.namespace, "ownerReferences": [_reference(made)], **meta}
    campus.cluster.create(body)
    campus.cluster.wait(lambda: (campus.find("Pod", f"{run}-1") or {}).get("status", {}).get("phase") == "Pending")


def end_run(campus: Campus, run: str) -> None:
    """Have its pod deleted."""
    campus.cluster.call(lambda: campus.cluster.memory.delete(get_kind("Pod"), campus.namespace, f"{run}-1", grace_s=0))


def serve(campus: Campus, monkeypatch: pytest.MonkeyPatch, **statuses: str) -> None:
    """A server behind what `place` has made, which goes with its Service and knows of these runs how they are."""
    monkeypatch.setenv("FAIRWAY_TOKEN", make_user_token("ada"))
    monkeypatch.setattr(undeploy, "_PATIENCE_S", 60.0)
    variable = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1000}
    words = ("python3", "-c", SERVER, json.dumps(statuses))
    main = container("main", *words, image="python:3.11-slim", env=[variable], readinessProbe=probe)
    body = pod("server", main, labels=pod_labels("fairway"), terminationGracePeriodSeconds=0)
    body["metadata"] |= {"namespace": campus.namespace, "ownerReferences": [_reference(campus.find("Service", "fairway"))]}
    campus.cluster.create(body)
    campus.cluster.wait(lambda: any(one["ready"] for one in campus.find("Pod", "server").get("status", {}).get("containerStatuses", ())))


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}


def test_down_removes_what_up_made_and_keeps_the_volume(campus: Campus) -> None:
    theirs = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "theirs", "namespace": campus.namespace}}
    campus.cluster.create(theirs)
    place(campus)
    said = campus.ask("down")
    assert said.status == 0, said.text
    assert list(campus.versions()) == ["PersistentVolumeClaim fairway-data"]
    assert "theirs" in campus.names("Secret")
    assert "removed Service fairway, RoleBinding fairway, Role fairway, ServiceAccount fairway, Secret fairway-server" in said.err
    assert "kept the volume fairway-data" in said.err


def test_down_leaves_what_has_the_name_and_is_not_ours(campus: Campus) -> None:
    service = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "fairway", "namespace": campus.namespace}}
    campus.cluster.create({**service, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})
    for one in render_server(ServerPlan(campus.target, campus.namespace, "0.1.0", signing_key="ab")):
        if one["kind"] not in ("Deployment", "Service"):
            campus.cluster.create(one)
    said = campus.ask("down")
    assert "left alone: Service fairway, which `fairway up` did not make" in said.err
    assert "Service fairway" in campus.versions()


def test_down_says_so_where_there_is_nothing(campus: Campus) -> None:
    said = campus.ask("down")
    assert (said.status, said.err) == (0, f"there is no server in the namespace {campus.namespace}\n")


def test_the_volume_goes_only_when_that_is_confirmed(campus: Campus) -> None:
    place(campus)
    refused = campus.ask("down", "--volume")
    assert (refused.status, len(campus.versions())) == (2, 6)
    assert refused.err == "error: this needs a confirmation, and there is no terminal to ask on\n  add --yes\n"
    add_run(campus, "r1")
    said = campus.ask("down", "--volume", "--yes")
    assert said.status == 0, said.text
    campus.cluster.wait(lambda: campus.names("PersistentVolumeClaim") == [] and campus.names("Pod") == [])
    assert campus.versions() == {}
    assert "run-r1" not in campus.names("ConfigMap")


def test_runs_that_go_on_are_warned_about(campus: Campus) -> None:
    place(campus)
    add_run(campus, "r2")
    refused = campus.ask("down")
    assert (refused.status, len(campus.versions())) == (2, 6)
    assert refused.err.startswith("warning: 1 run with 1 pod going on: r2\n")
    assert campus.ask("down", "--yes").status == 0
    assert campus.names("Pod") == ["r2-1"]


def test_runs_that_have_ended_are_not_warned_about(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pods run until the agents have seen that their outcomes have come."""
    place(campus)
    serve(campus, monkeypatch, done="succeeded", goes="running")
    for run in ("done", "goes", "strange"):
        add_run(campus, run)
    refused = campus.ask("down")
    assert (refused.status, len(campus.versions())) == (2, 6)
    assert refused.err.startswith("warning: 2 runs with 2 pods going on: goes, strange\n")
    end_run(campus, "goes")
    end_run(campus, "strange")
    monkeypatch.setattr(undeploy, "ENDING_S", 0.0)
    said = campus.ask("down")
    assert said.status == 0, said.text
    assert said.err.startswith("waiting for the last pods of runs that have ended\nremoved Service fairway")


def test_down_lets_the_server_clear_up_after_runs_that_have_ended(campus: Campus, monkeypatch: pytest.MonkeyPatch) -> None:
    place(campus)
    serve(campus, monkeypatch, done="failed")
    add_run(campus, "done")
    monkeypatch.setattr(undeploy, "ENDING_S", 600.0)

    async def go() -> None:
        client, said = connect(campus.target), asyncio.Event()
        project = replace(load_project(str(campus.folder)), target="campus")
        there = await undeploy.find_presence(client, campus.target)
        assert there.live == {"done": 1}
        waiting = asyncio.create_task(undeploy.leave_out_ended(client, project, there, say=lambda text: said.set()))
        await said.wait()
        assert not waiting.done()
        end_run(campus, "done")
        assert (await waiting).live == {}
        await client.close()

    asyncio.run(go())


@pytest.mark.parametrize("sidecar", [False, True])
def test_pods_that_end_are_of_no_run_that_goes_on(campus: Campus, sidecar: bool) -> None:
    place(campus)
    add_run(campus, "ended")
    add_run(campus, "leaving", finalizers=["example.com/held"])
    end_run(campus, "leaving")
    assert campus.find("Pod", "leaving-1")["metadata"]["deletionTimestamp"]
    state: dict[str, Any] = {"running": {}} if sidecar else {"terminated": {"exitCode": 0}}
    status = {
        "phase": "Running",
        "initContainerStatuses": [{"name": "ship", "state": state}],
        "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 0}}}],
    }
    memory = campus.cluster.memory
    where = (get_kind("Pod"), campus.namespace, "ended-1")
    campus.cluster.call(lambda: memory.change(*where, lambda one: one.update(status=status), subresource="status"))
    said = campus.ask("down")
    if sidecar:  # it still ships what the program has written
        assert (said.status, said.err.partition("\n")[0]) == (2, "warning: 1 run with 1 pod going on: ended")
    else:
        assert said.status == 0 and said.err.startswith("removed Service fairway")


def test_down_removes_nothing_where_a_right_is_missing(campus: Campus) -> None:
    place(campus)
    campus.cluster.authority.denied.append(("delete", "roles"))
    try:
        said = campus.ask("down")
    finally:
        campus.cluster.authority.denied.clear()
    assert said.err.startswith("error: you may not delete roles.rbac.authorization.k8s.io in the namespace")
    assert len(campus.versions()) == 6


def test_a_token_is_written_once_and_only_its_digest_is_kept(campus: Campus) -> None:
    place(campus)
    said = campus.ask("token", "add", "bob")
    token = said.out.strip()
    assert (said.status, user_of(token)) == (0, "bob")
    assert token not in said.err and token not in campus.everything()
    data = campus.find("Secret", "fairway-server")["data"]
    assert parse_kept(base64.b64decode(data["token.bob"]).decode()) == KeptToken(digest_token(token), "run")
    assert base64.b64decode(data["signing-key"]).decode() == "ab" * 32
    assert campus.ask("token", "add", "bob").err.startswith("error: the user 'bob' has a token already\n")
    other = campus.ask("token", "add", "bob", "--replace").out.strip()
    assert user_of(other) == "bob" and other != token
    assert campus.ask("token", "list").out == "user  role  projects\nbob   run   all\n"
    assert json.loads(campus.ask("token", "list", "-o", "json").out) == [{"name": "bob", "role": "run", "projects": []}]
    assert campus.ask("token", "remove", "bob").err == "bob has no token any more\n"
    assert campus.ask("token", "list").out == "user  role  projects\n"
    assert campus.ask("token", "remove", "bob").status == 2


def test_a_token_has_a_role_and_projects(campus: Campus) -> None:
    place(campus)
    said = campus.ask("token", "add", "eve", "--role", "view", "--project", "churn", "--project", "fraud")
    assert said.err.startswith("eve has the role 'view'; hand over the token safely")
    admin = campus.ask("token", "add", "ada", "--role", "admin").out.strip()
    kept = {name: base64.b64decode(value).decode() for name, value in campus.find("Secret", "fairway-server")["data"].items()}
    assert parse_kept(kept["token.eve"]) == KeptToken(digest_token(said.out.strip()), "view", ("churn", "fraud"))
    assert kept["token.ada"] == digest_token(admin), "the form that all servers read"
    assert campus.ask("token", "list").out.splitlines()[1:] == ["ada   admin  all", "eve   view   churn, fraud"]
    assert campus.ask("token", "add", "bob", "--role", "owner").status == 2
    assert campus.ask("token", "add", "bob", "--project", "").err.startswith("error: a project needs a name\n")


def test_a_token_that_one_was_given_is_read_from_stdin(campus: Campus) -> None:
    place(campus)
    token = campus.ask("token", "add", "bob").out
    said = campus.ask("token", "use", stdin=token)
    assert (said.err, campus.token) == ("you are 'bob' on campus\n", token.strip())
    assert campus.ask("token", "use", stdin="nonsense\n").err.startswith("error: this is no token\n")


def test_tokens_need_a_server(campus: Campus) -> None:
    said = campus.ask("token", "list")
    assert said.err == f"error: there is no server in the namespace {campus.namespace}\n  fairway up --on campus\n"


def test_secrets_are_set_from_stdin_and_never_shown(campus: Campus) -> None:
    said = campus.ask("secret", "set", "DB", stdin="hunter2\n")
    assert (said.status, said.err) == (0, "DB is set\n")
    assert campus.ask("secret", "set", "KEY", stdin="-----\nabc\n-----\n").err == "KEY is set\n"
    assert campus.ask("secret", "set", "DB", stdin="hunter3").err == "DB is replaced\n"
    listed = campus.ask("secret", "list")
    assert listed.out == "DB\nKEY\n"
    data = campus.find("Secret", "fairway-secrets")["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == {"DB": "hunter3", "KEY": "-----\nabc\n-----\n"}
    assert campus.ask("secret", "remove", "DB").err == "DB is removed\n"
    assert json.loads(campus.ask("secret", "list", "-o", "json").out) == ["KEY"]
    missing = campus.ask("secret", "remove", "DB")
    assert missing.err == "error: there is no secret 'DB' on campus\n  there are: KEY\n"


@pytest.mark.parametrize(("words", "stdin", "message"), [(["a-b"], "x", "cannot be a secret's name"), (["DB"], "", "no value came for DB")])
def test_a_secret_that_cannot_be_is_refused(campus: Campus, words: list[str], stdin: str, message: str) -> None:
    said = campus.ask("secret", "set", *words, stdin=stdin)
    assert said.status == 2 and message in said.err
    assert campus.names("Secret") == []


def test_down_keeps_the_users_secrets_and_says_so(campus: Campus) -> None:
    place(campus)
    campus.ask("secret", "set", "DB", stdin="x")
    said = campus.ask("down")
    assert f"kept your secrets: kubectl delete secret fairway-secrets -n {campus.namespace}" in said.err
    assert campus.names("Secret") == ["fairway-secrets"]


def test_an_export_needs_a_server_image(campus: Campus) -> None:
    campus.write("")
    said = campus.ask("export", str(campus.folder / "small.py"))
    assert said.status == 2
    assert said.err.startswith("error: an export needs an image that has Fairway in it: python:3.11-slim is a bare one")
    assert "fairway image build --server" in said.err


def test_an_exported_pipeline_runs_by_apply_alone(campus: Campus) -> None:
    gang = "@fw.step(gang=fw.gang(replicas=2), cpu=0.1)\ndef together(x: int) -> int:\n    return x\n\n\n@fw.pipeline"
    (campus.folder / "small.py").write_text(PIPELINE.replace("double(double(x))", "together(double(x))").replace("@fw.pipeline", gang))
    path = campus.folder / "small.yaml"
    said = campus.ask("export", str(campus.folder / "small.py"), "--to", str(path), "-p", "x=5", "--name", "stamped")
    assert said.status == 0, said.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "the server makes the objects of gangs (together) when the run comes to them: its last lines show them" in said.err
    assert "# What the server makes for the gang together" in path.read_text()
    objects = list(yaml.safe_load_all(path.read_text()))
    for minor in range(28, 38):
        for one in objects:
            kubernetes_validate.validate(one, f"1.{minor}", strict=True)
    apply(campus, objects)
    (job,) = [one["metadata"]["name"] for one in objects if one["kind"] == "Job"]
    campus.cluster.wait(lambda: (campus.find("Job", job) or {}).get("status", {}).get("succeeded") == 1, timeout_s=60)
    assert campus.ask("up").status == 0  # whoever wants to look on
    shown = campus.ask("runs", "--on", "campus", "-o", "json")
    (run,) = json.loads(shown.out)
    assert (run["pipeline"], run["name"], run["created_by"]) == ("small", "stamped", "export")


def test_an_export_names_the_secrets_that_it_does_not_hold(campus: Campus) -> None:
    text = PIPELINE.replace("def double(x: int)", "def double(x: int, key: str)").replace(
        "(double(x))", "(double(x, 'a'), fw.secret('DB'))"
    )
    (campus.folder / "small.py").write_text(text)
    said = campus.ask("export", str(campus.folder / "small.py"))
    assert "# Before: kubectl create secret generic fairway-secrets --from-literal=DB=…\n" in said.out
    assert "its steps take secrets that are not in it: DB" in said.err


def test_code_that_is_too_large_for_yaml_is_refused(campus: Campus) -> None:
    import random

    data = random.Random(1).randbytes(900_000)
    (campus.folder / "weights.bin").write_bytes(data)
    campus.write('server-image = "ours/fairway:1"\n')
    text = (campus.folder / "fairway.toml").read_text()
    (campus.folder / "fairway.toml").write_text(f'include = ["weights.bin"]\n{text}')
    said = campus.ask("export", str(campus.folder / "small.py"))
    assert said.status == 2 and said.err.startswith("error: the code and inputs are 0.9 MB packed, and YAML can hold 0.7\n")
