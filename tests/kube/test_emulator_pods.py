"""The emulator's kubelet: what a pod's processes see, and how their ends are shown."""

from __future__ import annotations

import base64
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kube.emulator import Emulator, Image
from tests.kube.emulator.rig import Caller, Object, container, ended, log_of, phase, pod, run_pod

PYTHON = "python:3.11-slim"
FOREVER = "import signal; signal.pause()"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    images = [Image("ours:1", programs={"tool": "/bin/cat"}, shell=False, user=1000, command=("tool", "/etc/hostname"))]
    with Emulator(Path(tmp_path_factory.mktemp("cluster")), images=images) as made:
        yield made


def state(found: Object, name: str = "main", field: str = "containerStatuses") -> dict[str, Any]:
    return next(each["state"] for each in found["status"].get(field, []) if each["name"] == name)


def waiting(cluster: Emulator, name: str, reason: str) -> str:
    """The message of a container that waits for that reason, once it does."""

    def shown() -> dict[str, Any]:
        found = cluster.find("Pod", name)
        statuses = ((found or {}).get("status") or {}).get("containerStatuses") or [{"state": {}}]
        return statuses[0]["state"].get("waiting") or {}

    cluster.wait(lambda: shown().get("reason") == reason)
    return shown().get("message", "")


def events(cluster: Emulator, name: str, reason: str) -> list[str]:
    return [each["message"] for each in cluster.list("Event") if each["involvedObject"]["name"] == name and each["reason"] == reason]


def running(cluster: Emulator, name: str, text: str) -> None:
    """Wait until the pod's first container has printed that."""
    cluster.wait(lambda: cluster.find("Pod", name) is not None and phase(cluster, name) == "Running")
    run = cluster.kubelet.runs[cluster.find("Pod", name)["metadata"]["uid"]]  # type: ignore[index]
    follow(cluster, run.mains[0], text)


def follow(cluster: Emulator, one: Any, text: str) -> None:
    async def read() -> None:
        async for _ in one.log.read(follow=True, tail=None, since=0, stamps=False):
            if text.encode() in one.log.text():
                return

    cluster.call(read)


# ---- processes


def test_a_pod_runs_its_command_and_succeeds(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("greets", script="echo hello"))
    assert found["status"]["phase"] == "Succeeded"
    assert state(found)["terminated"]["reason"] == "Completed"
    assert log_of(cluster, "greets") == "hello\n"


def test_an_exit_code_is_the_containers(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("fails", script="exit 7"))
    assert found["status"]["phase"] == "Failed"
    assert (state(found)["terminated"]["exitCode"], state(found)["terminated"]["reason"]) == (7, "Error")


def test_a_signal_is_an_exit_code_above_128(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("dies", script="kill -9 $$$$"))
    assert state(found)["terminated"]["exitCode"] == 137


def test_a_container_sees_its_own_variables_and_none_of_ours(cluster: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "leaked")
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(UNKNOWN)-$$(A)"}]
    run_pod(cluster, pod("sees", container(script='echo "$B|$OURS|$HOSTNAME|$0|$1"', env=env, args=["zero", "is $(A)"])))
    assert log_of(cluster, "sees") == "1-$(UNKNOWN)-$(A)||sees|zero|is 1\n"


