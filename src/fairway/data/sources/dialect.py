"""How a text file separates its values: guessed from its first lines, each guess with the option that pins it."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fairway.errors import ConfigError

CANDIDATES = (",", ";", "\t", "|", "\x01", "^", "~", ":", " ")
_LINES = 200
_FIELD_LIMIT = 1 << 17
_COLUMNS = 20_000
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?")
_DATED = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2})?")
_WORDS = frozenset(("true", "false", "na", "n/a", "null", "none", "nan", "yes", "no", "-"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """What reads the rows: `names` are the columns', `skip` the lines above the header or the first row, comments left out."""

    separator: str
    quote: str
    escape: str
    comment: str
    skip: int
    header: bool
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def find_dialect(text: str, options: dict[str, Any], *, whole: bool) -> Dialect:
    """From the head of a file and what is pinned. Raises ConfigError for options that cannot be, and for a file without rows or names."""
    _check_options(options)
    skip = int(options.get("skip", 0))
    lines = _lines(text, whole)
    before, lines = lines[:skip], lines[skip:]
    comment, commented = _comment(lines, options)
    plain = [line for line in lines if line.strip() and not (comment and line.startswith(comment))][:_LINES]
    notes = (
        [f"lines that begin with {comment!r} are left out as comments; pin it with comment={comment!r} or comment=''"] if commented else []
    )
    quote, escape = _quote(plain, options)
    separator, sure = _separator(plain, quote, escape, options)
    if "separator" not in options:
        said = f"separator {separator!r}, guessed from {len(plain)} lines" if sure else "one column: no separator was found"
        if separator != "," or not sure:
            notes.append(f"{said}; pin it with separator={separator!r}")
    if quote != '"' and "quote" not in options:
        notes.append(f"texts are quoted with {quote!r}; pin it with quote={quote!r}")
    if escape != quote and "escape" not in options:
        notes.append(f"{escape!r} escapes a quote; pin it with escape={escape!r}")
    rows = parse_rows("\n".join(plain) + "\n", Dialect(separator, quote, escape, "", 0, False, ()))
    width = max(len(rows[0]), Counter(map(len, rows)).most_common(1)[0][0]) if rows else 0
    if width > _COLUMNS:
        raise ConfigError(f"its first lines have {width:,} columns, more than {_COLUMNS:,}", hint="is separator= right?")
    header, doubt = _header(rows, options)
    if doubt:
        notes.append(f"the first line is taken for {'names' if header else 'values'}; pin it with header={header}")
    names = _names(rows, header, options, notes)
    return Dialect(separator, quote, escape, comment, _above(before, lines, comment, header), header, names, tuple(notes))


def _above(skipped: list[str], lines: list[str], comment: str, header: bool) -> int:
    """How many lines stand above the rows, blank ones above the names among them, as what scans the file counts: comments are none."""
    leading = itertools.takewhile(lambda line: not line.strip() or (comment and line.startswith(comment)), lines)
    blank = sum(not line.strip() for line in leading) if header else 0
    return sum(not (comment and line.startswith(comment)) for line in skipped) + blank


def _check_options(options: dict[str, Any]) -> None:
    for name in ("separator", "quote", "escape", "comment"):
        said = options.get(name)
        if said is None:
            continue
        if not isinstance(said, str) or (name == "separator" and not said) or len(said.encode()) > (4 if name == "separator" else 1):
            raise ConfigError(f"{name}={said!r} is not one character", hint="for example separator=';'")
        if said in ("\n", "\r"):
            raise ConfigError(f"{name}={said!r}: line ends end rows")
    if "header" in options and not isinstance(options["header"], bool):
        raise ConfigError(f"header={options['header']!r}", hint="header=True or header=False; names=[…] gives names")
    try:
        if int(options.get("skip", 0)) < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(f"skip={options['skip']!r} is not a number of lines") from None


def _lines(text: str, whole: bool) -> list[str]:
    lines = re.split(r"\r\n|\n|\r", text)
    return lines if whole or len(lines) < 2 else lines[:-1]


def _comment(lines: list[str], options: dict[str, Any]) -> tuple[str, bool]:
    if "comment" in options:
        return str(options["comment"] or ""), False
    first = [line for line in lines[:50] if line.strip()]
    if not first or not first[0].startswith("#"):
        return "", False
    rest = [line for line in first if not line.startswith("#")]
    if not rest:
        return "", False
    counts = [max(line.count(mark) for mark in CANDIDATES[:6]) for line in (first[0], rest[0])]
    begun = sum(line.startswith("#") for line in first)
    return ("", False) if counts[0] == counts[1] and counts[0] > 0 and begun == 1 else ("#", True)


def _quote(lines: list[str], options: dict[str, Any]) -> tuple[str, str]:
    quote = options.get("quote")
    if quote is None:
        double, single = (sum(bool(_edge(mark).search(line)) for line in lines) for mark in ('"', "'"))
        quote = "'" if single > 2 * double and single > len(lines) // 2 else '"'
    escape = options.get("escape")
    if escape is None:
        joined = "\n".join(lines)
        escape = (
            "\\"
            if quote
            and f"\\{quote}" in joined
            and quote * 2 not in re.sub(f"(^|[^{re.escape(quote)}]){quote * 2}($|[^{re.escape(quote)}])", "", joined)
            else quote
        )
    return quote, escape


