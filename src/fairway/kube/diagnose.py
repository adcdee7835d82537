"""Why a pod waits and why it died, in one line with the cure: from its status, what was said about it, and what the API server refused.

Pure. Texts are Kubernetes' own where they say more than a word of ours would: the registry's, the scheduler's, the last lines of a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.errors import FairwayError
from fairway.kube.quantity import asked_by, parse_quantity
from fairway.kube.queues import QUEUE_NAME
from fairway.spec.outcome import ErrorInfo
from fairway.spec.record import Record, record
from fairway.spec.retry import REQUEUED

Object = Mapping[str, Any]
_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError")
_HOPELESS = ("InvalidImageName", "ErrImageNeverPull")
_MISSING = re.compile(
    r'(secret|configmap|persistentvolumeclaim|serviceaccount|PriorityClass with name)s? "?([\w.\-/]+)"? (?:was )?not found', re.I
)
_NO_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (?:[\w.-]+/)?(\S+)|references non-existent (secret|config) key: (\S+)")
_NO_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")
_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([\w./-]*\w)")
_NOISE = re.compile(r"\.? ?(?:no new claims to deallocate,? ?)?preemption: .*$|\.? ?no new claims to deallocate.*$")
_PREFIXES = re.compile(
    r'^(?:rpc error: code = \w+ desc = |failed to pull and unpack image "[^"]*": |failed to resolve (?:image|reference "[^"]*"): |'
    r'failed to do request: |(?:Head|Get) "[^"]*": |'
    r'Failed to pull image "[^"]*": |Back-off pulling image "[^"]*":? ?|ErrImagePull: |Error response from daemon: |'
    r"[\w./:@-]+/[\w./:@-]+: (?=not found|pull access denied|unauthorized|denied|manifest unknown))"
)
_KINDS = {"secret": "secret", "configmap": "config map", "persistentvolumeclaim": "volume claim", "serviceaccount": "service account"}
_MAKE = {
    "secret": "make it: kubectl create secret generic {} --from-literal=KEY=VALUE",
    "config map": "make it: kubectl create configmap {} --from-file=PATH",
    "volume claim": "make it, or name one of `kubectl get pvc`",
    "service account": "make it: kubectl create serviceaccount {}; or name another",
}
_LONGEST = 400
_TAIL_LINES = 5


@record
class Diagnosis(Record):
    """`cause` is one word for what happened ("image", "unschedulable", "oom"…). `kind` and `code` are those of an ErrorInfo. `lasting`: it
    does not cure itself, so one waits only a while; `hopeless`: not even that."""

    cause: str
    message: str
    hint: str = ""
    kind: str = "lost"
    code: str = "FW-LOST"
    lasting: bool = False
    hopeless: bool = False
    retryable: bool = True
    traceback: str = ""

    @property
    def line(self) -> str:
        """Cause and cure in one line."""
        return " ".join((f"{self.message}; {self.hint}" if self.hint else self.message).split())

    def as_error(self) -> ErrorInfo:
        """For the attempt's outcome."""
        return ErrorInfo(self.kind, self.code, self.message, self.hint, traceback=self.traceback, retryable=self.retryable)


