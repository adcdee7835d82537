"""Filtering, sorting and describing a table that is read in pieces. Runs in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fairway.web.previews.arrowfiles import ArrowFile
from fairway.web.previews.cells import show_cell
from fairway.web.previews.sights import CannotSee
from fairway.web.previews.tablequery import COLUMNS_SHOWN, Column, TableQuery, Test
from fairway.web.previews.tables import Budget, Page

BINS = 24
TOP = 5
_SPREAD = 20


class ArrowTable:
    """A table in a file that pyarrow reads. See `tables.Table`."""

    title = ""

    def __init__(self, file: ArrowFile) -> None:
        self._file = file
        self.columns = tuple(
            Column(file.names[n], _spell_type(field.type), "text" if n in file.json_columns else _kind(field.type))
            for n, field in enumerate(file.schema)
        )
        self._shown = list(range(min(len(self.columns), COLUMNS_SHOWN)))

    def page(self, query: TableQuery, budget: Budget) -> Page:
        if query.plain:
            return self._plain_page(query, budget)
        numbers, matched, looked, complete = self._find(query, budget)
        cells = self._take(numbers, Budget())  # what was found is to be shown, however long finding it took
        return Page(numbers, cells, matched, looked, complete, self._total(looked, complete))

    def _plain_page(self, query: TableQuery, budget: Budget) -> Page:
        total, limit, first = self._file.total, query.limit, query.offset
        rows: list[list[Any]] = []
        ended = True
        for start, batch in self._file.scan(self._shown, first) if total < 0 or first < total else ():
            first = start if not rows else first
            rows += self._cells(batch.slice(0, limit - len(rows)))
            if len(rows) >= limit:
                ended = False
                break
        if total < 0 and ended:  # of CSV, its end tells
            total = first + len(rows)
        return Page(list(range(first, first + len(rows))), rows, total, max(total, 0), True, total)

    def _total(self, looked: int, complete: bool) -> int:
        return self._file.total if self._file.total >= 0 else looked if complete else -1

    def _find(self, query: TableQuery, budget: Budget) -> tuple[list[int], int, int, bool]:
        """(rows of the page, how many are meant, how many were looked at, whether that is all)."""
        import pyarrow as pa

        needed = sorted({test.column for test in query.tests} | ({query.sort} if query.sort >= 0 else set()))
        wanted = query.offset + query.limit
        kept: list[Any] = []
        held = matched = looked = 0
        complete = True
        for start, batch in self._file.scan(needed):
            by_number = {number: _plain(batch.column(n)) for n, number in enumerate(needed)}
            mask = _mask(query.tests, by_number, self.columns, batch.num_rows)
            numbers = pa.array(range(start, start + batch.num_rows), pa.int64())
            keys = by_number[query.sort] if query.sort >= 0 else numbers
            if mask is not None:
                numbers, keys = numbers.filter(mask), keys.filter(mask)
            matched += len(numbers)
            looked += batch.num_rows
            if query.sort >= 0 or held < wanted:
                kept.append(pa.table({"key": keys, "row": numbers}))
                held += len(numbers)
            if query.sort >= 0 and held > 4 * wanted + 200_000:
                kept = [_first(kept, wanted, query)]
                held = kept[0].num_rows
            if not budget.spend(batch.num_rows):
                complete = self._file.total == looked
                break
        if not kept:
            return [], matched, looked, complete
        found = _first(kept, wanted, query) if query.sort >= 0 else pa.concat_tables(kept)
        return found.slice(query.offset, query.limit)["row"].to_pylist(), matched, looked, complete

    def _take(self, numbers: Sequence[int], budget: Budget) -> list[list[Any]]:
        """The rows with these numbers, in this order."""
        import pyarrow as pa

        wanted = sorted(set(numbers))
        found: dict[int, list[Any]] = {}
        while wanted:
            for start, batch in self._file.scan(self._shown, wanted[0]):
                here = [n for n in wanted if n < start + batch.num_rows]
                if here:
                    taken = batch.take(pa.array([n - start for n in here], pa.int64()))
                    found.update(zip(here, self._cells(taken), strict=True))
                    wanted = wanted[len(here) :]
                if not budget.spend(0):
                    raise CannotSee("the rows lie too far apart to be fetched in time", "filter for fewer, or sort by nothing")
                if not wanted or wanted[0] >= start + batch.num_rows * _SPREAD:
                    break
            else:
                break
        return [found[n] for n in numbers if n in found]

    def _cells(self, batch: Any) -> list[list[Any]]:
        columns = [_show_column(_plain(batch.column(n)), n in self._file.json_columns) for n in range(batch.num_columns)]
        return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(batch.num_rows)]

    def statistics(self, budget: Budget) -> tuple[list[dict[str, Any]], int, int]:
        """Of all rows, or of pieces that are spread over the table, if it is larger than may be looked at."""
        import pyarrow as pa

        found: list[dict[str, Any]] = []
        looked = 0
        rows, total = budget.rows, self._file.total
        for number in self._shown:
            pieces = list(_sample(self._file, number, rows))
            looked = max(looked, sum(len(piece) for piece in pieces))
            column = (
                pa.chunked_array([_plain(piece) for piece in pieces])
                if pieces
                else pa.chunked_array([], self._file.schema.field(number).type)
            )
            found.append(describe(column, self.columns[number].kind))
            if not budget.spend(0):
                break
        return found, looked, total if total >= 0 else looked if looked < rows else -1


def _sample(file: ArrowFile, number: int, rows: int) -> Iterable[Any]:
    total = file.total
    if total < 0 or total <= rows:
        left = rows
        for _, batch in file.scan([number]):
            yield batch.column(0).slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                return
        return
    each = rows // _SPREAD
    for part in range(_SPREAD):
        left = each
        for _, batch in file.scan([number], part * (total // _SPREAD)):
            yield batch.column(0).slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                break


def compute() -> Any:
    """Arrow's functions, which it makes when it is imported: no type checker knows them."""
    import pyarrow.compute

    return pyarrow.compute


