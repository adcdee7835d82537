"""Why a server that was applied does not run: what its Deployment, its pod and their events say. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fairway.kube.errors import explain_webhook

Object = Mapping[str, Any]
_TAIL_LINES = 5
_REFUSED = ("FailedCreate", "ReplicaSetCreateError")
_WORDS = re.compile(r"^(?:Error creating: |Failed to create new replica set \"[^\"]*\": )")


def find_refusal(deployment: Object) -> str:
    """What the cluster says of a pod, or of a ReplicaSet, that it does not make; "" if nothing."""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        failed = condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
        stuck = condition.get("type") == "Progressing" and condition.get("status") == "False" and condition.get("reason") in _REFUSED
        if failed or stuck:
            return _WORDS.sub("", str(condition.get("message", "")))
    return ""


def refusals_of(events: Sequence[Object], app: str) -> dict[tuple[str, int], str]:
    """What events say of the same, oldest first: each by its name and how often it was said."""
    found: dict[tuple[str, int], str] = {}
    for event in events:
        about = event.get("involvedObject") or {}
        ours = about.get("kind") in ("Deployment", "ReplicaSet") and (about["name"] == app or _is_set_of(about["name"], app))
        if ours and event.get("reason") in _REFUSED:
            found[event["metadata"]["name"], int(event.get("count") or 1)] = _WORDS.sub("", str(event.get("message", "")))
    return found


def newest_refusal(said: Mapping[tuple[str, int], str], before: Collection[tuple[str, int]]) -> str:
    """The newest that was not said before; "" if none."""
    return next((text for key, text in reversed(list(said.items())) if key not in before), "")


def cure_refusal(text: str, namespace: str) -> str:
    """What to do about it."""
    if "exceeded quota" in text or "failed quota" in text:
        return f"make room, or have the quota raised: kubectl describe quota -n {namespace}"
    if "per Container is" in text or "per Pod is" in text:
        return f"the namespace's LimitRange does not let it be: kubectl describe limitrange -n {namespace}"
    return explain_webhook(text) or f"kubectl describe deployments,replicasets -n {namespace}"


def is_running(pod: Object) -> bool:
    """Does the server's container run?"""
    return any("running" in (state.get("state") or {}) for state in _states(pod))


def crashes(pod: Object) -> int:
    """How often its container has ended."""
    return max((int(state.get("restartCount", 0)) for state in _states(pod)), default=0)


def has_just_ended(pod: Object) -> bool:
    """Is what ended last still the current container, not the previous one?"""
    return any("terminated" in (state.get("state") or {}) for state in _states(pod))


def last_words(pod: Object, log: str = "") -> str:
    """How its container ended, and what it wrote last: by its `log`, else as far as the node had read that when it ended."""
    for state in _states(pod):
        ended = (state.get("state") or {}).get("terminated") or (state.get("lastState") or {}).get("terminated")
        if ended:
            lines = [line.strip() for line in (log or str(ended.get("message", ""))).splitlines() if line.strip()]
            return "\n".join([f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', '?')}", *lines[-_TAIL_LINES:]])
    return "no word is known"


def describe_start(pod: Object, events: Sequence[Object]) -> str:
    """What a pod that is well is doing before it runs, by its newest event."""
    image = pod["spec"]["containers"][0]["image"]
    reasons = [event.get("reason", "") for event in events]
    if reasons and reasons[-1] == "Pulling":
        return f"the node pulls the image {image}"
    return "the pod is starting" if pod["spec"].get("nodeName") else "the pod waits for a node"


def _is_set_of(name: str, app: str) -> bool:
    return name.rpartition("-")[0] == app


def _states(pod: Object) -> Sequence[Object]:
    return (pod.get("status") or {}).get("containerStatuses") or ()