def explain_wait(pod: Object, events: Sequence[Object] = (), nodes: Sequence[Object] = ()) -> Diagnosis | None:
    """Why a pod does not run yet; None if nothing is wrong. `events` are those about it, oldest first; `nodes` if they may be read."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _explain_unscheduled(pod, condition, nodes)
    for container, state in _containers(pod):
        waiting = state.get("state", {}).get("waiting") or {}
        found = _explain_waiting(container, waiting, events)
        if found is not None:
            return found
    return _explain_events(events)


def explain_end(
    pod: Object, events: Sequence[Object] = (), *, tail: bytes = b"", peak_bytes: int = 0, gone: bool = False, node: Object | None = None
) -> Diagnosis:
    """Why a pod ended without an outcome. `tail`: the last it wrote; `gone`: it was deleted; `node`: where it ran, if that may be read."""
    return (
        _explain_status(pod)
        or _explain_disruption(pod)
        or _explain_node(pod, node)
        or _explain_killing(pod, events)
        or _explain_exit(pod, tail, peak_bytes)
        or _explain_vanished(pod, gone)
    )


def explain_refusal(error: FairwayError) -> Diagnosis:
    """Why the API server does not take a pod. Quota and a server that does not answer pass; the rest needs somebody."""
    text = error.message
    name = _NO_PRIORITY.search(text)
    if name:
        return _never("priority", f"there is no priority class {name[1]!r}", "name one of `kubectl get priorityclass`", "FW-CONFIG")
    missing = _explain_missing(text)
    if missing is not None:
        missing.hopeless, missing.retryable = True, False
        return missing
    if "must specify" in text:
        words = _short(text.partition("must specify ")[2])
        hint = 'say it: @fw.step(cpu=1, memory="1Gi"); or have a LimitRange set defaults'
        return _never("quota", f"the namespace's quota wants every pod to say {words}", hint, "FW-QUOTA")
    if error.code == "FW-QUOTA":
        return Diagnosis("quota", f"the namespace's quota does not allow it: {_quota_words(text)}", _QUOTA_CURE, "lost", "FW-QUOTA")
    if error.retryable:
        return Diagnosis("server", text, error.hint, "lost", error.code)
    words = _short(text.partition("is forbidden: ")[2] or text)
    if error.code == "FW-ADMISSION":
        return _never("admission", f"the cluster's admission rules refuse the pod: {words}", _ADMISSION_CURE, error.code)
    return _never(
        "refused", f"the cluster does not take the pod: {words}", error.hint or "see what the step says of its placement", error.code
    )


_QUOTA_CURE = "it starts when what runs has ended; ask for less, or have the quota raised (kubectl describe quota)"
_ADMISSION_CURE = "change what the step says of its placement (patch, user, volumes), or have the rules changed"


def _never(cause: str, message: str, hint: str, code: str) -> Diagnosis:
    return Diagnosis(cause, message, hint, "refused", code, lasting=True, hopeless=True, retryable=False)


def _containers(pod: Object) -> list[tuple[Object, Object]]:
    """(container, its status) of those that have one, in the order in which they start."""
    status, spec = pod.get("status", {}), pod.get("spec", {})
    found: list[tuple[Object, Object]] = []
    for key, states in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        by_name = {state["name"]: state for state in status.get(states) or ()}
        found += [(one, by_name[one["name"]]) for one in spec.get(key) or () if one["name"] in by_name]
    return found


def _explain_unscheduled(pod: Object, condition: Object, nodes: Sequence[Object]) -> Diagnosis:
    text, reason = condition.get("message", ""), condition.get("reason", "")
    if reason == "SchedulingGated":
        queue = pod["metadata"].get("labels", {}).get(QUEUE_NAME, "")
        where = f"the queue {queue!r}" if queue else "a scheduling gate"
        return Diagnosis("queue", f"waits in {where}", "it starts when the queue has room (kubectl get workloads)" if queue else "", "lost")
    missing = _explain_missing(text)
    if missing is not None:
        return missing
    if "unbound immediate PersistentVolumeClaims" in text:
        hint = "see what the claim waits for: kubectl describe pvc"
        return Diagnosis("claim", "its volume claim has no volume yet", hint, "lost", "FW-UNSCHEDULABLE")
    asked = asked_by(pod)
    lacks = [name for _, name in _INSUFFICIENT.findall(text)]
    words = _short(_NOISE.sub("", text).rstrip(". "))
    if not lacks:
        return Diagnosis("unschedulable", f"no node fits ({words})", _SELECT_CURE, "lost", "FW-UNSCHEDULABLE")
    wanted = ", ".join(_amount(name, asked[name]) for name in dict.fromkeys(lacks) if name in asked)
    closest = _closest_node({name: asked[name] for name in lacks if name in asked}, nodes) or _closest_words(text)
    hint = "it starts when a node is free or the cluster grows; else ask for less"
    return Diagnosis("unschedulable", f"no node has room for {wanted or 'it'}{closest} ({words})", hint, "lost", "FW-UNSCHEDULABLE")


def explain_gang(expected: int, pods: Sequence[tuple[int, bool, Diagnosis | None]]) -> str:
    """Why a gang has not begun: how many of its pods have a place, and what the first of the others needs. `pods`: (replica, has it a
    place?, why it does not start)."""
    placed = sum(has for _, has, _ in pods)
    stuck = next(((replica, found) for replica, _, found in sorted(pods, key=lambda one: one[0]) if found is not None), None)
    text = f"{placed} of {expected} pods have a place"
    if stuck is not None:
        return f"{text}; replica {stuck[0]}: {stuck[1].line}"
    return text if placed < expected else ""


_SELECT_CURE = "see the labels and taints of `kubectl get nodes --show-labels`, and what the step says of nodes, tolerations, model"


def _closest_words(text: str) -> str:
    """What the scheduler's own words say of the nodes that came closest: those that are refused for an amount alone."""
    short = [(int(count), name) for count, name in _INSUFFICIENT.findall(text)]
    return "; closest: " + ", ".join(f"{count} node{'s lack' if count > 1 else ' lacks'} {name}" for count, name in short)


