"""A schema pinned as a version, so that what data was held to can be told later."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from fairway.data.schema.model import TableSchema
from fairway.data.schema.parse import digest_of, find
from fairway.data.schema.pointers import pointer
from fairway.data.schema.writing import edited


def frozen(text: str, schema: TableSchema, statistics: str = "") -> str:
    """The schema's text with its next version in it; `statistics`: the digest of what it was inferred from."""
    document = json.loads(text)
    made: dict[str, Any] = {"version": schema.version + 1, "at": dt.datetime.now(dt.UTC).date().isoformat(), "digest": digest_of(document)}
    if statistics:
        made["statistics"] = f"sha256:{statistics}"
    if "x-fairway" in find(document, schema.at):
        return edited(text, [{"op": "add", "path": f"{schema.at}{pointer('x-fairway', 'frozen')}", "value": made}])
    return edited(text, [{"op": "add", "path": f"{schema.at}{pointer('x-fairway')}", "value": {"frozen": made}}])
