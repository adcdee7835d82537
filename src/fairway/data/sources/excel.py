"""Excel and OpenDocument sheets (xlsx, xlsm, xls, ods): cells' values, one row for each row below the header."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.parsers import expat

from fairway.data.sources import files, needs, new_rejects
from fairway.data.sources.rowbuilder import Chunk, RowSource, infer
from fairway.errors import ConfigError

ENDINGS = ("xlsx", "xlsm", "xls", "ods")
MAX_FILE_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 2 << 30
MAX_CELLS = 50_000_000
_ROWS = 8_192
_SMALL_BYTES = 16 << 10
_MAX_RATIO = 200
_CELL = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')


def open(uri: str | Sequence[str], options: dict[str, Any]) -> RowSource:
    """Options: sheet (name, or number from 1), header (True, False), names, skip (rows above), types, merged="fill". Raises ConfigError."""
    paths = files.expand(uri, ENDINGS)
    calamine = needs("python_calamine", "'fairway[data]'", "reading Excel")
    sheets = [_Sheet(calamine, path, options) for path in paths]
    first = sheets[0]
    for one in sheets[1:]:
        if one.names != first.names:
            raise ConfigError(f"{one.path} has other columns than {first.path}", hint="read them one by one")
    columns = {name: [row[place] for sheet in sheets for row in sheet.rows] for place, name in enumerate(first.names)}
    for name, values in columns.items():
        columns[name] = _whole(values)
    fields = infer(columns, types=dict(options.get("types") or {}))
    lines = [line for sheet in sheets for line in range(sheet.first_line, sheet.first_line + len(sheet.rows))]

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        names = first.names if wanted is None else wanted
        for start in range(0, len(lines), _ROWS):
            part = slice(start, start + _ROWS)
            yield Chunk(len(lines[part]), {name: columns[name][part] for name in names}, lines[part])

    notes = tuple(note for sheet in sheets for note in sheet.notes)
    return RowSource(fields, read, new_rejects(uri if isinstance(uri, str) else uri[0], options), notes, format="excel")


def _whole(values: list[Any]) -> list[Any]:
    """A sheet knows floats only: a column of whole numbers is one of integers, and a whole number among texts has no fraction."""
    kinds = set(map(type, values)) - {type(None)}
    if str in kinds and float in kinds:
        return [int(one) if type(one) is float and one.is_integer() and abs(one) < 2**53 else one for one in values]
    if kinds and kinds <= {int, float} and all(one is None or (float(one).is_integer() and abs(one) < 2**53) for one in values):
        return [None if one is None else int(one) for one in values]
    return values


class _Sheet:
    """One sheet's rows below its header, and the names of its columns."""

    def __init__(self, calamine: Any, path: str, options: Mapping[str, Any]) -> None:
        self.path, self.notes = path, list[str]()
        data = _read(path)
        check_archive(data, path)
        try:
            book = calamine.load_workbook(io.BytesIO(data))
        except Exception as error:  # noqa: BLE001 - the library has a class for each way to be damaged
            raise ConfigError(f"{path} is no workbook that can be read: {str(error)[:200]}", hint=_advice(data)) from None
        sheet = self._chosen(book, options.get("sheet", ""))
        rows = [[_cell(value) for value in row] for row in sheet.to_python(skip_empty_area=True)]
        above = int(sheet.start[0]) if sheet.start else 0
        left = int(sheet.start[1]) if sheet.start else 0
        self._fill_merged(sheet, rows, above, left, str(options.get("merged", "")))
        skip = max(0, int(options.get("skip", 0)) - above)
        rows = rows[skip:]
        self.names, used = self._named(rows, options, left)
        self.rows = rows[used:]
        self.first_line = above + skip + used + 1
        if not self.names:
            raise ConfigError(
                f"{path} has nothing on the sheet {sheet.name!r}", hint="choose another with sheet=: " + ", ".join(book.sheet_names)
            )

    def _chosen(self, book: Any, said: Any) -> Any:
        names: list[str] = book.sheet_names
        if not names:
            raise ConfigError(f"{self.path} has no sheets")
        hint = "it has " + ", ".join(map(repr, names[:20]))
        try:
            if isinstance(said, int) and not isinstance(said, bool):
                if not 1 <= said <= len(names):
                    raise ConfigError(f"{self.path} has no sheet {said}", hint=f"{hint}; they are counted from 1")
                return book.get_sheet_by_index(said - 1)
            if said:
                if said not in names:
                    raise ConfigError(f"{self.path} has no sheet {said!r}", hint=hint)
                return book.get_sheet_by_name(said)
            if len(names) > 1:
                self.notes.append(f"sheet {names[0]!r}, the first of {len(names)}; choose one with sheet=")
            return book.get_sheet_by_index(0)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - the library's own
            raise ConfigError(
                f"{self.path} has a sheet that cannot be read: {str(error)[:200]}", hint="save it again with a spreadsheet program"
            ) from None

    def _fill_merged(self, sheet: Any, rows: list[list[Any]], above: int, left: int, how: str) -> None:
        merged = getattr(sheet, "merged_cell_ranges", None) or []
        if how not in ("", "fill"):
            raise ConfigError(f"merged={how!r} is not known", hint="merged='fill'")
        if merged and not how:
            self.notes.append(f"{len(merged)} merged ranges have their value in the first cell only; repeat it with merged='fill'")
        elif merged:
            for (top, first), (bottom, last) in merged:
                if not (0 <= top - above < len(rows)) or not rows or not 0 <= first - left < len(rows[0]):
                    continue
                value = rows[top - above][first - left]
                for row in rows[max(top - above, 0) : bottom - above + 1]:
                    row[first - left : last - left + 1] = [value] * len(row[first - left : last - left + 1])

    def _named(self, rows: list[list[Any]], options: Mapping[str, Any], left: int) -> tuple[list[str], int]:
        """The columns' names, and how many rows said so."""
        said, pinned = options.get("header"), options.get("names")
        width = len(rows[0]) if rows else 0
        first = rows[0] if rows else []
        looks = bool(first) and all(isinstance(one, str) and one.strip() for one in first) and len(set(first)) == width
        header = bool(said) if said is not None else looks
        if said is None and rows and not pinned:
            self.notes.append(
                f"row {'one taken as names of columns' if looks else 'one holds data, not names'}; pin it with header={looks}"
            )
        if pinned:
            names = [str(one) for one in pinned]
            if len(names) != width:
                raise ConfigError(f"names= has {len(names)} names, {self.path} has {width} columns")
        elif header:
            names = _unique(["" if one is None else str(one).strip() for one in first], left)
        else:
            names = [_letters(left + place) for place in range(width)]
        return names, int(header)


