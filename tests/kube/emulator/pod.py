"""One pod on a node: init containers, sidecars, containers, restarts, probes, the end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.container import Container
from tests.kube.emulator.images import expanded
from tests.kube.emulator.kinds import POD
from tests.kube.emulator.memory import Object, now_text
from tests.kube.emulator.probes import Prober
from tests.kube.emulator.variables import BadConfig, make_variables
from tests.kube.emulator.volumes import NotReady, Paths

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

Condition = dict[str, Any]


class PodRun:
    """What a kubelet does for one pod, from the moment it is bound until nothing of it is left."""

    def __init__(self, cluster: Cluster, pod: Object, address: str, folder: Path) -> None:
        self.cluster, self.pod, self.address, self.folder = cluster, pod, address, folder
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        spec = pod["spec"]
        self.inits = [Container(each, sidecar=each.get("restartPolicy") == "Always") for each in spec.get("initContainers") or ()]
        self.mains = [Container(each) for each in spec["containers"]]
        self.policy: str = spec.get("restartPolicy", "Always")
        self.began = now_text()
        self.phase = ""
        self.reason = self.message = ""
        self.disruption: Condition | None = None
        self.initialized = False
        self.stopping = False
        self.lost = False  # its node is gone: what happens here is not seen any more
        self.prober = Prober(address, cluster.pace)
        self._volumes: dict[str, Path] = {}
        self._tasks: dict[Container, asyncio.Task[None]] = {}
        self._side: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._since: dict[str, tuple[str, str]] = {}
        self.task = asyncio.create_task(self._live())

    # ---- life

    async def _live(self) -> None:
        self.publish()
        if seconds := self.pod["spec"].get("activeDeadlineSeconds"):
            self._beside(self._deadline(seconds))
        await self._mount()
        for container in self.inits:
            container.wait_as("PodInitializing")
        for container in self.inits:
            self._tasks[container] = asyncio.create_task(self._supervise(container))
            if container.sidecar:
                await container.up.wait()
                while not container.started:
                    await self.change()
            else:
                await self._tasks[container]
                if container.exit_code:
                    self._finish("Failed")
                    return
        self.initialized = True
        for container in self.mains:
            self._tasks[container] = asyncio.create_task(self._supervise(container))
        await asyncio.gather(*(self._tasks[container] for container in self.mains))
        self.publish()
        await self._stop_sidecars(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        self._finish("Failed" if any(container.exit_code for container in self.mains) else "Succeeded")

    async def _mount(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                self._volumes = self.cluster.volumes.make(self.pod, self.folder)
            except NotReady as problem:
                self.cluster.record(self.pod, "FailedMount", str(problem), warning=True)
                for container in self.mains:
                    container.wait_as("ContainerCreating")
                self.publish()
                await self.change()
            else:
                return

    async def _supervise(self, container: Container) -> None:
        """Run it, and again as the restart policy says."""
        policy = "Always" if container.sidecar else self.policy if container in self.mains or self.policy == "Never" else "OnFailure"
        while True:
            await self._start(container)
            watching = self._watch_probes(container) if container.running else set()
            self.publish()
            code = await container.wait()
            for task in watching:
                task.cancel()
            self.publish()
            if self.stopping or policy == "Never" or (policy == "OnFailure" and code == 0):
                return
            container.restarts += 1
            container.last_state = container.state
            # A kubelet forgets after ten good minutes; here, once a container has got as far as ready.
            container.crashes = 1 if container.was_ready else container.crashes + 1
            seconds = min(10 * 2 ** (container.crashes - 1), 300)
            if code:
                words = f"back-off {seconds}s restarting failed container={container.name} pod={self.name}_{self.namespace}({self.uid})"
                container.wait_as("CrashLoopBackOff", words)
                self.cluster.record(self.pod, "BackOff", words, warning=True)
                self.publish()
            await asyncio.sleep(seconds * self.cluster.pace if code else 0)

    async def _start(self, container: Container) -> None:
        """Pull its image, make its variables, start it; whatever is missing is waited for."""
        tries = 0
        while True:
            image, refusal = self.cluster.images.find(container.spec["image"])
            if image is None:
                full = expanded(container.spec["image"])
                if container.spec.get("imagePullPolicy") == "Never":
                    container.wait_as("ErrImageNeverPull", f'Container image "{full}" is not present with pull policy of Never')
                else:
                    words = refusal
                    container.wait_as("ErrImagePull", words)
                    self.cluster.record(self.pod, "Failed", f'Failed to pull image "{container.spec["image"]}": {refusal}', warning=True)
                    self.publish()
                    container.wait_as("ImagePullBackOff", f'Back-off pulling image "{container.spec["image"]}": ErrImagePull: {words}')
                self.publish()
                await self.change()
                continue
            try:
                variables = make_variables(self.cluster.memory, self._latest(), container.spec)
                self._check_user(container, image.user)
            except BadConfig as problem:
                container.wait_as("CreateContainerConfigError", str(problem))
                if not tries:
                    self.cluster.record(self.pod, "Failed", f"Error: {problem}", warning=True)
                tries += 1
                self.publish()
                await self.change()
                continue
            break
        variables |= {"HOSTNAME": self.pod["spec"].get("hostname") or self.name, "EMULATOR_POD_IP": self.address}
        variables["EMULATOR_KUBECONFIG"] = self.cluster.kubeconfig_for(self.pod)
        home = self.folder / container.name
        home.mkdir(exist_ok=True)
        container.start(self.cluster.images, image, variables, Paths(container.spec, self._volumes), home)
        self.cluster.record(self.pod, "Started", f"Started container {container.name}")
        if container.running and "startupProbe" not in container.spec:
            container.started = True
            container.ready = "readinessProbe" not in container.spec

    def _check_user(self, container: Container, image_user: int) -> None:
        """A kubelet starts nothing as root that must not run as root."""
        own, pods = container.spec.get("securityContext") or {}, self.pod["spec"].get("securityContext") or {}
        if not own.get("runAsNonRoot", pods.get("runAsNonRoot")):
            return
        where = f'(pod: "{self.name}_{self.namespace}({self.uid})", container: {container.name})'
        user = own.get("runAsUser", pods.get("runAsUser"))
        if user == 0:
            raise BadConfig(f"container's runAsUser breaks non-root policy {where}")
        if user is None and image_user == 0:
            raise BadConfig(f"container has runAsNonRoot and image will run as root {where}")

    # ---- probes

    def _watch_probes(self, container: Container) -> set[asyncio.Task[None]]:
        return (
            {self._beside(self._probe(container))} if {"startupProbe", "readinessProbe", "livenessProbe"} & set(container.spec) else set()
        )

    async def _probe(self, container: Container) -> None:
        if spec := container.spec.get("startupProbe"):
            if not await self._ask_until(container, spec, "Startup"):
                self._restart(container, "Startup")
                return
            container.started, container.ready = True, "readinessProbe" not in container.spec
            self.publish()
        async with asyncio.TaskGroup() as group:
            if spec := container.spec.get("readinessProbe"):
                group.create_task(self._keep_ready(container, spec))
            if spec := container.spec.get("livenessProbe"):
                group.create_task(self._keep_alive(container, spec))

    async def _keep_ready(self, container: Container, spec: dict[str, Any]) -> None:
        while True:
            ready = await self._ask_until(container, spec, "Readiness")
            if container.ready != ready and container.running:
                container.ready = ready
                self.publish()
            await asyncio.sleep(spec.get("periodSeconds", 10) * self.cluster.pace)

    async def _keep_alive(self, container: Container, spec: dict[str, Any]) -> None:
        while await self._ask_until(container, spec, "Liveness"):
            await asyncio.sleep(spec.get("periodSeconds", 10) * self.cluster.pace)
        self._restart(container, "Liveness")

    async def _ask_until(self, container: Container, spec: dict[str, Any], name: str) -> bool:
        failed = False

        async def call(container: Container, spec: dict[str, Any]) -> bool:
            nonlocal failed
            good, words = await self.prober.ask(container, spec)
            if not good and not failed:
                self.cluster.record(self.pod, "Unhealthy", f"{name} probe failed: {words}", warning=True)
                failed = True
            return good

        return await self.prober.until_true(container, spec, call)

    def _restart(self, container: Container, name: str) -> None:
        words = f"Container {container.name} failed {name.lower()} probe, will be restarted"
        self.cluster.record(self.pod, "Killing", words)
        container.signal(signal.SIGTERM)
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        self._beside(self._kill_after(container, grace))

    async def _kill_after(self, container: Container, grace_s: float) -> None:
        if process := container.process:
            await asyncio.wait({process.ended}, timeout=grace_s)
            container.kill()

    # ---- the end

    async def terminate(self, grace_s: float, *, quietly: bool = False) -> None:
        """Stop everything: SIGTERM, SIGKILL after the grace. Unless `quietly`, the pod's object goes after it."""
        if not self.stopping:
            self.stopping = True
            if any(container.running for container in self.mains):
                self.cluster.record(self.pod, "Killing", "Stopping container " + self.mains[0].name)
        deadline = asyncio.get_running_loop().time() + grace_s
        first = [container for container in [*self.mains, *self.inits] if container.running and not container.sidecar]
        await self._stop(first, grace_s)
        await self._stop_sidecars(max(deadline - asyncio.get_running_loop().time(), 0))
        await self._cancel_all()
        for container in [*self.inits, *self.mains]:
            if "terminated" not in container.state:
                ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
                ended["message"] = "The container could not be located when the pod was terminated"
                container.state = {"terminated": ended}
        if not self.phase:
            self.phase = "Failed" if any(container.exit_code for container in self.mains) else "Succeeded"
        if not quietly:
            self.publish()

    async def fail(self, reason: str, message: str, *, condition: str = "", grace_s: float = 0, kill_as: str = "") -> None:
        """End the pod as failed, by the node's decision; its object stays."""
        self.stopping = True
        self.reason, self.message, self.phase = reason, message, "Failed"
        if condition:
            self.disruption = {"type": "DisruptionTarget", "status": "True", "reason": condition, "message": message}
        for container in [*self.mains, *self.inits]:
            container.killed_as = kill_as
        await self.terminate(grace_s)
        self.cluster.kubelet.note_end(self)

    async def vanish(self) -> None:
        """Kill all at once and say nothing."""
        self.stopping = self.lost = True
        await self._cancel_all()  # first: what waits to be started again would be, behind the back of who kills it
        for container in [*self.mains, *self.inits]:
            container.kill()
        running = {container.process.ended for container in [*self.mains, *self.inits] if container.process}
        if running:
            await asyncio.wait(running)

    def _finish(self, phase: str) -> None:
        self.phase = phase
        self.publish()
        for task in self._side:
            task.cancel()
        self.cluster.kubelet.note_end(self)

    async def _stop_sidecars(self, grace_s: float) -> None:
        self.stopping = True
        for container in reversed([each for each in self.inits if each.sidecar]):
            await self._stop([container], grace_s)

    async def _stop(self, containers: list[Container], grace_s: float) -> None:
        running = {container.process.ended: container for container in containers if container.running and container.process}
        if not running:
            return
        if grace_s > 0:
            await asyncio.wait([asyncio.create_task(self._ask_to_stop(container, grace_s)) for container in running.values()])
        for container in running.values():
            container.kill()
        await asyncio.wait(running)
        for ended, container in running.items():
            container.note_end(ended.result())

    async def _ask_to_stop(self, container: Container, grace_s: float) -> None:
        """Its hook first, then SIGTERM; both within the grace."""
        assert container.process is not None
        until = asyncio.get_running_loop().time() + grace_s
        if hook := (container.spec.get("lifecycle") or {}).get("preStop"):
            words = await self.prober.hook(container, hook, grace_s)
            if words:
                self.cluster.record(self.pod, "FailedPreStopHook", f"PreStopHook failed: {words}", warning=True)
        container.signal(signal.SIGTERM)
        await asyncio.wait({container.process.ended}, timeout=max(until - asyncio.get_running_loop().time(), 0))

    async def _cancel_all(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in (self.task, *self._tasks.values(), *self._side) if task is not current and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deadline(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._side.discard(asyncio.current_task())  # type: ignore[arg-type]
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        await self.fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", grace_s=grace)

    def _beside(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
        return task  # type: ignore[return-value]

    # ---- what is seen

    def wake(self) -> None:
        """Something in the cluster changed that the pod may wait for."""
        self._changed.set()

    async def change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def refresh(self, pod: Object) -> None:
        """Somebody has written on the pod."""
        self.cluster.volumes.refresh(pod, self._volumes)

    def find(self, name: str) -> Container | None:
        return next((container for container in [*self.mains, *self.inits] if container.name == name), None)

    def _latest(self) -> Object:
        found = self.cluster.memory.find(POD, self.namespace, self.name)
        return found if found and found["metadata"]["uid"] == self.uid else self.pod

    def publish(self) -> None:
        """Write the status, if it changed."""
        self._changed.set()
        if self.lost:
            return
        status = self._status()

        def edit(found: Object) -> None:
            if found["metadata"]["uid"] != self.uid:
                return
            old = found.get("status") or {}
            kept = [each for each in old.get("conditions") or () if each["type"] in ("PodScheduled", "DisruptionTarget")]
            if self.disruption and not any(each["type"] == "DisruptionTarget" for each in kept):
                kept.append(self.disruption | {"lastTransitionTime": now_text()})
            found["status"] = old | status | {"conditions": kept + status["conditions"]}

        self.cluster.memory.change(POD, self.namespace, self.name, edit, subresource="status")

    def _status(self) -> dict[str, Any]:
        done = self.phase in ("Succeeded", "Failed")
        ready = not done and all(container.ready for container in self.mains) and all(each.ready for each in self.inits if each.sidecar)
        initialized = self.initialized or not self.inits or self.phase == "Succeeded"
        phase = self.phase or (
            "Running" if initialized and any("waiting" not in each.state or each.restarts for each in self.mains) else "Pending"
        )
        why = "PodCompleted" if self.phase == "Succeeded" else "PodFailed" if done else "" if ready else "ContainersNotReady"
        status: dict[str, Any] = {
            "phase": phase,
            "conditions": [
                self._condition("PodReadyToStartContainers", not done and bool(self._volumes or self.mains), ""),
                self._condition(
                    "Initialized",
                    initialized,
                    "PodCompleted" if self.phase == "Succeeded" else "" if initialized else "ContainersNotInitialized",
                ),
                self._condition("Ready", ready, why),
                self._condition("ContainersReady", ready, why),
            ],
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self.began,
            "qosClass": "Burstable",
            "containerStatuses": [container.to_status() for container in self.mains],
        }
        if self.inits:
            status["initContainerStatuses"] = [container.to_status() for container in self.inits]
        else:
            for container in self.mains:
                if container.state == {"waiting": {"reason": "PodInitializing"}}:
                    container.wait_as("ContainerCreating")
            status["containerStatuses"] = [container.to_status() for container in self.mains]
        if self.reason:
            status |= {"reason": self.reason, "message": self.message}
        return status

    def _condition(self, type_: str, holds: bool, reason: str) -> Condition:
        value = "True" if holds else "False"
        if self._since.get(type_, ("",))[0] != value:
            self._since[type_] = (value, now_text())
        made = {"type": type_, "status": value, "lastProbeTime": None, "lastTransitionTime": self._since[type_][1]}
        return made | ({"reason": reason} if reason else {})
