"""What a watch knew when its group's last window was done: one small file beside the group's offsets."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from fairway.data.streams.offsets import check_group
from fairway.data.streams.stream import Window
from fairway.data.watch import Watch
from fairway.errors import ConfigError


class WatchFile:
    """Save after a window was judged and its alarms were handed on, and before the window is committed: a process that is killed in between
    meets that window again, and knows it. Survives a kill at any point."""

    def __init__(self, folder: Path, group: str, uri: str, watch: Watch) -> None:
        self.path = folder / check_group(group) / f"{sha256(uri.encode()).hexdigest()[:24]}.watch.json"
        self.watch = watch
        self._about = _digest_of(watch)
        self._last: Any = None

    def load(self) -> str:
        """Lets the watch go on where it was; why it begins afresh, if there is a file that does not fit it."""
        try:
            told = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return ""
        except ValueError:
            raise ConfigError("this is no state of a watch", where=str(self.path), hint="delete it to start again") from None
        if told.get("about") != self._about:
            return "the schema or the baseline has changed: what the last watch knew is left out, alarms begin afresh"
        self.watch.restore(told["watch"])
        self._last = told["window"]
        return ""

    def is_done(self, window: Window) -> bool:
        """Whether this window was judged already, by a process that ended before it was committed."""
        return window.offsets is not None and window.offsets == self._last

    def save(self, window: Window) -> None:
        """Atomic. The window is the last that the watch has seen."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if window.offsets is not None:
            self._last = window.offsets
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps({"about": self._about, "window": self._last, "watch": self.watch.state()}), encoding="utf-8")
        written.replace(self.path)


def _digest_of(watch: Watch) -> str:
    schema = watch.schema.document if watch.schema is not None else None
    baseline = watch.monitor.baseline.digest if watch.monitor is not None else ""
    return sha256(json.dumps([schema, baseline], sort_keys=True).encode()).hexdigest()[:24]
