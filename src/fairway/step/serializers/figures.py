"""Figures: matplotlib as SVG (PNG where that would be huge), Plotly and Altair as the JSON that their own libraries draw from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step.types import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SVG_LIMIT_BYTES = 2 << 20
_PNG_DOTS_PER_INCH = 150


class FigureFile:
    """fw.Figure, and live figures of matplotlib, Plotly and Altair <-> one picture file; live ones come back live where they can."""

    format, suffix = "figure", ""
    types = (
        "fairway.Figure",
        "matplotlib.figure.Figure",
        "plotly.graph_objects.Figure",
        "plotly.basedatatypes.BaseFigure",
        "altair.TopLevelMixin",
    )

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        figure = Figure(value)
        kind, data = figure.render()
        path.write_bytes(data)
        ending = {"svg": ".svg", "png": ".png", "plotly": ".plotly.json", "vega-lite": ".vl.json"}[kind]
        return {"kind": kind, "title": figure.title, "name": f"figure{ending}"}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        data = path.read_bytes()
        kind = meta.get("kind") or kind_of(data)
        live = kind in ("plotly", "vega-lite") and not str(wanted or meta.get("type", "fairway.Figure")).startswith("fairway.")
        return revive(kind, data) if live else Figure.of_file(kind, data, meta.get("title", ""))


def draw(value: Any) -> tuple[str, bytes]:
    """(kind, bytes) of a live figure. The same figure gives the same bytes. Raises DefinitionError for what is no figure."""
    if hasattr(value, "savefig"):
        return _draw_matplotlib(value)
    if hasattr(value, "get_figure"):  # an Axes
        return _draw_matplotlib(value.get_figure())
    if hasattr(value, "to_plotly_json"):
        return "plotly", value.to_json(engine="json").encode()
    if hasattr(value, "to_json") and type(value).__module__.startswith("altair."):
        return "vega-lite", json.dumps(value.to_dict(), separators=(",", ":"), sort_keys=True).encode()
    figure = getattr(value, "figure_", None) or getattr(value, "figure", None) or getattr(value, "fig", None)
    if figure is not None and hasattr(figure, "savefig"):  # displays of scikit-learn, grids of seaborn
        return _draw_matplotlib(figure)
    raise DefinitionError(
        f"a {type(value).__qualname__} is not a figure that can be stored",
        hint="pass a matplotlib, Plotly or Altair figure, or the bytes of an .svg or .png file",
    )


def _draw_matplotlib(figure: Any) -> tuple[str, bytes]:
    import io

    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fairway", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
        if out.tell() <= _SVG_LIMIT_BYTES:
            return "svg", out.getvalue()
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=_PNG_DOTS_PER_INCH, metadata={"Software": None}, bbox_inches="tight")
    return "png", out.getvalue()


def revive(kind: str, data: bytes) -> Any:
    """The live figure that a file was written from; None if the file is only a picture."""
    if kind == "plotly":
        import plotly.io

        return plotly.io.from_json(data.decode())
    if kind == "vega-lite":
        import altair

        return altair.Chart.from_json(data.decode())
    return None


def kind_of(data: bytes) -> str:
    """What sort of file it is, from its bytes."""
    if data.startswith(b"\x89PNG"):
        return "png"
    if data.lstrip().startswith(b"{"):
        return "vega-lite" if "$schema" in json.loads(data) else "plotly"
    return "svg"


def mime_bundle(kind: str, data: bytes) -> dict[str, Any]:
    """What a notebook shows."""
    if kind == "svg":
        return {"image/svg+xml": data.decode()}
    if kind == "png":
        import base64

        return {"image/png": base64.b64encode(data).decode()}
    if kind == "plotly":
        return {"application/vnd.plotly.v1+json": json.loads(data)}
    return {"application/vnd.vegalite.v5+json": json.loads(data)}
