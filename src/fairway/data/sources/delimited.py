"""CSV, TSV and their kin: scanned by DuckDB, with every guess said and every row that does not fit kept aside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairway.data.sources import files, new_rejects
from fairway.data.sources.columntypes import NULL_WORDS, ColumnType, Guessing
from fairway.data.sources.dialect import Dialect, find_dialect, parse_rows
from fairway.data.sources.engine import MEMORY_MB, Field, field_of, quoted, text
from fairway.data.sources.goodlines import good_throughout
from fairway.data.sources.locating import LineCounter, locate
from fairway.data.sources.longlines import LongestLine, long_lines
from fairway.data.sources.misfits import WIDE, Misfits, has_misfit
from fairway.data.sources.rejects import SHOWN, Reject
from fairway.data.sources.textinput import Pipe, TextInput, open_text
from fairway.data.sources.widelines import SPARE, Narrowing, has_wide_line
from fairway.errors import ConfigError

_ENDINGS = ("csv", "tsv", "tab", "psv", "txt", "dat", "data")
_LINE_BYTES, _BUFFER_BYTES = 4 << 20, 8 << 20
_WIDE = 500
_RECORDED = 1_000_000
_numbers = itertools.count(1)


@dataclass(frozen=True)
class _File:
    """One file with its own dialect."""

    input: TextInput
    dialect: Dialect


class DelimitedSource:
    """A source over text files whose rows are lines of separated values."""

    format = "csv"
    rejects_rows = True

    def __init__(self, uri: str, parts: list[_File], types: dict[str, ColumnType], options: dict[str, Any]) -> None:
        self._uri, self._parts, self._types, self._options = uri, parts, types, options
        self.fields: tuple[Field, ...] = tuple(field_of(name, _shown(kind.sql)) for name, kind in types.items())
        self.notes: tuple[str, ...] = ()
        self.rejects = new_rejects(uri, options)
        self.rejects.hint = self._advice
        self._passes: dict[int, _Pass] = {}
        self._last: _Pass | None = None
        self.clean = False

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol. Until a pass has met no reject, all columns are read: rows must not come and go with them."""
        return self.relation_where(connection, columns, [])

    def relation_where(self, connection: Any, columns: Sequence[str] | None, conditions: Sequence[str]) -> Any:
        """The rows for which all SQL conditions hold; a row that cannot be read is a reject, whether they want it or not.

        DuckDB moves conditions below one another. It does not where they stand behind a value that it may compute only once a row.
        """
        if len(self._types) > _WIDE:
            connection.execute(f"SET memory_limit = '{MEMORY_MB + len(self._types) // 4}MB'")
        one = self._passes[id(connection)] = _Pass(self, connection)
        wanted = columns if columns is not None and self.clean else None
        return connection.sql(one.sql(wanted, " AND ".join(f"({condition})" for condition in conditions)))

    def finish(self, connection: Any) -> None:
        """See the protocol."""
        one = self._last = self._passes.pop(id(connection), None)
        if one is not None:
            one.finish()

    def complete(self) -> None:
        """The last pass has seen every row. Raises ConfigError where it changed one that was no reject."""
        one, self._last = self._last, None
        if one is not None:
            one.complete()

    def passed(self) -> None:
        """A whole pass met no reject: from now on a column may be read alone, no row comes or goes with the others."""
        self.clean = True

    def _advice(self, first: Reject) -> str:
        if first.column in self._types:
            words = [word for word in NULL_WORDS if any(one.reason.startswith(f"{word!r} ") for one in self.rejects.rows)]
            if words and "nulls" not in self._options:
                return f"they may mean that a value is missing: nulls={words!r}"
            number = self._types[first.column].name == "int64" and first.reason.partition("' ")[0].strip("'").replace(".", "", 1).isdigit()
            return f"pin the type: types={{{first.column!r}: {'double' if number else 'string'!r}}}"
        return "pin what was guessed: separator=, quote=, header=, skip="


