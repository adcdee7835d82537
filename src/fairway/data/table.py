"""One lazy table over any source: stable columns with Arrow types, rows in the source's order, memory that does not grow with them."""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from fairway.data.batch import Batch, batches_of
from fairway.data.conditions import check_condition
from fairway.data.sources import Source, needs, open_source
from fairway.data.sources.delimited import DelimitedSource
from fairway.data.sources.engine import Field, chosen, connect, described, quoted
from fairway.data.sources.rejects import Rejects
from fairway.data.sources.urls import shown
from fairway.errors import ConfigError, NotFoundError

BATCH_ROWS = 65_536
_SHOWN_ROWS, _SHOWN_COLUMNS = 10, 30
Origin = tuple[str | list[str], dict[str, Any]]
"""What a table was read from, as it was written: a path, glob, folder or URL, or some of them; and the options."""


def read(source: Any, *, format: str = "", **options: Any) -> Table:
    """A lazy table of a file, a folder, a glob, a list of them, a URL, or of an object in memory. Only the head is read now.

    In memory: a dict of columns, a list of dicts, anything with `__arrow_c_stream__` (pandas, Polars, PyArrow, DuckDB …). What was guessed
    is in `notes`, each with the option that pins it. Raises NotFoundError, ConfigError, UnsupportedError.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        uri = str(os.fspath(source))
        return Table(open_source(uri, format, options), shown(uri), format, origin=(uri, options))
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        paths = [str(os.fspath(one)) for one in source]
        name = paths[0] if len(paths) == 1 else f"{paths[0]} (+{len(paths) - 1})"
        return Table(open_source(paths, format, options), name, format, origin=(paths, options))
    from fairway.data.sources import objects

    if options:
        raise ConfigError(f"an object in memory has no option {next(iter(options))!r}")
    return Table(objects.open(source, {}), f"<{type(source).__name__}>", "memory")


class Table:
    """Rows that are read when they are asked for, and again each time; made by `fw.read`."""

    fairway_type = "fairway.data.Table"

    def __init__(
        self, source: Source, uri: str, format: str = "", steps: tuple[tuple[Any, ...], ...] = (), *, origin: Origin | None = None
    ) -> None:
        self.uri, self.format, self.origin = uri, format or getattr(source, "format", ""), origin
        self._source, self._steps = source, steps
        self._fields: tuple[Field, ...] | None = None if steps else source.fields

    @property
    def source(self) -> Source:
        """What reads it."""
        return self._source

    @property
    def steps(self) -> tuple[tuple[Any, ...], ...]:
        """What is done to the source's rows: ("select", columns), ("where", sql) …"""
        return self._steps

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns, in order."""
        if self._fields is None:
            with _Connection() as connection:
                self._fields = described(self._relation(connection))
                self._source.finish(connection)
        return self._fields

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return [one.name for one in self.fields]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed about the source, one sentence each."""
        return self._source.notes

    @property
    def rejects(self) -> Rejects:
        """The rows that the last pass could not read."""
        return self._source.rejects

    def select(self, *columns: str) -> Table:
        """Only these columns, in this order. Raises NotFoundError."""
        self._known(columns)
        made = self._with("select", columns)
        by_name = {one.name: one for one in self.fields}
        made._fields = tuple(by_name[name] for name in columns)
        return made

    def where(self, sql: str) -> Table:
        """Only the rows for which an SQL expression over the columns is true; the source skips files and groups of rows where it can."""
        made = self._with("where", sql)
        made._fields = self._fields
        with _Connection() as connection:
            check_condition(connection, sql)
            try:
                made._relation(connection)
            except ConfigError:
                raise
            except Exception as error:
                raise ConfigError(
                    f"where({sql!r}): {_first_line(error)}", hint="quote columns in double quotes: where('\"my column\" > 3')"
                ) from error
            finally:
                self._source.finish(connection)
        return made

    def head(self, n: int = 10) -> Table:
        """The first rows."""
        return self._with("limit", n)

    def sample(self, n: int, seed: int = 0) -> Table:
        """`n` rows chosen at random, in the table's order; the same for the same seed and rows."""
        return self._with("sample", n, seed)

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """All rows in order, at most `rows` at a time. Raises DataAnomalies at the end if more rows were rejected than may be."""
        if columns is not None:
            self._known(columns)
        read = 0
        with _Connection() as connection:
            for whole in self._passing(connection, columns):
                for start in range(0, whole.rows, rows):
                    piece = whole if whole.rows <= rows else whole.slice(start, min(start + rows, whole.rows))
                    piece.first_row = read
                    read += piece.rows
                    yield piece

    def _passing(self, connection: Any, columns: Sequence[str] | None) -> Iterator[Batch]:
        self.rejects.begin()
        read = 0
        try:
            relation = self._relation(connection, columns)
            for batch in batches_of(relation):
                read += batch.rows
                yield batch
        except Exception as error:
            raise translated(error, self.uri) from error
        finally:
            self._source.finish(connection)
        self.settle(read)
        if not self._steps and columns is None and not self.rejects.count:
            getattr(self._source, "passed", lambda: None)()

    def settle(self, read: int) -> None:
        """A pass has come to its end after `read` rows. Raises DataAnomalies if more were rejected than may be."""
        if not any(step[0] == "limit" for step in self._steps):
            getattr(self._source, "complete", lambda: None)()
        self.rejects.check(read)

    def count(self) -> int:
        """How many rows there are."""
        known = getattr(self._source, "count", None)
        if known is not None and not self._steps:
            return known()
        if self.rejects.limit.unlimited or getattr(self._source, "rejects_rows", False):
            return sum(batch.rows for batch in self.batches())
        with _Connection() as connection:
            self.rejects.begin()
            try:
                found = int(self._relation(connection).aggregate("count(*)").fetchall()[0][0])
            except Exception as error:
                raise translated(error, self.uri) from error
            finally:
                self._source.finish(connection)
            return found

    def rows(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Rows as dicts of Python values; timestamps as ISO 8601 text."""
        made: list[dict[str, Any]] = []
        for batch in (self if limit is None else self.head(limit)).batches():
            columns = {name: one.values(range(batch.rows)) for name, one in batch.columns.items()}
            made += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return made

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """All rows as a stream in Arrow's C interface, which PyArrow, Polars, pandas and DuckDB read."""
        from fairway.data.arrowcapsules import capsule

        return capsule(self, requested_schema)

    def arrow(self) -> Any:
        """All rows as a `pyarrow.Table`."""
        return needs("pyarrow", "pyarrow", "table.arrow()").table(self)

    def pandas(self) -> Any:
        """All rows as a `pandas.DataFrame`."""
        needs("pandas", "pandas", "table.pandas()")
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        """All rows as a `polars.DataFrame`."""
        return needs("polars", "polars", "table.polars()").DataFrame(self)

    def duckdb(self) -> Any:
        """A DuckDB relation over the source, with a connection of its own. Rows that cannot be read are left out of it."""
        return self._relation(connect())

    def write(self, path: str | os.PathLike[str], format: str = "") -> None:
        """Write all rows to a file: parquet, csv, tsv, ndjson or arrow, by its ending. The file appears when it is whole."""
        from fairway.data.writing import write_table

        write_table(self, os.fspath(path), format)

    def _with(self, *step: Any) -> Table:
        return Table(self._source, self.uri, self.format, (*self._steps, step), origin=self.origin)

    def _known(self, columns: Sequence[str]) -> None:
        import difflib

        known = self.columns
        for name in columns:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else "columns: " + ", ".join(known[:20])
                raise NotFoundError(f"{self.uri} has no column {name!r}", hint=hint)

    def _relation(self, connection: Any, columns: Sequence[str] | None = None) -> Any:
        """The source's relation with the steps, and at the end only `columns`. Text files get their conditions with the scan: see there."""
        wanted = _needed(self._steps, columns)
        steps = list(self._steps)
        if isinstance(self._source, DelimitedSource):
            first = list(takewhile(lambda step: step[0] in ("select", "where"), steps))
            steps = [step for step in first if step[0] == "select"] + steps[len(first) :]
            relation = self._source.relation_where(connection, wanted, [step[1] for step in first if step[0] == "where"])
        else:
            relation = self._source.relation(connection, wanted)
        if not any(step[0] == "select" for step in self._steps) and wanted is None:
            relation = chosen(relation, [one.name for one in self._source.fields])
        for step in steps:
            relation = _apply(relation, step)
        return chosen(relation, columns) if columns is not None else relation

    def __repr__(self) -> str:
        head = f"Table({self.uri!r}, {len(self.fields)} columns)"
        width = max((len(one.name) for one in self.fields[:_SHOWN_COLUMNS]), default=0)
        lines = [f"  {one.name:<{width}}  {one.arrow}" for one in self.fields[:_SHOWN_COLUMNS]]
        if len(self.fields) > _SHOWN_COLUMNS:
            lines.append(f"  … and {len(self.fields) - _SHOWN_COLUMNS} more")
        return "\n".join([head, *lines, *(f"  note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        fields = self.fields[:_SHOWN_COLUMNS]
        rows = self.select(*(one.name for one in fields)).rows(_SHOWN_ROWS)
        head = "".join(f"<th>{html.escape(one.name)}<br><small>{html.escape(one.arrow)}</small></th>" for one in fields)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(_cell(row[one.name]))}</td>" for one in fields) + "</tr>" for row in rows)
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        more = f"<p>{len(self.fields) - len(fields)} more columns</p>" if len(self.fields) > len(fields) else ""
        caption = html.escape(self.uri)
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}<ul>{notes}</ul>"


class _Connection:
    """A DuckDB connection for one pass."""

    def __enter__(self) -> Any:
        self._connection = connect()
        return self._connection

    def __exit__(self, *exc: object) -> None:
        self._connection.close()


def _needed(steps: Sequence[tuple[Any, ...]], columns: Sequence[str] | None) -> Sequence[str] | None:
    """What the source must deliver: None (all) where an expression may use any column."""
    for step in steps:
        if step[0] == "where":
            return None
        if step[0] == "select":
            return step[1]
    return columns


def _apply(relation: Any, step: tuple[Any, ...]) -> Any:
    match step:
        case ("select", columns):
            return chosen(relation, columns)
        case ("where", sql):
            return relation.filter(f"({sql})")
        case ("limit", count):
            return relation.limit(count)
        case ("sample", count, seed):
            name = "fairway row"
            while name in relation.columns:
                name += "_"
            order = f"hash({quoted(name)}, {int(seed)})"
            numbered = f"SELECT *, row_number() OVER () AS {quoted(name)} FROM t"
            taken = f"SELECT * FROM ({numbered}) ORDER BY {order} LIMIT {int(count)}"
            sql = f"SELECT * EXCLUDE {quoted(name)} FROM ({taken}) ORDER BY {quoted(name)}"
            return relation.query("t", sql)
        case _:
            raise AssertionError(step)


def translated(error: Exception, uri: str) -> BaseException:
    """What DuckDB and the file system raise, as an error of ours that names the source."""
    from fairway.errors import FairwayError

    if isinstance(error, FairwayError | GeneratorExit | KeyboardInterrupt):
        return error
    from fairway.data.sources.arrowstream import find_failure

    own = find_failure(str(error))
    if isinstance(own, Exception):
        return translated(own, uri)
    if own is not None:
        return own  # Ctrl-C, in the midst of C code that passes on texts only
    import duckdb

    first = _first_line(error)
    if first == "Query interrupted":  # how DuckDB passes on Ctrl-C
        return KeyboardInterrupt()
    if isinstance(error, duckdb.OutOfMemoryException):
        return ConfigError(
            f"{uri} does not fit into the memory that reading may use: {first}",
            hint="free space in the folder for temporary files (TMPDIR)",
        )
    if "Could not write file" in first:  # what does not fit into memory is spilled
        said = first.rpartition(": ")[2]
        return ConfigError(
            f"{uri} cannot be read: what does not fit into memory cannot be written to {tempfile.gettempdir()}: {said}",
            hint="free space there, or name a folder that has some: TMPDIR=/path",
        )
    if "state machine reached an invalid state" in first:
        hint = "line ends are mixed far into the file (newline='mixed'), or a quote stands where none may be (quote='')"
        return ConfigError(f"{uri} is not separated values throughout", hint=hint)
    nameless = isinstance(error, RuntimeError) and "conversion error" in first  # DuckDB's own message was no UTF-8
    if nameless or isinstance(error, duckdb.Error | OSError | ValueError | EOFError):
        return ConfigError(
            f"{uri} cannot be read: {first}", hint="is the file whole, and of the format that was named or guessed?", where=""
        )
    return error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _cell(value: Any) -> str:
    said = "" if value is None else str(value)
    return said if len(said) <= 60 else said[:59] + "…"


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dicts as columns, in the order in which names first appear; a missing name is None."""
    names = {name: None for row in rows for name in row}
    return {name: [row.get(name) for row in rows] for name in names}
