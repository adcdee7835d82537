"""Anomalies of times: how they follow each other, whose clock and which zone they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fairway.data.anomalies.making import DROP, Maker, Wrong
from fairway.data.anomalies.model import Example
from fairway.data.anomalies.times import QUARTER_S, Jump, Jumps, is_zone_jump
from fairway.data.schema.model import CadenceRule
from fairway.data.schema.rhythm import fewest_digits, plain_period
from fairway.data.spelling import spell, spell_count, spell_seconds, spell_share

if TYPE_CHECKING:
    from fairway.data.statistics.cadence import Cadence

FEWEST_STEPS = 10
"""Steps below which nothing is said of a period."""
_FEW_JUMPS = 5
_CLOSED, _FEWEST_CLOSED = 0.1 / 24, 3
_ALIKE, _IN_CLOSED, _BETTER = 0.93, 0.03, 4.0
_DAY_US = 86_400_000_000
_SHOWN = 5


def judge_cadence(maker: Maker, rule: CadenceRule, found: Cadence, jumps: Jumps | None = None) -> None:
    """What is wrong with the times of one column, against its rule. `jumps`: its steps backwards with their sizes, where they are known."""
    steps = found.differences + found.duplicates + found.backwards
    back = jumps.backwards() if jumps is not None else []
    few_back = 0 < found.backwards <= max(_FEW_JUMPS, steps // 10_000)
    shuffled = found.backwards > max(_FEW_JUMPS, 0.02 * steps)
    _judge_zone(maker, rule, found, back if few_back else [], shuffled=shuffled)
    if rule.order and found.backwards:
        _judge_order(maker, rule, found, back if few_back else [])
    _judge_repeats(maker, rule, found)
    if shuffled:
        if rule.period_s or rule.max_gap_s:
            maker.notes.append(f"`{rule.column}` is out of order, so that nothing can be said of its period and gaps")
        return
    changed = steps >= FEWEST_STEPS and _judge_period(maker, rule, found)
    _judge_gaps(maker, rule, found, changed=changed)
    if not changed and steps >= FEWEST_STEPS:
        _judge_phase(maker, rule, found)


def _judge_period(maker: Maker, rule: CadenceRule, found: Cadence) -> bool:
    """True if the period is another."""
    if rule.period_s is None:
        return False
    name, period, share = f"`{rule.column}`", plain_period(found), found.period_share
    near = rule.tolerance * rule.period_s
    expected = f"every {spell_seconds(rule.period_s)} (± {spell_share(rule.tolerance)})"
    if math.isfinite(period) and abs(period - rule.period_s) > near * 1.02 and share >= min(0.5, rule.regular):
        times = period / rule.period_s
        how = f"{times:.3g} times as long" if times > 1 else f"{1 / times:.3g} times as often"
        message = f"{name} now comes every {spell_seconds(period)}, {how}; the schema says {expected}"
        changes = {"period_s": round(period, 6), "phase_s": DROP}
        edit = cadence_edit(maker, rule, changes)
        wrong = Wrong(None, found.rows)
        maker.add(
            "cadence-changed", rule.column, message, expected=expected, found=f"every {spell_seconds(period)}", wrong=wrong, edit=edit
        )
        return True
    slack = 2 / math.sqrt(max(found.differences, 1)) * math.sqrt(max(rule.regular * (1 - rule.regular), 0.01)) + 0.01
    if share < rule.regular - slack:
        other = _other_steps(rule, found)
        message = f"{name} is irregular: {spell_share(share)} of the steps are near its period{other}; the schema says {expected}"
        changes = {"regular": math.floor(share * 1000) / 1000, "period_s": round(period, 6)}
        edit = cadence_edit(maker, rule, changes)
        share_text = f"{spell_share(rule.regular)} of the steps {expected}"
        maker.add("cadence-irregular", rule.column, message, expected=share_text, found=spell_share(share), edit=edit)
        return False
    if rule.jitter_s is not None and math.isfinite(found.jitter_s) and found.jitter_s > rule.jitter_s:
        message = (
            f"{name} is irregular: half of the steps are more than {spell_seconds(found.jitter_s)} off the period; the schema says "
            f"{spell_seconds(rule.jitter_s)}"
        )
        edit = cadence_edit(maker, rule, {"jitter_s": _up(found.jitter_s)})
        expected = f"at most {spell_seconds(rule.jitter_s)} off the period"
        maker.add("cadence-irregular", rule.column, message, expected=expected, found=spell_seconds(found.jitter_s), edit=edit)
    return False


def _other_steps(rule: CadenceRule, found: Cadence) -> str:
    """The most frequent steps that are not near the period, in words."""
    assert rule.period_s is not None
    apart = 2 * rule.tolerance
    steps = np.array([math.exp((place + 0.5) / 50) / 1e6 for place in found.bins])
    counts = np.array(list(found.bins.values()))
    counts = np.where(np.abs(steps / rule.period_s - 1) > apart, counts, 0)
    near = [int(counts[np.abs(steps / one - 1) < 0.1].sum()) for one in steps]
    if not near or max(near) < 0.05 * max(found.differences, 1):
        return ""
    most = int(np.argmax(near))
    close = np.abs(steps / steps[most] - 1) < 0.1
    typical = float((steps[close] * counts[close]).sum() / counts[close].sum())
    return f", {spell_share(near[most] / found.differences)} are of about {spell_seconds(fewest_digits(typical, 0.02))}"


def _judge_gaps(maker: Maker, rule: CadenceRule, found: Cadence, *, changed: bool) -> None:
    limit = rule.max_gap_s
    if limit is None:
        return
    if changed and rule.period_s:
        limit = max(limit, limit * found.period_s / rule.period_s)
    wide = [Jump(*one) for one in found.largest.tolist() if (one[2] - one[1]) / 1e6 > limit]
    if not wide:
        return
    largest = max(one.seconds for one in wide)
    first = min(wide, key=lambda one: one.row)
    many = f"{spell_count(len(wide), 'gap')}{' or more' if len(wide) == len(found.largest) else ''}"
    message = (
        f"`{rule.column}` has {many} of more than {spell_seconds(limit)}, the longest of {spell_seconds(largest)}; the first before row "
        f"{first.row:,}, after {first.spelt(found.arrow)}"
    )
    examples = tuple(Example(one.row, f"{spell_seconds(one.seconds)} after {one.spelt(found.arrow)}") for one in wide[:_SHOWN])
    edit = cadence_edit(maker, rule, {"max_gap_s": _up(largest)})
    wrong = Wrong(len(wide), found.rows, examples)
    expected = f"never more than {spell_seconds(limit)} without a row"
    maker.add("time-gap", rule.column, message, expected=expected, found=f"{many}, up to {spell_seconds(largest)}", wrong=wrong, edit=edit)


def _judge_repeats(maker: Maker, rule: CadenceRule, found: Cadence) -> None:
    if rule.duplicates is None or not found.rows:
        return
    share = found.duplicates / found.rows
    if share <= rule.duplicates:
        return
    group = f" of the same {', '.join(rule.by)}" if rule.by else ""
    message = f"`{rule.column}` is the same as in the row before{group} in {spell_count(found.duplicates, 'row')} ({spell_share(share)})"
    wrong = Wrong(found.duplicates, found.rows, tuple(Example(row, None) for row in found.first_duplicates[:_SHOWN]))
    edit = cadence_edit(maker, rule, {"duplicates": min(1.0, math.ceil(share * 10_000) / 10_000)})
    expected = f"at most {spell_share(rule.duplicates)} at the same time" if rule.duplicates else "one row at a time"
    maker.add("time-repeated", rule.column, message, expected=expected, found=spell_share(share), wrong=wrong, edit=edit)


def _judge_order(maker: Maker, rule: CadenceRule, found: Cadence, back: list[Jump]) -> None:
    """Rows before the one before them: a clock that was set back if they are few and far, else no order."""
    rows = found.first_backwards[:_SHOWN]
    edit = cadence_edit(maker, rule, {"order": DROP})
    far = [one for one in back if -one.seconds > 2 * (rule.period_s or 0.0) + 1.0]
    if far and len(far) == found.backwards:
        if all(_is_zone_jump(one, rule, found) for one in far):
            return  # told by _judge_zone
        first = far[0]
        message = (
            f"The clock of `{rule.column}` jumps back by {spell_seconds(first.seconds - (rule.period_s or 0))} before row {first.row:,}, "
            f"after {first.spelt(found.arrow)}"
        ).replace("by -", "by ")
        examples = tuple(Example(one.row, f"{spell_seconds(one.seconds)} after {one.spelt(found.arrow)}") for one in far[:_SHOWN])
        wrong = Wrong(len(far), found.rows, examples)
        maker.add("clock-shifted", rule.column, message, expected="times that only go forward", found="a jump back", wrong=wrong, edit=edit)
        return
    share = found.backwards / max(found.rows, 1)
    message = f"`{rule.column}` is not in order: {spell_count(found.backwards, 'row')} ({spell_share(share)}) come after a later one"
    wrong = Wrong(found.backwards, found.rows, tuple(Example(row, None) for row in rows))
    maker.add("time-unordered", rule.column, message, expected="times in order", found=spell_share(share), wrong=wrong, edit=edit)


def _judge_zone(maker: Maker, rule: CadenceRule, found: Cadence, back: list[Jump], *, shuffled: bool) -> None:
    name = f"`{rule.column}`"
    told: list[tuple[str, str, str, dict[str, Any], tuple[Example, ...]]] = []
    zone = found.zone or "local"
    if rule.zone and rule.zone != zone:
        names = {"local": "no time zone"}
        expected, is_now = names.get(rule.zone, rule.zone), names.get(zone, zone)
        told.append((f"{name} is in {is_now} now; the schema says {expected}", expected, is_now, {"zone": zone}, ()))
    shift = _shift_of_hours(rule, found)
    if shift:
        text = f"the day's rhythm of {name} is {abs(shift)} h {'later' if shift > 0 else 'earlier'} than the schema says"
        shares = [round(one / max(sum(found.hours), 1), 5) for one in found.hours]
        told.append((text[0].upper() + text[1:], "rows at the hours of the schema", f"{shift:+d} h", {"hours": shares}, ()))
    ahead = [Jump(*one) for one in found.largest.tolist()] if rule.max_gap_s is not None and not shuffled else []
    ahead = [one for one in ahead if one.seconds > (rule.max_gap_s or 0.0) and _is_zone_jump(one, rule, found)]
    back = [one for one in back if _is_zone_jump(one, rule, found)] if rule.order else []
    for jumps, word in ((back, "back"), (ahead, "ahead")):
        if 0 < len(jumps) <= _FEW_JUMPS:
            first = min(jumps, key=lambda one: one.row)
            by = round((first.seconds - (rule.period_s or 0.0)) / QUARTER_S) * QUARTER_S
            also = " (or nothing came for just as long)" if word == "ahead" else ""
            where = f"before row {first.row:,}, after {first.spelt(found.arrow)}"
            text = f"The clock of {name} jumps {word} by {spell_seconds(abs(by))} {where}{also}"
            example = Example(first.row, f"{by / 3600:+g} h after {first.spelt(found.arrow)}")
            change = {"order": DROP} if word == "back" else {"max_gap_s": _up(max(one.seconds for one in jumps))}
            told.append((text, "one time zone", f"a jump of {by / 3600:+g} h", change, (example,)))
    if told:
        changes = {key: value for one in told for key, value in one[3].items()}
        wrong = Wrong(None, found.rows, tuple(example for one in told for example in one[4]))
        edit = cadence_edit(maker, rule, changes)
        text = "; ".join(one[0] for one in told)
        expected, now = told[0][1], "; ".join(one[2] for one in told)
        maker.add("zone-shifted", rule.column, text, expected=expected, found=now, wrong=wrong, edit=edit)


def _is_zone_jump(one: Jump, rule: CadenceRule, found: Cadence) -> bool:
    return is_zone_jump(one.seconds, rule) or (math.isfinite(found.period_s) and is_zone_jump(one.seconds, rule, found.period_s))


def _shift_of_hours(rule: CadenceRule, found: Cadence) -> int:
    """Hours by which the rows' hours of the day are later than the rule's; 0 where that cannot be said."""
    total = sum(found.hours)
    if len(rule.hours) != 24 or total < 200 or found.low is None or found.high is None or found.high - found.low < 2 * _DAY_US:
        return 0
    before, now = np.asarray(rule.hours) / max(sum(rule.hours), 1e-9), np.asarray(found.hours) / total
    closed = before < _CLOSED
    if np.count_nonzero(closed) < _FEWEST_CLOSED or now[closed].sum() < _IN_CLOSED:
        return 0
    alike = {shift: float(np.minimum(np.roll(before, shift), now).sum()) for shift in range(-12, 13)}
    best = max(alike, key=lambda shift: (alike[shift], -abs(shift)))
    return best if alike[best] >= _ALIKE and 1 - alike[0] >= _BETTER * (1 - alike[best]) else 0


def _judge_phase(maker: Maker, rule: CadenceRule, found: Cadence) -> None:
    if rule.phase_s is None or not rule.period_s or not math.isfinite(found.phase_s):
        return
    away = abs(found.phase_s - rule.phase_s) % rule.period_s
    away = min(away, rule.period_s - away)
    allowed = max(
        rule.tolerance * rule.period_s, 3 * (rule.jitter_s or 0.0), 3 * (found.jitter_s if math.isfinite(found.jitter_s) else 0.0)
    )
    if away > allowed and found.phase_spread < 0.2:
        message = (
            f"The clock of `{rule.column}` is off by {spell_seconds(away)}: its ticks are at {spell_seconds(found.phase_s)} within each "
            f"{spell_seconds(rule.period_s)}; the schema says {spell_seconds(rule.phase_s)}"
        )
        edit = cadence_edit(maker, rule, {"phase_s": round(found.phase_s, 6)})
        expected = f"ticks at {spell(rule.phase_s)} s of each {spell_seconds(rule.period_s)}"
        maker.add("clock-shifted", rule.column, message, expected=expected, found=f"at {spell(found.phase_s)} s", edit=edit)


def cadence_edit(maker: Maker, rule: CadenceRule, changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Operations that change what is said of one cadence."""
    place = next((number for number, one in enumerate(maker.schema.cadences) if one is rule or one == rule), 0)
    written = maker.said_of_rows("cadence")
    if maker.is_said_here("cadence"):
        return maker.table_edit({("x-fairway", "cadence", place, key): value for key, value in changes.items()})
    entry = dict(written[place]) if isinstance(written, list) and place < len(written) else {"column": rule.column}
    entry = {**entry, **changes}
    whole = [*(written or [{}])]
    whole[place] = {key: value for key, value in entry.items() if value is not DROP}
    return maker.table_edit({("x-fairway", "cadence"): whole})


def _up(seconds: float) -> float:
    """A little more, in few digits."""
    if seconds <= 0:
        return seconds
    unit = 10.0 ** (math.floor(math.log10(seconds)) - 2)
    return round(math.ceil(seconds / unit * 1.0001) * unit, 9)