def _closest_node(asked: Mapping[str, float], nodes: Sequence[Object]) -> str:
    """The nodes that hold most of what is asked, and what they have of what they lack most."""
    best: list[tuple[float, str, str]] = []
    for node in nodes:
        has = {name: parse_quantity(amount) for name, amount in (node.get("status", {}).get("allocatable") or {}).items()}
        shares = {name: has.get(name, 0.0) / amount for name, amount in asked.items() if amount}
        if shares:
            least = min(shares, key=lambda name: shares[name])
            best.append((shares[least], node["metadata"]["name"], f"{_amount(least, has.get(least, 0.0))}"))
    best.sort(key=lambda one: (-one[0], one[1]))
    shown = ", ".join(f"{name} has {text}" for share, name, text in best[:2] if share > 0)
    return f"; closest: {shown} in all" if shown else ""


def _explain_waiting(container: Object, waiting: Object, events: Sequence[Object]) -> Diagnosis | None:
    reason, text = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE_REASONS:
        words = _registry_words(text)
        for event in reversed(events):  # before 1.30 a back-off does not repeat what the registry said
            if words:
                break
            if event.get("reason") == "Failed" and "pull" in event.get("message", ""):
                words = _registry_words(event["message"])
        return Diagnosis(
            "image",
            f"the image {container['image']!r} cannot be pulled: {words or reason}",
            _image_cure(words, reason),
            "image",
            "FW-IMAGE-UNAVAILABLE",
            lasting=True,
            hopeless=reason in _HOPELESS,
        )
    if reason == "CreateContainerConfigError":
        return _explain_missing(text) or _never_later("config", f"the container cannot be made: {_short(text)}")
    if reason in ("CreateContainerError", "RunContainerError", "CrashLoopBackOff"):
        return _never_later("start", f"the container {container['name']!r} does not start: {_short(text)}")
    return None


def _never_later(cause: str, message: str) -> Diagnosis:
    return Diagnosis(
        cause, message, "see what the step says of its image and placement", "refused", "FW-CONFIG", lasting=True, retryable=False
    )


def _registry_words(text: str) -> str:
    while True:
        shorter = _PREFIXES.sub("", text, count=1)
        if shorter == text:
            return _short(text.strip())
        text = shorter


