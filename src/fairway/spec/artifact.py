"""References to artifacts: immutable values in the artifact store, named by their SHA-256."""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, field, record

INLINE_LIMIT_BYTES = 1024
"""A JSON artifact up to this size travels inside its reference and needs no file of its own."""


@record
class ArtifactRef(Record):
    """One artifact.

    `digest` is the hex SHA-256 of its bytes (of its manifest, for `dir`, `model` and `list` formats).
    `format` names the stored form: "json", "text", "bytes", "arrow", "npy", "file", "dir", "model",
    "list", … as registered by a serializer. `type` is the Python type it was written from
    ("int", "pandas.DataFrame"). `inline` is the JSON text itself for a small JSON artifact: then the
    store may hold no copy. `meta` is small and for people and previews: rows, columns, library versions.

    The manifest of a `list` artifact is JSON `{"items": [<ArtifactRef>, …]}`; of a `dir`,
    `{"files": [{"path", "digest", "size_bytes", "mode"}, …]}` sorted by path; a `model` is a `dir`
    with a `fairway-model.json` among its files.
    """

    digest: str
    size_bytes: int
    format: str
    type: str = ""
    name: str = ""
    inline: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def blob_key(digest: str) -> str:
    """The artifact store's key of a blob."""
    return f"sha256/{digest[:2]}/{digest[2:]}"