def _shown(sql: str) -> str:
    return {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(sql, sql.replace(" ", ""))


class _Pass:
    """One reading of the source over one connection: its pipes, and what it rejected."""

    def __init__(self, source: DelimitedSource, connection: Any) -> None:
        self._source, self._connection = source, connection
        self._number = next(_numbers)
        self._pipes: dict[int, Pipe] = {}
        self._passed: list[tuple[_File, LongestLine, Narrowing]] = []
        self._misfits: dict[str, Misfits] = {}  # by file
        self._wide: dict[str, set[int]] = {}  # by file: the lines of rejects that got separators taken out
        self._buffer = max(_BUFFER_BYTES, 2 * int(source._options.get("max_line_bytes", _LINE_BYTES)))
        self._bad: dict[int, dict[str, int]] = {}
        self._bad_count = 0
        self._names = list(source._types)
        self._tables: list[tuple[str, list[_File]]] = []
        connection.create_function(f"keep_{self._number}", self._keep, ["INTEGER", "VARCHAR"], "BOOLEAN", side_effects=True)

    def _keep(self, column: int, value: str) -> bool:
        found = self._bad.setdefault(column, {})
        if value in found or len(found) < _RECORDED // 10:
            found[value] = found.get(value, 0) + 1
        self._bad_count += 1
        limit = self._source.rejects.limit
        if not limit.unlimited and not limit.share and self._bad_count > limit.rows + SHOWN:
            raise _Enough
        return False

    def sql(self, columns: Sequence[str] | None, condition: str) -> str:
        """The query over all files."""
        groups: list[list[_File]] = []
        for part in self._source._parts:
            dialect = part.dialect
            if part.input.direct:
                path, end = part.input.path, _end_of(part.input)
                wide = has_wide_line(path, end, dialect.separator.encode(), len(dialect.names))
                part.input.narrowed = wide or has_misfit(path, end, dialect)
        for part in self._source._parts:
            if groups and part.input.direct and groups[-1][0].input.direct and _alike(part, groups[-1][0]):
                groups[-1].append(part)
            else:
                groups.append([part])
        return " UNION ALL ".join(self._scan(group, columns, condition) for group in groups)

    def _scan(self, group: list[_File], columns: Sequence[str] | None, condition: str) -> str:
        types, names = self._source._types, group[0].dialect.names
        places = {name: n for n, name in enumerate(names)}
        wanted = self._names if columns is None else list(columns)
        values, tests = [""], list[str]()
        for name in names:
            kind, place = types[name], places[name]
            if not kind.native and (columns is None or name in columns):
                values.append(f"{kind.value(f't{place}')} AS v{place}")
                fits = kind.fits(f"t{place}", f"v{place}")
                tests.append(f"WHEN NOT (CASE {fits}ELSE false END) THEN keep_{self._number}({self._names.index(name)}, t{place})")
        picked: list[str] = []
        for name in wanted:
            kind = types[name]
            value = f"{'t' if kind.native else 'v'}{places[name]}" if name in places else f"NULL::{kind.sql}"
            picked.append(f"{value} AS {quoted(name)}")
        inner = f"SELECT *{', '.join(values)} FROM {self._read(group, self._scanned(group[0]))}"
        if not tests:
            return f"SELECT {', '.join(picked)} FROM ({inner})" + (f" WHERE {condition}" if condition else "")
        kept = quoted(f"kept {self._number}")
        checked = f"SELECT {', '.join(picked)}, CASE {' '.join(tests)} ELSE true END AS {kept} FROM ({inner})"
        asked = f"CASE WHEN {kept} THEN {condition} ELSE false END" if condition else kept
        return f"SELECT {', '.join(map(quoted, wanted))} FROM ({checked}) WHERE {asked}"

    def _scanned(self, part: _File) -> dict[str, str]:
        types = [self._source._types[name] for name in part.dialect.names]
        return {f"t{n}": one.sql if one.native else "VARCHAR" for n, one in enumerate(types)}

    def _read(self, group: list[_File], scanned: dict[str, str]) -> str:
        options, dialect = self._source._options, group[0].dialect
        paths = [part.input.path if part.input.direct else self._pipe(part) for part in group]
        table = f"rejects_{self._number}_{len(self._tables)}"
        self._tables.append((table, group))
        longest = int(options.get("max_line_bytes", _LINE_BYTES))
        nulls = options.get("nulls")
        spelt = ["", *([nulls] if isinstance(nulls, str) else nulls or ())]
        settings = {
            "auto_detect": "false",
            "columns": "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in scanned.items()) + "}",
            "delim": text(dialect.separator),
            "quote": text(dialect.quote),
            "escape": text(dialect.escape),
            "header": str(dialect.header).lower(),
            "skip": str(dialect.skip),
            "comment": text(dialect.comment),
            "nullstr": "[" + ", ".join(map(text, spelt)) + "]",
            "allow_quoted_nulls": "false",
            "parallel": str(all(part.input.direct and self._good_throughout(part) for part in group)).lower(),
            "max_line_size": str(longest),
            "buffer_size": str(self._buffer),
            "store_rejects": "true",
            "rejects_table": text(table),
            "rejects_scan": text(table + "_scan"),
            "rejects_limit": str(self._most_errors()),
        }
        said = [f"{name}={value}" for name, value in settings.items() if value != "''" or name in ("quote", "escape")]
        return f"read_csv([{', '.join(map(text, paths))}], {', '.join(said)})"

    def _most_errors(self) -> int:
        """How many errors the scan is to keep; 0: all. It keeps one for each value that a row lacks or has too many."""
        limit = self._source.rejects.limit
        if limit.unlimited or limit.share:
            return 0
        return max(limit.rows + SHOWN + 1, (limit.rows + 1) * max(len(self._names), SPARE + 1) + 1)

    def _good_throughout(self, part: _File) -> bool:
        types = [self._source._types[name] for name in part.dialect.names]
        return good_throughout(part.input.path, _end_of(part.input), part.dialect, types)

    def _pipe(self, part: _File) -> str:
        one, end, dialect = part.input, _end_of(part.input), part.dialect
        longest = LongestLine(self._buffer // 2)
        narrowing = Narrowing(dialect.separator, dialect.quote, dialect.escape, len(dialect.names))
        self._passed.append((part, longest, narrowing))
        if len(dialect.names) > WIDE:
            misfits = self._misfits[one.path] = Misfits(dialect, self._buffer // 2)
            made = Pipe(lambda: narrowing.passing(misfits.passing(longest.passing(one.utf8(), end), end), end))
        else:
            made = Pipe(lambda: narrowing.passing(longest.passing(one.utf8(), end), end))
        self._pipes[len(self._pipes)] = made
        return made.path

    def finish(self) -> None:
        """Take up the rejects, close the pipes, raise what went wrong in them."""
        for pipe in self._pipes.values():
            pipe.close()
        failures = [pipe.failure for pipe in self._pipes.values() if pipe.failure is not None]
        rejects = self._source.rejects
        for path, misfits in self._misfits.items():
            for line, row, reason in misfits.taken:
                rejects.add(line, "", row.decode("utf-8", "replace"), reason, path if len(self._source._parts) > 1 else "")
        for table, group in self._tables:
            self._take(table, group)
        if self._bad_count:
            for one in locate(self._source._parts, self._names, self._source._types, self._bad, self._bad_count):
                rejects.add(one.line, one.column, one.text, one.reason, one.file)
        self._take_long()
        rejects.rows.sort(key=lambda one: (one.file, one.line or 0))
        if failures:
            raise failures[0]

    def _take_long(self) -> None:
        """Lines that fill a whole buffer, and that the scan did not tell of."""
        rejects, many = self._source.rejects, len(self._source._parts) > 1
        told = {(one.file, one.line) for one in rejects.rows}
        found: list[tuple[TextInput, int, bytes]] = []
        for part in (part for _, group in self._tables for part in group if part.input.direct):
            lines = list(long_lines(part.input.path, _end_of(part.input), self._buffer // 2))
            counter = LineCounter(part.input)
            found += [(part.input, counter.line_at(begin + 1 + part.input.encoding.mark, 0), shown) for begin, shown in lines]
        found += [(part.input, line, shown) for part, longest, _ in self._passed for line, shown in longest.too_long]
        for one, line, shown in found:
            file = one.path if many else ""
            if (file, line) not in told and (file, line - 1) not in told:  # an open quote is told of where it was met
                reason = "the line is longer than max_line_bytes allows"
                rejects.add(line, "", shown.decode("utf-8", "replace"), reason, file)

    def _take(self, table: str, group: list[_File]) -> None:
        import duckdb

        query = (
            "SELECT file_path, line_byte_position, any_value(line), first(column_idx ORDER BY column_idx), "
            "first(error_type::VARCHAR ORDER BY column_idx), first(csv_line ORDER BY column_idx), first(error_message ORDER BY column_idx) "
            f"FROM {table} JOIN {table}_scan USING (scan_id, file_id) GROUP BY file_path, line_byte_position "
            "ORDER BY file_path, line_byte_position"
        )
        try:
            (errors,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            found = self._connection.execute(query)
        except duckdb.Error:
            return  # the scan never began
        many = len(self._source._parts) > 1
        counters: dict[str, LineCounter] = {}
        by_path = {part.input.path: part.input for part in group}
        widths = {part.input.path: narrowing.widths for part, _, narrowing in self._passed}
        while rows := found.fetchmany(1000):
            for path, begin, row, place, kind, raw, message in rows:
                one = by_path.get(path, group[0].input)
                if one.path not in counters:
                    counters[one.path] = LineCounter(one)
                passed = self._misfits.get(one.path)
                line = counters[one.path].line_at(begin, passed.line_without(row) if passed else row)
                file = one.path if many else ""
                column = group[0].dialect.names[place - 1] if kind == "CAST" and 0 < place <= len(group[0].dialect.names) else ""
                wide = widths.get(one.path, {}).get(line)
                reason = _reason(kind, message, len(group[0].dialect.names), wide)
                if wide:
                    self._wide.setdefault(one.path, set()).add(line)
                self._source.rejects.add(line, column, raw or "", reason, file)
        if 0 < self._most_errors() <= errors and self._source.rejects.limit.allows(self._source.rejects.count, 0):
            raise ConfigError(
                f"{self._source._uri} has rows with thousands of values too many: not all could be counted",
                hint='is separator= right? max_rejects="all" counts them all',
            )

    def complete(self) -> None:
        """Rows that got separators taken out are rejects, or the quotes stand elsewhere than they seemed to."""
        for part, _, narrowing in self._passed:
            odd = sorted(set(narrowing.widths) - self._wide.get(part.input.path, set()))
            if odd:
                raise ConfigError(
                    f"line {odd[0]} has {narrowing.widths[odd[0]]:,} values, if the quotes are where they seem to be",
                    where=part.input.path,
                    hint="pin what is so: separator=, quote=",
                )


def _end_of(one: TextInput) -> bytes:
    return b"\r" if one.newline == "\r" else b"\n"


class _Enough(Exception):
    """More rows were rejected than can pass."""


def _reason(kind: str, message: str, columns: int, wide: int | None = None) -> str:
    found = f"{wide:,}" if wide else message.rpartition("Found: ")[2].partition("\n")[0].strip()
    if kind == "CAST":
        value = message.partition('Could not convert string "')[2].partition("\" to '")[0]
        return f"{value!r} is not a number"
    return {
        "MISSING COLUMNS": f"{found} values, {columns} columns",
        "TOO MANY COLUMNS": f"{found} values, {columns} columns",
        "UNQUOTED VALUE": "a quote that is not closed, or stands within a value",
        "LINE SIZE OVER MAXIMUM": "the line is longer than max_line_bytes allows",
        "INVALID ENCODING": "bytes that are not UTF-8",
    }.get(kind, message.partition("\n")[0])


def _alike(one: _File, other: _File) -> bool:
    return one.dialect == other.dialect and one.input.newline == other.input.newline


def open(uri: str | Sequence[str], options: dict[str, Any]) -> DelimitedSource:
    """Look at the head of each file. Raises ConfigError, NotFoundError."""
    paths = files.expand(uri, _ENDINGS)
    parts: list[_File] = []
    samples: dict[str, list[str]] = {}
    notes: list[str] = []
    wanted = int(options.get("sample_rows", 5_000))
    for path in paths:
        one = open_text(path, options)
        if not one.sample.strip("\r\n") and one.sample_is_all:
            if len(paths) > 1:
                notes.append(f"{path} is empty")
                continue
            raise ConfigError(f"{path} is empty", hint="was it written to the end?")
        if "\0" in one.sample:
            raise ConfigError(
                f"{path} holds bytes that are no text", hint="is it of another format? name it with format=, or the encoding with encoding="
            )
        tab = {"separator": "\t"} if path.lower().endswith((".tsv", ".tab")) and "separator" not in options else {}
        try:
            dialect = find_dialect(one.sample, {**tab, **options}, whole=one.sample_is_all)
        except ConfigError as error:
            error.where = error.where or path
            raise
        if not dialect.names:
            raise ConfigError(f"the first line of {path} does not end within {len(one.sample):,} characters", hint="is it text with lines?")
        notes += [note for note in (*one.notes, *dialect.notes) if note not in notes]
        parts.append(_File(one, dialect))
        _sample(parts[-1], samples, wanted)
    if not parts:
        raise ConfigError(f"{uri} holds empty files only")
    types = Guessing(samples, options, notes).guess()
    source = DelimitedSource(uri if isinstance(uri, str) else uri[0], parts, types, options)
    source.notes = (*notes, *_differing(parts, list(types)))
    return source


def _sample(part: _File, samples: dict[str, list[str]], wanted: int) -> None:
    one, dialect = part.input, part.dialect
    lines = one.sample if one.sample_is_all else one.sample.rpartition("\r" if one.newline == "\r" else "\n")[0]
    lines = lines.replace("\r\n", "\n").replace("\r", "\n")
    for _ in range(dialect.skip):
        while dialect.comment and lines.startswith(dialect.comment):
            lines = lines.partition("\n")[2]
        lines = lines.partition("\n")[2]
    rows = parse_rows(lines, dialect, wanted + 1)[1 if dialect.header else 0 :]
    for spot in one.spots:
        rows += [row for row in parse_rows(spot, dialect) if len(row) == len(dialect.names)]
    for n, name in enumerate(dialect.names):
        samples.setdefault(name, []).extend(row[n] for row in rows if n < len(row))


def _differing(parts: list[_File], names: list[str]) -> list[str]:
    notes: list[str] = []
    for part in parts:
        missing = [name for name in names if name not in part.dialect.names]
        if missing and len(notes) < 10:
            notes.append(f"{part.input.path} has no column {', '.join(map(repr, missing[:5]))}: null there")
    return notes
