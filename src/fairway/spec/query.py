"""What to look for among runs, how that is written as text, and what is found."""

from __future__ import annotations

import re

from fairway.spec.record import Record, record
from fairway.spec.summary import RunSummary

RUN_STATUSES = ("running", "succeeded", "failed", "cancelled", "timeout")
OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")
SORTS = ("started", "duration", "pipeline", "status")
FILTERS = (
    *("pipeline", "status", "state", "tag", "by", "user", "on", "target", "project"),
    *("since", "until", "started", "duration", "archived", "sort"),
)
COUNTED = 10_000
"""So many runs found are counted; of more it is only said that there are more."""

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf")
_PLAIN = re.compile(r'[^\s"\\=<>~:,!-][^\s"\\=<>~:,!]*')
_DIRECTION = re.compile(r"-(asc|desc)$")


@record
class Comparison(Record):
    """The parameter or metric `name` is there, and compares to `value` so. `op`: = != > >= < <= or ~ (a text that contains `value`).

    Order is of numbers. A text that reads as a number counts as that number too. `!=` wants the name to be there.
    """

    name: str
    op: str
    value: float | str | bool


@record
class RunQuery(Record):
    """Runs for which all of it holds; () and 0 and "" = any. Of several `statuses`, `tags`, … one is enough; all `words` must be found in
    the run's id, name, note, tags, pipeline, user or error, in any case.

    `names` are comparisons of a parameter or a metric, whichever has the name. `since` ≤ started < `until`, in epoch seconds; `longer_s` ≤
    duration < `shorter_s` of runs that have ended. `archived`: False = those that are not, True = only those, None = both. `sort`: "" =
    newest, one of SORTS, "metric:NAME", "param:NAME"; largest first unless `ascending`; runs without that value come last.
    """

    words: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    names: tuple[Comparison, ...] = ()
    params: tuple[Comparison, ...] = ()
    metrics: tuple[Comparison, ...] = ()
    since: float = 0.0
    until: float = 0.0
    longer_s: float = 0.0
    shorter_s: float = 0.0
    archived: bool | None = False
    sort: str = ""
    ascending: bool = False
    limit: int = 50
    cursor: str = ""


@record
class RunsFound(Record):
    """One page. `next` is the cursor of the next one, "" if this is the last. `total`: how many there are in all pages; `exact` False: more
    than that."""

    rows: tuple[RunSummary, ...] = ()
    next: str = ""
    total: int = 0
    exact: bool = True


@record
class Facets(Record):
    """What can be asked for: names that runs have, those of many new runs first. Bounded: of very many names some are missing."""

    pipelines: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()


@record
class RecentRun(Record):
    """One run of a pipeline. `duration_s` is 0 while it runs."""

    run: str
    status: str
    started_at: float
    duration_s: float


@record
class PipelineStats(Record):
    """A pipeline's runs that are not archived. `usual_s` is the median of the last 50 that succeeded, with its quartiles; 0 if none has.
    `recent`: newest first."""

    pipeline: str
    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    usual_s: float = 0.0
    usual_low_s: float = 0.0
    usual_high_s: float = 0.0
    recent: tuple[RecentRun, ...] = ()


def render_query(query: RunQuery) -> str:
    """The text that `engine.query.parse_query` reads as this query; its page (`limit`, `cursor`) is no part of it."""
    parts = [word if _PLAIN.fullmatch(word) and word not in (*RUN_STATUSES, "archived") else _quote(word) for word in query.words]
    parts += query.statuses
    listed = (("pipeline", query.pipelines), ("tag", query.tags), ("by", query.users), ("on", query.targets), ("project", query.projects))
    parts += [f"{name}:{','.join(map(_spell_text, values))}" for name, values in listed if values]
    parts += [_spell_name(each.name) + _spell_condition(each) for each in query.names]
    for prefix, comparisons in (("param.", query.params), ("metric.", query.metrics)):
        parts += [prefix + _spell_text(each.name) + _spell_condition(each) for each in comparisons]
    for spelled, at in (("started>=", query.since), ("started<", query.until)):
        if at:
            parts.append(spelled + _spell_time(at))
    for spelled, seconds in (("duration>=", query.longer_s), ("duration<", query.shorter_s)):
        if seconds:
            parts.append(f"{spelled}{_spell_number(seconds)}s")
    if query.archived is not False:
        parts.append("archived" if query.archived else "archived:any")
    if query.sort or query.ascending:
        parts.append(f"sort:{render_sort(query.sort, query.ascending)}")
    return " ".join(parts)


def render_sort(sort: str, ascending: bool = False) -> str:
    """An order as it is written after `sort:`."""
    if not sort:
        return "oldest" if ascending else "newest"
    kind, colon, name = sort.partition(":")
    if colon:
        sort = f"{kind}.{_quote(name) if _DIRECTION.search(name) else _spell_text(name)}"
    return sort + "-asc" * ascending


def _spell_name(name: str) -> str:
    """The name of a parameter or metric; in quotes where it could be taken for something else."""
    if name in FILTERS or name.startswith(("param.", "metric.")):
        return _quote(name)
    return _spell_text(name)


def _spell_condition(comparison: Comparison) -> str:
    value = comparison.value
    if isinstance(value, bool):
        return f"{comparison.op}{'true' if value else 'false'}"
    if isinstance(value, int | float):
        return comparison.op + _spell_number(value)
    plain = value not in ("true", "false") and not NUMBER.fullmatch(value)
    return comparison.op + (_spell_text(value) if plain else _quote(value))


def _spell_number(value: float) -> str:
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


def _spell_time(at: float) -> str:
    if at != int(at) or not 0 < at < 253402300800:
        return f"@{float(at)!r}"
    from datetime import UTC, datetime

    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text.removesuffix("T00:00:00Z")


def _spell_text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quote(text)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
