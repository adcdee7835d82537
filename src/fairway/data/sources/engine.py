"""DuckDB as Fairway runs it: bounded memory, nothing downloaded, rows in the source's order, clocks in UTC, nothing printed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fairway.data.batch import Kind
from fairway.errors import UnsupportedError

INSTALL = "pip install 'fairway[data]'"
MEMORY_MB = 256
_KINDS: dict[str, Kind] = {
    "FLOAT": "float", "DOUBLE": "float", "BOOLEAN": "boolean", "VARCHAR": "string", "UUID": "string", "DATE": "date",
    "INTERVAL": "duration", "BLOB": "binary",
    "TINYINT": "integer", "SMALLINT": "integer", "INTEGER": "integer", "BIGINT": "integer", "UTINYINT": "integer",
    "USMALLINT": "integer", "UINTEGER": "integer", "UBIGINT": "integer", "HUGEINT": "decimal", '"NULL"': "null",
}  # fmt: skip
_ARROW = {
    "FLOAT": "float", "DOUBLE": "double", "BOOLEAN": "bool", "VARCHAR": "string", "UUID": "string", "DATE": "date32[day]", "BLOB": "binary",
    "TINYINT": "int8", "SMALLINT": "int16", "INTEGER": "int32", "BIGINT": "int64", "UTINYINT": "uint8", "USMALLINT": "uint16",
    "UINTEGER": "uint32", "UBIGINT": "uint64", "HUGEINT": "decimal128(38, 0)", "TIMESTAMP": "timestamp[us]", "TIMESTAMP_S": "timestamp[s]",
    "TIMESTAMP_MS": "timestamp[ms]", "TIMESTAMP_NS": "timestamp[ns]", "TIMESTAMP WITH TIME ZONE": "timestamp[us, UTC]", "TIME": "time[us]",
    "INTERVAL": "month_day_nano_interval", '"NULL"': "null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a table: its name, Arrow's name of its type, and what kind of values it holds."""

    name: str
    arrow: str
    kind: Kind
    nullable: bool = True


def connect(memory_mb: int = MEMORY_MB, threads: int = 0) -> Any:
    """A new DuckDB connection of its own. What does not fit into `memory_mb` is spilled into the system's folder for temporary files."""
    try:
        import duckdb
    except ImportError:
        raise UnsupportedError("reading data needs DuckDB, which is not installed", hint=INSTALL) from None
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": threads or os.cpu_count() or 1,
        "temp_directory": f"{tempfile.gettempdir()}/fairway-duckdb-{os.getuid()}",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")  # a step's process passes for a person who types
    return connection


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def described(relation: Any) -> tuple[Field, ...]:
    """The fields of a relation whose structs are flat."""
    return tuple(field_of(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))


def fields_of(relation: Callable[[Any, None], Any]) -> tuple[Field, ...]:
    """The fields of a source, by its `relation`."""
    connection = connect()
    try:
        return described(relation(connection, None))
    finally:
        connection.close()


def field_of(name: str, kind: str) -> Field:
    """A field from DuckDB's name of its type."""
    if kind.endswith("]"):
        inner, _, width = kind.rpartition("[")
        child = field_of(name, inner)
        said = f"list<{child.arrow}>" if width == "]" else f"fixed_size_list<{child.arrow}, {width[:-1]}>"
        return Field(name, said, "list")
    if kind.startswith("DECIMAL"):
        return Field(name, "decimal128" + kind[7:].replace(",", ", "), "decimal")
    if kind.startswith("ENUM"):
        return Field(name, "string", "string")
    if kind.startswith("TIMESTAMP"):
        return Field(name, _ARROW.get(kind, "timestamp[us]"), "timestamp")
    if kind.startswith("TIME"):
        return Field(name, "time[us]", "time")
    return Field(name, _ARROW.get(kind, "string"), _KINDS.get(kind, "string"))


def flattened(relation: Any) -> Any:
    """The relation with each field of a struct as a column `outer.inner`, and with what Arrow's readers here do not know as text."""
    parts: list[str] = []
    changed = False
    for name, kind in zip(relation.columns, relation.types, strict=True):
        found = _flat(quoted(name), name, kind)
        changed = changed or found != [f"{quoted(name)} AS {quoted(name)}"]
        parts += found
    return relation.project(", ".join(parts)) if changed else relation


def _flat(expression: str, name: str, kind: Any) -> list[str]:
    if kind.id == "struct":
        return [part for inner, child in kind.children for part in _flat(f"{expression}.{quoted(inner)}", f"{name}.{inner}", child)]
    said = str(kind)
    if (
        kind.id in ("map", "union", "bit")
        or "STRUCT(" in said
        or "MAP(" in said
        or said in ("JSON", "JSON[]", "VARIANT")
        or said.endswith("][]")
    ):
        expression = f"to_json({expression})::VARCHAR" if said != "JSON" and kind.id != "bit" else f"{expression}::VARCHAR"
    elif said in ("UHUGEINT", "BIGNUM", "VARINT"):
        expression = f"{expression}::DOUBLE"
    elif said.startswith("TIME WITH"):
        expression = f"{expression}::VARCHAR"
    return [f"{expression} AS {quoted(name)}"]


def chosen(relation: Any, columns: Sequence[str] | None) -> Any:
    """Only these columns, in this order; all for None."""
    return relation if columns is None else relation.project(", ".join(map(quoted, columns)) or "1 AS rows")
