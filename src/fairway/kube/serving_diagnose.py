"""What a replica's pod is doing, and why it does not serve, in a line for people. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fairway.kube.diagnose import Diagnosis, explain_end, explain_wait
from fairway.kube.serving_manifests import HTTP

Object = Mapping[str, Any]
_HINTS = {
    "oom": "give it more: fairway deploy … --memory 4Gi",
    "evicted-memory": "give it what it uses: fairway deploy … --memory 4Gi",
    "crash": "",  # whoever shows this shows the log, or says how
    "probe": "it did not answer for a minute",
    "lost": "",
    "start": "does the image have python3, 3.11 or newer?",
}
_PULLING = "the node pulls the image {}"


def address_of(pod: Object, port: int = HTTP) -> str:
    """HOST:PORT of a pod, "" while it has none."""
    ip = str((pod.get("status") or {}).get("podIP") or "")
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" if ip else ""


def is_ready(pod: Object) -> bool:
    """Does the kubelet say so?"""
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in (pod.get("status") or {}).get("conditions") or ())


def is_running(pod: Object) -> bool:
    """Does its container run right now?"""
    return any("running" in (one.get("state") or {}) for one in (pod.get("status") or {}).get("containerStatuses") or ())


def is_over(pod: Object) -> bool:
    """It has ended and is not started again: an evicted pod, for which its Deployment has made another."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def restarts_of(pod: Object) -> int:
    return max((int(one.get("restartCount", 0)) for one in (pod.get("status") or {}).get("containerStatuses") or ()), default=0)


def explain_replica(pod: Object, events: Sequence[Object] = ()) -> tuple[str, str]:
    """("starting" or "failed", why): of a pod that does not serve. A container that has ended is started again by its node, later each
    time: until then the replica has failed."""
    ended = _last_end(pod)
    if ended is not None:
        return "failed", _line(explain_end(ended, _of_the_end(ended, events)))
    found = explain_wait(pod, events)
    if found is not None:
        return ("failed" if found.hopeless else "starting"), _line(found)
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if (one.get("state") or {}).get("waiting", {}).get("reason") == "ContainerCreating":
            image = next((inner["image"] for inner in pod["spec"]["containers"] if inner["name"] == one["name"]), "")
            return "starting", _PULLING.format(image) if _pulls(events) else ""
    return "starting", ""


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time as Kubernetes writes it, 0.0 for none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else 0.0
    except ValueError:
        return 0.0


def since_of(pod: Object, condition: str) -> float:
    """When a condition of the pod last changed."""
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == condition:
            return seconds_of(one.get("lastTransitionTime") or "")
    return 0.0


def waits_of(pod: Object) -> dict[str, float]:
    """How long it waited for a node ("pod placed"), and then for its container ("image"), as far as is known: in whole seconds, as
    Kubernetes says it."""
    found: dict[str, float] = {}
    created, placed = seconds_of((pod.get("metadata") or {}).get("creationTimestamp") or ""), since_of(pod, "PodScheduled")
    if created and placed:
        found["pod placed"] = placed - created
        for one in (pod.get("status") or {}).get("containerStatuses") or ():
            began = seconds_of(((one.get("state") or {}).get("running") or {}).get("startedAt") or "")
            if began and not one.get("restartCount"):
                found["image"] = began - placed
    return found


def _last_end(pod: Object) -> Object | None:
    """The pod as it was when its container had ended, if it has and does not run again yet."""
    states = (pod.get("status") or {}).get("containerStatuses") or ()
    if is_running(pod) or not any(
        (one.get("lastState") or {}).get("terminated") or (one.get("state") or {}).get("terminated") for one in states
    ):
        return None
    then = copy.deepcopy(dict(pod))
    for one in then["status"]["containerStatuses"]:
        if (one.get("lastState") or {}).get("terminated") and not (one.get("state") or {}).get("terminated"):
            one["state"] = one["lastState"]
    return then


def _of_the_end(pod: Object, events: Sequence[Object]) -> Sequence[Object]:
    """Without what probes said, unless a probe has ended it: each start has its probes that find nobody yet."""
    ends = [(one.get("state") or {}).get("terminated") or {} for one in pod["status"]["containerStatuses"]]
    by_probe = any(one.get("reason") == "Killing" and "probe" in one.get("message", "") for one in events)
    if by_probe and not any(end.get("reason") == "OOMKilled" for end in ends):
        return events
    return [one for one in events if one.get("reason") != "Unhealthy"]


def _pulls(events: Sequence[Object]) -> bool:
    return any(one.get("reason") == "Pulling" for one in events) and not any(one.get("reason") == "Pulled" for one in events)


def _line(found: Diagnosis) -> str:
    message = found.message.replace("its pod ended before its outcome was stored", "the replica ended")
    hint = _HINTS.get(found.cause, found.hint)
    return " ".join((f"{message}; {hint}" if hint else message).split())