def test_the_downward_api_says_who_and_where_a_pod_is(cluster: Emulator) -> None:
    paths = {
        "NAME": "metadata.name",
        "NODE": "spec.nodeName",
        "IP": "status.podIP",
        "LABEL": "metadata.labels['app']",
        "UID_": "metadata.uid",
    }
    env: list[Object] = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in paths.items()]
    env.append({"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}})
    one = container(script="echo $NAME $NODE $IP $LABEL $UID_ $MEMORY", env=env, resources={"limits": {"memory": "64Mi"}})
    found = run_pod(cluster, pod("who", one, labels={"app": "me"}))
    assert log_of(cluster, "who") == f"who n1 {found['status']['podIP']} me {found['metadata']['uid']} 64\n"


def test_variables_come_from_secrets_and_config_maps(cluster: Emulator) -> None:
    call = Caller(cluster)
    call.create({"kind": "Secret", "metadata": {"name": "vars"}, "data": {"TOKEN": base64.b64encode(b"hush").decode(), "K": "Yg=="}})
    call.create({"kind": "ConfigMap", "metadata": {"name": "vars"}, "data": {"K": "c"}})
    env = [
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "vars", "key": "TOKEN"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "vars", "key": "K"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "x", "optional": True}}},
    ]
    sources = [{"secretRef": {"name": "vars"}, "prefix": "S_"}, {"configMapRef": {"name": "absent", "optional": True}}]
    run_pod(cluster, pod("varied", container(script='echo "$T $C $S_K ${NONE-unset}"', env=env, envFrom=sources)))
    assert log_of(cluster, "varied") == "hush c b unset\n"


def test_a_container_waits_for_a_secret_that_is_not_there(cluster: Emulator) -> None:
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "later", "key": "k"}}}]
    cluster.create(pod("patient", container(script="echo $T", env=env)))
    assert waiting(cluster, "patient", "CreateContainerConfigError") == 'secret "later" not found'
    Caller(cluster).create({"kind": "Secret", "metadata": {"name": "later"}, "stringData": {"other": "x"}})
    cluster.wait(lambda: "couldn't find key" in str(cluster.find("Pod", "patient")))
    Caller(cluster)("PATCH", "secrets/later", {"stringData": {"k": "here"}}, kind="application/merge-patch+json")
    cluster.wait(ended(cluster, "patient"))
    assert log_of(cluster, "patient") == "here\n"


def test_services_are_variables_unless_the_pod_wants_none(cluster: Emulator) -> None:
    spec = {"ports": [{"name": "web", "port": 8080}]}
    made = Caller(cluster).create({"kind": "Service", "metadata": {"name": "my-app"}, "spec": spec})
    address = made["spec"]["clusterIP"]
    show = 'echo "$MY_APP_SERVICE_HOST $MY_APP_PORT $MY_APP_SERVICE_PORT_WEB"'
    run_pod(cluster, pod("linked", script=show))
    assert log_of(cluster, "linked") == f"{address} tcp://{address}:8080 8080\n"
    run_pod(cluster, pod("unlinked", script=show, enableServiceLinks=False))
    assert log_of(cluster, "unlinked").strip() == ""


# ---- volumes


def test_containers_of_a_pod_share_an_empty_volume_by_their_own_paths(cluster: Emulator) -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    first = container("first", script="echo one > /data/x", volumeMounts=[{"name": "v", "mountPath": "/data"}])
    where = [{"name": "WHERE", "value": "/in/x"}]
    main = container("main", script="cat $WHERE /in/x", volumeMounts=[{"name": "v", "mountPath": "/in"}], env=where)
    run_pod(cluster, pod("shares", main, initContainers=[first], volumes=volumes))
    assert log_of(cluster, "shares") == "one\none\n"


def test_only_whole_paths_are_replaced(cluster: Emulator) -> None:
    one = container(script="echo /data2 x/data ./data http://host/data /data", volumeMounts=[{"name": "v", "mountPath": "/data"}])
    run_pod(cluster, pod("exact", one, volumes=[{"name": "v", "emptyDir": {}}]))
    words = log_of(cluster, "exact").split()
    assert words[:4] == ["/data2", "x/data", "./data", "http://host/data"]
    assert words[4].endswith("/volumes/v")


def test_secrets_and_config_maps_are_files(cluster: Emulator) -> None:
    call = Caller(cluster)
    call.create({"kind": "Secret", "metadata": {"name": "files"}, "stringData": {"a": "A", "b": "B"}})
    call.create({"kind": "ConfigMap", "metadata": {"name": "files"}, "data": {"c": "C"}})
    volumes = [
        {"name": "s", "secret": {"secretName": "files", "items": [{"key": "a", "path": "sub/a"}]}},
        {"name": "c", "configMap": {"name": "files"}},
    ]
    mounts = [{"name": "s", "mountPath": "/s"}, {"name": "c", "mountPath": "/etc/c", "readOnly": True}]
    run_pod(cluster, pod("filed", container(script="cat /s/sub/a /etc/c/c; ls /s", volumeMounts=mounts), volumes=volumes))
    assert log_of(cluster, "filed") == "ACsub\n"


