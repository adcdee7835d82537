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
from fairway.spec.tokens import check_token, digest_token, user_of

SECRETS_FOLDER = "/etc/fairway/server"
SIGNING_KEY = "signing-key"
JOURNAL_KEY = "journal"
TOKEN_PREFIX = "token."
LOOK_UP_EVERY_S = 2.0

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
        self._mounted: dict[str, str] = {}
        self._found: dict[str, str] = {}
        self._version: tuple[int, ...] = ()
        self.signing_key = self._read(SIGNING_KEY)
        if not self.signing_key:
            raise ConfigError(f"there is no {SIGNING_KEY} in {folder}", hint="`fairway up` makes one; it is a Secret of the server's")

    def check(self, header: str) -> str | None:
        """The user whose token it is, None if it is nobody's, as far as is known here."""
        user = user_of(header)
        if not user:
            return None
        self._refresh()
        known = (self._mounted.get(user, ""), self._found.get(user, ""))
        digest = digest_token(header)
        return user if any(hmac.compare_digest(digest, one) for one in known if one) else None

    async def find_user(self, header: str) -> str | None:
        """As `check`; a token that is not known here may have been made a moment ago."""
        user = self.check(header)
        if user is not None or not user_of(header) or self.find_secret is None:
            return user
        now = self._clock()
        if now - self._looked_up_at < LOOK_UP_EVERY_S:
            return None
        self._looked_up_at = now
        try:
            secret = await self.find_secret()
        except FairwayError:
            return None  # what is mounted holds
        self._found = {key.removeprefix(TOKEN_PREFIX): value.strip() for key, value in secret.items() if key.startswith(TOKEN_PREFIX)}
        return self.check(header)

    def find_worker(self, header: str) -> str | None:
        """The attempt or pool that a worker's token speaks for, None if it is not valid (any more)."""
        return check_token(self.signing_key, header, self._clock())

    def _refresh(self) -> None:
        """A mounted Secret is renewed as a whole: its folder's link then leads elsewhere."""
        folder = Path(self._folder)
        try:
            names = sorted(path for path in folder.iterdir() if path.name.startswith(TOKEN_PREFIX))
            version = tuple(stat.st_mtime_ns for stat in (path.stat() for path in (folder, *names)))
        except OSError:
            return
        if version != self._version:
            self._version = version
            self._mounted = {path.name.removeprefix(TOKEN_PREFIX): self._read(path.name) for path in names}
            self._found = {}

    def _read(self, name: str) -> str:
        try:
            return (Path(self._folder) / name).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""
