"""A model with a schema and a baseline in an artifact store, and requests for it as a gateway keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift import Baseline
from fairway.serve.feedback.spool import Spool
from fairway.spec.artifact import blob_key
from fairway.step.folder import FolderArtifactStore

NOW = 1_800_000_000.0
WINDOW = 200
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "limit": {"type": "number", "minimum": 0, "maximum": 1_000_000},
        "education": {"enum": ["school", "university", "other"]},
        "y": {"type": "integer"},
    },
    "required": ["limit", "education", "y"],
    "x-fairway": {"label": "y"},
}
Row = dict[str, Any]


def rows(count: int, seed: int, *, weights: Sequence[float] = (0.3, 0.6, 0.1), factor: float = 1.0) -> list[Row]:
    """Requests like the training data; `weights` of education, `factor` of the limit."""
    random = np.random.default_rng(seed)
    limits = random.normal(200_000, 30_000, count) * factor
    levels = random.choice(["school", "university", "other"], count, p=weights)
    return [{"limit": float(limit), "education": str(level)} for limit, level in zip(limits, levels, strict=True)]


def baseline(*, predictions: bool = False) -> Baseline:
    training = rows(20_000, 0)
    columns: dict[str, Any] = {name: [row[name] for row in training] for name in ("limit", "education")}
    columns["y"] = [int(limit > 200_000) for limit in columns["limit"]]
    if predictions:
        columns["prediction"] = columns["y"]
    return Baseline.make(Batch.of(columns), window_rows=WINDOW)


def package(store: FolderArtifactStore, files: Mapping[str, Any]) -> dict[str, str]:
    """A model package with these JSON files; what the keeper says of a revision that runs it."""

    def put(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        store.put(blob_key(digest), data)
        return digest

    manifest = {"files": [{"path": name, "digest": put(json.dumps(one).encode()), "size": 1} for name, one in files.items()]}
    return {"package": put(json.dumps(manifest).encode()), "schema": ""}


def send(
    spool: Path,
    sent: Sequence[Row],
    *,
    begin: float = NOW,
    revision: int = 1,
    prefix: str = "q",
    answers: Sequence[Any] = (),
    each: int = 10,
) -> None:
    """As a gateway writes them down: `each` rows a request, one request a second."""
    writing = Spool(spool)
    for place in range(0, len(sent), each):
        some = list(sent[place : place + each])
        predicted = list(answers[place : place + each]) if len(answers) else [0] * len(some)
        record = {
            "id": f"{prefix}{place}", "at": begin + place / each, "revision": revision, "status": 200, "latency_ms": 1.0,
            "request": json.dumps({"inputs": some}).encode(), "answer": json.dumps({"predictions": predicted}).encode(),
        }  # fmt: skip
        writing.write("risk", record)
    writing.close_now()
