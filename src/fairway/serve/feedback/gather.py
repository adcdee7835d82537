"""Has what gateways wrote down brought into data sets, now and then, by a process of its own; and remembers what that process found."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.serve.control.view import Accuracy, DriftView
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import Record, field, from_plain, record, replace, to_plain

_EVERY_S, _HURRY_S, _ALL_S = 60.0, 10.0, 3600.0
_PATIENCE_S, _WATCHED_PATIENCE_S = 300.0, 60.0
_REVISIONS = 6
_LIMIT_S = 900.0
_LACKING = "it is kept, but how good the answers are cannot be told: {} is not installed where this server runs"


@record
class Gathered(Record):
    """What is known of an endpoint's data set. `accuracy`: by revision and hour; `metric`: by revision, since the step of its rollout
    began (`since`): (value, from how many). `drift`: how it compares with what models were trained on. `error`: why the last try failed,
    or what it lacked."""

    requests: int = 0
    labels: int = 0
    size_bytes: int = 0
    accuracy: tuple[Accuracy, ...] = ()
    metric: dict[int, tuple[float, int]] = field(default_factory=dict)
    since: float = 0.0
    error: str = ""
    drift: DriftView = field(default_factory=DriftView)


class Gatherer:
    """`spool`: where gateways write; `blobs` and `bucket`: the artifact store. `tell` is called with an endpoint's name when something new
    is known of it. `is_local`: endpoints are this machine's user's own. pyarrow, and what watches for drift, stay in the other process."""

    def __init__(
        self,
        spool: Path,
        blobs: Path,
        *,
        bucket: str = "",
        is_local: bool = False,
        tell: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.found: dict[str, Gathered] = {}
        self._spool, self._blobs, self._bucket, self._tell, self._clock = spool, blobs, bucket, tell, clock
        self._is_local = is_local
        self._task: asyncio.Task[None] | None = None
        self._lacking = False
        self._looked_at = self._all_at = 0.0

    def look(self, endpoints: Sequence[Endpoint]) -> None:
        """Call it every second or so: it starts the process when it is time and there is something to do."""
        now = self._clock()
        if not endpoints or (self._task is not None and not self._task.done()):
            return
        watched = [one for one in endpoints if _metric_of(one)]
        if now - self._looked_at < (_HURRY_S if watched else _EVERY_S):
            return
        self._looked_at = now
        chosen = [one for one in endpoints if one in watched or self._has_waiting(one.name) or self._drift_of(one.name).waiting]
        if now - self._all_at >= _ALL_S:  # the oldest go, whether something new comes or not
            self._all_at = now
            chosen = [one for one in endpoints if (self._spool / one.name).is_dir()]
        if chosen:
            self._task = asyncio.get_running_loop().create_task(self.gather(chosen), name="captured traffic")

    async def gather(self, endpoints: Sequence[Endpoint]) -> None:
        """Run the process once for these, and take in what it says."""
        wanted = {one.name: self._describe(one) for one in endpoints}
        command = [sys.executable, "-m", "fairway.serve.feedback.compact", "--spool", str(self._spool), "--blobs", str(self._blobs)]
        command += ["--capture", json.dumps(wanted), "--patience", str(_PATIENCE_S), "--accuracy"]
        command += ["--bucket", self._bucket] if self._bucket else []
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
        out = b""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LIMIT_S):
                    out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        for line in out.splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                self._take(said, wanted.get(said["endpoint"], {}).get("since", 0.0))

    async def close(self) -> None:
        """Stop the process, if there is one; the next goes on where it was."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _take(self, said: Mapping[str, Any], since: float) -> None:
        name = said["endpoint"]
        if said.get("lacks") and not self._lacking:
            self._lacking = True
            print(f"endpoints: captured traffic: {_LACKING.format(said['lacks'])}", file=sys.stderr, flush=True)
        if "error" in said:
            made = replace(self.found.get(name, Gathered()), error=str(said["error"]))
        else:
            accuracy = tuple(
                Accuracy(row["at"], row["revision"], row["labels"], row["value"], row["measure"]) for row in said.get("accuracy", ())
            )
            metric = {int(row["revision"]): (float(row["value"]), int(row["labels"])) for row in said.get("since", ())}
            lacks = _LACKING.format(said["lacks"]) if said.get("lacks") else ""
            made = Gathered(said["requests"], said["labels"], said["size_bytes"], accuracy, metric, since, lacks, self._read_drift(said))
        if made != self.found.get(name):
            self.found[name] = made
            self._tell(name)

    def _read_drift(self, said: Mapping[str, Any]) -> DriftView:
        """What was told of it; what was known before where it could not be looked at."""
        told = said.get("drift")
        if told is None:
            return DriftView()
        if "error" in told:
            return replace(self._drift_of(said["endpoint"]), error=str(told["error"]))
        return from_plain(DriftView, told)

    def _drift_of(self, name: str) -> DriftView:
        known = self.found.get(name)
        return known.drift if known is not None else DriftView()

    def _describe(self, endpoint: Endpoint) -> dict[str, Any]:
        plain: dict[str, Any] = {name: value for name, value in to_plain(endpoint.capture).items() if name in ("max_bytes", "max_age_s")}
        plain["project"] = endpoint.project
        plain["revisions"] = _revisions_of(endpoint)
        plain |= {"notify": list(endpoint.notify), "is_local": self._is_local}
        if self._drift_of(endpoint.name).revisions:
            plain["patience_s"] = _WATCHED_PATIENCE_S
        metric = _metric_of(endpoint)
        if metric and endpoint.rollout is not None:
            plain |= {"since": endpoint.rollout.step_began_at, "metric": metric, "patience_s": 0.0}
        return plain

    def _has_waiting(self, name: str) -> bool:
        try:
            return any(path.stat().st_size for path in (self._spool / name).glob("*.jsonl"))
        except OSError:
            return False


def _metric_of(endpoint: Endpoint) -> str:
    """What its rollout is judged by beside errors and latency."""
    return endpoint.rollout.metric if endpoint.rollout is not None and endpoint.rollout.state == "going" else ""


def _revisions_of(endpoint: Endpoint) -> dict[str, dict[str, str]]:
    """What is watched: the revisions that take traffic, and the newest."""
    taking = {number for number, weight in endpoint.traffic if weight} | {endpoint.shadow}
    newest = {one.number for one in endpoint.revisions[-_REVISIONS:]}
    return {
        str(one.number): {"package": str(one.spec.package.get("digest", "")), "schema": one.spec.schema}
        for one in endpoint.revisions
        if one.number in taking | newest
    }
