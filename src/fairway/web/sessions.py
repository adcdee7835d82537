"""Sessions of browsers: a signed cookie each, and the codes that they are begun with.

The cookie itself says whose it is and until when; what its owner may do is asked of the owner's token each time. So a session ends with the
token that it was begun with, and the server keeps no list but of those that were ended before their time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fairway.spec.record import Record, record
from fairway.spec.tokens import check_text, derive_key, sign_text
from fairway.web.identity import Account, Identity

SESSION_S = 12 * 3600.0
CODE_S = 60.0
CODES_LIMIT = 1000
ENDED = "ended-sessions.json"
_ENDED_LIMIT = 10_000


class Accounts(Protocol):
    """What sessions need to know of users' tokens."""

    signing_key: str

    def find_account(self, user: str) -> Account | None:
        """What the token of `user` stands for now."""
        ...


@record
class Session(Record):
    """One browser that is signed in."""

    id: str
    identity: Identity
    expires_at: float


class Sessions:
    """Begins, finds and ends sessions. Those that were ended are kept in the file `ended`, as ids and when they would have ended."""

    def __init__(self, accounts: Accounts, ended: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._accounts, self._file, self._clock = accounts, ended, clock
        self._key = derive_key(accounts.signing_key, "session")
        self._csrf_key = derive_key(accounts.signing_key, "form")
        self._ended: dict[str, float] | None = None
        self._codes: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        # Browsers keep cookies by host alone: servers on several ports of one machine must not take each other's away.
        self.cookie = f"fairway_session_{hashlib.sha256(self._key.encode()).hexdigest()[:8]}"

    def begin(self, identity: Identity) -> tuple[Session, str]:
        """A new session and its cookie's value. Of an identity that came by a token or a code the account decides what it may."""
        via = "oidc" if identity.via == "oidc" else "session"
        account = self._accounts.find_account(identity.user) if via == "session" else None
        expires_at = float(int(self._clock() + SESSION_S))
        id, mark = os.urandom(16).hex(), account.mark if account is not None else ""
        said = [id, expires_at, identity.user, via, mark, identity.role, identity.projects]
        text = urlsafe_b64encode(msgspec.json.encode(said)).decode().rstrip("=")
        made = Session(id, Identity(identity.user, identity.role, identity.projects, via), expires_at)
        return made, sign_text(self._key, text)

    def find(self, cookie: str) -> Session | None:
        """The session of this cookie as it is now; None if it is over, was ended, or never was one."""
        text = check_text(self._key, cookie)
        if text is None:
            return None
        try:
            said: Any = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, NotBase64):
            return None
        id, expires_at, user, via, mark, role, projects = said
        if self._clock() >= expires_at or id in self._load():
            return None
        if via == "oidc":
            return Session(id, Identity(user, role, tuple(projects), via), expires_at)
        account = self._accounts.find_account(user)
        if account is None or not hmac.compare_digest(account.mark, mark):
            return None
        now = account.identity
        return Session(id, Identity(user, now.role, now.projects, via), expires_at)

    def end(self, session: Session) -> None:
        """End it now, on every server of this home that is started later, too."""
        now = self._clock()
        kept = {id: until for id, until in self._load().items() if until > now}
        kept[session.id] = session.expires_at
        self._ended = dict(list(kept.items())[-_ENDED_LIMIT:])
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._file.with_name(f"{self._file.name}.{os.urandom(4).hex()}")
        part.write_bytes(msgspec.json.encode(self._ended))
        part.replace(self._file)

    def form_token(self, session: Session) -> str:
        """What a form of this session carries: no other site can know it."""
        return hmac.digest(self._csrf_key.encode(), session.id.encode(), "sha256").hex()

    def is_form_token(self, session: Session, token: str) -> bool:
        """Was it given to this session?"""
        return hmac.compare_digest(self.form_token(session).encode(), token.encode("utf-8", "surrogatepass"))

    def make_code(self, identity: Identity) -> str:
        """A code that begins one session of `identity`, within the next minute."""
        now = self._clock()
        while self._codes and (len(self._codes) >= CODES_LIMIT or next(iter(self._codes.values()))[1] <= now):
            self._codes.popitem(last=False)
        code = urlsafe_b64encode(os.urandom(24)).decode()
        self._codes[_digest(code)] = identity, now + CODE_S
        return code

    def take_code(self, code: str) -> Identity | None:
        """Whose code it is; None if its time is over, it was taken before, or it never was one."""
        identity, until = self._codes.pop(_digest(code), (None, 0.0))
        return identity if self._clock() < until else None

    def _load(self) -> dict[str, float]:
        if self._ended is None:
            try:
                self._ended = msgspec.json.decode(self._file.read_bytes(), type=dict[str, float])
            except (OSError, ValueError):
                self._ended = {}
        return self._ended


def _digest(code: str) -> str:
    """Codes are looked up by their digest: how long that takes tells nothing of the code."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
