"""The seam between deciding and doing: one attempt, as complete data."""

from __future__ import annotations

import hashlib
from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import StepDef
from fairway.spec.record import Record, field, record
from fairway.spec.resources import Resources


@record
class Input(Record):
    """One argument: an artifact, or the name of a secret."""

    ref: ArtifactRef | None = None
    secret: str = ""


@record
class AttemptItem(Record):
    """One task of the attempt. `task` is its address in the run ("train[3]"); `inputs` are what differs from the attempt's shared inputs.
    `seed` seeds the random generators and depends on the task's address only. `key` is its cache key ("" = not cached)."""

    task: str
    inputs: dict[str, Input] = field(default_factory=dict)
    seed: int = 0
    key: str = ""


@record
class AttemptSpec(Record):
    """Everything a worker needs to run one attempt, and nothing else.

    `id` is `attempt_id(...)`: submitting the same id twice is one execution. `n` counts from 1. `root` is set by the local target: the
    bundle's own folder, for imports and for user frames in tracebacks. `secrets` are the names the attempt may ask for. `context` holds
    what `fw.context()` shows (pipeline, params, project, …).
    """

    id: str
    run: str
    node: str
    n: int
    step: StepDef
    bundle: str
    items: tuple[AttemptItem, ...]
    inputs: dict[str, Input] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    environment: Environment = field(default_factory=Environment)
    timeout_s: float = 0.0
    secrets: tuple[str, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)


def attempt_id(run: str, address: str, n: int) -> str:
    """A name that is also a valid pod name: 20 hex digits of SHA-256 of run and address, and the attempt's number."""
    text = run + "\n" + address
    return f"a{hashlib.sha256(text.encode()).hexdigest()[:20]}-{n}"
