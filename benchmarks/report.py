"""Results as text for a terminal, as JSON for a file, and as a Markdown table for the documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.figures import OURS, Bar, Row, judge, plain_number, sign_of

BEGIN, END = "<!-- figures of {section}: python -m benchmarks page -->", "<!-- end of figures of {section} -->"
SECTIONS = {"dashboard-": "the dashboard", "serving-": "serving", "data-": "data", "training-": "training", "tune-": "training"}
PIPELINES = "pipelines"
"""What of the page a benchmark's figures stand in, by how its name begins; the rest is about pipelines."""


def render_benchmark(what: str, bars: Sequence[Bar], rows: Sequence[Row]) -> str:
    """A benchmark's figures, ours first in each; bars with their verdicts."""
    known = {bar.name: bar for bar in bars}
    lines = [what]
    for figure in dict.fromkeys([*(row.figure for row in rows), *known]):
        bar = known.get(figure)
        mine = [row for row in rows if row.figure == figure]
        title = f"{figure}: {bar.what}: {bar.sign} {plain_number(bar.limit, bar.unit)}: {judge(bar, rows).upper()}" if bar else f"{figure}"
        lines += ["", f"  {title}"]
        for row in sorted(mine, key=lambda row: (row.contender != OURS, row.value is None, row.value or 0)):
            lines.append("    " + render_row(row))
    return "\n".join(lines)


def render_row(row: Row) -> str:
    """One contender's median, minimum, CPU seconds, number of runs, ratio to ours, load average, note."""
    parts = [f"{row.contender:<20}", f"{plain_number(row.value, row.unit):>16}"]
    if row.interval:
        parts.append(f"95%: {render_interval(row.interval)}")
    elif len(row.present) > 1:
        parts.append(f"min {plain_number(row.minimum, row.unit)}")
    if row.cpu_median_s is not None:
        parts.append(f"cpu {plain_number(row.cpu_median_s * 1000, 'ms')}")
    if len(row.present) > 1:
        parts.append(f"{len(row.present)} runs")
    if row.ratio is not None:
        parts.append(f"{row.ratio:.3g} × ours")
    if row.load is not None:
        parts.append(f"load {row.load:.1f}")
    return "  ".join([*parts, row.note]).rstrip()


def render_interval(interval: Sequence[float]) -> str:
    """ "0.981 to 1.02"."""
    return " to ".join(plain_number(end, "") for end in interval)


def render_summary(benchmarks: Iterable[tuple[Sequence[Bar], Sequence[Row]]]) -> str:
    """Every bar in one line, with how many are met."""
    verdicts = [(bar, find_ours(bar, rows), judge(bar, rows)) for bars, rows in benchmarks for bar in bars]
    lines = [
        f"  {verdict:<13}{bar.name:<24}{plain_number(row and row.value, bar.unit):>18}   {bar.sign} {plain_number(bar.limit, bar.unit)}"
        for bar, row, verdict in verdicts
    ]
    counts = [f"{sum(v == kind for _, _, v in verdicts)} {kind}" for kind in ("met", "missed", "not measured")]
    return "\n".join([f"Bars: {', '.join(counts)}", *lines])


def find_ours(bar: Bar, rows: Sequence[Row]) -> Row | None:
    """Our row for a bar."""
    return next((row for row in rows if row.figure == bar.name and row.contender == OURS), None)


def to_json(benchmark: str, bars: Sequence[Bar], rows: Sequence[Row]) -> dict[str, Any]:
    """A benchmark's part of the result file."""
    return {
        "benchmark": benchmark,
        "bars": [{**asdict(bar), "verdict": judge(bar, rows)} for bar in bars],
        "rows": [{**asdict(row), "median": row.value, "minimum": row.minimum, "cpu_median_s": row.cpu_median_s} for row in rows],
    }


def merge(results: Sequence[Mapping[str, Any]], order: Sequence[str]) -> dict[str, Any]:
    """Several result files as one, a later one's benchmarks in the place of an earlier one's; machine and date are the last one's, the
    load averages the least and the most of all, the commits all of them."""
    found = {each["benchmark"]: each for result in results for each in result["results"]}
    loads = [result[key] for result in results for key in ("load_before", "load_after")]
    merged = {"results": [found[name] for name in order if name in found], "load_before": min(loads), "load_after": max(loads)}
    commits = dict.fromkeys(result["machine"]["commit"] for result in results)
    return {**results[-1], **merged, "machine": {**results[-1]["machine"], "commit": ", ".join(commits)}}


