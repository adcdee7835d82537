"""Hive tables and queries through HiveServer2: hive://user@host:10000/database."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fairway.data.sources import new_rejects
from fairway.data.sources.hivetypes import HiveColumn, declared, of_number, unfolded
from fairway.data.sources.hivewire import HiveAddress, HiveSession
from fairway.data.sources.rowbuilder import SAMPLE_ROWS, Chunk, RowSource, infer
from fairway.data.sources.urls import shown
from fairway.errors import ConfigError, NotFoundError

_URL = "hive://user@host:10000/database?table=sales"
_WORDS = {"table", "auth", "ssl"}


def open(uri: str, options: dict[str, Any]) -> RowSource:
    """Options: table or query, where (partitions are pruned by the server), types, password, timeout_s. Raises ConfigError."""
    if not isinstance(uri, str):
        raise ConfigError("several servers at once are not read", hint="read them one by one")
    address, said = parse_address(uri, options)
    table, query = str(options.get("table") or said.get("table") or ""), str(options.get("query") or "").strip().rstrip(";")
    if bool(table) == bool(query):
        raise ConfigError(f"{shown(uri)}: say what to read, by table= or by query=", hint=_URL)
    reader = _Reader(address, table, query, str(options.get("where") or ""))
    fields, notes = reader.look(dict(options.get("types") or {}))
    return RowSource(fields, reader.chunks, new_rejects(shown(uri), options), notes, format="hive")


def parse_address(uri: str, options: Mapping[str, Any]) -> tuple[HiveAddress, dict[str, str]]:
    """The server's address and what else the URL says. Pure. Raises ConfigError."""
    try:
        parts = urlsplit(uri)
        port = parts.port or 10_000
    except ValueError:
        raise ConfigError(f"{shown(uri)} is no URL", hint=_URL) from None
    said = dict(parse_qsl(parts.query))
    if not parts.hostname:
        raise ConfigError(f"{shown(uri)} names no host", hint=_URL)
    unknown = [name for name in said if name not in _WORDS]
    if unknown:
        raise ConfigError(f"{shown(uri)}: {unknown[0]!r} is not known", hint=f"known are {', '.join(sorted(_WORDS))}")
    return HiveAddress(
        host=parts.hostname,
        port=port,
        database=unquote(parts.path.strip("/")),
        user=unquote(parts.username or "anonymous"),
        password=str(options.get("password") or unquote(parts.password or "")),
        auth=said.get("auth", "NONE").upper(),
        tls=said.get("ssl", "").lower() in ("1", "true", "yes"),
        timeout_s=float(options.get("timeout_s", 15)),
    ), said


class _Reader:
    """One table or query; each pass is a session of its own."""

    def __init__(self, address: HiveAddress, table: str, query: str, where: str) -> None:
        self._address, self._table, self._query, self._where = address, table, query, where
        self._columns: list[HiveColumn] = []

    def _statement(self, names: Sequence[str] | None) -> str:
        where = f" WHERE {self._where}" if self._where else ""
        if self._query and not where:
            return self._query
        source = f"({self._query}) fairway_query" if self._query else ".".join(_quoted(part) for part in self._table.split("."))
        what = "*" if names is None else ", ".join(map(_quoted, names))
        return f"SELECT {what} FROM {source}{where}"

    def look(self, types: Mapping[str, str]) -> tuple[Any, tuple[str, ...]]:
        """The fields and notes."""
        session = HiveSession(self._address)
        try:
            if self._table:
                self._check_table(session)
            said = self._described(session) if self._table else {}
            statement = self._statement(None)
            selects = statement.lstrip("( ").lower().startswith(("select", "with", "from"))
            result = session.run(f"SELECT * FROM ({statement}) fairway_look LIMIT {SAMPLE_ROWS}" if selects else statement)
            self._columns = [
                said.get(_bare(name).lower()) or of_number(_bare(name), number, qualifiers) for name, number, qualifiers in result.columns()
            ]
            names = [one.name for one in self._columns]
            if len(set(names)) != len(names):
                raise ConfigError(
                    f"the query has two columns {next(one for one in names if names.count(one) > 1)!r}", hint="name them apart with AS"
                )
            sample: dict[str, list[Any]] = {}
            for batch in result.batches():
                for one, values in zip(self._columns, batch, strict=True):
                    for name, unfolded_values in unfolded(one, values).items():
                        sample.setdefault(name, []).extend(unfolded_values)
            result.close()
        finally:
            session.close()
        pinned = {name: arrow for one in self._columns for name, arrow in one.leaves().items()} | dict(types)
        sample = {name: [] for name in pinned} | sample
        unsaid = [name for name in sample if name not in pinned]
        notes = (f"types of {', '.join(unsaid[:8])} found in the first rows; pin them with types=",) if unsaid else ()
        order = [name for one in self._columns for name in sample if name == one.name or name.startswith(one.name + ".")]
        return infer({name: sample[name] for name in dict.fromkeys(order)}, types=pinned), notes

    def _check_table(self, session: HiveSession) -> None:
        database, _, table = self._table.rpartition(".")
        result = session.run("SHOW TABLES" + (f" IN {_quoted(database)}" if database else ""))
        place = next((n for n, (name, *_) in enumerate(result.columns()) if "table" in name.lower() or name == "tab_name"), 0)
        names = [str(name) for batch in result.batches() for name in batch[place]]
        result.close()
        if table.lower() not in [name.lower() for name in names]:
            near = difflib.get_close_matches(table.lower(), names, 1)
            raise NotFoundError(
                f"{self._address.host}:{self._address.port} has no table {self._table!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:20]) or 'none'}",
            )

    def _described(self, session: HiveSession) -> dict[str, HiveColumn]:
        result = session.run("DESCRIBE " + ".".join(_quoted(part) for part in self._table.split(".")))
        made: dict[str, HiveColumn] = {}
        for names, types, *_ in result.batches():
            for name, spelt in zip(names, types, strict=True):
                if not name or str(name).startswith("#"):
                    break  # what follows says how the table is partitioned
                made[str(name).strip().lower()] = declared(str(name).strip(), str(spelt))
        result.close()
        return made

    def chunks(self, wanted: Sequence[str] | None) -> Iterator[Chunk]:
        """All rows, with the columns that these fields come of."""
        needed = [
            one for one in self._columns if wanted is None or any(name == one.name or name.startswith(one.name + ".") for name in wanted)
        ]
        session = HiveSession(self._address)
        try:
            result = session.run(self._statement([one.name for one in needed]))
            columns = self._columns if self._query and not self._where else needed
            for batch in result.batches():
                made: dict[str, list[Any]] = {}
                for one, values in zip(columns, batch, strict=True):
                    made |= unfolded(one, values)
                yield Chunk(len(batch[0]), made)
            result.close()
        finally:
            session.close()


def _bare(name: str) -> str:
    """Hive writes the table before the column."""
    return name.rpartition(".")[2]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
