"""Container steps on a cluster: images that know nothing of Fairway. What they run, what they wrote, and how that ended.

The program's exit code comes from its pod's status, its outputs from the sidecar `ship` (through the control channel), its log lines
through the API. The outcome follows when both of the first are known.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, NotFoundError, TaskFailed
from fairway.kube.diagnose import explain_end
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, Usage, outcome_key
from fairway.spec.ports import ArtifactStore, StreamStore
from fairway.spec.record import from_plain
from fairway.step.bundles import bundle_key
from fairway.step.command import explain_exit
from fairway.step.program import fill_argv, value_text
from fairway.step.pump import LogPump

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = Mapping[str, Any]
_LOG_S = 10.0  # how long the last log lines may take to arrive after the program's end
_MOST_ARGUMENT_BYTES = 100_000  # of a pod's 1.5 MB, and no object is to be larger than that


def argv_of(spec: AttemptSpec, artifacts: ArtifactStore) -> list[str]:
    """The command line as it stands in the pod's manifest: paths of inputs and outputs, values as text, secrets by reference.

    Raises FairwayError for what cannot be given to a program.
    """
    inputs = {**spec.inputs, **(spec.items[0].inputs if spec.items else {})}
    refs = {name: given.ref or ArtifactRef("", 0, "secret", name=given.secret) for name, given in inputs.items()}
    secrets = {f"\0{given.secret}\0": f"$({given.secret})" for given in inputs.values() if given.secret}

    def read(ref: ArtifactRef) -> str:
        if ref.format == "secret":
            return f"\0{ref.name}\0"
        data = ref.inline.encode() if ref.inline is not None else artifacts.get(blob_key(ref.digest))
        if len(data) > _MOST_ARGUMENT_BYTES:
            raise TaskFailed(
                f"an argument of {len(data):,} bytes is too long for a command line", hint="pass it as a file: fw.In(…) of fw.File"
            )
        return value_text(ref, data)

    files = _bundle_files(spec.bundle, artifacts) if spec.bundle else frozenset[str]()
    words = [word.replace("$", "$$") for word in fill_argv(spec.step.argv, refs, read, spec.bundle, files)]  # only ours is a reference
    for mark, reference in secrets.items():
        words = [word.replace(mark, reference) for word in words]
    return words


def note_outputs(spec: AttemptSpec, outputs: Object, missing: Sequence[str], artifacts: ArtifactStore) -> None:
    """Keep what the sidecar says until the program's exit code is known: a server that is killed in between forgets nothing."""
    artifacts.put(_outputs_key(spec), json.dumps({"outputs": outputs, "missing": list(missing)}).encode())


def find_outputs(spec: AttemptSpec, artifacts: ArtifactStore) -> Object | None:
    """What `note_outputs` kept."""
    try:
        return json.loads(artifacts.get(_outputs_key(spec)))
    except NotFoundError:
        return None


def exit_of(pod: Object) -> Object | None:
    """How the program's container ended; None while it runs or waits."""
    for state in pod.get("status", {}).get("containerStatuses") or ():
        if state["name"] == "main":
            return (state.get("state") or {}).get("terminated")
    return None


def last_words(pod: Object) -> str:
    """The end of the main container's log, which its status holds if it failed."""
    return (exit_of(pod) or {}).get("message", "")


def started_at(pod: Object) -> float:
    """When the program began (epoch seconds); 0 if it does not run now."""
    for state in pod.get("status", {}).get("containerStatuses") or ():
        if state["name"] == "main":
            return _epoch((state.get("state") or {}).get("running", {}).get("startedAt"))
    return 0.0


def find_outcome(spec: AttemptSpec, pod: Object, artifacts: ArtifactStore, queued_at: float) -> Outcome | None:
    """The outcome that follows from the exit code and the outputs; None if one of them is missing, or something else ended the program
    (the system for memory, a node that went away): that is for `kube.diagnose` to say."""
    end = exit_of(pod)
    if end is None or end.get("reason") in ("StartError", "ContainerCannotRun") or pod["status"].get("reason"):
        return None
    code = int(end.get("exitCode", 0))
    if code and end.get("reason") == "OOMKilled":
        return None
    meaning = spec.step.exit_codes.get(str(code), "ok" if code == 0 else "")
    if meaning == "skip":
        return _ended(spec, pod, ItemOutcome("skipped", reason=f"exit code {code}"), queued_at)
    if meaning != "ok":
        return None if code > 128 and not meaning else _ended(spec, pod, _failed(spec, code, meaning), queued_at)
    if not spec.step.outputs:
        return _ended(spec, pod, ItemOutcome("succeeded"), queued_at)
    noted = find_outputs(spec, artifacts)
    if noted is None:
        return None
    if noted["missing"]:
        return _ended(spec, pod, _incomplete(spec, noted["missing"]), queued_at)
    outputs = {name: from_plain(ArtifactRef, ref) for name, ref in noted["outputs"].items()}
    return _ended(spec, pod, ItemOutcome("succeeded", outputs), queued_at)


