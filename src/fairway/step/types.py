"""What a step can take and return beside plain Python values: files, folders, models, and things made for people to look at.

Nothing here imports more than the standard library's lightest parts: `import fairway` leads here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO


class File(str):
    """A file, by its path: a string that every program and library takes for one.

    A step that takes a `File` gets a read-only copy with the file's own name; a step that returns one has its content stored.
    """

    __slots__ = ()
    fairway_type: ClassVar[str] = "fairway.File"

    def __new__(cls, path: str | os.PathLike[str]) -> File:
        return str.__new__(cls, os.fspath(path))

    @property
    def name(self) -> str:
        """The last part of the path: "churn.csv"."""
        return os.path.basename(self)

    @property
    def suffix(self) -> str:
        """The ending of the name with its dot: ".csv"."""
        return os.path.splitext(self)[1]

    @property
    def size_bytes(self) -> int:
        return os.stat(self).st_size

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """As the built-in `open`."""
        return open(self, mode, **options)

    def read_text(self, encoding: str = "utf-8") -> str:
        with open(self, encoding=encoding) as file:
            return file.read()

    def read_bytes(self) -> bytes:
        with open(self, "rb") as file:
            return file.read()

    def __fspath__(self) -> str:
        return str.__str__(self)

    def __repr__(self) -> str:
        return f"fw.File({str.__repr__(self)})"


class Directory(str):
    """A folder with all that is in it, by its path. `folder / "name"` is the path of something in it."""

    __slots__ = ()
    fairway_type: ClassVar[str] = "fairway.Directory"

    def __new__(cls, path: str | os.PathLike[str]) -> Directory:
        return str.__new__(cls, os.fspath(path))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.rstrip("/"))

    def files(self) -> Iterator[File]:
        """Every file below, in the order of their paths."""
        for folder, folders, names in os.walk(self):
            folders.sort()
            for name in sorted(names):
                yield File(os.path.join(folder, name))

    def __truediv__(self, name: str) -> str:
        return os.path.join(self, name)

    def __fspath__(self) -> str:
        return str.__str__(self)

    def __repr__(self) -> str:
        return f"fw.Directory({str.__repr__(self)})"


class HTML(str):
    """A page or a piece of one, shown as it is by the dashboard and notebooks."""

    __slots__ = ()
    fairway_type: ClassVar[str] = "fairway.HTML"

    def _repr_html_(self) -> str:
        return str(self)


class Markdown(str):
    """Text in Markdown, shown as it is meant by the dashboard and notebooks."""

    __slots__ = ()
    fairway_type: ClassVar[str] = "fairway.Markdown"

    def _repr_markdown_(self) -> str:
        return str(self)


class Metrics(dict[str, Any]):
    """Named numbers that tell how good something is: `fw.Metrics(auc=0.78, f1=0.51)`. Shown and compared across runs."""

    fairway_type: ClassVar[str] = "fairway.Metrics"

    def __init__(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__({**(values or {}), **more})
        for name, value in self.items():
            number = value if type(value) in (int, float, bool) or not hasattr(value, "item") else value.item()
            if not isinstance(name, str) or not isinstance(number, int | float):
                from fairway.errors import DefinitionError

                raise DefinitionError(
                    f"a metric is a name and a number, not {name!r}: {type(value).__name__}",
                    hint="fw.Metrics(auc=0.78, accuracy=0.82); tables and lists go into fw.Table",
                )
            self[name] = number

    def _repr_html_(self) -> str:
        return Table([{"metric": k, "value": v} for k, v in self.items()])._repr_html_()


class Table:
    """A small table for people: rows as dicts or lists, or a data frame. Cells are JSON values.

    For data that later steps compute with, return the data frame itself.
    """

    __slots__ = ("columns", "rows", "title")
    fairway_type: ClassVar[str] = "fairway.Table"

    def __init__(self, rows: Any, columns: list[str] | None = None, *, title: str = "") -> None:
        self.title = title
        if hasattr(rows, "columns") and not isinstance(rows, Table):
            names, cells = _rows_of_frame(rows)
            self.columns, self.rows = columns or names, cells
        elif isinstance(rows, Table):
            self.columns, self.rows, self.title = columns or rows.columns, rows.rows, title or rows.title
        else:
            items = list(rows)
            if columns is None:
                columns = list(dict.fromkeys(k for r in items if isinstance(r, dict) for k in r))
            self.columns = columns
            self.rows = [[r.get(c) for c in columns] if isinstance(r, dict) else list(r) for r in items]
            self.columns += [f"column {n}" for n in range(len(columns) + 1, max(map(len, self.rows), default=0) + 1)]
        self.columns = [str(c) for c in self.columns]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and (self.columns, self.rows, self.title) == (other.columns, other.rows, other.title)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=False)) for row in self.rows)

    def __repr__(self) -> str:
        return f"fw.Table({len(self.rows)} rows: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{escape(c)}</th>" for c in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(_cell(v))}</td>" for v in row) + "</tr>" for row in self.rows)
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rows_of_frame(frame: Any) -> tuple[list[str], list[list[Any]]]:
    """Column names and rows of a pandas, Polars or Arrow table; a pandas index that means something becomes columns."""
    if hasattr(frame, "reset_index"):
        if type(frame.index).__name__ != "RangeIndex":
            frame = frame.reset_index()
        rows = [[None if v is None or v != v else v for v in row] for row in frame.astype(object).to_numpy().tolist()]
        return [str(c) for c in frame.columns], rows
    if hasattr(frame, "rows"):
        return list(frame.columns), [list(row) for row in frame.rows()]
    return list(frame.column_names), [list(row.values()) for row in frame.to_pylist()]


class Figure:
    """A picture of data: a matplotlib, Plotly or Altair figure, or the bytes of an SVG or PNG file.

    A figure read back has `kind` ("svg", "png", "plotly", "vega-lite") and `data` (the file's bytes); it shows itself in notebooks.
    `title` is shown above it.
    """

    __slots__ = ("_data", "_kind", "_value", "title")
    fairway_type: ClassVar[str] = "fairway.Figure"

    def __init__(self, value: Any, *, title: str = "") -> None:
        self.title = title
        self._value, self._data, self._kind = value, b"", ""
        if isinstance(value, Figure):
            self._value, self._data, self._kind = value._value, value._data, value._kind
            self.title = title or value.title
        elif isinstance(value, bytes | str):
            self._data = value.encode() if isinstance(value, str) else value
            self._kind = _kind_of_picture(self._data)
            self._value = None

    @classmethod
    def of_file(cls, kind: str, data: bytes, title: str = "") -> Figure:
        """A figure as it was stored."""
        made = cls.__new__(cls)
        made._kind, made._data, made._value, made.title = kind, data, None, title
        return made

    @property
    def kind(self) -> str:
        """ "svg", "png", "plotly" or "vega-lite"."""
        return self.render()[0]

    @property
    def data(self) -> bytes:
        """The bytes of the file it is stored as."""
        return self.render()[1]

    @property
    def value(self) -> Any:
        """The live figure: the one it was made of, or for a stored Plotly or Altair figure one made anew; else None."""
        if self._value is None and self._data:
            from fairway.step.serializers import figures

            self._value = figures.revive(self._kind, self._data)
        return self._value

    def render(self) -> tuple[str, bytes]:
        """(kind, bytes), drawn on first use."""
        if not self._data:
            from fairway.step.serializers import figures

            self._kind, self._data = figures.draw(self._value)
        return self._kind, self._data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file's bytes to `path`."""
        with open(path, "wb") as file:
            file.write(self.data)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from fairway.step.serializers import figures

        return figures.mime_bundle(*self.render())

    def __repr__(self) -> str:
        return f"fw.Figure({self._kind or type(self._value).__name__})"


def _kind_of_picture(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n"):
        return "png"
    if b"<svg" in data[:4096]:
        return "svg"
    from fairway.errors import DefinitionError

    raise DefinitionError(
        "not a picture: neither SVG nor PNG", hint="pass a matplotlib, Plotly or Altair figure, or the bytes of an .svg or .png file"
    )


class Model:
    """A trained model with what others must know to use it: framework and versions, signature, schema, metrics, an example.

    `fw.Model(estimator, example=X.head(), metrics={"auc": 0.78})`. Stored as a folder with a `fairway-model.json`; `Model.load(folder)`
    reads it anywhere. `signature` overrides what `example` or the fitted estimator say:
    {"inputs": {"age": "int64"}, "outputs": {"prediction": "int64"}}.
    `transform`: features (fw.transform) that are computed of the inputs first, here and where the model is served; `example` is then of
    what comes before them.
    `schema`: of the data (a file's name or a document, as `fairway data schema infer` makes it): requests are held to it too. `baseline`:
    how the training data were distributed (`fw.baseline(train)`): an endpoint then raises an alarm when its traffic drifts from that.
    """

    __slots__ = ("_baseline", "_estimator", "_schema", "_transform", "card", "example", "folder", "metrics", "signature", "trust")
    fairway_type: ClassVar[str] = "fairway.Model"

    def __init__(
        self,
        estimator: Any,
        *,
        example: Any = None,
        metrics: Mapping[str, float] | None = None,
        signature: Mapping[str, Any] | None = None,
        transform: Any = None,
        schema: Any = None,
        baseline: Any = None,
        trust: bool = False,
    ) -> None:
        from fairway.step.serializers import datafiles

        self.folder = ""
        self.card: dict[str, Any] = {}
        self._estimator, self._transform = estimator, transform
        self._schema = None if schema is None else datafiles.read_schema(schema)
        self._baseline = None if baseline is None else datafiles.read_baseline(baseline)
        if isinstance(estimator, Model):  # a model with more to say about it
            self.folder, self.card, self._estimator = estimator.folder, estimator.card, estimator._estimator
            self._transform = estimator._transform if transform is None else transform
            self._schema, self._baseline = self._schema or estimator._schema, self._baseline or estimator._baseline
            example = estimator.example if example is None else example
            metrics = estimator.metrics if metrics is None else metrics
            if signature is None:  # what a new example says of the inputs goes before what was guessed without it
                signature = {k: v for k, v in estimator.signature.items() if k != "inputs" or example is estimator.example}
        elif isinstance(estimator, str | os.PathLike):
            self.folder, self._estimator = os.fspath(estimator), None
            if os.path.exists(os.path.join(self.folder, "fairway-model.json")):
                loaded = Model.load(estimator)
                self.card = loaded.card
                metrics, signature = loaded.metrics if metrics is None else metrics, signature or loaded.signature
        self.example = example
        self.metrics = Metrics(metrics or {})
        self.signature: dict[str, Any] = dict(signature or {})
        self.trust = trust

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, trust: bool = False) -> Model:
        """The model stored in `folder`; its estimator is read when first used. Raises NotFoundError if there is no model."""
        from fairway.step.serializers import models

        return models.load(os.fspath(folder), trust)

    @property
    def estimator(self) -> Any:
        """The trained object itself, read from its folder on first use."""
        if self._estimator is None:
            from fairway.step.serializers import models

            self._estimator = models.load_estimator(self)
        return self._estimator

    @property
    def framework(self) -> str:
        """ "sklearn", "xgboost", "torch", …: the library that the estimator belongs to."""
        if self.card:
            return self.card.get("framework", "")
        return type(self._estimator).__module__.partition(".")[0]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and of the libraries that wrote the model."""
        return self.card.get("versions", {})

    @property
    def transform(self) -> Any:
        """The features that are computed of the inputs first (fw.transform); None if there are none."""
        if self._transform is None and self.card.get("transform"):
            from fairway.step.serializers import models

            self._transform = models.load_transform(self)
        return self._transform

    def predict(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The estimator's own `predict` (for a PyTorch module, its call), of the features of `inputs`."""
        estimator = self.estimator
        return (estimator.predict if hasattr(estimator, "predict") else estimator)(self._features(inputs), *args, **kwargs)

    def predict_proba(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The estimator's own `predict_proba`, of the features of `inputs`."""
        return self.estimator.predict_proba(self._features(inputs), *args, **kwargs)

    def _features(self, inputs: Any) -> Any:
        features = self.transform
        return inputs if features is None else features(inputs)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model as a folder, which must not exist yet."""
        from fairway.step.serializers import models

        models.save(self, os.fspath(folder), trust=self.trust)

    def __repr__(self) -> str:
        what = self.card.get("class", "") if self._estimator is None else type(self._estimator).__name__
        numbers = "".join(f", {k}={v:.4g}" for k, v in self.metrics.items())
        return f"fw.Model({what or self.folder}{numbers})"
