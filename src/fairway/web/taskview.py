"""What a page says of one task: its state and cause in a line with the cure, where its time went, which own lines raised. Pure."""

from __future__ import annotations

import shlex

from fairway.dsl.picture import describe_expr
from fairway.engine.story import AttemptStory, TaskStory
from fairway.spec.graph import Guard
from fairway.spec.outcome import ErrorInfo, Frame
from fairway.spec.record import Record, record

PHASES = ("waiting", "starting", "running", "writing")


@record
class Cause(Record):
    """Why the task is as it is. `kind`: "bad", "warn", "info" or "" (for the colour); `title` is the line, `cure` what to do about it.
    `run` and `task` are what `title` leads to."""

    kind: str
    title: str
    cure: str = ""
    run: str = ""
    task: str = ""


@record
class Phase(Record):
    """A part of an attempt's time: one of PHASES, from and to (epoch seconds; `until` 0 while it lasts)."""

    name: str
    since: float
    until: float = 0.0


@record
class AttemptView(Record):
    """One try as the panel shows it. `waits`: what it waits for; `items`: how many tasks it has."""

    id: str
    n: int
    status: str
    phases: tuple[Phase, ...] = ()
    host: str = ""
    worker: str = ""
    waits: str = ""
    error: ErrorInfo | None = None
    items: int = 1

    @property
    def began_at(self) -> float:
        """When it was planned."""
        return self.phases[0].since if self.phases else 0.0

    @property
    def ended_at(self) -> float:
        """When it ended, 0 while it goes on."""
        return self.phases[-1].until if self.phases else 0.0

    @property
    def running_s(self) -> float:
        """Seconds in the user's own code, 0 if it has not come to its end."""
        return sum(phase.until - phase.since for phase in self.phases if phase.name == "running" and phase.until)


def view_attempt(attempt: AttemptStory, *, ended: bool) -> AttemptView:
    """`ended`: nothing more will come of it, whether it has told so or not."""
    usage = attempt.usage
    phases: list[Phase] = []
    if usage is not None and usage.started_at:
        killed = usage.ended_at and not usage.running_at  # it told nobody that it ran
        times = [attempt.planned_at or usage.queued_at, 0.0 if killed else usage.started_at, usage.running_at, usage.writing_at]
        times[2] = usage.started_at if killed else times[2]
    else:
        seen = {phase: at for at, phase, _ in reversed(attempt.observed)}
        begun = seen.get("running", 0.0) if seen or attempt.reason else attempt.planned_at  # where nobody says otherwise, it runs
        times = [attempt.planned_at if seen or attempt.reason else 0.0, seen.get("starting", 0.0), begun, 0.0]
    known = [(name, at) for name, at in zip(PHASES, times, strict=True) if at]
    end = usage.ended_at if usage is not None and usage.ended_at else 0.0
    for number, (name, since) in enumerate(known):
        until = known[number + 1][1] if number + 1 < len(known) else end
        phases.append(Phase(name, since, max(until, since) if until else 0.0))
    going = not attempt.observed and not attempt.reason
    status = attempt.status if ended or attempt.status not in ("queued", "starting") else "running" if going else "waiting"
    return AttemptView(
        attempt.id,
        attempt.n,
        {"ended": "succeeded", "abandoned": "cancelled"}.get(status, status),
        tuple(phases),
        usage.host if usage is not None else "",
        attempt.worker,
        attempt.reason if not ended and attempt.phase != "running" else "",
        attempt.error,
        attempt.items,
    )


def find_cause(story: TaskStory, run: str, *, interrupted: bool = False) -> Cause:
    """The line at the head of the panel. `interrupted`: nobody drives the run any more."""
    needs = story.needs
    status, last = story.status, story.attempts[-1] if story.attempts else None
    if status == "failed":
        error = story.error
        return Cause("bad", headline(error) if error else "It failed", error.hint if error else "")
    if status == "retrying":
        error = last.error if last is not None else None
        return Cause("warn", headline(error) if error else "It failed, and is tried again", error.hint if error else "")
    if interrupted and status in ("waiting", "running"):
        return Cause("warn", "Nobody drives the run any more", "Resume the run: what is done is kept.")
    if status == "cached" and story.cached:
        return Cause("", "Its result was there already", "", *story.cached)
    if status == "skipped":
        return Cause("", *_skipped(story))
    if status == "cancelled":
        return Cause("warn", "It was stopped before it had ended", "Resume the run to do it after all.")
    if last is not None and last.usage is None and last.phase not in ("running", "ended") and (last.reason or last.observed):
        waits = last.reason.removeprefix("waits: ")
        return Cause("info", f"Waits: {waits}" if waits else "Waits for its turn", "" if waits else "It starts as soon as there is room.")
    if status == "waiting":
        shown = ", ".join(needs[:4]) + (f" and {len(needs) - 4} more" if len(needs) > 4 else "")
        return Cause("info", f"Waits for {shown}" if shown else "Waits for its turn", "", run, needs[0] if len(needs) == 1 else "")
    return Cause("", "")


def _skipped(story: TaskStory) -> tuple[str, str]:
    needs = story.needs
    named = ", ".join(needs[:4]) or "what it needs"
    if story.reason == "condition":
        shown = "; ".join(f"{describe_guard(guard)}" for guard in story.node.guards)
        return f"Skipped: its condition did not hold{f' ({shown})' if shown else ''}", ""
    return {
        "upstream": (f"Skipped: {named} was skipped", ""),
        "failed": (f"Skipped: {named} failed", "Mend that, and resume the run."),
        "cancelled": ("Skipped: the run was stopped before it started", "Resume the run to do it after all."),
        "skip": ("Skipped: the step called fw.skip()", ""),
    }.get(story.reason, (f"Skipped: {story.reason}" if story.reason else "Skipped", ""))


def describe_guard(guard: Guard) -> str:
    """A condition as the pipeline's author wrote it."""
    return f"{'' if guard.wanted else 'not '}{describe_expr(guard.expr)}"


def headline(error: ErrorInfo) -> str:
    """ "KeyError: 'limit'"; kinds of our own ("timeout", "oom") speak for themselves."""
    message = error.message.strip()
    ours = error.kind.islower() or ":" in error.kind or message.startswith(f"{error.kind}:")
    return message or error.kind if ours else f"{error.kind}: {message}" if message else error.kind


def own_frames(error: ErrorInfo | None) -> tuple[Frame, ...]:
    """The user's own frames, the innermost first."""
    return tuple(frame for frame in reversed(error.frames) if frame.own) if error else ()


def short_file(file: str, roots: tuple[str, ...] = ()) -> str:
    """A path as people know it: below the project, or in the bundle that stood for it."""
    for root in roots:
        if root and file.startswith(root.rstrip("/") + "/"):
            return file[len(root.rstrip("/")) + 1 :]
    _, found, inner = file.partition("/bundles/")
    return inner.partition("/")[2] or file if found else file


def spell_command(*words: str) -> str:
    """A command line of ours, as a shell wants it."""
    return " ".join(["fairway", *(shlex.quote(word) for word in words)])
