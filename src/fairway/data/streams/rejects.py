"""Records that are none: counted, the first of them kept, all of them written aside if a file is named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CUT = 400


@dataclass(frozen=True)
class Reject:
    """`record`: the number, from 0, of the record in its stream."""

    record: int
    text: str
    reason: str


@dataclass
class StreamRejects:
    """`rows` are the first `limit`; `file` gets every one as a line of JSON."""

    file: Path | None = None
    limit: int = 100
    count: int = 0
    rows: list[Reject] = field(default_factory=list[Reject])

    def add(self, record: int, payload: bytes, reason: str) -> None:
        self.count += 1
        if self.file is None and len(self.rows) >= self.limit:
            return
        whole = payload.decode("utf-8", "backslashreplace")
        if len(self.rows) < self.limit:
            self.rows.append(Reject(record, whole if len(whole) <= _CUT else whole[:_CUT] + "…", reason))
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"record": record, "reason": reason, "text": whole}) + "\n")

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "rows": [{"record": one.record, "text": one.text, "reason": one.reason} for one in self.rows]}
