"""ROC curves, confusion matrices and pictures that runs have made, by name, so that those of several runs can stand side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairway.engine.sketch import Sketch
from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, record
from fairway.web.identity import Identity
from fairway.web.ports import Site
from fairway.web.sides import Side

TABLE_BYTES = 2 << 20
CLASSES_LIMIT = 30
STEPS_LIMIT = 2_000
"""Of so many steps it is looked at what they made."""
ROC_COLUMNS = (("fpr", "tpr"), ("false positive rate", "true positive rate"), ("false_positive_rate", "true_positive_rate"))
PARTS = ("class", "model", "label", "fold", "name")
PICTURES = ("svg", "png")


@record
class Matrix(Record):
    """A confusion matrix: rows are what was, columns what was said. `shares`: of its row's sum, 0 to 1."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]
    corner: str = ""

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Each count as a share of its row."""
        return tuple(tuple(count / sum(row) if sum(row) else 0.0 for count in row) for row in self.counts)


@record
class Result(Record):
    """What one run has under a name: `kind` "roc" (`curves` by part), "confusion" (`matrix`) or "picture" (`url`)."""

    kind: str
    run: str
    curves: dict[str, list[list[float]]] | None = None
    matrix: Matrix | None = None
    url: str = ""


async def read_results(site: Site, identity: Identity, sides: Sequence[Side]) -> dict[str, dict[str, list[Result]]]:
    """kind -> name -> one result a run that has it."""
    found: dict[str, dict[str, list[Result]]] = {"roc": {}, "confusion": {}, "picture": {}}
    for side in sides:
        refs = await site.overviews.read(side.run, lambda sketch: dict(list_made(sketch)))
        tables = {name: ref for name, ref in refs.items() if ref.format == "table" and ref.size_bytes <= TABLE_BYTES}
        for name, one in (await asyncio.to_thread(_read_tables, side.run, tables, site.services.artifacts)).items():
            found[one.kind].setdefault(name, []).append(one)
        for name, ref in refs.items():
            if ref.format == "figure" and ref.meta.get("kind") in PICTURES:
                url = site.grants.make(side.run, ref.digest, "", identity, ref=ref)
                found["picture"].setdefault(name, []).append(Result("picture", side.run, url=url))
    return found


def list_made(sketch: Sketch) -> Iterator[tuple[str, ArtifactRef]]:
    """(name, reference) of the run's outputs, then of what tasks that are not mapped have made beside them: "report.roc"."""
    known: set[str] = set()
    for name, ref in sketch.state.outputs.items():
        known.add(ref.digest)
        yield name, ref
    nodes = [node for scope in sketch.overview.scopes.values() for node in scope.nodes.values() if not node.node.axes][:STEPS_LIMIT]
    sketch.load(slot for node in nodes for slot in node.all_slots())
    for node in nodes:
        for output, ref in (sketch.task((node.scope, node.node.id, ())).outputs or {}).items():
            if ref.digest not in known:
                known.add(ref.digest)
                yield f"{node.node.id}.{output}", ref


def _read_tables(run: str, tables: Mapping[str, ArtifactRef], store: ArtifactStore) -> dict[str, Result]:
    found: dict[str, Result] = {}
    for name, ref in tables.items():
        try:
            data = json.loads(ref.inline if ref.inline is not None else store.get(blob_key(ref.digest)))
        except (FairwayError, ValueError):
            continue
        columns, rows = [str(one) for one in data.get("columns", [])], data.get("rows", [])
        curves = read_roc(columns, rows)
        matrix = None if curves else read_confusion(columns, rows, f"{name} {data.get('title', '')}")
        if curves:
            found[name] = Result("roc", run, curves=curves)
        elif matrix:
            found[name] = Result("confusion", run, matrix=matrix)
    return found


def read_roc(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[list[float]]] | None:
    """part -> [[false positive rate, true positive rate], …] in order; None if the table is no ROC curve."""
    lower = [name.strip().lower() for name in columns]
    pair = next((pair for pair in ROC_COLUMNS if set(pair) <= set(lower)), None)
    if pair is None:
        return None
    fpr, tpr = (lower.index(name) for name in pair)
    part = next((lower.index(name) for name in PARTS if name in lower), None)
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        if len(row) == len(columns) and _is_number(row[fpr]) and _is_number(row[tpr]):
            found.setdefault("" if part is None else str(row[part]), []).append([float(row[fpr]), float(row[tpr])])
    return {name: sorted(points) for name, points in found.items()} or None


def read_confusion(columns: Sequence[str], rows: Sequence[Sequence[Any]], name: str) -> Matrix | None:
    """The matrix; None if the table is none: names in the first column, counts in the others, and either the same names or a name that
    says so."""
    if not 2 <= len(columns) - 1 <= CLASSES_LIMIT or not 2 <= len(rows) <= CLASSES_LIMIT or any(len(row) != len(columns) for row in rows):
        return None
    if not all(_is_number(value) and value >= 0 for row in rows for value in row[1:]):
        return None
    names = [str(row[0]) for row in rows]
    if set(names) != set(columns[1:]) and "confusion" not in name.lower():
        return None
    return Matrix(tuple(names), tuple(columns[1:]), tuple(tuple(float(value) for value in row[1:]) for row in rows), columns[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
