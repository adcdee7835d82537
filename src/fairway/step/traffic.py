"""Captured traffic of an endpoint, as a folder of Parquet files: requests, answers, and the truth that came for them later.

`date=YYYY-MM-DD/traffic-*.parquet` has a row for each request, `date=…/feedback-*.parquet` one for each label;
`fairway-traffic.json` says which part of it is meant. Any tool that reads Parquet reads the folder; this class joins predictions and truth.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from fairway.errors import ConfigError, DefinitionError, NotFoundError, UnsupportedError
from fairway.step.types import Directory

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = "fairway-traffic.json"
_MEASURES = ("accuracy", "mean absolute error")


class Traffic(Directory):
    """What `fw.traffic("risk")` gives, and what a step makes of such a folder: `fw.Traffic(folder)`.

    It is a folder, so it may be an input of any step that takes `fw.Directory`: the files' digests are its cache key.
    """

    __slots__ = ()
    fairway_type: ClassVar[str] = "fairway.Directory"

    def __new__(cls, path: str | os.PathLike[str]) -> Traffic:
        return str.__new__(cls, os.fspath(path))

    @property
    def about(self) -> dict[str, Any]:
        """`endpoint`, and what was asked for: `since`, `until` (seconds since 1970), `revision` (0: all)."""
        try:
            with open(self / ABOUT, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError as error:
            raise NotFoundError(f"{str(self)!r} holds no traffic", hint='fw.traffic("NAME") gives a folder that does') from error

    def table(self) -> Any:
        """The requests as a pyarrow.Table, oldest first: `id`, `at`, `endpoint`, `revision`, `replica`, `status`, `latency_ms`, `caller`,
        `path`, `request` and `answer` (JSON texts, null where they were not kept: `withheld` says why)."""
        about, arrow = self.about, _arrow()
        found = self._read("traffic", TRAFFIC_COLUMNS)
        keep = arrow.compute.greater_equal(found["at"], _stamp(about.get("since") or 0.0))
        if about.get("until"):
            keep = arrow.compute.and_(keep, arrow.compute.less(found["at"], _stamp(about["until"])))
        if about.get("revision"):
            keep = arrow.compute.and_(keep, arrow.compute.equal(found["revision"], about["revision"]))
        return found.filter(keep).sort_by([("at", "ascending"), ("id", "ascending")])

    def pandas(self) -> Any:
        """`table()` as a pandas.DataFrame."""
        return self.table().to_pandas()

    def polars(self) -> Any:
        """`table()` as a polars.DataFrame."""
        return _import("polars").from_arrow(self.table())

    def labels(self) -> Any:
        """The truth as a pyarrow.Table, the latest for each prediction: `id`, `row`, `at`, `label` (a JSON text), `user`, `caller`, `more`
        (other fields that came with it, a JSON text)."""
        arrow = _arrow()
        found = self._read("feedback", FEEDBACK_COLUMNS).sort_by([("at", "ascending")])
        ids, rows = found["id"].to_pylist(), found["row"].to_pylist()
        latest = {(id, row): place for place, (id, row) in enumerate(zip(ids, rows, strict=True))}
        return found.take(arrow.array(sorted(latest.values()), arrow.int64()))

    def joined(self) -> Any:
        """Predictions with their truth, a pyarrow.Table with a row for each predicted row that has a label: `id`, `row`, `at`,
        `revision`, `caller`, `latency_ms`, `prediction` and `label` (numbers, texts or truth values where all are that; else JSON texts),
        `input` (the row of the request, a JSON text), `user`, `labelled_at`.

        A request with several rows wants a list of labels, or `row` beside each. Of several labels for one row the last one counts; a
        request that was captured twice (sent again under the same id) counts once.
        """
        arrow = _arrow()
        rows = list(self.pairs())
        columns: dict[str, Any] = {
            name: arrow.array([row[name] for row in rows], kind)
            for name, kind in (("id", arrow.string()), ("row", arrow.int32()), ("at", _time()), ("revision", arrow.int32()))
        }
        columns["caller"] = arrow.array([row["caller"] for row in rows], arrow.string())
        columns["latency_ms"] = arrow.array([row["latency_ms"] for row in rows], arrow.float64())
        for name in ("prediction", "label"):
            columns[name] = _typed([row[name] for row in rows])
        columns["input"] = arrow.array([_text(row["input"]) for row in rows], arrow.string())
        columns["user"] = arrow.array([row["user"] for row in rows], arrow.string())
        columns["labelled_at"] = arrow.array([row["labelled_at"] for row in rows], _time())
        return arrow.table(columns)

    def accuracy(self, by: str = "revision", measure: str = "") -> list[dict[str, Any]]:
        """How good the predictions were that got a label, for each value of `by` ("revision", "day", "hour", "caller", "user", "" for all):
        dicts with that value, `labels` (how many), `value` and `measure`.

        `measure`: "accuracy" (share that is right; probabilities count as the class they favour) or "mean absolute error"; by default
        whichever the labels are made for.
        """
        if by not in ("", "revision", "day", "hour", "caller", "user"):
            raise ConfigError(f"cannot group by {by!r}", hint='"revision", "day", "hour", "caller", "user", or "" for all at once')
        groups: dict[Any, list[tuple[Any, Any]]] = {}
        for row in self.pairs():
            key = row["at"].strftime("%Y-%m-%d" if by == "day" else "%Y-%m-%d %H:00") if by in ("day", "hour") else row.get(by, "")
            groups.setdefault(key, []).append((row["prediction"], row["label"]))
        every = [pair for pairs in groups.values() for pair in pairs]
        measure = measure or choose_measure(every)
        out: list[dict[str, Any]] = []
        for key in sorted(groups, key=lambda one: (one is None, one)):
            value = score(groups[key], measure)
            out.append({**({by: key} if by else {}), "labels": len(groups[key]), "value": value, "measure": measure})
        return out

    def means(self, output: str) -> list[tuple[int, int, float]]:
        """(revision, count, mean) of the number that answers give under the name `output`, in each predicted row or beside them."""
        groups: dict[int, list[float]] = {}
        for batch in self.table().select(["revision", "answer", "status"]).to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                if row["status"] < 400:
                    groups.setdefault(row["revision"], []).extend(_numbers(row["answer"], output))
        return [(revision, len(found), sum(found) / len(found)) for revision, found in sorted(groups.items()) if found]

    def __repr__(self) -> str:
        return f"fw.Traffic({str.__repr__(self)})"

    def _read(self, kind: str, columns: Sequence[tuple[str, str]]) -> Any:
        arrow = _arrow()
        schema = arrow.schema([(name, _time() if form == "time" else getattr(arrow, form)()) for name, form in columns])
        paths = [path for path in self.files() if path.name.startswith(f"{kind}-") and path.suffix == ".parquet"]
        parts = [arrow.parquet.read_table(os.fspath(path), schema=schema, partitioning=None) for path in paths]
        return arrow.concat_tables(parts) if parts else schema.empty_table()

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The rows of `joined()`, as dicts, one after another."""
        truth: dict[str, list[dict[str, Any]]] = {}
        for label in self.labels().to_pylist():
            truth.setdefault(label["id"], []).append(label)
        seen: set[str] = set()
        wanted = ["id", "at", "revision", "caller", "latency_ms", "request", "answer", "status"]
        for batch in self.table().select(wanted).to_batches(max_chunksize=10_000):
            for request in batch.to_pylist():
                labels = truth.get(request["id"])
                if labels is None or request["id"] in seen or request["status"] >= 400:
                    continue
                seen.add(request["id"])
                yield from _join(request, labels)