def _first(kept: list[Any], wanted: int, query: TableQuery) -> Any:
    import pyarrow as pa

    whole = pa.concat_tables(kept).combine_chunks()
    order = [("key", "descending" if query.descending else "ascending"), ("row", "ascending")]
    return whole.sort_by(order).slice(0, wanted)


def _plain(array: Any) -> Any:
    """Values themselves, not numbers of values; large numbers of money as floats."""
    import pyarrow as pa

    if isinstance(array, pa.DictionaryArray):
        return array.dictionary_decode()
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _kind(kind: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_boolean(kind):
        return "bool"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_timestamp(kind) or types.is_date(kind):
        return "time"
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return "text"
    return "other"


def _spell_type(kind: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        return "category"
    text = str(kind)
    return {"large_string": "string", "double": "float64", "float": "float32", "halffloat": "float16", "large_binary": "bytes"}.get(
        text, text
    )


def _mask(tests: Sequence[Test], by_number: dict[int, Any], columns: Sequence[Column], rows: int) -> Any:
    pc = compute()

    mask: Any = None
    for test in tests:
        one = pc.fill_null(_test(test, by_number[test.column], columns[test.column]), False)
        mask = one if mask is None else pc.and_(mask, one)
    return mask


def _test(test: Test, array: Any, column: Column) -> Any:
    import pyarrow as pa

    pc = compute()

    if test.op == "null":
        return pc.or_kleene(pc.is_null(array), pc.is_nan(array)) if pa.types.is_floating(array.type) else pc.is_null(array)
    if test.op == "notnull":
        return pc.invert(_test(Test(test.column, "null"), array, column))
    if test.op == "~" or column.kind == "other":
        texts = _texts(array)
        if test.op == "~":
            return pc.match_substring(texts, str(test.value), ignore_case=True)
        found = pc.equal(texts, str(test.value))
        return found if test.op == "=" else pc.invert(found)
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if test.op == "range":
        return pc.and_(pc.greater_equal(array, _scalar(test.value, array)), pc.less_equal(array, _scalar(test.high, array)))
    names = {"=": "equal", "!=": "not_equal", ">": "greater", ">=": "greater_equal", "<": "less", "<=": "less_equal"}
    return getattr(pc, names[test.op])(array, _scalar(test.value, array))


def _scalar(value: Any, array: Any) -> Any:
    import pyarrow as pa

    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return pa.scalar(value)
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(str(value))
        if pa.types.is_date(array.type):
            return pa.scalar(moment.date()).cast(array.type)
        if array.type.tz and moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return pa.scalar(moment, pa.timestamp("us", array.type.tz)).cast(array.type, safe=False)
    except (ValueError, pa.ArrowInvalid):
        raise CannotSee(f"{str(value)[:40]!r} is not a time", "write 2026-01-31 or 2026-01-31T12:00") from None


def _texts(array: Any) -> Any:
    """The values as texts, also of what Arrow itself has no text for."""
    import pyarrow as pa

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array
    try:
        return array.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else str(show_cell(value)) for value in array.to_pylist()], pa.large_string())