def _image_cure(words: str, reason: str) -> str:
    lower = words.lower()
    if reason == "InvalidImageName":
        return "write it as REGISTRY/NAME:TAG"
    if "no match for platform" in lower:
        return "the image is not made for the nodes' processors: build it with --platform"
    if any(word in lower for word in ("denied", "unauthorized", "authorization", "forbidden")):
        return "is the name right? A private image needs pull_secrets=, made by `kubectl create secret docker-registry`"
    if "not found" in lower or "manifest unknown" in lower:
        return "check the name and the tag; has it been pushed?"
    if "toomanyrequests" in lower or "rate limit" in lower:
        return "the registry limits how often one pulls: log in by pull_secrets=, or use a mirror"
    if any(word in lower for word in ("no such host", "timeout", "refused", "dial tcp", "certificate")):
        return "do the nodes reach the registry?"
    return "check the name, the tag and the registry"


def _explain_events(events: Sequence[Object]) -> Diagnosis | None:
    """What only events tell: volumes that are not mounted, sandboxes that are not made."""
    for event in reversed(events):
        reason, text = event.get("reason", ""), event.get("message", "")
        if reason in ("FailedMount", "FailedAttachVolume"):
            missing = _explain_missing(text)
            if missing is not None:
                return missing
            hint = (
                "another node holds it; a claim of ReadWriteMany can be in several places"
                if "Multi-Attach" in text
                else "see `kubectl describe pod`"
            )
            return Diagnosis("volume", f"a volume cannot be mounted: {_short(text)}", hint, "lost", "FW-INFRA")
        if reason == "FailedToRetrieveImagePullSecret":
            return Diagnosis(
                "pull-secret", f"a pull secret is missing: {_short(text)}", _MAKE["secret"].format("NAME"), "lost", "FW-CONFIG"
            )
        if reason in ("FailedCreatePodSandBox", "NetworkNotReady"):
            return Diagnosis(
                "sandbox", f"the node cannot set the pod up: {_short(text)}", "the node's network or runtime is at fault", "lost"
            )
    return None


def _explain_missing(text: str) -> Diagnosis | None:
    key = _NO_KEY.search(text)
    if key:
        kind = "secret" if (key[2] or key[4] or "").lower().startswith("secret") else "config map"
        name = f" {key[3]!r}" if key[3] else ""
        hint = (
            f"set it: fairway secret set {key[1]}"
            if kind == "secret" and (key[3] or "").endswith("-secrets")
            else "add the key, or name another"
        )
        return Diagnosis(
            kind.replace(" ", "-"), f"the {kind}{name} has no key {key[1] or key[5]!r}", hint, "refused", "FW-NOT-FOUND", lasting=True
        )
    found = _MISSING.search(text)
    if not found:
        return None
    kind = _KINDS.get(found[1].lower(), "")
    if not kind:
        return None
    name = found[2].rpartition("/")[2]
    return Diagnosis(
        kind.replace(" ", "-"), f"there is no {kind} {name!r}", _MAKE[kind].format(name), "refused", "FW-NOT-FOUND", lasting=True
    )


def _explain_status(pod: Object) -> Diagnosis | None:
    """What the pod's own status says about its end."""
    status = pod.get("status", {})
    reason, text = status.get("reason", ""), status.get("message", "")
    if reason == "Evicted":
        return _explain_eviction(text)
    if reason == "DeadlineExceeded":
        hint = 'allow more: @fw.step(timeout="…")'
        return Diagnosis("deadline", "took longer than its pod may live", hint, "timeout", "FW-TASK-TIMEOUT")
    if reason in ("Preempting", "Preempted"):
        return Diagnosis("preempted", f"preempted: {_short(text)}", _AGAIN, "lost", "FW-PREEMPTED")
    if reason in ("Terminated", "NodeShutdown", "Shutdown"):
        return Diagnosis("preempted", f"its node was shut down{_on(pod)}: {_short(text)}", _AGAIN, "lost", "FW-PREEMPTED")
    if reason == "NodeLost":
        return Diagnosis("node-lost", f"its node is lost{_on(pod)}: {_short(text)}", _AGAIN)
    if reason.startswith("OutOf") or reason in ("UnexpectedAdmissionError", "NodeAffinity", "NodePorts", "AdmissionCheckFailed"):
        return Diagnosis("node-refused", f"its node{_on(pod)} did not admit it ({reason}): {_short(text)}", _AGAIN)
    return None