TRAFFIC_COLUMNS = (
    ("id", "string"), ("at", "time"), ("endpoint", "string"), ("revision", "int32"), ("replica", "string"), ("status", "int32"),
    ("latency_ms", "float64"), ("caller", "string"), ("path", "string"), ("request", "string"), ("answer", "string"),
    ("withheld", "string"),
)  # fmt: skip
FEEDBACK_COLUMNS = (
    ("id", "string"), ("row", "int32"), ("at", "time"), ("endpoint", "string"), ("label", "string"), ("user", "string"),
    ("caller", "string"), ("more", "string"),
)  # fmt: skip


def read_predictions(answer: str | None) -> list[Any]:
    """The rows of an answer, whichever protocol it was given by; one for a value that is no list. [] for nothing."""
    if answer is None:
        return []
    try:
        value = json.loads(answer)
    except ValueError:
        return []
    while (found := _inside(value)) is not None:  # a script's own answer may have the same form as the protocol's
        value = found
    if isinstance(value, list) and value and isinstance(value[0], dict) and _is_tensor(value[0]):
        return _rows_of(value[0])
    if isinstance(value, dict) and value and all(isinstance(part, list) for part in value.values()):
        return [dict(zip(value, row, strict=False)) for row in zip(*value.values(), strict=False)]
    return value if isinstance(value, list) else [value]


def read_inputs(request: str | None) -> list[Any]:
    """The rows of a request as far as it has them one by one; [] where it does not."""
    if request is None:
        return []
    try:
        value = json.loads(request)
    except ValueError:
        return []
    if isinstance(value, dict):
        if _is_split(value):
            return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
        for name in ("inputs", "instances", "data", "dataframe_records", "dataframe_split"):
            if isinstance(value.get(name), list | dict):
                return read_inputs(json.dumps(value[name]))
        if value and all(isinstance(part, list) for part in value.values()):
            return [dict(zip(value, row, strict=False)) for row in zip(*value.values(), strict=False)]
    return value if isinstance(value, list) else [value]


def choose_measure(pairs: Sequence[tuple[Any, Any]]) -> str:
    """The measure that these labels are made for: numbers that are no classes have an error, all else is right or wrong."""
    for predicted, label in pairs:
        if type(label) is float and label != int(label):
            return _MEASURES[1]
        is_between = type(label) in (int, float) and type(predicted) is float and predicted != int(predicted)
        if is_between and not (label in (0, 1) and 0 <= predicted <= 1):  # else a probability
            return _MEASURES[1]
    return _MEASURES[0]


