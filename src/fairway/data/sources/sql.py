"""Tables and queries of databases, by URL: through SQLAlchemy, or through an ADBC driver where one is asked for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairway.data.sources import needs, new_rejects
from fairway.data.sources.engine import Field
from fairway.data.sources.rowbuilder import SAMPLE_ROWS, Chunk, RowSource, infer
from fairway.data.sources.sqlparts import in_parallel, ranges
from fairway.data.sources.sqltypes import of_declared, of_postgres
from fairway.data.sources.urls import secrets_of, shown, without
from fairway.errors import ConfigError, FairwayError, InfraError, NotFoundError, UnsupportedError

_ROWS = 8_192
_DRIVERS = {
    "postgresql": "psycopg[binary]", "mysql": "pymysql", "mariadb": "pymysql", "oracle": "oracledb", "mssql": "pyodbc",
    "snowflake": "snowflake-sqlalchemy", "bigquery": "sqlalchemy-bigquery", "redshift": "sqlalchemy-redshift", "trino": "trino",
    "clickhouse": "clickhouse-sqlalchemy", "databricks": "databricks-sqlalchemy", "cockroachdb": "sqlalchemy-cockroachdb",
    "duckdb": "duckdb-engine", "teradata": "teradatasqlalchemy", "presto": "pyhive",
}  # fmt: skip


@dataclass
class SqlSource(RowSource):
    """A source over a database."""

    database: Database | None = field(default=None, repr=False)

    def count(self) -> int:
        """How many rows there are; the database counts."""
        assert self.database is not None
        return self.database.count()


def open(uri: str, options: dict[str, Any]) -> Any:
    """Options: table or query, where, types, parameters, partition and partitions, driver="adbc", timeout_s.

    Raises ConfigError, NotFoundError, UnsupportedError; no message holds a password.
    """
    if not isinstance(uri, str):
        raise ConfigError("several databases at once are not read", hint="read them one by one")
    table, query = str(options.get("table") or ""), str(options.get("query") or "").strip().rstrip(";")
    if bool(table) == bool(query):
        raise ConfigError(f"{shown(uri)}: say what to read, by table= or by query=", hint='fw.read("postgresql://…", table="public.sales")')
    if options.get("driver") == "adbc" or uri.startswith("adbc"):
        from fairway.data.sources import adbc

        return adbc.open(uri, table, query, options)
    if options.get("driver"):
        raise ConfigError(
            f"driver={options['driver']!r} is not known", hint='driver="adbc"; SQLAlchemy\'s are part of the URL: postgresql+psycopg://'
        )
    database = Database(uri, table, query, options)
    with database.guarded():
        fields, notes = database.look()
        parts = database.parts(fields)

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        names = [one.name for one in fields] if wanted is None else list(wanted)
        with database.guarded():
            if parts:
                with database.one_moment() as moment:
                    yield from in_parallel([lambda part=part: database.chunks(names, part, moment) for part in parts])
            else:
                yield from database.chunks(names, None)

    notes += [f"read in {len(parts)} parts at once: rows come in no order"] if parts else []
    return SqlSource(fields, read, new_rejects(shown(uri), options), tuple(notes), format="sql", database=database)


class Database:
    """One table or query of one database. Each pass, and each part of it, is a connection of its own."""

    def __init__(self, uri: str, table: str, query: str, options: Mapping[str, Any]) -> None:
        sqlalchemy = needs("sqlalchemy", "'fairway[sql]'", "reading databases")
        self.shown, self._secrets = shown(uri), secrets_of(uri)
        self._options, self._table, self._query = options, table, query
        self._parameters = dict(options.get("parameters") or {})
        self._where = str(options.get("where") or "")
        if uri.partition("://")[2].partition("/")[0].count("@") > 1:
            raise ConfigError(f"{self.shown} has more than one @ before the host", hint="write %40 for each @ in the password")
        try:
            url = sqlalchemy.make_url(uri.replace("postgres://", "postgresql://", 1))
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise ConfigError(
                f"{self.shown} is no URL of a database", hint="postgresql://user@host:5432/database, sqlite:///file.db"
            ) from None
        with self.guarded():
            self._engine = sqlalchemy.create_engine(
                self._completed(url), poolclass=sqlalchemy.NullPool, hide_parameters=True, connect_args=self._arguments(url)
            )

    def _completed(self, url: Any) -> Any:
        if url.drivername == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() == "mysql" and "+" not in url.drivername:
            return url.set(drivername=url.drivername + "+pymysql")
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:" and not url.database.startswith("file:"):
            if not os.path.exists(url.database):  # noqa: PTH110
                names = [one.name for one in Path(url.database).parent.glob("*")] if Path(url.database).parent.is_dir() else []
                near = difflib.get_close_matches(Path(url.database).name, names, 1)
                raise NotFoundError(
                    f"there is no file {url.database}", hint=f"did you mean {near[0]!r}?" if near else "sqlite:////an/absolute/path.db"
                )
            return url.set(database=f"file:{os.path.abspath(url.database)}", query={"mode": "ro", "uri": "true"})  # noqa: PTH100
        return url

    def _arguments(self, url: Any) -> dict[str, Any]:
        seconds = self._options.get("timeout_s", 15)
        if url.get_backend_name() == "postgresql":
            return {"connect_timeout": max(2, int(seconds))}
        return {"connect_timeout": int(seconds)} if url.get_backend_name() in ("mysql", "mariadb") else {}

    @property
    def _postgres(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def guarded(self) -> _Guard:
        """Gives errors of the library our classes, and takes passwords out of them."""
        return _Guard(self.shown, self._secrets)

    def _quoted(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote_identifier(name)

    def _from(self) -> str:
        if self._query:
            return f"({self._query}) AS fairway_query"
        return ".".join(self._quoted(part) for part in self._table.split("."))

    def _select(self, columns: Sequence[str] | None, part: tuple[str, dict[str, Any]] | None) -> tuple[str, dict[str, Any]]:
        """The statement and its parameters. A query is left as it is, unless something has to be put around it."""
        conditions = [f"({one})" for one in (self._where, part[0] if part else "") if one]
        parameters = {**self._parameters, **(part[1] if part else {})}
        if self._query and not conditions:
            return self._query, parameters
        what = "*" if columns is None else ", ".join(map(self._quoted, columns))
        return f"SELECT {what} FROM {self._from()}" + (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters

    def _text(self, statement: str, parameters: Mapping[str, Any]) -> Any:
        from sqlalchemy import text

        return text(statement if parameters else statement.replace(":", "\\:"))

    @contextmanager
    def one_moment(self) -> Generator[str]:
        """A snapshot that the connections of all parts may see, while this lasts; "" where the database has no such thing."""
        if not self._postgres:
            yield ""
            return
        from sqlalchemy import text

        with self._connected() as connection:
            yield str(connection.execution_options(stream_results=False).execute(text("SELECT pg_export_snapshot()")).scalar())

    def _connected(self, moment: str = "") -> Any:
        connection = self._engine.connect()
        if self._postgres:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            if moment:
                from sqlalchemy import text

                connection.execute(text(f"SET TRANSACTION SNAPSHOT '{moment}'"))
        return connection.execution_options(stream_results=True, max_row_buffer=_ROWS)

    def look(self) -> tuple[tuple[Field, ...], list[str]]:
        """The fields: declared ones of a table; of a query by what the database says, or by its first rows."""
        types: dict[str, str] = self._declared() if self._table else {}
        statement, parameters = self._select(None, None)
        with self._connected() as connection:
            result = connection.execute(self._text(statement, parameters), parameters)
            names = list(result.keys())
            if self._postgres and not self._table:
                types = of_postgres(result.cursor.description) | types
            first = result.fetchmany(SAMPLE_ROWS)
            result.close()
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{self.shown}: the query has two columns {twice!r}", hint="name them apart: SELECT a.id AS a_id, …")
        types |= dict(self._options.get("types") or {})
        columns = {name: [row[place] for row in first] for place, name in enumerate(names)}
        unsaid = [name for name in names if name not in types]
        notes = (
            [f"types of {', '.join(unsaid[:8])} found in the first {len(first):,} rows; pin them with types="] if unsaid and first else []
        )
        return tuple(_roomy(one) if one.name in unsaid else one for one in infer(columns, types=types)), notes

    def _declared(self) -> dict[str, str]:
        from sqlalchemy import exc, inspect

        inspector = inspect(self._engine)
        schema, _, table = self._table.rpartition(".")
        try:
            columns = inspector.get_columns(table, schema=schema or None)
        except exc.NoSuchTableError:
            columns = []
        if not columns:
            names = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
            near = difflib.get_close_matches(table, names, 1)
            raise NotFoundError(
                f"{self.shown} has no table {self._table!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:20]) or 'none'}",
            )
        return {one["name"]: arrow for one in columns if (arrow := of_declared(one["type"]))}

    def count(self) -> int:
        """The number of rows."""
        conditions = f" WHERE {self._where}" if self._where else ""
        with self.guarded(), self._connected() as connection:
            statement = self._text(f"SELECT count(*) FROM {self._from()}{conditions}", self._parameters)
            return int(connection.execute(statement, self._parameters).scalar())

    def chunks(self, columns: Sequence[str], part: tuple[str, dict[str, Any]] | None, moment: str = "") -> Iterator[Chunk]:
        """The rows, from a cursor on the server where the database has those."""
        statement, parameters = self._select(columns, part)
        from sqlalchemy import exc

        connection = self._connected(moment)
        try:
            result = connection.execute(self._text(statement, parameters), parameters)
            names = list(result.keys())
            while rows := result.fetchmany(_ROWS):
                yield Chunk(len(rows), dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
        finally:
            with suppress(exc.SQLAlchemyError):  # what is broken cannot be rolled back
                connection.close()

    def parts(self, fields: Sequence[Field]) -> list[tuple[str, dict[str, Any]]]:
        """Conditions that cut the rows into `partitions=` ranges of the column `partition=`; none if that is not asked for."""
        column = self._options.get("partition")
        wanted = int(self._options.get("partitions", os.cpu_count() or 2))
        if not column:
            if "partitions" in self._options:
                raise ConfigError("partitions= needs partition=, the column to divide by", hint='partition="id"')
            return []
        if not 1 <= wanted <= 256:
            raise ConfigError(f"partitions={wanted} is not between 1 and 256")
        found = next((one for one in fields if one.name == column), None)
        if found is None:
            raise NotFoundError(
                f"{self.shown} has no column {column!r} to divide by", hint="it has " + ", ".join(one.name for one in fields)
            )
        spelt = self._quoted(column)
        where = f" WHERE {self._where}" if self._where else ""
        with self._connected() as connection:
            statement = self._text(f"SELECT min({spelt}), max({spelt}) FROM {self._from()}{where}", self._parameters)
            low, high = connection.execute(statement, self._parameters).one()
        return ranges(spelt, low, high, wanted)


def _roomy(one: Field) -> Field:
    """Decimals without a declared scale get some room behind the point."""
    if one.kind != "decimal":
        return one
    scale = int(one.arrow[11:-1].split(",")[1])
    return Field(one.name, f"decimal128(38, {max(scale, 9)})", "decimal") if scale else one


class _Guard:
    """Errors of SQLAlchemy and of drivers as ours."""

    def __init__(self, name: str, secrets: list[str]) -> None:
        self._name, self._secrets = name, secrets

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, FairwayError) or not isinstance(error, Exception):
            return
        raise self._ours(error) from None

    def _ours(self, error: Exception) -> Exception:
        from sqlalchemy import exc

        said = without(str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300], self._secrets)
        backend = self._name.partition(":")[0].partition("+")[0]
        if isinstance(error, exc.NoSuchModuleError | ModuleNotFoundError):
            return UnsupportedError(
                f"{self._name} needs a driver that is not installed: {said}", hint=f"pip install '{_DRIVERS.get(backend, backend)}'"
            )
        if getattr(error, "connection_invalidated", False) or str(getattr(getattr(error, "orig", error), "sqlstate", "")).startswith("57P"):
            return InfraError(f"{self._name} ended the connection: {said}", hint="is the server up? try again")
        if isinstance(error, exc.InterfaceError | exc.OperationalError):
            return ConfigError(f"{self._name}: {said}", hint="is the address right, is the server there, do user and password fit?")
        if isinstance(error, exc.SQLAlchemyError):
            return ConfigError(f"{self._name} refuses: {said}", hint="try the query in the database's own client")
        return ConfigError(f"{self._name} cannot be read: {said}")
