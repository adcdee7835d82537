"""Databases through ADBC drivers: rows arrive as Arrow, nothing is made of Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nanoarrow as na

from fairway.data.sources import needs, new_rejects
from fairway.data.sources.arrowstream import ChunkStream
from fairway.data.sources.engine import chosen, fields_of, flattened, quoted
from fairway.data.sources.urls import secrets_of, shown, without
from fairway.errors import ConfigError, FairwayError


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
        links: list[Any] = []
        try:
            self._schema = na.c_array_stream(self._rows(links, select)).get_schema()
        except FairwayError:
            raise
        except Exception as error:  # noqa: BLE001 - each driver has its own
            raise self._ours(error) from None
        finally:
            _close(links)
        self.fields = fields_of(self.relation)

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol. The statement runs when rows are asked for."""
        return chosen(flattened(connection.from_arrow(ChunkStream(self._schema, self._chunks))), columns)

    def finish(self, connection: Any) -> None:
        """Each pass closes what it opened."""

    def _chunks(self) -> Iterator[Any]:
        links: list[Any] = []
        try:
            yield from na.c_array_stream(self._rows(links, self._select))
        except Exception as error:  # noqa: BLE001 - each driver has its own
            raise self._ours(error) from None
        finally:
            _close(links)

    def _rows(self, links: list[Any], select: str) -> Any:
        link = self._driver.connect(self._target)
        links.append(link)
        cursor = link.cursor()
        links.append(cursor)
        cursor.execute(select)
        return cursor.fetch_arrow()

    def _ours(self, error: Exception) -> Exception:
        said = without(str(error).strip().partition("\n")[0][:300], self._secrets)
        return ConfigError(f"{self.shown}: {said}", hint="are address, user and query right?")


def _close(links: list[Any]) -> None:
    for one in reversed(links):
        one.close()


def open(uri: str, table: str, query: str, options: Mapping[str, Any]) -> AdbcSource:
    """Raises ConfigError, and UnsupportedError where the driver is not installed."""
    for name in ("partition", "partitions", "parameters", "types"):
        if name in options:
            raise ConfigError(f"{name}= does not go with ADBC", hint='leave driver="adbc" out')
    source = f"({query}) AS fairway_query" if query else ".".join(map(quoted, table.split(".")))
    where = f" WHERE {options['where']}" if options.get("where") else ""
    return AdbcSource(uri, query if query and not where else f"SELECT * FROM {source}{where}", options)
