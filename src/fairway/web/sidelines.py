"""The values of the compared runs, line by line, and the sentence that says what differs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.engine.differ import SAME_DURATION_S, SAME_DURATION_SHARE, shown
from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import Record, record
from fairway.web.comparison import (
    SAID,
    Line,
    Phrase,
    compare_maps,
    compare_values,
    phrase_many,
    phrase_names,
    phrase_steps,
    phrase_two,
    shorten,
)
from fairway.web.pages.words import spell_duration, spell_number, spell_size
from fairway.web.sides import Side, packages_of


@record
class Compared(Record):
    """The runs, the place of the baseline among them, and their lines by kind: "metric", "param", "fact", "output"."""

    sides: tuple[Side, ...]
    base: int
    lines: dict[str, list[Line]]


def compare_sides(sides: Sequence[Side], base: int, flipped: Sequence[str] = ()) -> Compared:
    """Line by line. `flipped`: metrics whose better direction is not the one that is guessed."""
    return Compared(tuple(sides), base, _lines(sides, base, flipped))


def _lines(sides: Sequence[Side], base: int, flipped: Sequence[str]) -> dict[str, list[Line]]:
    summaries = [side.summary for side in sides]
    versions = list(dict.fromkeys(side.bundle for side in sides))
    facts = {
        "status": [one.status for one in summaries],
        "pipeline": [one.pipeline for one in summaries],
        "code": [f"version {versions.index(side.bundle) + 1}" for side in sides],
        "who": [one.created_by for one in summaries],
        "where": [one.target for one in summaries],
        "tags": [", ".join(one.tags) for one in summaries],
        "note": [one.note for one in summaries],
        "error": [one.error for one in summaries],
    }
    lines = [compare_values("fact", name, values, base) for name, values in facts.items() if any(values)]
    took = [took_s(side) or ... for side in sides]
    lines.insert(1, compare_values("duration", "duration", took, base, -1, spell_duration))
    return {
        "fact": lines,
        "metric": compare_maps("metric", [one.metrics for one in summaries], base, flipped, spell_number),
        "param": compare_maps("param", [one.params for one in summaries], base),
        "output": compare_maps("output", [{name: spell_output(ref) for name, ref in side.outputs.items()} for side in sides], base),
    }


def spell_output(ref: ArtifactRef) -> Any:
    """A small value itself; of anything else its size and what tells it from others."""
    if ref.inline is not None and ref.format == "json":
        return shown(ref)
    return f"{spell_size(ref.size_bytes)} · {ref.digest[:7]}"


def tell_differences(compared: Compared) -> dict[str, list[Phrase]]:
    """ "given": what went in; "results": what came out. Of two runs the first is before, the second after."""
    sides, lines = compared.sides, compared.lines
    maps = [packages_of(side) for side in sides]
    packages = [line for line in compare_maps("package", maps, 0) if not line.same] if all(maps) else []
    facts = {line.name: line for line in lines["fact"]}
    two = len(sides) == 2
    found: dict[str, list[Phrase]] = {"given": [], "results": []}

    def tell(where: str, tab: str, what: str, some: Sequence[Line], said: int = SAID) -> None:
        named = [side.run.rpartition("-")[2] for side in sides]
        phrases = phrase_two(some) if two else [one for line in some if (one := phrase_many(line, named, _values(sides, line)))]
        found[where] += shorten(phrases, tab, what, said)

    tell("given", "table", "facts", [facts["pipeline"]])
    tell("given", "table", "parameters", lines["param"])
    found["given"] += phrase_steps([side.codes for side in sides])
    if packages:
        tell("given", "environment", "packages", packages, 2)
    tell("results", "table", "facts", [facts["status"]])
    tell("results", "table", "metrics", sorted(lines["metric"], key=lambda line: line.better == 0))
    metrics = {line.name for line in lines["metric"]}
    outputs = [line for line in lines["output"] if not line.same and line.name not in metrics]
    told = [line for line in outputs if all(_is_value(side, line.name) for side in sides)]
    tell("results", "table", "outputs", told)
    found["results"] += phrase_names([line.name for line in outputs if line not in told], "output", "results")
    if not two or _much(sides):
        tell("results", "table", "facts", [facts["duration"]])
    return found


def _is_value(side: Side, name: str) -> bool:
    """Is this output a small value, which can be said in words, or missing?"""
    return name not in side.outputs or side.outputs[name].inline is not None


def _much(sides: Sequence[Side]) -> bool:
    """Do the durations of two runs differ by more than chance would have it?"""
    one, other = (took_s(side) for side in sides)
    return min(one, other) > 0 and abs(one - other) > max(SAME_DURATION_S, SAME_DURATION_SHARE * max(one, other))


def took_s(side: Side) -> float:
    """How long the run took, 0 while it goes on."""
    return max(side.summary.ended_at - side.summary.started_at, 0.0) if side.summary.ended_at else 0.0


def _values(sides: Sequence[Side], line: Line) -> list[Any]:
    if line.kind == "duration":
        return [took_s(side) for side in sides]
    maps = {"metric": [side.summary.metrics for side in sides], "param": [side.summary.params for side in sides]}.get(line.kind)
    return [one.get(line.name, ...) for one in maps] if maps else [cell.text for cell in line.cells]
