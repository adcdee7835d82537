"""Sources: what reads one kind of data. A table in Fairway, and its entry in `FORMATS`; each module is imported when it is first needed.

A module of a source has one function, `open(uri, options) -> Source`. Options are checked by name before it is called.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from fairway.data.sources.engine import Field
from fairway.data.sources.rejects import RejectLimit, Rejects
from fairway.errors import ConfigError, UnsupportedError


class Source(Protocol):
    """One kind of data, opened: what its columns are is known, its rows are not read yet."""

    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def rejects(self) -> Rejects: ...
    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """A DuckDB relation over all rows, in order; with these columns at least (in any order), or all for None."""
        ...

    def finish(self, connection: Any) -> None:
        """The rows of `relation` have been read to the end: take up what was rejected, let go what is open."""
        ...


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """What reads a format: its module here, by which endings and schemes it is known, and the names of its options."""

    module: str
    extensions: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


COMMON = ("max_rejects", "rejects", "format")
PACKED = ("compression", "member", "max_bytes", "max_ratio")
TEXTS = (
    "separator", "quote", "escape", "header", "names", "types", "nulls", "encoding", "decimal", "thousands", "dates", "comment", "skip",
    "newline", "sample_rows", "max_line_bytes", *PACKED,
)  # fmt: skip
JSONS = ("encoding", "sample_rows", "max_line_bytes", *PACKED)
DATABASES = (
    "postgresql", "postgres", "sqlite", "mysql", "mariadb", "oracle", "mssql", "snowflake", "bigquery", "redshift", "trino", "presto",
    "clickhouse", "databricks", "cockroachdb", "db2", "duckdb", "teradata", "adbc",
)  # fmt: skip
QUERIES = ("table", "query", "where", "types", "timeout_s")
FORMATS: dict[str, FormatEntry] = {
    "csv": FormatEntry("delimited", ("csv", "tsv", "tab", "psv", "txt", "dat", "data"), (), TEXTS),
    "ndjson": FormatEntry("ndjson", ("ndjson", "jsonl"), (), ("types", *JSONS)),
    "json": FormatEntry("jsonfile", ("json", "geojson"), (), ("types", "records", *JSONS)),
    "parquet": FormatEntry("parquet", ("parquet", "pq", "parq"), (), ("hive",)),
    "arrow": FormatEntry("arrowfile", ("arrow", "feather", "ipc", "arrows"), (), ()),
    "xml": FormatEntry("xml", ("xml",), (), ("records", "namespaces", "types", "encoding", "sample_rows", "max_record_bytes", *PACKED)),
    "avro": FormatEntry("avro", ("avro",), (), ()),
    "orc": FormatEntry("orc", ("orc",), (), ()),
    "excel": FormatEntry("excel", ("xlsx", "xlsm", "xls", "ods"), (), ("sheet", "header", "names", "skip", "types", "merged")),
    "sql": FormatEntry("sql", (), DATABASES, ("partition", "partitions", "parameters", "driver", *QUERIES)),
    "hive": FormatEntry("hive", (), ("hive",), ("password", *QUERIES)),
}  # fmt: skip
_PACKINGS = ("gz", "gzip", "zst", "zstd", "bz2", "xz", "lzma", "zip")


def open_source(uri: str | Sequence[str], format_name: str, options: Mapping[str, Any]) -> Source:
    """Find what reads `uri`, check the options' names, open it. Raises ConfigError, NotFoundError."""
    name = format_name or find_format(uri if isinstance(uri, str) else (list(uri) or [""])[0])
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}", hint=_closest(name, FORMATS) or "formats: " + ", ".join(FORMATS))
    entry = FORMATS[name]
    for option in options:
        if option not in entry.options and option not in COMMON:
            raise ConfigError(
                f"{name} has no option {option!r}",
                hint=_closest(option, (*entry.options, *COMMON)) or "options: " + ", ".join(entry.options),
            )
    if name not in ("csv", "sql", "hive"):
        from fairway.data.sources import files

        files.refuse_pipes(uri, name)
    return import_module(f"fairway.data.sources.{entry.module}").open(uri, dict(options))


def find_format(uri: str) -> str:
    """The format by scheme, then by a file's first bytes, then by the ending, then by its first characters."""
    scheme = uri.partition("://")[0].lower() if "://" in uri else uri.partition(":")[0].lower() if _is_scheme(uri) else ""
    by_scheme = next((name for name, entry in FORMATS.items() if scheme.partition("+")[0] in entry.schemes), "") if scheme else ""
    if by_scheme:
        return by_scheme
    from fairway.data.sources import files

    ending = extension(uri)
    by_ending = next((name for name, entry in FORMATS.items() if ending in entry.extensions), "")
    return files.format_by_content(uri, by_ending) or by_ending or "csv"


def _is_scheme(uri: str) -> bool:
    return uri.partition(":")[0].lower() in {scheme for entry in FORMATS.values() for scheme in entry.schemes}


def extension(uri: str) -> str:
    """The ending in lower case, without those of compression, queries, and wildcards: "csv" of `a/B.CSV.gz?x=1`."""
    path = uri.partition("?")[0] if "://" in uri else uri
    words = [word.strip("*/") for word in Path(path).name.lower().split(".")[1:]]
    while words and words[-1] in _PACKINGS:
        words.pop()
    return words[-1] if words else ""


def new_rejects(uri: str, options: Mapping[str, Any]) -> Rejects:
    """Nothing rejected yet, with the limit and the file that the options name."""
    return Rejects(uri, RejectLimit.parse(options.get("max_rejects", 0)), str(options.get("rejects", "")))


def needs(library: str, install: str, what: str) -> Any:
    """Import a library that not everybody has. Raises UnsupportedError with how to install it."""
    try:
        return import_module(library)
    except ImportError:
        raise UnsupportedError(f"{what} needs {library.partition('.')[0]}, which is not installed", hint=f"pip install {install}") from None


def _closest(name: str, known: Any) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]!r}?" if found else ""
