"""Results as text for a terminal, as JSON for a file, and as a Markdown table for the documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.figures import OURS, Bar, Row, judge, plain_number

BEGIN, END = "<!-- figures: python -m benchmarks page -->", "<!-- end of figures -->"


def render_benchmark(what: str, bars: Sequence[Bar], rows: Sequence[Row]) -> str:
    """A benchmark's figures, ours first in each; bars with their verdicts."""
    known = {bar.name: bar for bar in bars}
    lines = [what]
    for figure in dict.fromkeys([*(row.figure for row in rows), *known]):
        bar = known.get(figure)
        mine = [row for row in rows if row.figure == figure]
        title = f"{figure}: {bar.what}: ≤ {plain_number(bar.limit, bar.unit)}: {judge(bar, rows).upper()}" if bar else f"{figure}"
        lines += ["", f"  {title}"]
        for row in sorted(mine, key=lambda row: (row.contender != OURS, row.value is None, row.value or 0)):
            lines.append("    " + render_row(row))
    return "\n".join(lines)


def render_row(row: Row) -> str:
    """One contender's median, minimum, CPU seconds, number of runs, ratio to ours, load average, note."""
    parts = [f"{row.contender:<20}", f"{plain_number(row.value, row.unit):>16}"]
    if len(row.present) > 1:
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


def render_summary(benchmarks: Iterable[tuple[Sequence[Bar], Sequence[Row]]]) -> str:
    """Every bar in one line, with how many are met."""
    verdicts = [(bar, find_ours(bar, rows), judge(bar, rows)) for bars, rows in benchmarks for bar in bars]
    lines = [
        f"  {verdict:<13}{bar.name:<24}{plain_number(row and row.value, bar.unit):>18}   ≤ {plain_number(bar.limit, bar.unit)}"
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


def render_page(result: Mapping[str, Any]) -> str:
    """A result file as a Markdown table: a line for each bar, the others' medians beside ours."""
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
            if ours and sum(each is not None for each in ours["values"]) > 1:
                value += f" ({plain_number(ours['minimum'], bar['unit'])})"
            beside = ", ".join(f"{row['contender']} {plain_number(row['median'], '')}" for row in others)
            lines.append(f"| {bar['what']} | ≤ {plain_number(bar['limit'], bar['unit'])} | {value} | {bar['verdict']} | {beside} |")
    return "\n".join(lines)


def put_page(text: str, page: str) -> str:
    """`text` with what stands between the two marks replaced by `page`. Raises ValueError without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{page}\n\n{END}{after}"