def _ended(spec: AttemptSpec, pod: Object, item: ItemOutcome, queued_at: float) -> Outcome:
    end = exit_of(pod) or {}
    began, ended = _epoch(end.get("startedAt")), _epoch(end.get("finishedAt"))
    usage = Usage(
        wall_s=max(0.0, ended - began), queued_at=queued_at, started_at=began, running_at=began, ended_at=ended,
        host=pod["spec"].get("nodeName", ""),
    )  # fmt: skip
    return Outcome(spec.id, "ended", (item,), usage=usage, worker=pod["metadata"]["name"])


def _failed(spec: AttemptSpec, code: int, meaning: str) -> ItemOutcome:
    return ItemOutcome("failed", error=explain_exit(list(spec.step.argv), code, meaning))


def _incomplete(spec: AttemptSpec, missing: Sequence[Any]) -> ItemOutcome:
    """`missing` names outputs that were not written; one that could not be kept stands there as {"name", "error"}."""
    first = missing[0]
    if isinstance(first, Mapping):
        return ItemOutcome("failed", error=from_plain(ErrorInfo, first["error"]))
    message = f"{spec.step.argv[0]} ended well but wrote no output {first!r}"
    hint = f"it has to write the file that fw.Out({first!r}) stands for"
    error = ErrorInfo("output", "FW-TASK-FAILED", message, hint, mro=("OutputMissing", "TaskFailed"))
    return ItemOutcome("failed", error=error)


def _outputs_key(spec: AttemptSpec) -> str:
    return f"{outcome_key(spec.run, spec.id)}.outputs"


