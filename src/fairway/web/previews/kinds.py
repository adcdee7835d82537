"""Which preview fits: by an artifact's format, or by the name of a file. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from fairway.spec.artifact import ArtifactRef

KINDS = (
    "table", "model", "metrics", "figure", "image", "html", "markdown", "json", "text", "array", "sparse", "tensors", "folder", "list",
    "archive", "code", "bytes", "file",
)  # fmt: skip

_BY_FORMAT = {
    "json": "json",
    "graph": "json",
    "metrics": "metrics",
    "table": "table",
    "arrow": "table",
    "arrow-polars": "table",
    "arrow-table": "table",
    "parquet-table": "table",
    "npy": "array",
    "npz": "sparse",
    "text": "text",
    "markdown": "markdown",
    "html": "html",
    "data-report": "html",
    "bytes": "bytes",
    "dir": "folder",
    "model": "model",
    "list": "list",
    "tree": "list",
    "safetensors": "tensors",
    "skops": "archive",
    "lightgbm": "text",
}
_BY_ENDING = {
    ".parquet": "table",
    ".pq": "table",
    ".arrow": "table",
    ".feather": "table",
    ".ipc": "table",
    ".csv": "table",
    ".tsv": "table",
    ".jsonl": "table",
    ".ndjson": "table",
    ".npy": "array",
    ".npz": "archive",
    ".zip": "archive",
    ".skops": "archive",
    ".safetensors": "tensors",
    ".json": "json",
    ".geojson": "json",
    ".ipynb": "json",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".gif": "image",
    ".webp": "image",
    ".avif": "image",
    ".ico": "image",
    ".svg": "image",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".log": "text",
}
_PROGRAMS = (
    ".py", ".r", ".jl", ".sh", ".sql", ".js", ".mjs", ".ts", ".css", ".c", ".h", ".cpp", ".rs", ".go", ".java", ".toml", ".yaml", ".yml",
    ".ini", ".cfg", ".xml", ".tex", ".proto", ".dockerfile",
)  # fmt: skip
_FIGURES = {"svg": "image", "png": "image", "plotly": "figure", "vega-lite": "figure"}


def kind_of(ref: ArtifactRef) -> str:
    """table, array, sparse, image, figure, html, json, metrics, markdown, text, code, model, folder, list, archive, tensors, bytes, file.

    "file" is what only a look inside can tell: text or bytes.
    """
    if ref.format == "figure":
        return _FIGURES.get(str(ref.meta.get("kind", "")), "file")
    if ref.meta.get("folder"):
        return "folder"
    return _BY_FORMAT.get(ref.format) or kind_of_name(str(ref.meta.get("name", "")))


def kind_of_name(name: str) -> str:
    """The same for a file by its name."""
    ending = PurePosixPath(name).suffix.lower()
    return _BY_ENDING.get(ending) or ("code" if ending in _PROGRAMS or name.lower().endswith(("dockerfile", "makefile")) else "file")


def table_form(ref: ArtifactRef, name: str = "") -> str:
    """How a table is stored: "arrow", "parquet", "csv", "tsv", "lines" (of JSON) or "table" (ours)."""
    if ref.format == "table" and not name:
        return "table"
    if ref.format.startswith("arrow") and not name:
        return "arrow"
    if ref.format == "parquet-table" and not name:
        return "parquet"
    ending = PurePosixPath(name or str(ref.meta.get("name", ""))).suffix.lower()
    if ending in (".parquet", ".pq"):
        return "parquet"
    if ending in (".csv", ".tsv"):
        return ending[1:]
    return "lines" if ending in (".jsonl", ".ndjson") else "arrow"
