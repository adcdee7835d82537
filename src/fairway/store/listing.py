"""What a journal keeps of a summary so that runs are found: columns, words, values of parameters and metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fairway.errors import ConfigError
from fairway.spec.query import NUMBER, OPERATORS, SORTS, Comparison, PipelineStats, RecentRun, RunQuery
from fairway.spec.record import Record, record
from fairway.spec.summary import RunSummary
from fairway.store.wire import parse_json, render_json

COLUMNS = ("run", "pipeline", "status", "archived", "project", "target", "created_by", "name", "started_at", "duration_s", "words")
FACET_RUNS = 2000
"""From so many of the newest runs it is told which names are used most."""
FACET_NAMES = 1000
RECENT = 200
USUAL_RUNS = 50
_FIELDS = (
    *("status", "metrics", "params", "ended_at", "error", "tags", "note", "archived", "name"),
    *("pipeline", "project", "target", "created_by", "started_at"),
)
_LONGEST_TEXT = 200
_LONGEST_WORDS = 2000
_MOST_VALUES = 400

Value = tuple[float | None, str | None]
"""(as a number, as a text) of a parameter or a metric."""


@record
class Listing(Record):
    """`columns` as in COLUMNS; `values`: ("param" or "metric", name) -> value."""

    columns: tuple[Any, ...]
    tags: tuple[str, ...]
    values: dict[tuple[str, str], Value]


def list_summary(summary: RunSummary) -> Listing:
    """All by which a run can be found."""
    words = (summary.run, summary.pipeline, summary.name, summary.created_by, *summary.tags, summary.note[:1000], summary.error[:300])
    columns = (
        summary.run,
        clean(summary.pipeline),
        summary.status,
        int(summary.archived),
        clean(summary.project),
        clean(summary.target),
        clean(summary.created_by),
        clean(summary.name),
        summary.started_at,
        duration_of(summary),
        clean("\n".join(words).lower())[:_LONGEST_WORDS],
    )
    values: dict[tuple[str, str], Value] = {}
    for kind, named in (("metric", summary.metrics), ("param", summary.params)):
        for name, value in named.items():
            if len(values) < _MOST_VALUES:
                values[kind, clean(name)] = value_of(value)
    return Listing(columns, tuple(dict.fromkeys(map(clean, summary.tags))), values)


def listed_alike(one: RunSummary, other: RunSummary) -> bool:
    """Would the two be found by the same? Cheap: most appends change nothing but the counts of tasks."""
    return all(getattr(one, name) == getattr(other, name) for name in _FIELDS)


def duration_of(summary: RunSummary) -> float | None:
    """Seconds from start to end, None until it has ended."""
    if summary.status == "running" or not summary.ended_at:
        return None
    return max(0.0, summary.ended_at - summary.started_at)


def value_of(value: Any) -> Value:
    """How a value is compared. A text that reads as a number is that number too."""
    if isinstance(value, bool):
        return None, str(value).lower()
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None, str(value)[:_LONGEST_TEXT]
        return (number, None) if number == number else (None, "nan")
    if isinstance(value, str):
        return (float(value) if NUMBER.fullmatch(value) else None), clean(value)[:_LONGEST_TEXT]
    return None, "none" if value is None else clean(render_json(value))[:_LONGEST_TEXT]


def compares(value: Value, comparison: Comparison) -> bool:
    """Does the value compare so? The meaning that every journal's own way of asking must have."""
    number, text = value
    op, wanted = comparison.op, comparison.value
    if op == "~":
        return text is not None and text_of(wanted).lower() in text.lower()
    if isinstance(wanted, str | bool):
        same = text == text_of(wanted)
        return same if op == "=" else op == "!=" and not same
    if number is None:
        return op == "!="
    return {"=": number == wanted, "!=": number != wanted, ">": number > wanted, ">=": number >= wanted, "<": number < wanted}.get(
        op, number <= wanted
    )


def text_of(value: float | str | bool) -> str:
    """The text that a comparison with `value` looks for."""
    return str(value).lower() if isinstance(value, bool) else clean(str(value))[:_LONGEST_TEXT]