def _cell(value: Any) -> Any:
    return None if value == "" else value


def _unique(names: Sequence[str], left: int) -> list[str]:
    made: list[str] = []
    for place, name in enumerate(names):
        plain = name or _letters(left + place)
        number, spelt = 2, plain
        while spelt in made:
            spelt, number = f"{plain}_{number}", number + 1
        made.append(spelt)
    return made


def _letters(place: int) -> str:
    """A column as sheets call it: A, B … Z, AA."""
    made = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        made = chr(65 + rest) + made
    return made


def _read(path: str) -> bytes:
    with files.reader(path) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES >> 30} GB, which no sheet has", hint="name what it is with format=")
    if not data:
        raise ConfigError(f"{path} is empty", hint="was it written to the end?")
    return data


def _advice(data: bytes) -> str:
    if data[:4] != b"\xd0\xcf\x11\xe0":
        return "was it cut off? copy it again; or name what it is with format="
    return "save it as xlsx with a spreadsheet program; one with a password has to be saved without"


def check_archive(data: bytes, path: str) -> None:
    """Refuse an archive that unpacks to far more than it is, or whose cells stand so far apart that the sheet would fill the memory."""
    if data[:2] != b"PK":
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = 0
            for info in archive.infolist():
                sheet = info.filename.startswith(("xl/worksheets/", "content.xml"))
                if info.compress_size <= _SMALL_BYTES and not sheet:
                    total += info.compress_size * 1_032  # no more than that can come of it
                    continue
                extent = _OdsExtent(path) if info.filename == "content.xml" else _Extent(path)
                for piece in _inflated(data, info, path):
                    total += len(piece)
                    if total > max(_MAX_RATIO * len(data), 64 << 20) or total > MAX_UNPACKED_BYTES:
                        raise ConfigError(
                            f"{path} unpacks to more than {total >> 20:,} MB: it looks like a bomb",
                            hint="save it again with a spreadsheet program",
                        )
                    if sheet:
                        extent.see(piece)
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise ConfigError(f"{path} is a damaged workbook: {error}", hint="was it cut off? copy it again") from None


