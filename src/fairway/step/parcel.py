"""An attempt as text, on its way to its process: its step apart from the rest.

All tasks of a node share their step, which is most of the text. It is written once by the executor, and a zygote that has read it before
hands it to its children as it is.
"""

from __future__ import annotations

import json
from typing import Any

from fairway.spec.attempt import AttemptSpec
from fairway.spec.graph import StepDef
from fairway.spec.record import from_plain, replace, to_plain

_KEPT = 256
_NO_STEP = {"name": ""}
_steps: dict[str, StepDef] = {}
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Parcels:
    """Writes attempts. Remembers the step it wrote last."""

    def __init__(self) -> None:
        self._step: StepDef | None = None
        self._text = ""

    def render(self, attempt: AttemptSpec) -> tuple[str, str]:
        """(the step, the rest)."""
        if self._step is not attempt.step:
            self._step, self._text = attempt.step, _encode(to_plain(attempt.step))
        rest = {name: to_plain(getattr(attempt, name)) for name in AttemptSpec.record_fields if name != "step"}
        return self._text, _encode(rest)

    def frame(self, attempt: AttemptSpec, *, grace_s: float, queued_at: float = 0.0, source: str = "") -> dict[str, Any]:
        """What a worker is told to start the attempt, as far as the attempt itself says."""
        if attempt.step.gang.replicas:
            attempt = replace(attempt, context={**attempt.context, "grace_s": grace_s})
        step, rest = self.render(attempt)
        wanted = attempt.resources
        frame: dict[str, Any] = {
            "op": "start",
            "id": attempt.id,
            "run": attempt.run,
            "bundle": attempt.bundle,
            "module": attempt.step.module if attempt.step.kind in ("python", "dynamic") else "",
            "step": step,
            "rest": rest,
            "queued_at": queued_at,
            "source": source,
        }
        types = sorted({port.type for port in (*attempt.step.inputs, *attempt.step.outputs) if "." in port.type})
        if types:
            frame["types"] = types
        if attempt.environment.variables:
            frame["environ"] = dict(attempt.environment.variables)
        if attempt.timeout_s:
            frame["timeout_s"], frame["grace_s"] = attempt.timeout_s, grace_s
        if wanted.memory_bytes or wanted.accelerators:
            frame["hold"] = True  # its memory and devices are free only when its process is gone
        return frame


def read_step(text: str) -> StepDef:
    """The step; the same text gives the same object, which nobody changes."""
    found = _steps.get(text)
    if found is None:
        if len(_steps) >= _KEPT:
            _steps.clear()
        found = _steps[text] = from_plain(StepDef, json.loads(text))
    return found


def read_attempt(step: str, rest: str) -> AttemptSpec:
    """The attempt that `Parcels.render` wrote."""
    plain: dict[str, Any] = json.loads(rest)
    attempt = from_plain(AttemptSpec, {**plain, "step": _NO_STEP})
    attempt.step = read_step(step)
    return attempt