def matches(listing: Listing, query: RunQuery) -> bool:
    """Is it one of the runs that the query asks for?"""
    row = dict(zip(COLUMNS, listing.columns, strict=True))
    chosen = (
        (row["pipeline"], query.pipelines),
        (row["status"], query.statuses),
        (row["created_by"], query.users),
        (row["target"], query.targets),
        (row["project"], query.projects),
    )
    if any(wanted and value not in map(clean, wanted) for value, wanted in chosen):
        return False
    if query.tags and not set(map(clean, query.tags)) & set(listing.tags):
        return False
    if query.archived is not None and bool(row["archived"]) != query.archived:
        return False
    if row["started_at"] < query.since or (query.until and row["started_at"] >= query.until):
        return False
    took = row["duration_s"]
    if (query.longer_s or query.shorter_s) and (took is None or took < query.longer_s or (query.shorter_s and took >= query.shorter_s)):
        return False
    if not all(clean(word.lower()) in row["words"] for word in query.words):
        return False
    return all(
        any(key in listing.values and compares(listing.values[key], one) for key in ((kind, clean(one.name)) for kind in kinds))
        for kinds, compared in comparisons_of(query)
        for one in compared
    )


def comparisons_of(query: RunQuery) -> tuple[tuple[tuple[str, ...], tuple[Comparison, ...]], ...]:
    """The query's comparisons with the kinds of values that each may be of."""
    return (("param", "metric"), query.names), (("param",), query.params), (("metric",), query.metrics)


def check_query(query: RunQuery) -> tuple[str, str]:
    """(kind, name) of the order: ("", ""), ("duration", ""), ("metric", "auc"). Raises ConfigError for what no journal understands."""
    for _, compared in comparisons_of(query):
        for each in compared:
            ordered = each.op in OPERATORS and each.op[0] in "<>"
            if each.op not in OPERATORS or (ordered and (isinstance(each.value, bool) or not isinstance(each.value, int | float))):
                raise ConfigError(
                    f"not a comparison: {each.name} {each.op} {each.value!r}", hint="= != > >= < <= for numbers, = != ~ for texts"
                )
    kind, colon, name = query.sort.partition(":")
    if query.sort and not (name if colon and kind in ("metric", "param") else not colon and kind in SORTS):
        raise ConfigError(f"not an order: {query.sort!r}", hint=f"it is {', '.join(SORTS)}, metric:NAME or param:NAME")
    return kind, name


def render_cursor(phase: int, key: Any, tie: Any) -> str:
    """Where a page ended, in an order that is not the runs' own."""
    return render_json([phase, key, tie]).encode().hex()


def parse_cursor(text: str) -> tuple[int, Any, Any]:
    """The inverse of `render_cursor`. Raises ConfigError."""
    try:
        phase, key, tie = parse_json(bytes.fromhex(text))
        if isinstance(phase, int) and isinstance(key, float | int | str | None) and isinstance(tie, int | str):
            return phase, key, tie
    except (ValueError, TypeError):
        pass
    raise ConfigError("not a cursor of this order", hint="begin at the first page again")


def make_stats(pipeline: str, counts: dict[str, int], took_s: Sequence[float], recent: Iterable[RecentRun]) -> PipelineStats:
    """`counts` by status; `took_s`: of the last USUAL_RUNS that succeeded."""
    low, middle, high = (_quantile(sorted(took_s), share) for share in (0.25, 0.5, 0.75))
    failed = counts.get("failed", 0) + counts.get("timeout", 0)
    return PipelineStats(pipeline, sum(counts.values()), counts.get("succeeded", 0), failed, middle, low, high, tuple(recent))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest; `statistics` is slow to import."""
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = ordered[int(place)]
    return low + (ordered[min(int(place) + 1, len(ordered) - 1)] - low) * (place - int(place))


def most_used(counts: Iterable[tuple[str, int]], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Names by use, then the others by name; at most FACET_NAMES, never ""."""
    ordered = [name for name, _ in sorted(counts, key=lambda item: (-item[1], item[0]))]
    return tuple(name for name in dict.fromkeys([*ordered, *sorted(others)]) if name)[:FACET_NAMES]


def clean(text: str) -> str:
    """A column cannot hold NUL or lone surrogates; the summary's JSON can."""
    return text if text.isascii() and "\0" not in text else text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
