"""A notebook, cell by cell, in a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import pytest
from nbformat.v4 import new_code_cell, new_notebook

CELLS = {
    "constants": "import fairway as fw\nSCALE = 2",
    "steps": """
@fw.step
def scale(n: int) -> int:
    return SCALE * n

@fw.step
def table(ns: list[int]) -> fw.Table:
    return fw.Table([{"n": n} for n in ns])
""",
    "pipeline": """
@fw.pipeline
def scaled(ns: list[int] = [1, 2]):
    '''Scale numbers.'''
    return table(scale(fw.each(ns)))
scaled
""",
    "run": "run = fw.run(scaled, ns=[1, 2, 3])\nrun",
    "outputs": "run.outputs",
    "value": "run.outputs['result'].load().rows",
    "tasks": "fw.runs['last'].tasks",
    "function": "scale(4)",
    "edited": "SCALE = 3\nfw.run(scaled, ns=[1]).outputs['result'].load().rows",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each cell displayed, by media type."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    notebook = new_notebook(cells=[new_code_cell(text) for text in CELLS.values()])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    results = [next((out["data"] for out in cell["outputs"] if out["output_type"] == "execute_result"), {}) for cell in notebook["cells"]]
    return dict(zip(CELLS, results, strict=True))


def test_a_pipeline_shows_its_parameters_and_graph(shown: dict[str, dict[str, Any]]) -> None:
    html = shown["pipeline"]["text/html"]
    assert "ns: list[int] = [1, 2]" in html and "Scale numbers." in html and "<svg" in html


def test_a_run_of_cells_shows_itself(shown: dict[str, dict[str, Any]]) -> None:
    assert "scaled" in shown["run"]["text/html"] and "<svg" in shown["run"]["text/html"]
    assert "scale[2]" in shown["tasks"]["text/html"]


def test_an_artifact_shows_its_value_and_loads(shown: dict[str, dict[str, Any]]) -> None:
    assert "<td>6</td>" in shown["outputs"]["text/html"]
    assert shown["value"]["text/plain"] == "[[2], [4], [6]]"


def test_a_step_is_still_a_function_and_an_edited_constant_counts(shown: dict[str, dict[str, Any]]) -> None:
    assert shown["function"]["text/plain"] == "8"
    assert shown["edited"]["text/plain"] == "[[3]]"