def _edge(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(^|[,;\t| ]){mark}[^{mark}]*{mark}($|[,;\t| ])")


def _separator(lines: list[str], quote: str, escape: str, options: dict[str, Any]) -> tuple[str, bool]:
    if "separator" in options:
        return options["separator"], True
    best, best_score = ",", 0.0
    text = "\n".join(lines) + "\n"
    for mark in CANDIDATES:
        if mark not in text:
            continue
        rows = parse_rows(text, Dialect(mark, quote, escape, "", 0, False, ()))
        score = _score(rows)
        if mark in " :":  # stands within texts and times, too
            score = score * 0.5 if len({len(row) for row in rows}) == 1 else 0.0
        if score > best_score * 1.001:
            best, best_score = mark, score
    return best, best_score > 0


def _score(rows: list[list[str]]) -> float:
    """How much rows look like rows: as many fields each, and fields that are numbers, dates, or texts without blanks at their ends."""
    if not rows:
        return 0.0
    widths = Counter(map(len, rows))
    width, count = widths.most_common(1)[0]
    if width < 2:
        return 0.0
    fields = [field for row in rows[1:] or rows if len(row) == width for field in row]
    clean = sum(1.0 if _is_plain(field) else 0.6 if not re.search(r"[,;\t|]", field) else 0.3 for field in fields) / max(1, len(fields))
    return (count / len(rows)) ** 2 * clean * (1 + min(width, 20) / 100)


def _is_plain(field: str) -> bool:
    plain = field.strip()
    return not plain or plain.lower() in _WORDS or bool(_NUMBER.fullmatch(plain)) or bool(_DATED.fullmatch(plain))


def parse_rows(text: str, dialect: Dialect, limit: int = 1 << 30) -> list[list[str]]:
    """Rows of a sample, by the same rules as the scan; what is no row ends them."""
    options: dict[str, Any] = {"delimiter": dialect.separator[:1], "strict": False}
    options |= {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    options |= {
        "doublequote": dialect.escape == dialect.quote,
        "escapechar": None if dialect.escape in (dialect.quote, "") else dialect.escape,
    }
    made: list[list[str]] = []
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        for row in csv.reader(io.StringIO(text.replace("\0", ""), newline=""), **options):
            if row and not (dialect.comment and row[0].startswith(dialect.comment)):
                made.append(row)
            if len(made) >= limit:
                break
    except csv.Error:
        pass
    finally:
        csv.field_size_limit(before)
    return made


def _header(rows: list[list[str]], options: dict[str, Any]) -> tuple[bool, bool]:
    """(is the first row a header, is that in doubt)."""
    if "header" in options:
        return bool(options["header"]), False
    if not rows:
        return False, False
    first, rest = rows[0], rows[1:]
    if any(_is_value(field) for field in first):
        return False, all(not _is_value(field) for field in first[:1]) and len(first) > 1
    if len(set(first)) < len(first) and len(set(first)) == 1:
        return False, True
    typed = [n for n in range(len(first)) if rest and all(_is_plain(row[n]) for row in rest if n < len(row) and row[n].strip())]
    typed = [n for n in typed if any(n < len(row) and _is_value(row[n]) for row in rest)]
    if typed:
        return True, False
    repeated = any(field.strip() and any(n < len(row) and row[n] == field for row in rest) for n, field in enumerate(first))
    return not repeated, True


def _is_value(field: str) -> bool:
    plain = field.strip()
    return bool(_NUMBER.fullmatch(plain) or _DATED.fullmatch(plain))


def _names(rows: list[list[str]], header: bool, options: dict[str, Any], notes: list[str]) -> tuple[str, ...]:
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    if options.get("names"):
        names = [str(name) for name in options["names"]]
        if len(set(names)) < len(names):
            raise ConfigError("names= has a name twice", hint=", ".join(name for name, n in Counter(names).items() if n > 1))
        return tuple(names)
    found = list(rows[0]) if header and rows else [f"column{n + 1}" for n in range(width)]
    return tuple(distinct_names(found, notes))


def distinct_names(found: list[str], notes: list[str]) -> list[str]:
    """Names without blanks around them, each once: a second `a` becomes `a_2`, what has none `column3`."""
    made: list[str] = []
    changed: list[str] = []
    taken = Counter(name.strip().lower() for name in found)
    used: set[str] = set()
    numbers: dict[str, int] = {}
    for n, name in enumerate(found):
        plain = name.strip() or f"column{n + 1}"
        chosen, number = plain, numbers.get(plain.lower(), 2)
        while chosen.lower() in used or (chosen != plain and chosen.lower() in taken):
            chosen, number = f"{plain}_{number}", number + 1
        numbers[plain.lower()] = number
        used.add(chosen.lower())
        made.append(chosen)
        if chosen != name.strip():
            changed.append(f"{name.strip()!r} (column {n + 1}) as {chosen!r}")
    if changed:
        notes.append(f"names made distinct: {', '.join(changed[:5])}{' …' if len(changed) > 5 else ''}; pin them with names=[…]")
    return made
