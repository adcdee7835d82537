"""Databases through ADBC drivers: rows arrive as Arrow, nothing is made of Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.data.sources import needs, new_rejects
from fairway.data.sources.engine import Field, chosen, connect, described, flattened, quoted
from fairway.data.sources.urls import secrets_of, shown, without
from fairway.errors import ConfigError


class AdbcSource:
    """A source over one statement."""

    format = "sql"

    def __init__(self, uri: str, select: str, options: Mapping[str, Any]) -> None:
        scheme, _, rest = uri.partition("://")
        name = scheme.removeprefix("adbc+").partition("+")[0].replace("postgres", "postgresql").replace("postgresqlql", "postgresql")
        self._driver = needs(f"adbc_driver_{name}.dbapi", f"adbc-driver-{name}", f"reading {name} through ADBC")
        self._target = rest.removeprefix("/") if name == "sqlite" else f"{name}://{rest}"
        self.shown, self._secrets, self._select = shown(uri), secrets_of(uri), select
        self.rejects = new_rejects(self.shown, options)
        self.notes: tuple[str, ...] = ()
        self._open: list[Any] = []
        connection = connect()
        try:
            self.fields: tuple[Field, ...] = described(self.relation(connection, None))
        finally:
            connection.close()
            self.finish(None)

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol."""
        return chosen(flattened(connection.from_arrow(_Rows(self))), columns)

    def stream(self) -> Any:
        """The statement is run; its rows."""
        try:
            link = self._driver.connect(self._target)
            cursor = link.cursor()
            self._open += [cursor, link]
            cursor.execute(self._select)
            return cursor.fetch_arrow()
        except Exception as error:  # noqa: BLE001 - each driver has its own
            raise ConfigError(
                f"{self.shown}: {without(str(error).partition(chr(10))[0][:300], self._secrets)}", hint="are address, user and query right?"
            ) from None

    def finish(self, connection: Any) -> None:
        """Connections are closed."""
        for one in self._open:
            one.close()
        self._open = []


class _Rows:
    def __init__(self, source: AdbcSource) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._source.stream().__arrow_c_stream__(requested_schema)


def open(uri: str, table: str, query: str, options: Mapping[str, Any]) -> AdbcSource:
    """Raises ConfigError, and UnsupportedError where the driver is not installed."""
    for name in ("partition", "partitions", "parameters", "types"):
        if name in options:
            raise ConfigError(f"{name}= does not go with ADBC", hint='leave driver="adbc" out')
    source = f"({query}) AS fairway_query" if query else ".".join(map(quoted, table.split(".")))
    where = f" WHERE {options['where']}" if options.get("where") else ""
    return AdbcSource(uri, query if query and not where else f"SELECT * FROM {source}{where}", options)