def score(pairs: Sequence[tuple[Any, Any]], measure: str) -> float:
    """The measure over pairs of (prediction, label)."""
    if measure == _MEASURES[0]:
        return sum(_is_right(predicted, label) for predicted, label in pairs) / len(pairs)
    if measure != _MEASURES[1]:
        raise ConfigError(f"there is no measure {measure!r}", hint=" or ".join(map(repr, _MEASURES)))
    numbers = [(predicted[0] if isinstance(predicted, list) and len(predicted) == 1 else predicted, label) for predicted, label in pairs]
    if not all(isinstance(one, int | float) for pair in numbers for one in pair):
        raise DefinitionError("an error can be taken of numbers only", hint='measure="accuracy" asks which predictions are right')
    return sum(abs(predicted - label) for predicted, label in numbers) / len(numbers)


def _is_right(predicted: Any, label: Any) -> bool:
    if isinstance(predicted, dict) and not isinstance(label, dict):
        predicted = next((predicted[name] for name in ("prediction", "label", "class", "predict") if name in predicted), predicted)
    if isinstance(predicted, dict) and predicted and all(isinstance(part, int | float) for part in predicted.values()):
        return max(predicted, key=lambda name: predicted[name]) == str(label)  # probabilities by class
    if isinstance(predicted, list) and not isinstance(label, list):
        if len(predicted) == 1:
            predicted = predicted[0]
        elif isinstance(label, int) and all(isinstance(part, int | float) for part in predicted):
            predicted = max(range(len(predicted)), key=predicted.__getitem__)
    if type(predicted) is float and predicted != int(predicted) and label in (0, 1, True, False):
        return (predicted >= 0.5) == bool(label)
    return predicted == label


def _join(request: dict[str, Any], labels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    predictions, inputs = read_predictions(request["answer"]), read_inputs(request["request"])
    chosen: dict[int, tuple[Any, dict[str, Any]]] = {}
    for label in labels:  # the oldest first
        value = json.loads(label["label"])
        if label["row"] is not None:
            chosen[label["row"]] = (value, label)
        elif isinstance(value, list) and len(value) == len(predictions):
            chosen.update({place: (one, label) for place, one in enumerate(value)})
        elif len(predictions) == 1:
            chosen[0] = (value, label)
    for row in sorted(chosen):
        if 0 <= row < len(predictions):
            value, label = chosen[row]
            yield {
                **{name: request[name] for name in ("id", "at", "revision", "caller", "latency_ms")},
                "row": row,
                "prediction": predictions[row],
                "label": value,
                "input": inputs[row] if len(inputs) == len(predictions) else None,
                "user": label["user"],
                "labelled_at": label["at"],
            }


def _inside(value: Any) -> Any:
    """What an answer is wrapped around; None for nothing."""
    return next((value[name] for name in ("predictions", "result", "outputs") if name in value), None) if isinstance(value, dict) else None


def _numbers(answer: str | None, name: str) -> list[float]:
    rows = [row[name] for row in read_predictions(answer) if isinstance(row, dict) and name in row]
    try:
        whole = json.loads(answer or "null")
    except ValueError:
        return []
    while not rows and whole is not None:
        rows = [whole[name]] if isinstance(whole, dict) and name in whole else []
        whole = _inside(whole)
    return [float(value) for value in rows if isinstance(value, int | float)]


def _is_split(value: dict[str, Any]) -> bool:
    """Names of columns beside rows of values."""
    names, rows = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not isinstance(rows, list):
        return False
    return all(isinstance(name, str) for name in names) and all(isinstance(row, list) for row in rows)


def _is_tensor(value: dict[str, Any]) -> bool:
    shape, data = value.get("shape"), value.get("data")
    if not isinstance(data, list) or not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        return False
    return not shape or shape[0] <= max(len(data), 1)  # what an answer says of itself need not be true


def _rows_of(tensor: dict[str, Any]) -> list[Any]:
    """The rows of an array of the Open Inference Protocol: its data may be flat."""
    shape, data = tensor["shape"], tensor["data"]
    if len(shape) < 2 or (data and isinstance(data[0], list)):
        return list(data)
    width = len(data) // shape[0] if shape[0] else 0
    return [data[place * width : (place + 1) * width] for place in range(shape[0])]


def _typed(values: list[Any]) -> Any:
    """A column of numbers, texts or truth values if they all are that; else of JSON texts."""
    arrow = _arrow()
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds <= {str} or kinds <= {int}:
        return arrow.array(values)
    if kinds <= {int, float}:
        return arrow.array(values, arrow.float64())
    return arrow.array([_text(value) for value in values], arrow.string())


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _time() -> Any:
    return _arrow().timestamp("us", "UTC")


def _stamp(at: float) -> Any:
    return _arrow().scalar(int(at * 1e6), _arrow().timestamp("us", "UTC"))


def _arrow() -> Any:
    arrow = _import("pyarrow")
    _import("pyarrow.parquet")
    _import("pyarrow.compute")
    return arrow


def _import(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        library = name.partition(".")[0]
        raise UnsupportedError(
            f"captured traffic is read with {library}, which is not installed here", hint=f"pip install {library}"
        ) from error