_AGAIN = "it is tried again by itself"


def _explain_eviction(text: str) -> Diagnosis:
    short = _short(text)
    own = re.search(r"exceed|emptyDir", text, re.I) and "low on resource" not in text
    what = "memory" if "low on resource: memory" in text else "disk"
    cause = f"evicted-{what}"
    if own:
        hint = 'ask for what it writes: @fw.step(disk="20Gi"); a volume of its own can hold more'
        return Diagnosis(cause, f"evicted, it used more disk than it may: {short}", hint, "disk", "FW-TASK-FAILED")
    asks = 'memory="…"' if what == "memory" else 'disk="…"'
    hint = f"it is tried again by itself; a step that asks for what it uses, @fw.step({asks}), is evicted last"
    return Diagnosis(cause, f"evicted, its node ran out of {what}: {short}", hint)


def _explain_disruption(pod: Object) -> Diagnosis | None:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition.get("type") == "TerminationTarget" and condition.get("status") == "True":  # so Kueue ends a pod
            queue, said = pod["metadata"].get("labels", {}).get(QUEUE_NAME, ""), _short(condition.get("message", ""))
            return Diagnosis("requeued", f"the queue {queue!r} took its room back: {said}", _AGAIN, "lost", REQUEUED)
        if condition.get("type") != "DisruptionTarget" or condition.get("status") != "True":
            continue
        reason, text = condition.get("reason", ""), _short(condition.get("message", ""))
        if reason == "PreemptionByScheduler":
            return Diagnosis("preempted", f"preempted by a pod of higher priority: {text}", _AGAIN, "lost", "FW-PREEMPTED")
        if reason == "TerminationByKubelet":
            return Diagnosis("preempted", f"its node ended it{_on(pod)}: {text}", _AGAIN, "lost", "FW-PREEMPTED")
        if reason == "EvictionByEvictionAPI":
            return Diagnosis("preempted", f"its node was drained{_on(pod)}: {text}", _AGAIN, "lost", "FW-PREEMPTED")
        return Diagnosis("node-lost", f"its node is lost{_on(pod)}: {text}", _AGAIN)
    return None