def test_a_pod_waits_for_a_volume_that_is_not_there(cluster: Emulator) -> None:
    one = container(script="cat /s/a", volumeMounts=[{"name": "s", "mountPath": "/s"}])
    cluster.create(pod("mounts", one, volumes=[{"name": "s", "secret": {"secretName": "mount-later"}}]))
    waiting(cluster, "mounts", "ContainerCreating")
    cluster.wait(lambda: events(cluster, "mounts", "FailedMount"))
    assert events(cluster, "mounts", "FailedMount") == ['MountVolume.SetUp failed for volume "s" : secret "mount-later" not found']
    Caller(cluster).create({"kind": "Secret", "metadata": {"name": "mount-later"}, "stringData": {"a": "now\n"}})
    cluster.wait(ended(cluster, "mounts"))
    assert log_of(cluster, "mounts") == "now\n"


def test_a_claim_outlives_its_pods(cluster: Emulator) -> None:
    Caller(cluster).create({"kind": "PersistentVolumeClaim", "metadata": {"name": "kept"}, "spec": {"accessModes": ["ReadWriteOnce"]}})
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "kept"}}]
    mounts = [{"name": "v", "mountPath": "/v", "subPath": "deep/er"}]
    run_pod(cluster, pod("writes", container(script="echo kept > /v/x", volumeMounts=mounts), volumes=volumes))
    run_pod(cluster, pod("reads", container(script="cat /v/deep/er/x", volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=volumes))
    assert log_of(cluster, "reads") == "kept\n"


def test_a_token_is_mounted_unless_the_pod_wants_none(cluster: Emulator) -> None:
    body = pod("tokened", script="cat /var/run/secrets/kubernetes.io/serviceaccount/namespace")
    del body["spec"]["automountServiceAccountToken"]
    found = run_pod(cluster, body)
    assert log_of(cluster, "tokened") == "default"
    assert any("serviceAccountToken" in str(volume) for volume in found["spec"]["volumes"])
    assert "volumes" not in run_pod(cluster, pod("tokenless"))["spec"]


# ---- images


def test_an_image_that_is_not_there_is_backed_off_from_with_the_registrys_words(cluster: Emulator) -> None:
    cluster.create(pod("pulls", container(script="true", image="nowhere/none:1")))
    message = waiting(cluster, "pulls", "ImagePullBackOff")
    assert message.startswith(
        'Back-off pulling image "nowhere/none:1": ErrImagePull: failed to pull and unpack image "docker.io/nowhere/none:1": '
    )
    assert "docker.io/nowhere/none:1" in message and "pull access denied" in message
    cluster.create(pod("tags", container(script="true", image="busybox:0.1")))
    assert waiting(cluster, "tags", "ImagePullBackOff").endswith("docker.io/library/busybox:0.1: not found")
    assert events(cluster, "tags", "Failed")


def test_an_image_without_a_shell_or_python_cannot_start_them(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("shellless", container(script="true", image="ours:1")))
    assert (state(found)["terminated"]["exitCode"], state(found)["terminated"]["reason"]) == (128, "StartError")
    assert 'exec: "sh": executable file not found in $PATH' in state(found)["terminated"]["message"]
    found = run_pod(cluster, pod("pythonless", container("main", "python3", "-c", "1")))
    assert state(found)["terminated"]["exitCode"] == 128


def test_an_images_own_command_runs_where_the_pod_gives_none(cluster: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("from the image")
    one = container("main", image="ours:1", args=[str(path)])
    del one["command"]
    cluster.images.add(Image("ours:2", programs={"tool": "/bin/cat"}, shell=False, user=1000, command=("tool",)))
    run_pod(cluster, pod("images-own", one | {"image": "ours:2"}))
    assert log_of(cluster, "images-own") == "from the image"


def test_an_image_that_would_run_as_root_is_not_started(cluster: Emulator) -> None:
    safe = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    cluster.create(pod("rooted", securityContext=safe))
    assert waiting(cluster, "rooted", "CreateContainerConfigError").startswith("container has runAsNonRoot and image will run as root")
    found = run_pod(cluster, pod("unrooted", container("main", "tool", "/dev/null", image="ours:1"), securityContext=safe))
    assert found["status"]["phase"] == "Succeeded"


# ---- init containers and sidecars


def test_init_containers_run_one_after_the_other_and_stop_at_a_failure(cluster: Emulator) -> None:
    inits = [container("a", script="echo a"), container("b", script="exit 3"), container("c", script="echo c")]
    found = run_pod(cluster, pod("inits", script="echo main", initContainers=inits))
    assert found["status"]["phase"] == "Failed"
    assert state(found, "b", "initContainerStatuses")["terminated"]["exitCode"] == 3
    assert state(found, "c", "initContainerStatuses") == {"waiting": {"reason": "PodInitializing"}}
    assert state(found)["waiting"]["reason"] == "PodInitializing"
    assert log_of(cluster, "inits", "a") == "a\n"


def test_a_sidecar_starts_before_and_is_ended_after_the_main_container(cluster: Emulator) -> None:
    script = "trap 'cat /v/done; exit 0' TERM; touch /v/up; while :; do sleep 0.01; done"
    mounts = [{"name": "v", "mountPath": "/v"}]
    side = container("side", script=script, volumeMounts=mounts, restartPolicy="Always")
    probe = {"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1}
    main = container("main", script="test -e /v/up && echo done > /v/done", volumeMounts=mounts)
    body = pod("sides", main, initContainers=[side | {"startupProbe": probe}], volumes=[{"name": "v", "emptyDir": {}}])
    found = run_pod(cluster, body)
    assert found["status"]["phase"] == "Succeeded"
    assert log_of(cluster, "sides", "side") == "done\n"
    assert state(found, "side", "initContainerStatuses")["terminated"]["exitCode"] == 0


def test_a_sidecar_that_ends_is_started_again(cluster: Emulator) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    side = container("side", script="echo x >> /v/n; sleep 0.01", volumeMounts=mounts, restartPolicy="Always")
    main = container("main", script="while [ $(cat /v/n | wc -l) -lt 3 ]; do sleep 0.01; done", volumeMounts=mounts)
    found = run_pod(cluster, pod("again", main, initContainers=[side], volumes=[{"name": "v", "emptyDir": {}}]))
    assert found["status"]["phase"] == "Succeeded"
    assert found["status"]["initContainerStatuses"][0]["restartCount"] >= 2


# ---- ends


def test_a_deleted_pod_gets_sigterm_and_is_gone_when_it_has_ended(cluster: Emulator) -> None:
    script = "import signal, sys; signal.signal(15, lambda *_: sys.exit('asked')); print('up', flush=True); signal.pause()"
    cluster.create(pod("stops", container("main", "python3", "-c", script, image=PYTHON)))
    running(cluster, "stops", "up")
    one = cluster.kubelet.runs[cluster.find("Pod", "stops")["metadata"]["uid"]].mains[0]  # type: ignore[index]
    answer = Caller(cluster)("DELETE", "pods/stops")
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 30
    cluster.wait(lambda: cluster.find("Pod", "stops") is None)
    assert one.log.text() == b"up\nasked\n"


def test_what_does_not_heed_sigterm_is_killed_after_the_grace(cluster: Emulator) -> None:
    script = "import os, signal; signal.signal(15, signal.SIG_IGN); print('up', os.getpid(), flush=True); signal.pause()"
    cluster.create(pod("stays", container("main", "python3", "-c", script, image=PYTHON), terminationGracePeriodSeconds=1))
    running(cluster, "stays", "up")
    pid = int(log_of(cluster, "stays").split()[1])
    Caller(cluster)("DELETE", "pods/stays")
    assert cluster.find("Pod", "stays") is not None
    cluster.wait(lambda: cluster.find("Pod", "stays") is None)
    assert not Path(f"/proc/{pid}").exists()


def test_a_pod_deleted_without_grace_is_gone_at_once_and_so_are_its_processes(cluster: Emulator) -> None:
    # A grandchild in a session of its own: it dies with the container all the same.
    script = "import subprocess, signal; p = subprocess.Popen(['sleep', '100'], start_new_session=True); "
    script += "print('up', p.pid, flush=True); signal.pause()"
    cluster.create(pod("forced", container("main", "python3", "-c", script, image=PYTHON)))
    running(cluster, "forced", "up")
    pid = int(log_of(cluster, "forced").split()[1])
    handle = os.pidfd_open(pid)
    uid = cluster.find("Pod", "forced")["metadata"]["uid"]  # type: ignore[index]
    Caller(cluster)("DELETE", "pods/forced", {"gracePeriodSeconds": 0})
    assert cluster.find("Pod", "forced") is None
    cluster.wait(lambda: uid not in cluster.kubelet.runs)
    assert select.select([handle], [], [], 60)[0], "it lives on"
    os.close(handle)


def test_a_pod_runs_no_longer_than_its_deadline(cluster: Emulator) -> None:
    body = pod("overdue", container("main", "python3", "-c", FOREVER, image=PYTHON), activeDeadlineSeconds=1)
    found = run_pod(cluster, body)
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert found["status"]["message"] == "Pod was active on the node longer than the specified deadline"


def test_a_failing_container_is_started_again_as_its_policy_says(cluster: Emulator) -> None:
    one = container(script="echo x >> /v/n; test $(cat /v/n | wc -l) = 3", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    found = run_pod(cluster, pod("retried", one, restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}]))
    assert found["status"]["phase"] == "Succeeded"
    assert found["status"]["containerStatuses"][0]["restartCount"] == 2
    assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert any(words.startswith("back-off") for words in events(cluster, "retried", "BackOff"))


# ---- probes


def test_a_pod_is_ready_once_its_probe_succeeds(cluster: Emulator) -> None:
    script = "import http.server as h; h.HTTPServer(('0.0.0.0', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
    probe = {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 1}
    one = container("main", "python3", "-c", script, image=PYTHON, ports=[{"name": "web", "containerPort": 8080}], readinessProbe=probe)
    cluster.create(pod("serves", one))

    def ready() -> bool:
        conditions = (cluster.find("Pod", "serves") or {"status": {}})["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    assert not ready()
    cluster.wait(ready)
    Caller(cluster)("DELETE", "pods/serves", {"gracePeriodSeconds": 0})


def test_a_container_that_fails_its_liveness_probe_is_started_again(cluster: Emulator) -> None:
    probe = {"exec": {"command": ["test", "-e", "/v/alive"]}, "periodSeconds": 5, "failureThreshold": 2}
    mounts = [{"name": "v", "mountPath": "/v"}]
    one = container(script="test -e /v/once && exit 0; touch /v/once; sleep 100", volumeMounts=mounts, livenessProbe=probe)
    found = run_pod(cluster, pod("alive", one, restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}]))
    assert found["status"]["containerStatuses"][0]["restartCount"] == 1
    assert any("Liveness probe failed" in words for words in events(cluster, "alive", "Unhealthy"))
    assert events(cluster, "alive", "Killing") == ["Container main failed liveness probe, will be restarted"]


# ---- logs


def test_logs_are_read_in_parts_and_with_times(cluster: Emulator) -> None:
    run_pod(cluster, pod("logs", script="for i in 1 2 3; do echo line $i; done; printf end"))
    call = Caller(cluster)
    assert call("GET", "pods/logs/log?tailLines=2").text == b"line 3\nend"
    assert call("GET", "pods/logs/log?limitBytes=4").text == b"line"
    stamped = call("GET", "pods/logs/log?timestamps=true&tailLines=1").text.decode()
    assert stamped.startswith("20") and stamped.endswith("Z end")
    assert call("GET", "pods/logs/log?sinceSeconds=0").text == b""


def test_a_followed_log_ends_with_its_container(cluster: Emulator, tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    cluster.create(pod("followed", script=f"echo up; cat {fifo}; echo done"))
    running(cluster, "followed", "up")
    answers: list[bytes] = []

    def write() -> None:
        with fifo.open("w") as file:
            file.write("through\n")

    async def read() -> None:
        one = cluster.kubelet.runs[cluster.find("Pod", "followed")["metadata"]["uid"]].mains[0]  # type: ignore[index]
        async for data in one.log.read(follow=True, tail=None, since=0, stamps=False):
            answers.append(data)
            if len(answers) == 1:
                await cluster.loop.run_in_executor(None, write)

    cluster.call(read)
    assert b"".join(answers) == b"up\nthrough\ndone\n"


def test_a_log_that_is_not_there_is_refused_in_the_api_servers_words(cluster: Emulator) -> None:
    call = Caller(cluster)
    cluster.create(pod("unstarted", container(script="true", image="nowhere/none:1")))
    waiting(cluster, "unstarted", "ImagePullBackOff")
    answer = call("GET", "pods/unstarted/log")
    assert answer.code == 400
    assert answer.body["message"] == 'container "main" in pod "unstarted" is waiting to start: image can\'t be pulled'
    run_pod(cluster, pod("two", container("a", script="echo a"), container("b", script="echo b")))
    assert call("GET", "pods/two/log").body["message"] == "a container name must be specified for pod two, choose one of: [a b]"
    assert call("GET", "pods/two/log?container=c").body["message"] == "container c is not valid for pod two"
    assert call("GET", "pods/two/log?container=b").text == b"b\n"


def test_nothing_of_a_cluster_is_left_when_it_ends(tmp_path: Path) -> None:
    with Emulator(tmp_path) as cluster:
        cluster.create(
            pod("left", container("main", "python3", "-c", f"import os; print('up', os.getpid(), flush=True); {FOREVER}", image=PYTHON))
        )
        running(cluster, "left", "up")
        pid = int(log_of(cluster, "left").split()[1])
        os.kill(pid, signal.SIGCONT)
    assert not Path(f"/proc/{pid}").exists()


def test_nothing_of_a_cluster_is_left_when_its_process_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, signal
from contextlib import suppress
from pathlib import Path
from tests.kube.emulator import Emulator
from tests.kube.emulator.rig import container, pod
with Emulator(Path({str(tmp_path)!r})) as cluster:
    cluster.create(pod("left", container(script="echo $$$$; exec sleep 1000")))
    cluster.wait(lambda: (cluster.find("Pod", "left")["status"].get("containerStatuses") or [{{"state": {{}}}}])[0]["state"].get("running"))
    (run,) = cluster.kubelet.runs.values()
    print(run.mains[0].process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=False)
    assert said.returncode == -signal.SIGKILL, said.stderr
    pid = int(said.stdout)
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)


def test_what_waits_to_be_started_again_is_not_once_all_is_killed(tmp_path: Path) -> None:
    with Emulator(tmp_path / "cluster", pace=1000.0) as slow:  # no back-off ends by itself
        slow.create(pod("again", script="exit 1", restartPolicy="Always"))
        waiting(slow, "again", "CrashLoopBackOff")
        run = slow.kubelet.runs[slow.find("Pod", "again")["metadata"]["uid"]]  # type: ignore[index]

        async def vanish() -> bool:
            run._tasks[run.mains[0]]._fut_waiter.set_result(None)  # type: ignore[attr-defined]  # it ends in this very moment
            await run.vanish()
            return run.mains[0].running

        assert not slow.call(vanish)
