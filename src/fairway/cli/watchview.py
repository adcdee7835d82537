"""What `fairway data watch` shows: a live view on a terminal, a line for each alarm in a pipe, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fairway.cli.style import clip, is_terminal, paint, spell_count, spell_duration

if TYPE_CHECKING:
    from fairway.data.drift import Alarm
    from fairway.data.notify import Notifier
    from fairway.data.streams import Stream, Window
    from fairway.data.watch import Watch

_REMEMBERED = 6
_RATE_S = 10.0


class View(Protocol):
    """Entered before the first window."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, window: Window, alarms: Sequence[Alarm], seconds: float) -> None:
        """One window was judged, in so many seconds."""
        ...

    def note(self, text: str) -> None:
        """Something else to know. May come from another thread."""
        ...


def make_view(name: str, watch: Watch, stream: Stream, notifier: Notifier | None, output: str | None) -> View:
    """The view for where stdout goes."""
    if output == "json":
        return JsonView(watch, stream)
    if is_terminal(sys.stdout):
        return LiveView(Facts(name, watch, stream, notifier))
    return PlainView(Facts(name, watch, stream, notifier))


class JsonView:
    """One line for each alarm, then one for each window."""

    def __init__(self, watch: Watch, stream: Stream) -> None:
        self._watch, self._stream = watch, stream

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *failure: object) -> None:
        watch = self._watch
        if failure[0] is None:
            self._say({"event": "end", "rows": watch.rows, "windows": watch.windows, "active": [one.id for one in watch.active]})

    def show(self, window: Window, alarms: Sequence[Alarm], seconds: float) -> None:
        for one in alarms:
            self._say({"event": "alarm", **one.to_json()})
        self._say(
            {
                "event": "window",
                "begin_s": round(window.begin_s, 3),
                "end_s": round(window.end_s, 3),
                "rows": window.batch.rows,
                "records": window.records,
                "late": window.late,
                "offsets": window.offsets,
                "seconds": round(seconds, 6),
                "rejects": self._stream.rejects.count,
                "active": [one.id for one in self._watch.active],
            }
        )

    def note(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def _say(self, told: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()


class Facts:
    """What both views tell, and the words for it."""

    def __init__(self, name: str, watch: Watch, stream: Stream, notifier: Notifier | None) -> None:
        self.name, self.watch, self.stream, self.notifier = name, watch, stream, notifier
        self.began = time.time()
        self.last: deque[Alarm] = deque(maxlen=_REMEMBERED)
        self.notes: deque[str] = deque(maxlen=3)
        self._came: deque[tuple[float, int]] = deque()
        self._told = 0

    def take(self, window: Window, alarms: Sequence[Alarm]) -> None:
        self.last.extend(alarms)
        now = time.time()
        self._came.append((now, window.batch.rows))
        while self._came and self._came[0][0] < now - _RATE_S:
            self._came.popleft()

    def new_notes(self) -> list[str]:
        """What the stream has noted since the last time."""
        made = self.stream.notes[self._told :]
        self._told += len(made)
        return made

    @property
    def rate(self) -> float:
        """Rows a second, of late."""
        now = time.time()
        rows = sum(rows for at, rows in self._came if at >= now - _RATE_S)
        return rows / max(min(_RATE_S, now - self.began), 0.1)

    def summary(self) -> str:
        watch = self.watch
        parts = [spell_count(watch.rows, "row"), spell_count(watch.windows, "window"), spell_count(watch.raised, "alarm")]
        if self.stream.rejects.count:
            parts.append(f"{spell_count(self.stream.rejects.count, 'record')} that could not be read")
        return f"{', '.join(parts)}, {spell_duration(time.time() - self.began)}"


def tell(alarm: Alarm) -> str:
    """An alarm as one line of a log."""
    at = alarm.at.astimezone().strftime("%H:%M:%S")
    if alarm.state == "cleared":
        return f"{at}  {paint('over', 'green', sys.stdout)}     {clip_words(alarm.message)}"
    colour = "red" if alarm.severity == "error" else "yellow"
    return f"{at}  {paint('alarm' if alarm.severity == 'error' else 'warning', colour, sys.stdout):<7}  {clip_words(alarm.message)}"


def clip_words(message: str, width: int = 400) -> str:
    return clip(message.replace("`", ""), width)


class PlainView:
    """A line when an alarm is raised or cleared, and one at the end."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is not None:
            return
        facts = self._facts
        self._notes()
        active = facts.watch.active
        what = f"wrong at the end: {len(active)}" if active else "nothing is wrong at the end"
        sys.stdout.write(f"{facts.name}: {facts.summary()}; {what}\n")
        sys.stdout.flush()

    def show(self, window: Window, alarms: Sequence[Alarm], seconds: float) -> None:
        self._facts.take(window, alarms)
        self._notes()
        for one in alarms:
            sys.stdout.write(tell(one) + "\n")
        if alarms:
            sys.stdout.flush()

    def note(self, text: str) -> None:
        sys.stderr.write(f"note: {text}\n")

    def _notes(self) -> None:
        for text in self._facts.new_notes():
            self.note(text)


class LiveView:
    """Redrawn a few times a second: what is wrong now first."""

    def __init__(self, facts: Facts) -> None:
        from rich.console import Console
        from rich.live import Live

        self._facts = facts
        self._console = Console(highlight=False)
        self._ended = False
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self.draw, transient=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._live.stop()

    def show(self, window: Window, alarms: Sequence[Alarm], seconds: float) -> None:
        self._facts.take(window, alarms)
        self._facts.notes.extend(self._facts.new_notes())

    def note(self, text: str) -> None:
        """The picture shows how the targets do, as it is now."""

    def draw(self) -> Any:
        """The picture as it is now."""
        from rich.text import Text

        facts, width = self._facts, self._console.width
        made = Text(no_wrap=True, overflow="ellipsis")
        state = ("■ ended", "dim") if self._ended else ("● watching", "green")
        made.append("  ").append(clip(facts.name, max(width - 30, 20)), "bold").append("  ").append(*state)
        made.append(f"  {spell_duration(time.time() - facts.began)}\n", "dim")
        rate = "" if self._ended else f"   {facts.rate:,.0f} rows/s" if facts.rate >= 10 else f"   {facts.rate:.2g} rows/s"
        made.append(f"  {spell_count(facts.watch.rows, 'row')}{rate}   {spell_count(facts.watch.windows, 'window')}", "dim")
        if facts.stream.rejects.count:
            made.append(f"   {spell_count(facts.stream.rejects.count, 'record')} could not be read", "yellow")
        made.append("\n\n")
        self._draw_active(made, width)
        if facts.last:
            made.append("\n")
            for one in facts.last:
                made.append(f"  {one.at.astimezone():%H:%M:%S}  ", "dim")
                over = one.state == "cleared"
                made.append("over   " if over else "alarm  ", "green" if over else "red" if one.severity == "error" else "yellow")
                made.append(clip(clip_words(one.message), max(width - 21, 30)) + "\n", "dim")
        self._draw_notifier(made, width)
        for text in facts.notes:
            made.append(f"  note: {clip(text, max(width - 9, 30))}\n", "dim")
        made.rstrip()
        return made

    def _draw_active(self, made: Any, width: int) -> None:
        active = self._facts.watch.active
        if not active:
            made.append("  ✓ ", "green").append("nothing is wrong\n" if self._facts.watch.rows else "waiting for rows\n")
            return
        room = max(width - 6, 30)
        for one in active[:12]:
            bad = one.severity == "error"
            made.append("  ✗ " if bad else "  ! ", "bold red" if bad else "bold yellow")
            first, *rest = _wrapped(clip_words(one.message), room)
            made.append(first + "\n", "bold" if bad else "")
            for line in rest[:3]:
                made.append(f"    {line}\n")
        if len(active) > 12:
            made.append(f"    and {len(active) - 12} more\n", "dim")

    def _draw_notifier(self, made: Any, width: int) -> None:
        if self._facts.notifier is None:
            return
        made.append("\n")
        for one in self._facts.notifier.status():
            made.append(f"  → {one['target']}  ", "dim").append(f"{one['sent']} sent", "dim")
            if one["problem"]:
                made.append(f", {one['waiting']} wait: {clip(one['problem'], max(width - 50, 30))}", "yellow")
            made.append("\n")


def _wrapped(text: str, room: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
