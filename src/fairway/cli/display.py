"""What is shown of a run while it goes on, on stderr: a live view on a terminal, one line per ended step elsewhere.

Neither the plain display nor this module imports rich.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from fairway.cli.board import Board, Line
from fairway.cli.lines import render_line
from fairway.cli.report import Failure, group_failures, join_lines, render_failures, render_run_error
from fairway.cli.style import paint, spell_duration
from fairway.spec.ports import StreamStore

if TYPE_CHECKING:
    from fairway.spec.study import Study, Trial

MAX_BLOCKS = 3
_ENDS = ("AttemptEnded", "TasksCached", "TasksSkipped", "ScopeEnded")


class LastingStream:
    """A text stream whose reader may go away (a closed terminal, `| head`): what nobody can read is dropped, and the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of a text file; never raises for a reader that is gone."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """As of a text file; never raises for a reader that is gone."""
        try:
            self._stream.flush()
        except OSError:
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PlainDisplay:
    """One line when the run starts, one per step that has ended; a step that failed is shown by its errors."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.board = Board()
        self._blocks = 0
        self._told: set[tuple[str, str]] = set()
        self._trials: set[str] = set()
        self._studies: Any = None
        self._started = False

    def start(self, state: Any, events: Sequence[Any]) -> None:
        """Say what runs. Steps and trials that ended before a resume are not repeated."""
        self._started = True
        self.board.start(state, events)
        if state.resumes and searched_nodes(state):
            now = {state.attempts[event.attempt].id for event in events if type(event).__name__ == "AttemptEnded"}
            self._trials.update(trial.task for _, trial in self._ended_trials(state) if not trial.attempt or trial.attempt not in now)
        self.say(f"{paint(state.graph.name, 'bold', self.stream)}  {state.run}")

    def update(self, state: Any, events: Sequence[Any]) -> None:
        """Show what has just happened."""
        if not self._started:
            self.start(state, events)
        ended = self.board.apply(events, state)
        self._show_trials(state, events)
        for line in ended:
            self._show(line, state)
        if state.target != "local" and any(type(event).__name__ == "AttemptObserved" and event.reason for event in events):
            self._show_waits(state)

    def finish(self, state: Any) -> None:
        """Nothing more will come; what is still to be said of steps is said."""

    def say(self, text: str) -> None:
        """A line of talk."""
        self.stream.write(text + "\n")
        self.stream.flush()

    def _show_trials(self, state: Any, events: Sequence[Any]) -> None:
        """A line for each trial of a search that has ended."""
        searched = searched_nodes(state)
        if not searched or not any(type(event).__name__ in _ENDS for event in events):
            return
        from fairway.cli.trials import render_trial

        for study, trial in self._ended_trials(state):
            if trial.task not in self._trials:
                self._trials.add(trial.task)
                self.say(render_trial(study, trial))

    def _ended_trials(self, state: Any) -> Iterator[tuple[Study, Trial]]:
        from fairway.engine.studies import Studies

        self._studies = self._studies or Studies()
        for study in self._studies.read(state):
            for trial in study.trials:
                if trial.state not in ("running", "waiting"):
                    yield study, trial

    def _show_waits(self, state: Any) -> None:
        """Why steps do not start, once for each step and reason."""
        from fairway.engine.waits import find_waits

        for (scope, node), why in find_waits(state.live.values()).items():
            told = f"{scope}/{node}".lstrip("/"), why.partition(" (and ")[0]
            if told not in self._told:
                self._told.add(told)
                self.say(f"… {told[0]}  {why}")

    def _show(self, line: Line, state: Any) -> None:
        if follows(line) or self.board.is_quiet(line):
            return  # what failed has been shown, and this follows from it
        if not line.counts.get("failed"):
            names = min(24, max((len(other.label) for other in self.board.lines.values()), default=0))
            self.say(render_line(line, names, time.time(), self.stream))
            return
        self._blocks += 1
        if self._blocks <= MAX_BLOCKS:
            self.stream.write(paint_failures(group_failures(state, line.key), self.stream))
            self.stream.flush()


def searched_nodes(state: Any) -> list[str]:
    """Nodes whose tasks are trials of a search."""
    return [name for scope in state.scopes.values() for name in scope.index.paced]


def follows(line: Line) -> bool:
    """Was this step skipped because of another that failed or was cancelled? Then it is not worth a line once all is over."""
    return line.status == "skipped" and line.reason in ("failed", "cancelled")


def paint_failures(groups: Sequence[Failure], stream: TextIO) -> str:
    """Failures as text, their crosses in red."""
    return join_lines(line.replace("✗", paint("✗", "red", stream), 1) if line.startswith("✗") else line for line in render_failures(groups))


def open_display(streams: StreamStore, *, remote: bool = False) -> PlainDisplay:
    """The display that fits stderr. What tasks write is read from `streams`; `remote`: at a distance, not for every picture."""
    from fairway.cli.style import is_terminal

    if not is_terminal(sys.stderr):
        return PlainDisplay()
    from fairway.cli.live import LiveDisplay

    if remote:
        from fairway.engine.recent import as_recent

        streams = as_recent(streams)
    return LiveDisplay(streams)


def say_end(state: Any, stream: TextIO) -> None:
    """How the run ended, in one line."""
    from fairway.cli.style import COLOURS, SYMBOLS

    took = spell_duration(max(0.0, state.ended_at - (state.resumed_at or state.started_at)))
    symbol = paint(SYMBOLS.get(state.status, " "), COLOURS.get(state.status, ""), stream)
    stream.write(": ".join([f"{symbol} {state.status} in {took}", "\n".join(render_run_error(state))]).removesuffix(": ") + "\n")