def _show_column(array: Any, is_json: bool) -> list[Any]:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _trim_times(array.cast(pa.string()).to_pylist())
    if pa.types.is_duration(kind):
        return [None if value is None else str(value) for value in _durations(array)]
    if pa.types.is_floating(kind) and kind.bit_width < 64:
        digits = 7 if kind.bit_width == 32 else 4
        return [show_cell(value if value is None or value != value else float(f"{value:.{digits}g}")) for value in array.to_pylist()]
    if is_json:
        return [None if value is None else show_cell(bytes(value).decode("utf-8", "replace")) for value in array.to_pylist()]
    return [show_cell(value) for value in array.to_pylist()]


def _durations(array: Any) -> list[Any]:
    """As timedeltas; nanoseconds, which Python's cannot hold, are cut off."""
    import pyarrow as pa

    return array.cast(pa.duration("us"), safe=False).to_pylist()


def _trim_times(texts: list[str | None]) -> list[str | None]:
    """Without the parts that are nought in all of them: 2026-01-01 rather than 2026-01-01 00:00:00.000000."""
    there = [text for text in texts if text]
    if there and all("." in text for text in there) and all(not text.partition(".")[2].rstrip("Z").strip("0") for text in there):
        texts = [text and text.partition(".")[0] + ("Z" if text.endswith("Z") else "") for text in texts]
        there = [text for text in texts if text]
    if there and all(text.endswith(" 00:00:00") for text in there):
        return [text and text[:-9] for text in texts]
    return texts


def describe(column: Any, kind: str) -> dict[str, Any]:
    """What a column holds: see `tables.see_columns`."""
    import pyarrow as pa

    pc = compute()

    about: dict[str, Any] = {"nulls": column.null_count}
    if kind in ("number", "time"):
        numbers = (
            column.cast(pa.float64())
            if kind == "number"
            else column.cast(pa.int64() if not pa.types.is_date32(column.type) else pa.int32())
        )
        if kind == "number":
            numbers = numbers.filter(pc.fill_null(pc.is_finite(numbers), False))
            about["nulls"] = len(column) - len(numbers)
        else:
            numbers = numbers.drop_null()
        if not len(numbers):
            return about
        ends = pc.min_max(column.filter(pc.is_valid(column))).as_py() if kind == "time" else pc.min_max(numbers).as_py()
        about |= {"min": show_cell(ends["min"]), "max": show_cell(ends["max"]), "distinct": pc.count_distinct(numbers).as_py()}
        if kind == "number":
            about |= {"mean": pc.mean(numbers).as_py(), "deviation": pc.stddev(numbers).as_py()}
        return {**about, "bins": _bins(numbers)}
    if kind == "other":
        return about
    counts = pc.value_counts(column.drop_null())
    order = pc.sort_indices(counts.field("counts") if hasattr(counts, "field") else counts, sort_keys=[("", "descending")])[:TOP]
    top = counts.take(order)
    pairs = zip(top.field("values").to_pylist(), top.field("counts").to_pylist(), strict=True)
    return {**about, "distinct": len(counts), "top": [[show_cell(value, 60), n] for value, n in pairs]}


def _bins(numbers: Any) -> list[int]:
    import pyarrow as pa

    pc = compute()

    values = numbers.cast(pa.float64(), safe=False)
    ends = pc.min_max(values).as_py()
    low, high = ends["min"], ends["max"]
    if not high > low:
        return [len(values)]
    at = pc.floor(pc.multiply(pc.subtract(values, low), BINS / (high - low)))
    counted = pc.value_counts(at.cast(pa.int64(), safe=False))
    by_bin = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    last = by_bin.pop(BINS, 0)
    return [by_bin.get(n, 0) + (last if n == BINS - 1 else 0) for n in range(BINS)]
