"""The beginning of an artifact, as the API tells it: by its format, without the libraries that made it, but for the rows of tables."""

from __future__ import annotations

import json
from typing import Any

from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.ports import ArtifactStore
from fairway.web.previews.kinds import kind_of, table_form
from fairway.web.previews.looker import Looker, Subject
from fairway.web.previews.media import media_type

VALUE_LIMIT_BYTES = 256 << 10
TEXT_LIMIT_BYTES = 64 << 10
MANIFEST_LIMIT_BYTES = 32 << 20
PICTURE_LIMIT_BYTES = 20 << 20

_TEXTS = ("text", "markdown", "html")


def preview(ref: ArtifactRef, store: ArtifactStore, rows: int, looker: Looker | None = None) -> dict[str, Any]:
    """`kind` says which of the fields are set; `complete`: there is no more than this. `looker` reads tables
    of data frames; without it they are told by their columns alone. For a thread: it reads files."""
    shown: dict[str, Any] = {
        "kind": "none",
        "complete": False,
        "value": None,
        "text": "",
        "columns": [],
        "rows": [],
        "files": [],
        "total": 0,
    }
    found = _show(ref, store, rows, looker)
    return {**shown, "media": media_type(ref), "meta": ref.meta, **found}


def _show(ref: ArtifactRef, store: ArtifactStore, rows: int, looker: Looker | None) -> dict[str, Any]:
    if ref.format in ("json", "metrics"):
        return _value(ref, store)
    if ref.format == "table":
        return _table(ref, store, rows)
    if ref.format in _TEXTS:
        text = _head(ref, store, TEXT_LIMIT_BYTES).decode("utf-8", "replace")
        return {"kind": "text", "text": text, "complete": ref.size_bytes <= TEXT_LIMIT_BYTES}
    if ref.format == "figure":
        return {"kind": "picture", "complete": ref.size_bytes <= PICTURE_LIMIT_BYTES}
    if ref.format in ("dir", "model") or ref.meta.get("folder"):
        files = _manifest(ref, store).get("files", [])
        shown = [{"path": file["path"], "digest": file["digest"], "size_bytes": file.get("size_bytes", 0)} for file in files[:rows]]
        return {"kind": "files", "files": shown, "total": len(files), "complete": len(files) <= rows}
    if ref.format in ("list", "tree"):
        items = _manifest(ref, store).get("items", [])
        return {"kind": "items", "rows": [[item] for item in items[:rows]], "total": len(items), "complete": len(items) <= rows}
    if looker is not None and kind_of(ref) == "table":
        seen = looker.look(
            "rows", Subject(ref.digest, ref.size_bytes, ref.inline, str(ref.meta.get("name", ""))), {"form": table_form(ref), "limit": rows}
        )
        if "problem" not in seen:
            return _rows_of(seen)
    if ref.meta.get("columns"):
        count = ref.meta.get("rows")
        return {"kind": "table", "columns": list(map(str, ref.meta["columns"])), "total": count if isinstance(count, int) else 0}
    head = _head(ref, store, TEXT_LIMIT_BYTES)
    if head and b"\0" not in head:
        try:
            return {"kind": "text", "text": head.decode(), "complete": ref.size_bytes <= TEXT_LIMIT_BYTES}
        except UnicodeDecodeError:
            pass
    return {}


def _rows_of(seen: dict[str, Any]) -> dict[str, Any]:
    """A page of a table that was looked into. Of CSV it is not known how many rows there are."""
    total = max(seen["total"], len(seen["rows"]))
    return {
        "kind": "table",
        "columns": [column["name"] for column in seen["columns"]],
        "rows": seen["rows"],
        "total": total,
        "complete": seen["total"] == len(seen["rows"]) and not seen["more_columns"],
    }


def _value(ref: ArtifactRef, store: ArtifactStore) -> dict[str, Any]:
    data = _head(ref, store, VALUE_LIMIT_BYTES)
    if ref.size_bytes <= VALUE_LIMIT_BYTES:
        try:
            return {"kind": "value", "value": _finite(json.loads(data)), "complete": True}
        except (ValueError, RecursionError):
            pass
    return {"kind": "text", "text": data[:TEXT_LIMIT_BYTES].decode("utf-8", "replace"), "complete": False}


def _table(ref: ArtifactRef, store: ArtifactStore, rows: int) -> dict[str, Any]:
    if ref.size_bytes > MANIFEST_LIMIT_BYTES:
        return {"kind": "table", "columns": list(map(str, ref.meta.get("columns", [])))}
    data = json.loads(_head(ref, store, MANIFEST_LIMIT_BYTES))
    every = data.get("rows", [])
    return {
        "kind": "table",
        "columns": list(map(str, data.get("columns", []))),
        "rows": _finite([list(row) for row in every[:rows]]),
        "total": len(every),
        "complete": len(every) <= rows,
    }


def _manifest(ref: ArtifactRef, store: ArtifactStore) -> dict[str, Any]:
    if ref.size_bytes > MANIFEST_LIMIT_BYTES:
        return {}
    found = json.loads(_head(ref, store, MANIFEST_LIMIT_BYTES))
    return found if isinstance(found, dict) else {"items": found}


def _head(ref: ArtifactRef, store: ArtifactStore, limit: int) -> bytes:
    if ref.inline is not None:
        return ref.inline.encode("utf-8", "surrogatepass")[:limit]
    try:
        with store.open(blob_key(ref.digest)) as file:
            return file.read(limit)
    except NotFoundError:
        raise NotFoundError(
            f"the bytes of {ref.digest[:12]} are not in the store any more", hint="run the pipeline again; what is missing is made anew"
        ) from None


def _finite(value: Any) -> Any:
    """JSON has no word for what is no number."""
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value
