"""Who calls: users by tokens whose digests the server's Secret holds, attempts and pools by what the server signed.

The Secret is mounted as a folder, which the kubelet renews only about once a minute. A token that was made seconds ago is therefore looked
up in the Secret itself, through the Kubernetes API, before it is refused; at most once in `LOOK_UP_EVERY_S`.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fairway.errors import ConfigError, FairwayError
from fairway.spec.tokens import KeptToken, check_token, digest_token, parse_kept, user_of
from fairway.web.identity import Account, Identity

SECRETS_FOLDER = "/etc/fairway/server"
SIGNING_KEY = "signing-key"
JOURNAL_KEY = "journal"
TOKEN_PREFIX = "token."
LOOK_UP_EVERY_S = 2.0
LOOK_EVERY_S = 1.0
_MARK_LENGTH = 16

FindSecret = Callable[[], Awaitable[Mapping[str, str]]]
"""The Secret's keys and values as they are now."""


class TokenAuth:
    """Tells users and workers by their tokens. `folder` is where the server's Secret is mounted; it is read again when it has changed.

    `find_secret` asks the cluster for it. Raises ConfigError where there is no signing key.
    """

    def __init__(self, folder: str, *, find_secret: FindSecret | None = None, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self.find_secret = find_secret
        self._clock = clock
        self._looked_up_at = -LOOK_UP_EVERY_S
        self._mounted: dict[str, KeptToken] = {}
        self._found: dict[str, KeptToken] = {}
        self._version: tuple[int, ...] = ()
        self._changed_at, self._looked_at = 0, 0.0
        self.signing_key = self._read(SIGNING_KEY)
        if not self.signing_key:
            raise ConfigError(f"there is no {SIGNING_KEY} in {folder}", hint="`fairway up` makes one; it is a Secret of the server's")

    def check(self, header: str) -> Identity | None:
        """Whose token it is, None if it is nobody's, as far as is known here."""
        user = user_of(header)
        if not user:
            return None
        self._refresh()
        digest = digest_token(header)
        for kept in (self._found.get(user), self._mounted.get(user)):
            if kept is not None and hmac.compare_digest(digest, kept.digest):
                return Identity(user, kept.role, kept.projects)
        return None

    async def find_identity(self, header: str) -> Identity | None:
        """As `check`; a token that is not known here may have been made a moment ago."""
        found = self.check(header)
        if found is not None or not user_of(header) or self.find_secret is None:
            return found
        now = self._clock()
        if now - self._looked_up_at < LOOK_UP_EVERY_S:
            return None
        self._looked_up_at = now
        try:
            secret = await self.find_secret()
        except FairwayError:
            return None  # what is mounted holds
        self._found = _read_kept({key: value for key, value in secret.items() if key.startswith(TOKEN_PREFIX)})
        return self.check(header)

    def find_account(self, user: str) -> Account | None:
        """What the token of `user` stands for now, None if there is none (any more)."""
        self._refresh()
        kept = self._found.get(user) or self._mounted.get(user)
        return Account(Identity(user, kept.role, kept.projects), kept.digest[:_MARK_LENGTH]) if kept is not None else None

    def find_worker(self, header: str) -> str | None:
        """The attempt or pool that a worker's token speaks for, None if it is not valid (any more)."""
        return check_token(self.signing_key, header, self._clock())

    def _refresh(self) -> None:
        """A mounted Secret is renewed as a whole: its folder changes then. What is written into a file that is there is seen soon."""
        now = time.monotonic()
        try:
            changed_at = Path(self._folder).stat().st_mtime_ns
        except OSError:
            return
        if changed_at == self._changed_at and now - self._looked_at < LOOK_EVERY_S:
            return
        self._changed_at, self._looked_at = changed_at, now
        folder = Path(self._folder)
        try:
            names = sorted(path for path in folder.iterdir() if path.name.startswith(TOKEN_PREFIX))
            version = tuple(stat.st_mtime_ns for stat in (path.stat() for path in (folder, *names)))
        except OSError:
            return
        if version != self._version:
            self._version = version
            self._mounted = _read_kept({path.name: self._read(path.name) for path in names})
            self._found = {}

    def _read(self, name: str) -> str:
        try:
            return (Path(self._folder) / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""


def _read_kept(values: Mapping[str, str]) -> dict[str, KeptToken]:
    """User -> what is kept of the token, by the Secret's keys."""
    found = {key.removeprefix(TOKEN_PREFIX): parse_kept(value) for key, value in values.items()}
    return {user: kept for user, kept in found.items() if kept is not None}
