"""The scripts that draw Plotly's and Vega's figures, as the user's own libraries ship them. Runs in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.spec.layout import ENVIRONMENTS
from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source

_PLOTLY = "package_data/plotly.min.js"
_BUNDLE = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle().encode())"
_TIMEOUT_S = 20.0


def see_library(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"path": where the script lies} for `kind` "plotly" or "vega-lite". Raises CannotSee with what to install."""
    home = str(args["home"])
    if args["kind"] == "plotly":
        found = next((path for folder in _packages("plotly", home) if (path := folder / _PLOTLY).is_file()), None)
        if found is None:
            raise CannotSee("plotly is not installed where the dashboard runs", "pip install plotly")
        return {"path": str(found), "passing": True}
    return {"path": str(_make_bundle(home)), "passing": True}


def _make_bundle(home: str) -> Path:
    """Vega, Vega-Lite and vega-embed in one script, as Altair's own exporter makes it: kept below the home."""
    for folder in _packages("vl_convert", home):
        version = _version(folder)
        made = Path(home, "cache", "scripts", f"vega-{version}.js")
        if made.is_file():
            return made
        python = sys.executable if folder.parent in map(Path, sys.path) else str(folder.parents[3] / "bin" / "python")
        done = subprocess.run([python, "-c", _BUNDLE], capture_output=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode or not done.stdout:
            continue
        made.parent.mkdir(parents=True, exist_ok=True)
        half = made.with_suffix(".half")
        half.write_bytes(done.stdout)
        half.replace(made)
        return made
    raise CannotSee("what draws Altair's figures is not installed where the dashboard runs", "pip install vl-convert-python")


def _packages(name: str, home: str) -> Iterator[Path]:
    """Folders of the package: of this interpreter, and of the environments that this home's steps ran in."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent
    yield from sorted(Path(home, ENVIRONMENTS).glob(f"*/lib/python3*/site-packages/{name}"), reverse=True)


def _version(folder: Path) -> str:
    found = next(folder.parent.glob(f"{folder.name}*python-*.dist-info"), None)
    return found.name.partition("-")[2].removesuffix(".dist-info") if found is not None else "any"
