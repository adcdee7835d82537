"""The step that chooses the best of all trials when they have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl.source import suggest
from fairway.errors import TaskFailed
from fairway.spec.study import PRUNED, Trial, best_of
from fairway.step.context import log


def best(history: Mapping[str, Any], search: Mapping[str, Any]) -> dict[str, Any]:
    """The best trial's number, parameters and value, and a table of all. Of several metrics the best in the first that no other beats.
    Its values are logged, so that the run's metrics are those of the best trial, not of the one that happened to end last.

    Raises TaskFailed if no trial was complete.
    """
    metrics: Sequence[str] = search["metrics"]
    entries = history["trials"]
    trials = [
        Trial(entry["index"], "complete", entry["params"], tuple(entry["values"]))
        for entry in entries
        if entry["status"] == "succeeded" and entry["values"] and None not in entry["values"]
    ]
    front = best_of(trials, tuple(search["directions"]))
    if not front:
        raise _nothing(entries, metrics)
    chosen = next(trial for trial in trials if trial.number == front[0])
    log(dict(zip(metrics, chosen.values, strict=True)))
    table = [_row(entry, metrics, entry["index"] in front) for entry in entries]
    value = chosen.values[0] if len(metrics) == 1 else dict(zip(metrics, chosen.values, strict=True))
    params = {name: value for name, value in chosen.params.items() if value is not None}
    return {"best_params": params, "best_value": value, "best_trial": chosen.number, "trials": table}


def _row(entry: Mapping[str, Any], metrics: Sequence[str], is_best: bool) -> dict[str, Any]:
    values: Sequence[Any] = entry.get("values") or (None,) * len(metrics)
    pruned = entry.get("reason") == PRUNED
    complete = entry["status"] == "succeeded" and None not in values
    row: dict[str, Any] = {"number": entry["index"], "state": "pruned" if pruned else "complete" if complete else "failed"}
    row |= {"best": is_best, **dict(zip(metrics, values, strict=True)), **{f"params.{k}": v for k, v in entry["params"].items()}}
    return row | ({"error": entry["error"]} if "error" in entry else {})


def find_lacking(entries: Sequence[Mapping[str, Any]]) -> TaskFailed | None:
    """The error for a metric that no trial that has ended well ever spoke of; None while there is no such trial, or one that did."""
    if any(entry["status"] == "succeeded" and not entry.get("lacks") for entry in entries):  # as a rule the first
        return None
    well = [entry for entry in entries if entry["status"] == "succeeded"]
    lacks = [name for name in (well[0].get("lacks", ()) if well else ()) if all(name in entry.get("lacks", ()) for entry in well)]
    if not lacks:
        return None
    had = sorted({name for entry in well for name in entry.get("had", ())})
    named = " and ".join(f"`{name}`" for name in lacks)
    trial = f"trial {well[0]['index']} has" if len(well) == 1 else f"{len(well)} trials have"
    there = f"its numbers were {', '.join(had)}.{suggest(lacks[0], had)} Or" if had else "it gave no numbers at all:"
    return TaskFailed(
        f"{trial} ended well without the metric {named}",
        hint=f"{there} return it as an output of that name, or say it in the step: fw.log({lacks[0]}=…)",
    )


def find_failing(entries: Sequence[Mapping[str, Any]], most: int) -> TaskFailed | None:
    """The error of a search of which `most` trials have failed and none did anything else; 0 = never."""
    if not most or any(entry["status"] not in ("failed", "running") for entry in entries):
        return None
    failed = [entry for entry in entries if entry["status"] == "failed"]
    if len(failed) < most:
        return None
    return TaskFailed(
        f"{len(failed)} trials have failed and none was complete; trial {failed[0]['index']}: {failed[0].get('error', '')}",
        hint="mend it and `fairway resume`; max_failed (--max-failed) says how many may fail, 0 any number",
    )


def _nothing(entries: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> TaskFailed:
    failed = [entry for entry in entries if "error" in entry]
    if failed:
        return TaskFailed(
            f"none of {len(entries)} trials was complete; trial {failed[0]['index']} failed: {failed[0]['error']}",
            hint="`fairway logs` shows what it printed",
        )
    lacking = find_lacking(entries)
    if lacking is not None:
        return lacking
    if any(entry["status"] == "succeeded" for entry in entries):
        given = [entry["values"] for entry in entries if entry.get("values")]
        missing = [name for n, name in enumerate(metrics) if not any(values[n] is not None for values in given)] or list(metrics)
        return TaskFailed(
            f"no trial gave a number for {' and '.join(f'`{name}`' for name in missing)}",
            hint=f"return it as an output of that name, or say it in the step: fw.log({missing[0]}=…)",
        )
    return TaskFailed("no trial was complete: all were skipped or ended early", hint="choose a pruner that waits longer, or none")