def _inflated(data: bytes, info: zipfile.ZipInfo, path: str) -> Iterator[bytes]:
    """The bytes that really come of an entry, whatever the archive says that there are."""
    begin = info.header_offset
    if data[begin : begin + 4] != b"PK\x03\x04":
        raise ConfigError(f"{path} is a damaged workbook: {info.filename} is not where it should be", hint="copy it again")
    begin += 30 + int.from_bytes(data[begin + 26 : begin + 28], "little") + int.from_bytes(data[begin + 28 : begin + 30], "little")
    packed = memoryview(data)[begin : begin + info.compress_size]
    if info.compress_type == zipfile.ZIP_STORED:
        yield bytes(packed)
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        one = zlib.decompressobj(-15)
        rest: Any = packed
        while not one.eof and (made := one.decompress(rest, 1 << 20)):
            yield made
            rest = one.unconsumed_tail


class _Extent:
    """How large the rectangle is that the cells of an xlsx sheet span."""

    def __init__(self, path: str) -> None:
        self._path, self._tail = path, b""
        self._columns: set[bytes] = set()
        self._low, self._high = 1 << 30, 0

    def see(self, piece: bytes) -> None:
        """Some more of the sheet. Raises ConfigError."""
        for column, row in _CELL.findall(self._tail + piece):
            self._columns.add(column)
            number = int(row)
            self._low, self._high = min(self._low, number), max(self._high, number)
        self._tail = piece[-32:]
        places = [sum((letter - 64) * 26**power for power, letter in enumerate(reversed(one))) for one in self._columns]
        if places:
            _check_cells(self._path, self._high - self._low + 1, max(places) - min(places) + 1)


class _OdsExtent:
    """The same of an ods sheet, which says how often rows and cells are repeated."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rows = self._row_repeat = self._cells = self._width = self._cell_repeat = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.EntityDeclHandler = self._refused

    def see(self, piece: bytes) -> None:
        """Some more of the document. Raises ConfigError."""
        try:
            self._parser.Parse(piece, False)
        except expat.ExpatError as error:
            raise ConfigError(f"{self._path} is a damaged workbook: {error}", hint="copy it again") from None

    def _refused(self, name: str, *_: Any) -> None:
        raise ConfigError(f"{self._path} declares an entity, {name!r}", hint="entities are not read")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "table":
            self._rows = self._width = 0
        elif local == "table-row":
            self._row_repeat, self._cells, self._cell_repeat = int(attributes.get("table:number-rows-repeated", 1)), 0, 0
            self._filled = 0
        elif local in ("table-cell", "covered-table-cell"):
            self._cells += int(attributes.get("table:number-columns-repeated", 1))
            if "office:value-type" in attributes or "table:formula" in attributes:
                self._filled = self._cells
        elif local == "p":
            self._filled = self._cells

    def _end(self, name: str) -> None:
        if name.rpartition(":")[2] == "table-row":
            self._rows += self._row_repeat if self._filled or self._row_repeat < 1_000 else 0
            self._width = max(self._width, self._filled)
            _check_cells(self._path, self._rows, self._width)


def _check_cells(path: str, rows: int, columns: int) -> None:
    if rows * columns > MAX_CELLS:
        raise ConfigError(
            f"{path} has cells {rows:,} rows and {columns:,} columns apart: more than {MAX_CELLS:,} cells, which are not read",
            hint="delete what stands far off, or save the sheet as CSV",
        )
