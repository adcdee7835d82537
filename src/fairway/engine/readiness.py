"""Waiting for a server that was applied: why it waits, its code brought to it where its image has none, until it says that it is ready."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.engine.release import Machine, Release, collect
from fairway.errors import FairwayError, ImageUnavailable, InfraError
from fairway.kube.diagnose import explain_wait
from fairway.kube.server_call import call_pod
from fairway.kube.server_diagnose import (
    crashes,
    cure_refusal,
    describe_start,
    find_refusal,
    has_just_ended,
    is_running,
    last_words,
    newest_refusal,
    refusals_of,
)
from fairway.kube.server_manifests import API_PORT, PLAN, SERVER, ServerPlan, pod_labels, render_server
from fairway.spec.tokens import HEADER

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_LOOK_S = 0.2  # between two questions to a pod that runs
_TOLD_S = 1.0  # between two looks at events and the Deployment
_TAIL_LINES = 20
_QUIET_S = 3.0  # how long a cluster may take to make a pod before it is said that there is none


class Readiness:
    """One wait for the pod of `plan`. `say` gets each new reason once; what does not cure itself is given `patience_s`."""

    def __init__(
        self,
        client: KubeClient,
        plan: ServerPlan,
        release: Release,
        token: str,
        say: Callable[[str], None],
        *,
        patience_s: float,
    ) -> None:
        self._client, self._plan, self._release, self._say, self._patience_s = client, plan, release, say, patience_s
        self._headers = {HEADER: token}
        self._said = ""
        self._pods: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()
        self._events: list[dict[str, Any]] = []
        self._refused_before: set[tuple[str, int]] | None = None
        self._began, self._told_at = time.monotonic(), 0.0
        self._bad_since = 0.0
        (deployment,) = [one for one in render_server(plan) if one["kind"] == "Deployment"]
        self._digest = deployment["spec"]["template"]["metadata"]["annotations"][PLAN]

    async def wait(self, timeout_s: float) -> None:
        """Return when the server is ready. Raises InfraError, ImageUnavailable with the reason that lasts, or held at the end."""
        end = time.monotonic() + timeout_s
        watching = asyncio.create_task(self._watch())
        try:
            while not await self._look():
                if watching.done():
                    watching.result()
                if time.monotonic() > end:
                    raise InfraError(
                        f"the server was not ready after {timeout_s:g} s: {self._said or 'no reason is known'}",
                        hint="what was applied stays; `fairway up` goes on waiting",
                    )
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_S)
                self._changed.clear()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        selector = ",".join(f"{name}={value}" for name, value in pod_labels(self._plan.target.app).items())
        async for change in self._client.watch("Pod", labels=selector):
            if change.kind == "deleted":
                self._pods.pop(change.name, None)
            elif change.obj:
                self._pods[change.name] = change.obj
            self._changed.set()

    async def _look(self) -> bool:
        """One look at everything; True if the server is ready."""
        pod = self._find_pod()
        if pod is None:
            await self._explain_absence()
            return False
        if is_running(pod):
            return await self._ask(pod)
        await self._tell(pod)
        return False

    def _find_pod(self) -> dict[str, Any] | None:
        """The newest pod that was made from this plan and is to stay."""
        mine = [
            pod
            for pod in self._pods.values()
            if pod["metadata"].get("annotations", {}).get(PLAN) == self._digest and not pod["metadata"].get("deletionTimestamp")
        ]
        return max(mine, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), default=None)

    async def _explain_absence(self) -> None:
        """Why there is no pod of this plan."""
        if not self._is_time():
            return
        if any(pod["metadata"].get("deletionTimestamp") for pod in self._pods.values()):
            self._tell_once("the server before it is stopping")
            return
        deployment = await self._client.find("Deployment", self._plan.target.app) or {}
        refusal = find_refusal(deployment) or await self._find_refusal()
        if self._find_pod() is not None:
            return  # it has come while the cluster was asked
        if refusal:
            self._tell_once(f"the cluster does not take the pod: {refusal}")
            self._lasts(InfraError, self._said, cure_refusal(refusal, self._plan.namespace))
            return
        if self._pods:
            self._tell_once("the server before it is stopping")
        elif time.monotonic() - self._began > _QUIET_S:
            self._tell_once("the cluster has not made the server's pod yet, and does not say why")

    async def _find_refusal(self) -> str:
        """What events say, where the Deployment says nothing. Those that were there when this began may be of another time."""
        try:
            events = [
                event
                for kind in ("Deployment", "ReplicaSet")
                for event in await self._client.list("Event", fields=f"involvedObject.kind={kind}")
            ]
        except FairwayError:  # without the right to see events
            return ""
        said = refusals_of(sorted(events, key=_time_of), self._plan.target.app)
        if self._refused_before is None:
            self._refused_before = set(said)
        return newest_refusal(said, self._refused_before)

    async def _tell(self, pod: dict[str, Any]) -> None:
        """Why a pod that is there does not run. Raises what lasts."""
        name = pod["metadata"]["name"]
        if self._is_time():
            with suppress(FairwayError):  # without the right to see events, the pod's own status has to do
                self._events = await self._client.events(name)
        if crashes(pod):
            words = last_words(pod, await self._read_log(pod))
            if crashes(pod) > 1:
                raise InfraError(f"the server ends as soon as it has started: {words}", hint=f"kubectl logs -p {name}")
            self._tell_once(f"the server ended, and is started again: {words}")
            return
        found = explain_wait(pod, self._events)
        if found is None:
            self._bad_since = 0.0
            self._tell_once(describe_start(pod, self._events))
            return
        self._tell_once(found.message)
        if found.lasting:
            self._lasts(ImageUnavailable if found.cause == "image" else InfraError, found.message, found.hint, at_once=found.hopeless)
        else:
            self._bad_since = 0.0

    async def _read_log(self, pod: dict[str, Any]) -> str:
        """What the container that ended wrote last; "" if that cannot be had. The pod's status has it only as far as the node had read the
        log at that moment, often without the last line, which says what went wrong."""
        said = b""
        with suppress(FairwayError):
            name, previous = pod["metadata"]["name"], not has_just_ended(pod)
            async for piece in self._client.logs(name, SERVER, tail=_TAIL_LINES, previous=previous):
                said += piece
        return said.decode(errors="replace")

    def _lasts(self, kind: type[FairwayError], message: str, hint: str, *, at_once: bool = False) -> None:
        """Raise what has been wrong for long enough."""
        now = time.monotonic()
        self._bad_since = self._bad_since or now
        if at_once or now - self._bad_since > self._patience_s:
            raise kind(message, hint=hint)

    async def _ask(self, pod: dict[str, Any]) -> bool:
        name = pod["metadata"]["name"]
        try:
            status, _ = await call_pod(self._client, name, API_PORT, "GET /readyz")
            if status != 200 and not self._plan.target.server_image:
                await self._bring(name)
        except InfraError:  # nothing listens yet
            self._tell_once("the server is starting")
            return False
        return status == 200

    async def _bring(self, pod: str) -> None:
        """Send the server's code, if the pod waits for it."""
        status, body = await call_pod(self._client, pod, API_PORT, "GET /boot", headers=self._headers)
        if status == 401:
            self._tell_once("your token has to reach the pod")
        if status != 200:
            return
        about = json.loads(body)
        machine = Machine(about["python"], about["machine"], about["libc"])
        self._tell_once(f"collecting Fairway {self._release.version} for Python {machine.python} on {machine.machine}")
        path = await asyncio.to_thread(collect, self._release, machine)
        digest, size = await asyncio.to_thread(_digest, path)
        self._tell_once(f"sending it, {size / 1e6:.1f} MB")
        status, body = await call_pod(
            self._client, pod, API_PORT, "PUT /boot", headers={**self._headers, "Fairway-Sha256": digest}, file=path
        )
        if status != 201:
            raise InfraError(f"the server's volume does not take its code: {body.decode(errors='replace')}", hint="is the volume full?")
        self._tell_once("the server is starting")

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._told_at < _TOLD_S:
            return False
        self._told_at = now
        return True

    def _tell_once(self, text: str) -> None:
        if text and text != self._said:
            self._said = text
            self._say(text)


def _time_of(event: dict[str, Any]) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", "")


def _digest(path: str) -> tuple[str, int]:
    import hashlib

    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