def _epoch(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def find_overtime(spec: AttemptSpec, pod: Object | None, now: float) -> ErrorInfo | None:
    """The error of a program that has taken too long: it has no worker beside it that would end it."""
    began = started_at(pod or {})
    if not spec.timeout_s or not began or now - began <= spec.timeout_s:
        return None
    return ErrorInfo("timeout", "FW-TASK-TIMEOUT", f"took longer than its timeout of {spec.timeout_s:g} s", hint='allow more: timeout="…"')


class Programs:
    """Follows the logs of programs while they run, and says how they ended. `secret`: the Secret with the users' secrets."""

    def __init__(self, client: KubeClient, artifacts: ArtifactStore, streams: StreamStore, secret: str) -> None:
        self._client, self._artifacts, self._streams, self._secret = client, artifacts, streams, secret
        self.followers: dict[str, asyncio.Task[None]] = {}
        self._logs: dict[str, LogFollower] = {}

    def follow(self, spec: AttemptSpec, pod: Object, kind: str = "log") -> None:
        """Carry its log lines into its stream from now on, if it runs or has run."""
        name = pod["metadata"]["name"]
        if name not in self.followers and (started_at(pod) or exit_of(pod)):
            log = self._logs[name] = LogFollower(self._client, self._streams, spec, self._secret, pod=name, kind=kind)
            self.followers[name] = asyncio.create_task(self._follow(log), name=f"log of {name}")

    def forget(self, id: str) -> None:
        """Its pod is gone, and with it what could be followed."""
        follower, log = self.followers.pop(id, None), self._logs.pop(id, None)
        if follower is not None:
            follower.cancel()
        if log is not None:
            log.flush()

    async def end(self, spec: AttemptSpec, pod: Object, events: Sequence[Object], queued_at: float, kind: str = "log") -> Outcome:
        """Its outcome, once its last log lines are there."""
        name = pod["metadata"]["name"]
        follower, log = self.followers.pop(name, None), self._logs.pop(name, None)
        if follower is not None and log is not None:
            await asyncio.wait({follower}, timeout=_LOG_S)
            follower.cancel()
            with suppress(FairwayError, TimeoutError):
                await asyncio.wait_for(log.catch_up(), _LOG_S)
            log.flush()
        outcome = find_outcome(spec, pod, self._artifacts, queued_at)
        if outcome is not None:
            return outcome
        peak = peak_of(self._streams, spec.run, spec.id)
        found = explain_end(pod, events, tail=tail_of(self._streams, spec.run, spec.id, kind), peak_bytes=peak)
        return Outcome(spec.id, "failed", error=found.as_error())

    async def _follow(self, log: LogFollower) -> None:
        with suppress(FairwayError):
            await log.follow()


class LogFollower:
    """Carries the log lines of a program's container into its stream, once each: what the stream has from before a restart is skipped."""

    def __init__(
        self, client: KubeClient, streams: StreamStore, spec: AttemptSpec, settings_secret: str, *, pod: str = "", kind: str = "log"
    ) -> None:
        self._client, self._streams, self._spec, self._secret = client, streams, spec, settings_secret
        self._pod = pod or spec.id
        self.stream = f"{spec.run}/{spec.id}/{kind}"
        self._pump: LogPump | None = None
        self._seen = 0  # lines of the container's log that are in the stream
        self._rest = b""  # the beginning of a line

    async def follow(self) -> None:
        """Until the container has ended. Raises FairwayError if its log cannot be read."""
        await self._read(going=True)

    async def catch_up(self) -> None:
        """Once the container has ended: read what `follow` has not been given, because its connection broke, or because the node ends it
        when the program ends and not when it has all that the program wrote. Raises FairwayError."""
        await self._read(going=False)

    def flush(self) -> None:
        """Nothing more will come: an unfinished line is one, too."""
        if self._rest and self._pump is not None:
            self._pump.add(self._rest + b"\n")
        self._rest = b""

    async def _read(self, *, going: bool) -> None:
        if self._pump is None:
            self._seen = self._streams.read(self.stream).count(b"\n")
            self._pump = LogPump(-1, self.stream, self._streams, await self._secrets())
        skip, rest = self._seen, b""
        async for piece in self._client.logs(self._pod, "main", follow=going):
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            if newline:
                skip = self._add(self._pump, whole + newline, skip)
            if not skip:
                self._rest = rest

    def _add(self, pump: LogPump, lines: bytes, skip: int) -> int:
        """Returns how many lines are still to be skipped."""
        if skip:
            parts = lines.splitlines(keepends=True)
            lines, skip = b"".join(parts[skip:]), max(0, skip - len(parts))
        if lines:
            self._seen += lines.count(b"\n")
            pump.add(lines)
        return skip

    async def _secrets(self) -> tuple[str, ...]:
        """Values that no log may show."""
        if not self._spec.secrets:
            return ()
        found: dict[str, Any] = {}
        with suppress(FairwayError):
            found = (await self._client.get("Secret", self._secret)).get("data") or {}
        return tuple(base64.b64decode(found[name]).decode("utf-8", "replace") for name in self._spec.secrets if name in found)


def tail_of(streams: StreamStore, run: str, attempt: str, kind: str = "log") -> bytes:
    """The last log lines, without their times."""
    stream = f"{run}/{attempt}/{kind}"
    text = streams.read(stream, max(0, streams.size(stream) - 4096))
    return b"\n".join(line.partition(b" ")[2] for line in text.splitlines())


def peak_of(streams: StreamStore, run: str, attempt: str) -> int:
    """The most memory that the attempt was seen with, by its samples; 0 if there are none."""
    stream = f"{run}/{attempt}/samples"
    most = 0
    for line in streams.read(stream, max(0, streams.size(stream) - (1 << 16))).splitlines():
        with suppress(ValueError, IndexError, TypeError):
            most = max(most, int(json.loads(line)[1]))
    return most


def _bundle_files(digest: str, artifacts: ArtifactStore) -> frozenset[str]:
    try:
        return _names(digest, artifacts)
    except NotFoundError:
        return frozenset()


@lru_cache(maxsize=64)
def _names(digest: str, artifacts: ArtifactStore) -> frozenset[str]:
    with tarfile.open(fileobj=io.BytesIO(zlib.decompress(artifacts.get(bundle_key(digest)))), mode="r:") as archive:
        return frozenset(archive.getnames())