def _explain_node(pod: Object, node: Object | None) -> Diagnosis | None:
    for condition in (node or {}).get("status", {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return Diagnosis("node-lost", f"its node is lost{_on(pod)}: {_short(condition.get('message', 'not ready'))}", _AGAIN)
    return None


def _explain_killing(pod: Object, events: Sequence[Object]) -> Diagnosis | None:
    """A probe's failures are told by events only; what they end was killed."""
    words = [event.get("message", "") for event in events if event.get("reason") == "Unhealthy"]
    words = [one for one in words if one.startswith(("Liveness", "Startup"))]
    killed = any((state.get("state", {}).get("terminated") or {}).get("exitCode") in _KILLED for _, state in _containers(pod))
    if not words or not killed:
        return None
    return Diagnosis("probe", f"killed after a failed probe: {_short(words[-1])}", _PROBE_CURE, "crash", "FW-TASK-CRASHED")


_KILLED = (137, 143)
_PROBE_CURE = "change or remove the probe that patch= adds, or give the step more time to answer"


def _explain_exit(pod: Object, tail: bytes, peak_bytes: int) -> Diagnosis | None:
    """The first container that ended badly, and its last lines."""
    ended = [(one, state["state"]["terminated"]) for one, state in _containers(pod) if (state.get("state") or {}).get("terminated")]
    for container, end in ended:
        if end.get("reason") == "OOMKilled":
            return _explain_oom(container, peak_bytes)
    for container, end in ended:
        code = end.get("exitCode", 0)
        if code:
            return _explain_code(pod, container, end, _last_lines(tail) or _last_lines(end.get("message", "").encode()))
    return None


def _explain_oom(container: Object, peak_bytes: int) -> Diagnosis:
    asked = (container.get("resources", {}).get("limits") or {}).get("memory", "")
    has = f", it had asked for {_size(parse_quantity(asked))}" if asked else ""
    peak = f", and was last seen with {_size(peak_bytes)}" if peak_bytes else ""
    hint = 'ask for what the step needs, as @fw.step(memory="8Gi"), or work in smaller pieces'
    return Diagnosis("oom", f"killed by the system for memory{has}{peak}", hint, "oom", "FW-TASK-OOM")


def _explain_code(pod: Object, container: Object, end: Object, lines: str) -> Diagnosis:
    code, own = end["exitCode"], container["name"] == "main"
    name = "" if own else f" of {container['name']!r}"
    if end.get("reason") in ("StartError", "ContainerCannotRun"):
        words = _short(end.get("message", "").rpartition("unable to start container process: ")[2])
        hint = "the image has no such program"
        if "python3" in words:
            hint = "the image has no python3: use one with Python 3.11 or newer, or fw.container for a program of its own"
        return Diagnosis("start", f"the container{name} does not start: {words}", hint, "refused", "FW-TASK-FAILED", retryable=False)
    last = lines.rpartition("\n")[2].strip()[:_LONGEST]
    said = f": {last}" if last else ""
    program = own and pod["metadata"].get("labels", {}).get("fairway.dev/role") in ("container", "gang-container")
    if not program and last.startswith("fairway: this image has Python"):
        return Diagnosis("python", last.removeprefix("fairway: "), "name another image=", "refused", "FW-UNSUPPORTED", retryable=False)
    if not program and (code == _TERMINATED or last.startswith("fairway: ")):
        why = last.removeprefix("fairway: ") or "it was told to go (SIGTERM)"
        return Diagnosis("lost", f"its pod ended before its outcome was stored{_on(pod)}: {why}", _AGAIN, traceback=lines)
    if code > 128:
        from fairway.step.verdict import name_signal

        message = f"the process{name} was ended by {name_signal(code - 128)} (exit code {code}){said}"
        return Diagnosis("crash", message, _LOG, "crash", "FW-TASK-CRASHED", traceback=lines)
    kind, stable = (f"exit:{code}", "FW-TASK-FAILED") if program else ("crash", "FW-TASK-CRASHED")
    return Diagnosis("crash", f"the process{name} ended with exit code {code}{said}", _LOG, kind, stable, traceback=lines)


_TERMINATED = 143
_LOG = "its last lines are in the task's log"


def _explain_vanished(pod: Object, gone: bool) -> Diagnosis:
    if gone:
        return Diagnosis("deleted", f"its pod was deleted{_on(pod)}", f"by somebody, or with its node; {_AGAIN}")
    return Diagnosis("lost", f"its pod ended{_on(pod)} and left no outcome", _AGAIN)


def _on(pod: Object) -> str:
    node = pod.get("spec", {}).get("nodeName", "")
    return f" on {node}" if node else ""


def _last_lines(tail: bytes) -> str:
    lines = [line.rstrip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-_TAIL_LINES:])


def _quota_words(text: str) -> str:
    """ "requested: pods=1, used: pods=10, limited: pods=10", without what everybody knows."""
    return _short(text.partition("exceeded quota: ")[2] or text.partition("is forbidden: ")[2] or text)


def _amount(name: str, number: float) -> str:
    if name in ("memory", "ephemeral-storage"):
        return f"{_size(number)} of {'memory' if name == 'memory' else 'disk'}"
    return f"{number:g} {name}"


def _size(count: float) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
