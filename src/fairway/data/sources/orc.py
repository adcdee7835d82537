"""ORC, stripe by stripe, where PyArrow is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fairway.data.sources import files, needs, new_rejects
from fairway.data.sources.arrowstream import ChunkStream
from fairway.data.sources.engine import chosen, fields_of, flattened
from fairway.errors import ConfigError


class OrcSource:
    """A source over ORC files with the same columns."""

    format = "orc"

    def __init__(self, uri: str, paths: Sequence[str], options: dict[str, Any]) -> None:
        self._orc = needs("pyarrow.orc", "pyarrow", "reading ORC")
        self._paths = paths
        self.notes: tuple[str, ...] = ()
        self.rejects = new_rejects(uri, options)
        self._schema = self._opened(paths[0]).schema
        for path in paths[1:]:
            if self._opened(path).schema != self._schema:
                raise ConfigError(f"{path} has other columns than {paths[0]}", hint="read them one by one")
        try:
            self.fields = fields_of(self.relation)
        except RuntimeError as error:  # DuckDB's own message was no UTF-8
            raise ConfigError(f"{paths[0]} is damaged: the names of its columns are no text", hint="copy it again") from error

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol. Columns at the top that are not asked for are not read."""
        tops = (
            None
            if columns is None
            else [name for name in self._schema.names if any(one == name or one.startswith(name + ".") for one in columns)]
        )
        return chosen(flattened(connection.from_arrow(_Stripes(self, tops))), columns)

    def finish(self, connection: Any) -> None:
        """Nothing is open."""

    def _opened(self, path: str) -> Any:
        try:
            file = self._orc.ORCFile(path)
            _ = file.schema  # a type that PyArrow does not know is met only here
            return file
        except Exception as error:  # noqa: BLE001 - PyArrow's own, and those of the system
            raise ConfigError(
                f"{path} is not an ORC file, or is damaged: {str(error)[:200]}", hint="was it cut off? copy it again"
            ) from None

    def stripes(self, columns: Sequence[str] | None) -> tuple[Any, Iterator[Any]]:
        """The schema of these columns, and the stripes of all files."""
        import pyarrow

        schema = self._schema if columns is None else pyarrow.schema([self._schema.field(name) for name in columns])

        def read() -> Iterator[Any]:
            for path in self._paths:
                file = self._opened(path)
                for number in range(file.nstripes):
                    try:
                        yield file.read_stripe(number, columns=columns)
                    except Exception as error:  # noqa: BLE001 - PyArrow's own
                        raise ConfigError(
                            f"stripe {number + 1} of {path} is damaged: {str(error)[:200]}", hint="copy the file again"
                        ) from None

        return schema, read()


class _Stripes:
    """A pass over the stripes each time somebody reads."""

    def __init__(self, source: OrcSource, columns: Sequence[str] | None) -> None:
        self._source, self._columns = source, columns

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        import nanoarrow as na

        schema, batches = self._source.stripes(self._columns)
        return ChunkStream(na.c_schema(schema), lambda: (na.c_array(batch) for batch in batches)).__arrow_c_stream__(requested_schema)


def open(uri: str | Sequence[str], options: dict[str, Any]) -> OrcSource:
    """Raises ConfigError, and UnsupportedError where PyArrow is not installed."""
    return OrcSource(uri if isinstance(uri, str) else uri[0], files.expand(uri, ("orc",)), options)