def find_section(benchmark: str) -> str:
    """Where its figures stand in the page."""
    return next((section for start, section in SECTIONS.items() if benchmark.startswith(start)), PIPELINES)


def split_sections(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The result by sections of the page; those of which nothing was measured are left out."""
    found: dict[str, list[Any]] = {}
    for each in result["results"]:
        found.setdefault(find_section(each["benchmark"]), []).append(each)
    return {section: {**result, "results": results} for section, results in found.items()}


def render_page(result: Mapping[str, Any]) -> str:
    """A result file as a Markdown table: a line for each bar, the others' medians beside ours; of serving and data also what is no bar
    and was taken of others, and what could not be measured."""
    machine = result["machine"]
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['file_system']}"
    software = f"{machine['system']}, Python {machine['python']}; {result['started_at'][:10]}, commit {machine['commit']}"
    lines = [
        f"{hardware}, {software}; load average {result['load_before']:.1f} to {result['load_after']:.1f}.",
        "",
        "| what | bar | ours: median (min) | | others: median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for benchmark in result["results"]:
        for bar in benchmark["bars"]:
            rows = [row for row in benchmark["rows"] if row["figure"] == bar["name"]]
            ours = next((row for row in rows if row["contender"] == OURS), None)
            others = sorted((row for row in rows if row["contender"] != OURS and row["median"] is not None), key=lambda row: row["median"])
            value = plain_number(ours and ours["median"], bar["unit"])
            if ours and ours.get("interval"):
                value += f" (95%: {render_interval(ours['interval'])})"
            elif ours and sum(each is not None for each in ours["values"]) > 1:
                value += f" ({plain_number(ours['minimum'], bar['unit'])})"
            beside = ", ".join(f"{row['contender']} {plain_number(row['median'], '')}" for row in others)
            limit = f"{sign_of(bar.get('at_least', False))} {plain_number(bar['limit'], bar['unit'])}"
            lines.append(f"| {bar['what']} | {limit} | {value} | {bar['verdict']} | {beside} |")
    if result["results"] and all(find_section(each["benchmark"]) in ("serving", "data", "training") for each in result["results"]):
        lines += render_beside(result["results"])
    return "\n".join(lines)


def render_beside(benchmarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a second table: figures that are no bars and were taken of others too, a column for each who has a quarter of them; and a
    list of who has none, and why."""
    rows = [row for each in benchmarks for row in each["rows"] if row["figure"] not in {bar["name"] for bar in each["bars"]}]
    by_figure: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["median"] is not None:
            by_figure.setdefault(row["figure"], {})[row["contender"]] = row
    shared = {figure: found for figure, found in by_figure.items() if len(found) > 1}
    counts = {name: sum(name in found for found in shared.values()) for found in shared.values() for name in found}
    names = sorted(
        (name for name, count in counts.items() if count > len(shared) // 4), key=lambda name: (name != OURS, -counts[name], name)
    )
    shown = {figure: found for figure, found in shared.items() if sum(name in names for name in found) > 1}
    lines = list[str]()
    if shown:
        lines += ["", "| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for figure, found in shown.items():
        unit = next(iter(found.values()))["unit"]
        cells = [_render_cell(found.get(name)) for name in names]
        lines.append(f"| {figure}{f', {unit}' if unit else ''} | " + " | ".join(cells) + " |")
    failed = [row for each in benchmarks for row in each["rows"] if row["median"] is None and row["note"]]
    said = dict.fromkeys(f"- {row['contender']}, {row['figure']}: {row['note'].splitlines()[0]}" for row in failed)
    return [*lines, "", "Not measured:", "", *said] if said else lines


def _render_cell(row: Mapping[str, Any] | None) -> str:
    """The median; in front of it the status that was answered, where that is what the figure is about."""
    if row is None:
        return "–"
    status = row["note"].partition(",")[0].partition(":")[0] if row["figure"].startswith("bad: ") else ""
    return f"{status} in {plain_number(row['median'], '')}" if status else plain_number(row["median"], "")


def put_page(text: str, section: str, page: str) -> str:
    """`text` with what stands between the section's two marks replaced by `page`. Raises ValueError without the marks."""
    begin_mark, end_mark = BEGIN.format(section=section), END.format(section=section)
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"the page has no {begin_mark} … {end_mark}")
    return f"{before}{begin_mark}\n\n{page}\n\n{end_mark}{after}"
