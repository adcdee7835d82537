"""What a revision's package says of its data: the schema of a row and the baseline, read from the artifact store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, NotFoundError
from fairway.serve.feedback.requestrows import PREDICTION
from fairway.spec.artifact import blob_key

if TYPE_CHECKING:
    from fairway.data.batch import Kind
    from fairway.data.drift import Baseline
    from fairway.data.schema.model import TableSchema
    from fairway.spec.ports import ArtifactStore

_CARD, _SCHEMA, _BASELINE = "fairway-model.json", "schema.json", "baseline.json"


@dataclass(frozen=True)
class DataModel:
    """`schema`: of a row as it is in serving, None where none is known; `baseline`: None where the model carries none; `columns`: names in
    their order; `kinds`: of those whose texts mean something else. `key` tells models apart; `why`: what cannot be read, for people."""

    key: str
    schema: TableSchema | None = None
    baseline: Baseline | None = None
    columns: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict[str, "Kind"])
    why: str = ""

    @property
    def has_predictions(self) -> bool:
        """Are the answers held to the baseline too?"""
        return self.baseline is not None and any(one.facet.column == PREDICTION for one in self.baseline.tracks)


def key_of(said: Mapping[str, Any]) -> str:
    """The same for all revisions that say the same of their data. `said`: `package` and `schema`, digests."""
    return f"{said.get('package', '')} {said.get('schema', '')}".strip()


def is_watched(store: ArtifactStore, said: Mapping[str, Any]) -> bool:
    """Does the package carry a baseline, or a schema of its data? Cheap: no library is imported."""
    files = _files(store, said)
    return _BASELINE in files or bool(_card(store, files).get("data_schema"))


def load_model(store: ArtifactStore, said: Mapping[str, Any]) -> DataModel:
    """All that is told of a revision's data; what cannot be read is left out, and `why` says so."""
    from fairway.data.watch import kinds_of

    files = _files(store, said)
    why: list[str] = []
    schema = _read_schema(store, files, said, why)
    baseline = _read_baseline(store, files, schema, why)
    if schema is not None and baseline is not None and any(one.facet.column == PREDICTION for one in baseline.tracks):
        schema = _with_prediction(schema)
    columns = tuple(name for name in schema.columns if name != PREDICTION) if schema is not None else ()
    if not columns and baseline is not None:
        columns = tuple(dict.fromkeys(one.facet.column for one in baseline.tracks if one.facet.column != PREDICTION))
    return DataModel(key_of(said), schema, baseline, columns, kinds_of(schema), "; ".join(why))


def _files(store: ArtifactStore, said: Mapping[str, Any]) -> dict[str, str]:
    """path -> digest of the package's files."""
    try:
        manifest = json.loads(store.get(blob_key(str(said.get("package", "")))))
        return {str(one["path"]): str(one["digest"]) for one in manifest["files"]}
    except (NotFoundError, ValueError, KeyError, TypeError):
        return {}


def _card(store: ArtifactStore, files: Mapping[str, str]) -> dict[str, Any]:
    found = _read(store, files.get(_CARD, ""))
    return found if isinstance(found, dict) else {}


def _read(store: ArtifactStore, digest: str) -> Any:
    if not digest:
        return None
    try:
        return json.loads(store.get(blob_key(digest)))
    except (NotFoundError, ValueError):
        return None


def _read_schema(store: ArtifactStore, files: Mapping[str, str], said: Mapping[str, Any], why: list[str]) -> TableSchema | None:
    from fairway.data.schema.model import SERVING
    from fairway.data.schema.parse import parse_schema

    name = str(_card(store, files).get("schema") or _SCHEMA)
    document = _read(store, str(said.get("schema") or "") or files.get(name, ""))
    if not isinstance(document, dict):
        return None
    try:
        return _of_requests(parse_schema(document).for_environment(SERVING))
    except FairwayError as error:  # arrays, or the body itself: no rows, so nothing that a table's checks could say
        if _BASELINE in files:
            why.append(f"the schema says nothing of rows: {error.message}")
        return None


def _of_requests(schema: TableSchema) -> TableSchema:
    """What holds for requests that come one by one: they have no order and no rhythm, and the same row may come again."""
    columns = {name: dataclasses.replace(rule, unique=False, sorted="") for name, rule in schema.columns.items()}
    return dataclasses.replace(schema, columns=columns, keys=(), cadences=(), duplicates=None)


def _read_baseline(store: ArtifactStore, files: Mapping[str, str], schema: TableSchema | None, why: list[str]) -> Baseline | None:
    from fairway.data.drift import Baseline

    document = _read(store, files.get(_BASELINE, ""))
    if document is None:
        return None
    try:
        baseline = Baseline.from_json(document)
    except (FairwayError, KeyError, TypeError, ValueError, AttributeError) as error:
        why.append(f"the baseline cannot be read: {error}")
        return None
    if schema is None:
        return baseline
    kept = tuple(one for one in baseline.tracks if one.facet.column in schema.columns or one.facet.column == PREDICTION)
    return dataclasses.replace(baseline, tracks=kept)


def _with_prediction(schema: TableSchema) -> TableSchema:
    """With a column for what the model answers, of which the schema says nothing."""
    from fairway.data.anomalies.edits import find_at, tokens_of
    from fairway.data.schema.model import ColumnRule

    document = json.loads(json.dumps(schema.document))
    row: Any = find_at(document, tokens_of(schema.at))
    row["properties"].setdefault(PREDICTION, {})
    rule = ColumnRule(PREDICTION, nullable=True, required=False)
    return dataclasses.replace(schema, document=document, columns={**schema.columns, PREDICTION: rule})
