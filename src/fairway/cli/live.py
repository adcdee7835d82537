"""The live view on a terminal: one line per step, redrawn a few times a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fairway.cli.board import Line
from fairway.cli.display import PlainDisplay, follows, searched_nodes
from fairway.cli.lines import render_line
from fairway.cli.report import group_failures
from fairway.cli.style import clip, spell_number
from fairway.engine.gangview import GangNow, read_gang, spell_gang
from fairway.engine.rankmeans import find_last_means
from fairway.engine.ranks import find_last_words, gang_of, tries_before, world_size
from fairway.engine.reading import find_last_line, find_last_points, find_progress
from fairway.spec.ports import StreamStore
from fairway.spec.study import Study

REDRAWS_PER_S = 6
MAX_LINES = 40
MAX_LOOKED_AT = 8
GANG_EVERY_S = 0.5


class LiveDisplay(PlainDisplay):
    """Redrawn by rich's own thread from lines that only `update` changes; logs and metrics of what runs are read when drawing."""

    def __init__(self, streams: StreamStore | None = None) -> None:
        super().__init__(sys.stderr)
        self._streams = streams
        self._run = ""
        self._state: Any = None
        self._gangs: dict[str, tuple[float, GangNow]] = {}
        self._ended = False
        self._trial_lines: list[str] = []
        self._trials_due = 0.0
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=REDRAWS_PER_S, get_renderable=self.draw, transient=False)

    def start(self, state: Any, events: Sequence[Any]) -> None:
        super().start(state, events)
        self._run = state.run
        self._state = state
        self._live.start()

    def update(self, state: Any, events: Sequence[Any]) -> None:
        if not self._started:
            self.start(state, events)
        self.board.apply(events, state)
        if searched_nodes(state):
            self._tell_trials(state)

    def _tell_trials(self, state: Any, *, at_once: bool = False) -> None:
        """What stands below the steps while a search goes on: made here, where nothing changes the state meanwhile, as often as it costs
        little."""
        now = time.monotonic()
        if now < self._trials_due and not at_once:
            return
        from fairway.cli.trials import render_live
        from fairway.engine.studies import Studies

        self._studies = self._studies or Studies()
        self._trial_lines = [line for study in self._studies.read(state) for line in ("", *render_live(study, self._reported(study)))]
        self._trials_due = time.monotonic() + max(0.25, 20 * (time.monotonic() - now))

    def _reported(self, study: Study) -> dict[int, float]:
        """What trials that run have said last of the first metric."""
        found: dict[int, float] = {}
        if self._streams is None:
            return found
        running = [trial for trial in study.trials if trial.state == "running" and trial.attempt]
        for trial in running[:MAX_LOOKED_AT]:
            value = find_last_means(self._streams, self._run, trial.attempt, self._size_of(trial.attempt)).get(study.metrics[0])
            if isinstance(value, int | float):
                found[trial.number] = value
        return found

    def finish(self, state: Any) -> None:
        """Leave the last picture standing, then the errors."""
        if not self._started:
            return
        self.board.refresh(state)
        if searched_nodes(state):
            self._tell_trials(state, at_once=True)
        self._ended = True
        self._live.stop()
        groups = group_failures(state)
        if groups:
            from fairway.cli.display import paint_failures

            self.stream.write(paint_failures(groups, self.stream))
        self.stream.flush()

    def say(self, text: str) -> None:
        if self._live.is_started:
            self._console.print(Text.from_ansi(text))
        else:
            super().say(text)

    def draw(self) -> Text:
        """The picture as it is now."""
        now = time.time()
        ordered = [(depth, line) for depth, line in self.board.ordered() if not self.board.is_quiet(line)]
        lines = [(depth, line) for depth, line in ordered if not (self._ended and follows(line))]
        names = max((len(line.label) + 2 * depth for depth, line in lines), default=0)
        width = self._console.width
        room = min(MAX_LINES, self._console.height - 4)
        shown = lines if self._ended or len(lines) <= room else _shorten(lines, room)
        picture: list[str] = []
        for depth, line in shown:
            drawn = "  " * depth + render_line(line, names - 2 * depth, now, self.stream)
            picture.append(drawn + self._live_facts(line, width - Text.from_ansi(drawn).cell_len - 2))
            said = self._last_words(line, width)
            if said:
                picture.append(f"\033[2m{' ' * (2 * depth + 4)}{said}\033[0m")
        text = Text.from_ansi("\n".join([*picture, *self._trial_lines]))
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _live_facts(self, line: Line, room: int) -> str:
        """Progress and latest metrics of a step of one task, a gang's as many as there is room for; those of a mapped step stand beside the
        words of the task they are of."""
        attempt = next(iter(line.attempts), "")
        if not attempt or line.total > 1:
            return ""
        size = self._ranks_of(line)
        return "  " + (self._gang(attempt, size, room) if size else self._measures(attempt))

    def _ranks_of(self, line: Line) -> int:
        """How many ranks the step's gang has; 0 if it is none."""
        scope, node = line.key
        return world_size(gang_of(self._state, scope, node)) if scope in self._state.scopes else 0

    def _size_of(self, attempt: str) -> int:
        """As `_ranks_of`, of an attempt."""
        known = self._state.attempts.get(attempt) if self._state is not None else None
        return world_size(gang_of(self._state, known.scope, known.node)) if known is not None else 0

    def _gang(self, attempt: str, size: int, room: int) -> str:
        """How its ranks get on, in `room` columns if it can be; looked up twice a second, however often it is drawn."""
        if self._streams is None:
            return ""
        at, now = self._gangs.get(attempt, (0.0, None))
        if now is None or time.monotonic() - at >= GANG_EVERY_S:
            now = read_gang(self._streams, self._run, attempt, size, before=tries_before(self._state, attempt))
            self._gangs[attempt] = time.monotonic(), now
        return spell_gang(now, size, spell_number, max(1, room))

    def _measures(self, attempt: str) -> str:
        """ "45%  loss 0.0133": how far it is and its latest metrics."""
        if self._streams is None:
            return ""
        facts = []
        progress = find_progress(self._streams, self._run, attempt)
        if progress is not None:
            done, total = progress
            facts.append(f"{done / total:.0%}" if total else spell_number(done))
        values = find_last_points(self._streams, self._run, attempt)
        facts += [f"{name} {spell_number(value)}" for name, value in list(values.items())[:4] if isinstance(value, int | float)]
        return "  ".join(facts)

    def _last_words(self, line: Line, width: int) -> str:
        """The last log line of what runs, with the task's name and measures if there are several; why it waits if it does."""
        if self._streams is None:
            return ""
        many, waits, size = line.total > 1, "", self._ranks_of(line)
        for attempt, task in list(line.attempts.items())[:MAX_LOOKED_AT]:  # the first planned were the first to start
            streams = self._streams
            said = find_last_words(streams, self._run, attempt, size) if size else find_last_line(streams, self._run, attempt)
            room = max(20, width - 8) - len(task) - 2
            measures = (self._gang(attempt, size, room) if size else self._measures(attempt)) if many else ""
            if said or measures:
                return clip("  ".join(part for part in (task if many else "", measures, said) if part), max(20, width - 8))
            known = self._state.attempts.get(attempt)
            waits = waits or (known.reason if known is not None else "")
        return clip(waits, max(20, width - 8)) if waits else ""


def _shorten(lines: Sequence[tuple[int, Line]], room: int) -> list[tuple[int, Line]]:
    """What matters most when not all lines fit: what runs or has failed, then the latest that ended, in the graph's order."""
    rank = {"failed": 0, "running": 0, "retrying": 0, "waiting": 3}
    chosen = sorted(range(len(lines)), key=lambda n: (rank.get(lines[n][1].status, 1), -lines[n][1].ended_at))[: max(4, room)]
    return [lines[n] for n in sorted(chosen)]
