"""What simulations came to: a table of all settings, lines for a terminal, and a picture. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from fairway.serve.control.simulate import Moment, Outcome
from fairway.spec.record import replace

_BARS = " ▁▂▃▄▅▆▇█"
_INKS = ("#3b73d9", "#c98a1b", "#2e9d5b", "#8a5cc2", "#d1434b", "#2b8fb3")
_INK, _FAINT, _GRID = "#1d2733", "#5b6673", "#e3e7eb"
_WIDTH, _LEFT, _RIGHT, _PANEL, _GAP = 920, 64, 20, 132, 44
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_TITLES = ("requests a second", "replicas", "p95 latency")
_Of = Callable[[Moment], float]


def render_table(outcomes: Sequence[Outcome]) -> str:
    """All settings side by side: a line for each, aligned."""
    head = ("setting", "p50", "p95", "p99", "longest", "refused", "cold", "replicas", "most", "starts", "hours", "cost")
    rows = [head, *(_row(outcome) for outcome in outcomes)]
    if not any(outcome.cost for outcome in outcomes):
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(outcome: Outcome) -> tuple[str, ...]:
    refused = f"{outcome.refused:,}" if not outcome.refused else f"{outcome.refused:,} ({outcome.refused / outcome.requests:.1%})"
    times = (spell_ms(value) for value in (outcome.p50_ms, outcome.p95_ms, outcome.p99_ms, outcome.max_ms))
    counts = (refused, f"{outcome.cold:,}", f"{outcome.mean:.1f}", f"{outcome.most}", f"{outcome.starts:,}", f"{outcome.hours:.2f}")
    return (outcome.setting.name, *times, *counts, f"{outcome.cost:.2f}")


def render_text(outcomes: Sequence[Outcome], *, width: int = 78) -> str:
    """Lines for a terminal: the load, and for each setting its replicas and its latency over time; then the table."""
    outcomes, same = name_apart(outcomes)
    label = max([len(outcome.setting.name) for outcome in outcomes] + [8])
    columns = max(10, width - label - 24)
    first = outcomes[0]
    lines = [f"{first.requests:,} requests in {spell_s(first.moments[-1].at)}" + (f"; in all of them: {same}" if same else ""), ""]
    lines.append(_line("load", first.moments, _rate, columns, label, _per_second))
    for title, of, spell in (("replicas", _wanted, _short), ("p95 (by its logarithm)", _p95, spell_ms), ("refused", _refused, _count)):
        shown = [outcome for outcome in outcomes if of is not _refused or outcome.refused]
        if shown:
            lines += ["", title, *(_line(outcome.setting.name, outcome.moments, of, columns, label, spell) for outcome in shown)]
    return "\n".join(lines) + "\n\n" + render_table(outcomes)


def name_apart(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], str]:
    """Settings called by what tells them apart ("min=0", not "min=0,max=8,price=0.4"), and what all of them have."""
    parts = [[part.strip() for part in outcome.setting.name.split(",")] for outcome in outcomes]
    same = [part for part in parts[0] if all(part in other for other in parts)]
    if len(outcomes) < 2 or any(not set(found) - set(same) for found in parts):
        return list(outcomes), ""
    names = [",".join(part for part in found if part not in same) for found in parts]
    return [replace(outcome, setting=replace(outcome.setting, name=name)) for outcome, name in zip(outcomes, names, strict=True)], ",".join(
        same
    )


def _line(name: str, moments: Sequence[Moment], of: _Of, columns: int, label: int, spell: Callable[[float], str]) -> str:
    values = _spread([(moment.at, of(moment)) for moment in moments], columns)
    top = max(values) or 1.0
    shares = [_log_share(value, _decades(values)) if of is _p95 else value / top for value in values]
    bars = "".join(_BARS[0 if value <= 0 else 1 + min(7, int(share * 7.999))] for value, share in zip(values, shares, strict=True))
    return f"  {name:<{label}} {bars} up to {spell(max(values))}".rstrip()


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values that are above 0."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(found)) + 1e-9), math.ceil(math.log10(max(found)) - 1e-9)
    return (low, max(high, low + 1))


def _log_share(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return min(1.0, max(0.0, (math.log10(value) - low) / (high - low))) if value > 0 else 0.0


def _spread(points: Sequence[tuple[float, float]], columns: int) -> list[float]:
    """The largest value in each of so many stretches of the time."""
    last = points[-1][0] or 1.0
    out = [0.0] * min(columns, len(points))
    for at, value in points:
        place = min(len(out) - 1, int(at / last * len(out) - 1e-9))
        out[place] = max(out[place], value)
    return out


def render_svg(outcomes: Sequence[Outcome], title: str = "Simulation of the autoscaler") -> str:
    """A picture: the load, replicas and latency over the same time, one colour for each setting."""
    outcomes, same = name_apart(outcomes)
    panels: list[tuple[str, list[tuple[str, Sequence[Moment], _Of]]]] = [
        (_TITLES[0], [(_FAINT, outcomes[0].moments, _rate)]),
        (_TITLES[1], [(_ink(n), outcome.moments, _wanted) for n, outcome in enumerate(outcomes)]),
        (_TITLES[2], [(_ink(n), outcome.moments, _p95) for n, outcome in enumerate(outcomes)]),
    ]
    legend = 66 + 20 * len(outcomes)
    height = legend + len(panels) * (_PANEL + _GAP) + 16
    last = outcomes[0].moments[-1].at or 1.0
    about = f"{outcomes[0].requests:,} requests in {spell_s(last)}" + (f"; in all of them: {same}" if same else "")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" {_FONT}>',
        '<rect width="100%" height="100%" rx="8" fill="#fbfcfd"/>',
        f'<text x="{_LEFT}" y="28" font-size="15" font-weight="600" fill="{_INK}">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="46" fill="{_FAINT}">{escape(about)}</text>',
    ]
    for n, outcome in enumerate(outcomes):
        y = 68 + 20 * n
        parts.append(f'<rect x="{_LEFT}" y="{y - 9}" width="14" height="10" rx="2" fill="{_ink(n)}"/>')
        parts.append(f'<text x="{_LEFT + 22}" y="{y}" fill="{_INK}">{escape(outcome.setting.name)}</text>')
        parts.append(f'<text x="{_LEFT + 300}" y="{y}" fill="{_FAINT}">{escape(_sum_up(outcome))}</text>')
    for n, (name, lines) in enumerate(panels):
        parts += _panel(name, lines, legend + 30 + n * (_PANEL + _GAP), last, is_last=n == len(panels) - 1)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(name: str, lines: list[tuple[str, Sequence[Moment], _Of]], top: float, last: float, *, is_last: bool) -> list[str]:
    values = [of(moment) for _, moments, of in lines for moment in moments]
    most, decades = _round_up(max(values)), _decades(values)
    is_log, is_steps = name == _TITLES[2], name == _TITLES[1]
    marks = (
        [(10.0**n, spell_ms(10.0**n)) for n in range(decades[0], decades[1] + 1)]
        if is_log
        else [(most * share, _short(most * share)) for share in (0.0, 0.5, 1.0)]
    )
    right, bottom = _WIDTH - _RIGHT, top + _PANEL

    def height(value: float) -> float:
        return bottom - (_log_share(value, decades) if is_log else value / most) * _PANEL

    parts = [f'<text x="{_LEFT}" y="{top - 9:g}" font-weight="600" fill="{_INK}">{escape(name)}</text>']
    for value, text in marks:
        parts.append(f'<path d="M{_LEFT} {height(value):.1f} H{right}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{height(value) + 4:.1f}" text-anchor="end" fill="{_FAINT}">{text}</text>')
    for n in range(7 if is_last else 0):
        anchor = "start" if n == 0 else "end" if n == 6 else "middle"
        x = _LEFT + (right - _LEFT) * n / 6
        parts.append(f'<text x="{x:g}" y="{bottom + 18:g}" text-anchor="{anchor}" fill="{_FAINT}">{spell_s(last * n / 6)}</text>')
    for ink, moments, of in lines:
        path, before = f"M{_LEFT} {height(of(moments[0])):.1f}", _LEFT * 1.0
        for moment in moments:
            x, y = _LEFT + (right - _LEFT) * min(1.0, moment.at / last), height(of(moment))
            path += f" L{before:.1f} {y:.1f} L{x:.1f} {y:.1f}" if is_steps else f" L{x:.1f} {y:.1f}"
            before = x
        if ink == _FAINT:
            parts.append(f'<path d="{path} L{before:.1f} {bottom:g} L{_LEFT} {bottom:g} Z" fill="{_FAINT}" fill-opacity="0.18"/>')
        parts.append(f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.6" stroke-linejoin="round"/>')
    return parts


def _sum_up(outcome: Outcome) -> str:
    facts = [
        f"p95 {spell_ms(outcome.p95_ms)}",
        f"{outcome.mean:.1f} replicas on average, {outcome.most} at most",
        f"{outcome.hours:.2f} hours",
    ]
    if outcome.cost:
        facts.append(f"cost {outcome.cost:.2f}")
    if outcome.refused:
        facts.append(f"{outcome.refused:,} refused")
    return ", ".join(facts)


def spell_ms(value: float) -> str:
    """ "3.2 ms", "1.4 s"."""
    if value >= 1000:
        return f"{_plain(value / 1000)} s" if value < 100_000 else f"{value / 1000:,.0f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{_plain(value)} ms"


def _plain(value: float) -> str:
    """One decimal, unless it is 0."""
    return f"{value:.1f}".removesuffix(".0")


def spell_s(value: float) -> str:
    """ "45 s", "12 min", "3.5 h", "2.1 days"."""
    for size, name in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * size:
            return f"{_plain(value / size)} {name}"
    return f"{value:.0f} s"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 10, …: a top that halves well."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= value:
        size *= 10
    while size > value:
        size /= 10
    return next(size * step for step in (1, 2, 4, 5, 6, 8, 10) if size * step >= value - 1e-12)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _ink(number: int) -> str:
    return _INKS[number % len(_INKS)]


def _rate(moment: Moment) -> float:
    return moment.rate


def _wanted(moment: Moment) -> float:
    return moment.wanted


def _p95(moment: Moment) -> float:
    return moment.p95_ms


def _refused(moment: Moment) -> float:
    return moment.refused


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _per_second(value: float) -> str:
    return f"{_short(value)} a second"
