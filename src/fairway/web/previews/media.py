"""What browsers are told that an artifact's bytes are. Pure."""

from __future__ import annotations

from fairway.spec.artifact import ArtifactRef

MEDIA = {
    "json": "application/json",
    "metrics": "application/json",
    "table": "application/json",
    "graph": "application/json",
    "text": "text/plain; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "data-report": "text/html; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.file",
    "arrow-polars": "application/vnd.apache.arrow.file",
    "arrow-table": "application/vnd.apache.arrow.file",
    "parquet-table": "application/vnd.apache.parquet",
}
_PICTURES = {"svg": "image/svg+xml", "png": "image/png", "plotly": "application/json", "vega-lite": "application/json"}


def media_type(ref: ArtifactRef | None) -> str:
    """What a browser is told that the bytes are."""
    if ref is None:
        return "application/octet-stream"
    if ref.format == "figure":
        return _PICTURES.get(str(ref.meta.get("kind", "")), "application/octet-stream")
    return MEDIA.get(ref.format, "application/octet-stream")
