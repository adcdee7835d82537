"""What is said of tasks that failed and of a run that has ended. Pure: states in, lines of text out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fairway.cli.board import strip_indices
from fairway.cli.style import clip, spell_count, spell_size
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import address
from fairway.spec.outcome import ErrorInfo, Frame

MAX_FRAMES = 2
MAX_GROUPS = 3
MAX_LINES = 7
MAX_WIDTH = 160
LAST_WORDS = 3
"""Lines that a program printed last, where no line of the user's own code says what was wrong."""


class Failure:
    """The same error in one or more tasks of a step: the first task that had it, its error, how many have it, how often it was tried."""

    __slots__ = ("count", "error", "task", "tries")

    def __init__(self, task: str, error: ErrorInfo, tries: int) -> None:
        self.task = task
        self.error = error
        self.tries = tries
        self.count = 1


def group_failures(state: Any, line: tuple[str, str] | None = None) -> list[Failure]:
    """Failed tasks of the run (of one line of the board), the same error of one step once. The same: its kind and where it was raised."""
    found: dict[tuple[Any, ...], Failure] = {}
    for task, scope, node, item in failed_tasks(state):
        plain = strip_indices(scope)
        if line is not None and line != (plain, node):
            continue
        error = item.error or ErrorInfo("unknown", "FW-TASK-FAILED", "failed")
        frame = find_own_frame(error)
        place = (frame.file, frame.line) if frame else (error.message,)
        key = (plain, node, error.kind, *place)
        known = found.get(key)
        if known is None:
            found[key] = Failure(task, error, max(1, len(item.attempts)))
        else:
            known.count += 1
    return list(found.values())


def failed_tasks(state: Any) -> Iterator[tuple[str, str, str, Any]]:
    """(address, scope, node, item) of each failed task; of a dynamic task that failed because of its own tasks only those."""
    for scope in state.scopes:
        for name, node in state.scopes[scope].nodes.items():
            if not node.counts.get("failed"):
                continue
            for index, item in node.items.items():
                task = address(scope, name, index)
                if item.status == "failed" and not _failed_within(state, task):
                    yield task, scope, name, item


def _failed_within(state: Any, task: str) -> bool:
    inner = state.scopes.get(task)
    return inner is not None and any(node.counts.get("failed") for node in inner.nodes.values())


def find_own_frame(error: ErrorInfo) -> Frame | None:
    """The innermost frame of the user's own code."""
    return next((frame for frame in reversed(error.frames) if frame.own), None)


def render_failure(failure: Failure) -> list[str]:
    """At most six lines: the user's own line first, then what was raised, the way out, how often."""
    error = failure.error
    own = [frame for frame in error.frames if frame.own][::-1][:MAX_FRAMES]
    first, *more = _headline(error).splitlines()
    lines: list[str] = []
    if own:
        lines.append(f"✗ {failure.task}  {_place(own[0])}")
        if own[0].source:
            lines.append(f"    {clip(own[0].source, MAX_WIDTH)}")
        lines.append(f"  {clip(first, MAX_WIDTH)}")
        lines += [f"  called at {_place(frame)}: {clip(frame.source, 80)}" for frame in own[1:]]
    else:
        lines.append(f"✗ {failure.task}  {clip(first, MAX_WIDTH)}")
        lines += [f"  {clip(line, MAX_WIDTH)}" for line in more[:2]]
        _, last, words = error.traceback.partition(" printed last:\n")
        lines += [f"    {clip(line, MAX_WIDTH)}" for line in words.rstrip().splitlines()[-LAST_WORDS:]] if last else []
    if error.hint:
        lines.append(f"  {clip(error.hint, MAX_WIDTH)}")
    facts = []
    if failure.count > 1:
        facts.append(f"and {spell_count(failure.count - 1, 'more task')} with the same error")
    if failure.tries > 1:
        facts.append(f"tried {failure.tries} times")
    if facts:
        lines.append(f"  {'; '.join(facts)}")
    return lines


def _headline(error: ErrorInfo) -> str:
    """ "ValueError: no such depth"; kinds of our own ("timeout", "oom") speak for themselves."""
    message = error.message.strip()
    ours = error.kind.islower() or ":" in error.kind or message.startswith(f"{error.kind}:")
    return message or error.kind if ours else f"{error.kind}: {message}" if message else error.kind


def render_failures(groups: Sequence[Failure]) -> list[str]:
    """Several failures in about seven lines; the last line counts those left out."""
    lines: list[str] = []
    shown = 0
    for failure in groups[:MAX_GROUPS]:
        block = render_failure(failure)
        if lines and len(lines) + len(block) > MAX_LINES:
            break
        lines += block
        shown += 1
    if len(groups) > shown:
        lines.append(
            f"✗ and {spell_count(len(groups) - shown, 'other error')} in {spell_count(sum(g.count for g in groups[shown:]), 'task')}"
        )
    return lines


def render_run_error(state: Any) -> list[str]:
    """What ended the run if it was none of its tasks: a timeout, a cancel, a list that could not be mapped over; and the way out."""
    error = state.error
    if error is None or (state.status == "failed" and any(True for _ in failed_tasks(state))):
        return []
    return [clip(error.message, MAX_WIDTH), *([f"  {clip(error.hint, MAX_WIDTH)}"] if error.hint else [])]


def render_way_on(state: Any, groups: Sequence[Failure], prefix: str = "fairway", *, left: bool = False) -> list[str]:
    """After a run that did not succeed: the one command to look closer, and the one to go on. `left`: its process was killed."""
    lines = [f"look closer: {prefix} logs {state.run} {quote(groups[0].task)}"] if groups else []
    if left or state.status in ("failed", "cancelled", "timeout"):
        lines.append(f"go on:       {prefix} resume {state.run}")
    return lines


def render_outputs(outputs: dict[str, ArtifactRef]) -> list[str]:
    """One line per output: its name, its value if it is small, its type and size if not."""
    width = max((len(name) for name in outputs), default=0)
    return [f"{name:<{width}}  {describe(ref)}" for name, ref in outputs.items()]


def describe(ref: ArtifactRef, width: int = 100) -> str:
    """An artifact on one line: the value itself where it is small, else type, shape and size."""
    if ref.inline is not None and ref.format == "json" and len(ref.inline) <= width:
        return ref.inline
    facts = [f"{ref.type or ref.format} {ref.meta['name'] if ref.format in ('file', 'dir') and 'name' in ref.meta else ''}".rstrip()]
    if "rows" in ref.meta:
        columns = ref.meta.get("columns")
        wide = len(columns) if isinstance(columns, list | dict) else columns
        facts.append(f"{ref.meta['rows']:,} rows" + (f" × {wide} columns" if wide and wide < 50 else ""))
    elif "shape" in ref.meta:
        facts.append(" × ".join(str(side) for side in ref.meta["shape"]))
    facts.append(spell_size(ref.size_bytes))
    return ", ".join(facts)


def quote(word: str) -> str:
    """The word as a shell wants it: task addresses have brackets."""
    import shlex

    return shlex.quote(word)


def _place(frame: Frame) -> str:
    file = frame.file
    here = os.path.join(os.getcwd(), "")
    return f"{file.removeprefix(here)}:{frame.line} in {frame.function}"


def join_lines(lines: Iterable[str]) -> str:
    """The lines as one text that ends with a line break."""
    return "".join(f"{line}\n" for line in lines)
