"""The side of the local server that its starters look for: its lock, its keys, its record, and when it has nothing to do any more."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairway import __version__
from fairway.engine.credentials import default_user
from fairway.engine.localserver import KEPT, LOCK, PORT, RECORD, TOKEN, fingerprint, make_folder, save_private
from fairway.engine.processes import identify_process
from fairway.errors import ConflictError, StoreUnavailable
from fairway.spec.tokens import digest_token, make_user_token, user_of
from fairway.web.auth import SIGNING_KEY, TOKEN_PREFIX

_TRIES = 40
_LOOK_S = 60.0


class OwnFolder:
    """The folder of the local server of `home`: taken by this process, for as long as it lives.

    Raises ConflictError if another has it, StoreUnavailable if it cannot be written.
    """

    def __init__(self, home: str) -> None:
        self._folder = Path(make_folder(home))
        try:
            self._lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take()
            self._make_keys()
        except OSError as error:
            raise StoreUnavailable(
                f"cannot write to {self._folder}: {error.strerror}",
                hint="free some space, or set FAIRWAY_HOME to a folder that you may write to",
            ) from error

    def _take(self) -> None:
        """Who asks whether a server lives holds the lock for an instant, too."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.005)
        raise ConflictError(f"there is a local server of {self._folder.parent} already", hint="fairway ui shows it")

    def _make_keys(self) -> None:
        """One user, who may do everything. What was made before holds: bookmarks and sessions outlive a server."""
        if not self._read(SIGNING_KEY):
            save_private(str(self._folder), SIGNING_KEY, os.urandom(32).hex())
        token = self._read(TOKEN)
        if not user_of(token):
            token = make_user_token(default_user())
            save_private(str(self._folder), TOKEN, token)
        name = f"{TOKEN_PREFIX}{user_of(token)}"
        if self._read(name) != digest_token(token):
            save_private(str(self._folder), name, digest_token(token))

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    @property
    def last_port(self) -> int:
        """Where the last server of this home was, 0 if that is not known: bookmarks still lead there."""
        text = self._read(PORT)
        return int(text) if text.isdigit() and len(text) < 6 and int(text) < 65536 else 0

    @property
    def lock_path(self) -> Path:
        """A file that is there for as long as the folder is ours."""
        return self._folder / LOCK

    @property
    def templates(self) -> Path:
        """Where compiled templates are kept for the next server."""
        return self._folder / "templates"

    @property
    def is_kept(self) -> bool:
        """Is the server to stay when nobody uses it?"""
        return (self._folder / KEPT).exists()

    @property
    def is_there(self) -> bool:
        """Is the folder still where it was, and ours?"""
        try:
            return os.path.samestat(self.lock_path.stat(), os.fstat(self._lock))
        except OSError:
            return False

    def introduce(self, url: str, settings: str) -> None:
        """Be found from now on. Raises OSError."""
        plain: dict[str, Any] = {
            "url": url,
            "pid": os.getpid(),
            "process": identify_process(os.getpid()),
            "version": __version__,
            "made_with": fingerprint(settings),
            "started_at": time.time(),
        }
        save_private(str(self._folder), PORT, url.rpartition(":")[2])
        save_private(str(self._folder), RECORD, json.dumps(plain))

    def hide(self) -> None:
        """Be found no more. Who comes now waits until we are gone, which the end of the lock says: the next server then begins."""
        if self.is_there:
            (self._folder / RECORD).unlink(missing_ok=True)

    def leave(self) -> None:
        """Let another one have it. Not for a server: what it drives is let go last of all, with its process."""
        self.hide()
        os.close(self._lock)


class Attendance:
    """An application with somebody at the door, who knows how many requests are under way and when the last one ended."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.present = 0
        self.left_at = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.present += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.present -= 1
            self.left_at = time.monotonic()


class Closing:
    """Ends a local server that nobody has used for `idle_s` (0: never), or whose folder has gone. `is_busy`: it must not end now."""

    def __init__(
        self, folder: OwnFolder, attendance: Attendance, idle_s: float, *, is_busy: Callable[[], bool], stop: Callable[[], None]
    ) -> None:
        self._folder, self._attendance, self._idle_s = folder, attendance, idle_s
        self._is_busy, self._stop = is_busy, stop
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """See whether it is time, and when to look again."""
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        if not self._folder.is_there:
            self._stop()
            return
        if self._attendance.present or self._is_busy() or self._folder.is_kept:
            self._attendance.left_at = now
        left_s = self._attendance.left_at + self._idle_s - now
        if self._idle_s and left_s <= 0:
            self._stop()
            return
        self._timer = asyncio.get_running_loop().call_later(min(left_s, _LOOK_S) if self._idle_s else _LOOK_S, self.look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
