"""Who may do what for how long, as text: users' tokens, tokens of attempts and pools, addresses of single blobs.

Of a user's token the server keeps the digest. The others are signed with a key that never leaves the server (hex text, as it stands in
its secret); it keeps no list of them: what it needs to know is in what was signed. `now` and `expires_at` are epoch seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from fairway.errors import ConfigError
from fairway.spec.record import Record, record
from fairway.spec.target import ROLES

HEADER = "Fairway-Token"
_KIND = "w1"
_USER_TOKEN = re.compile(r"u1\.([a-z0-9][a-z0-9_-]{0,62})\.([A-Za-z0-9_-]{16,200})")


@record
class KeptToken(Record):
    """What the server keeps of a user's token: its digest, and what its owner may do. `projects` () are all."""

    digest: str
    role: str = "admin"
    projects: tuple[str, ...] = ()


def render_kept(kept: KeptToken) -> str:
    """What stands in the server's Secret: a bare digest is a token that may do everything."""
    if kept.role == "admin" and not kept.projects:
        return kept.digest
    return json.dumps({"digest": kept.digest, "role": kept.role, "projects": list(kept.projects)})


def parse_kept(text: str) -> KeptToken | None:
    """The inverse of `render_kept`; None for what is neither: a token that cannot be read lets nobody in."""
    text = text.strip()
    if not text.startswith("{"):
        return KeptToken(text) if text else None
    try:
        found = json.loads(text)
        digest, role, projects = found["digest"], found.get("role", "view"), found.get("projects", [])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = isinstance(digest, str) and isinstance(projects, list) and all(isinstance(one, str) for one in projects)
    return KeptToken(digest, role, tuple(projects)) if texts and digest and role in ROLES else None


GATEWAYS = "gateway"
"""The purpose of the key that a server shares with its gateways."""


def derive_key(key: str, purpose: str) -> str:
    """A key for one purpose: what is signed for one cannot be passed off as what is signed for another."""
    return hmac.digest(key.encode(), f"fairway {purpose}".encode(), "sha256").hex()


def sign_text(key: str, text: str) -> str:
    """ "TEXT.SIGNATURE", for text without blanks."""
    return f"{text}.{_sign(key, text)}"


def check_text(key: str, signed: str) -> str | None:
    """The text that was signed with `key`; None if it was not."""
    text, dot, signature = signed.rpartition(".")
    return text if dot and _same(signature, _sign(key, text)) else None


def make_user_token(user: str) -> str:
    """A new token "u1.USER.SECRET". Raises ConfigError for a name that cannot be one."""
    token = f"u1.{user}.{os.urandom(24).hex()}"
    if _USER_TOKEN.fullmatch(token) is None:
        raise ConfigError(f"{user!r} cannot be a user's name", hint="use small letters, digits, hyphens and underscores")
    return token


def digest_token(token: str) -> str:
    """What the server's Secret keeps of a user's token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def user_of(token: str) -> str:
    """Whom a token says it belongs to, "" if it is no user's token."""
    found = _USER_TOKEN.fullmatch(token)
    return found[1] if found else ""


def sign_token(key: str, id: str, expires_at: float) -> str:
    """The token of an attempt or a pool: "w1.ID.EXPIRY.SIGNATURE"."""
    text = f"{_KIND}.{id}.{int(expires_at)}"
    return f"{text}.{_sign(key, text)}"


def check_token(key: str, token: str, now: float) -> str | None:
    """The id that a token speaks for; None if it was not signed with `key`, or its time is over."""
    text, _, signature = token.rpartition(".")
    kind, _, rest = text.partition(".")
    id, _, expiry = rest.rpartition(".")
    if kind != _KIND or not id or not _is_number(expiry) or not _same(signature, _sign(key, text)):
        return None
    return id if now < int(expiry) else None


def worker_id(token: str) -> str:
    """The id that a token says it speaks for, unchecked; "" if it is no worker's token."""
    kind, _, rest = token.rpartition(".")[0].partition(".")
    return rest.rpartition(".")[0] if kind == _KIND else ""


def sign_url(key: str, method: str, blob_key: str, expires_at: float, size: int = -1) -> str:
    """The query of an address at which `blob_key` may be read ("GET") or written ("PUT", with `size` bytes if that is not -1)."""
    given = f"&n={size}" if size >= 0 else ""
    return f"e={int(expires_at)}{given}&s={_sign(key, _url_text(method, blob_key, int(expires_at), size))}"


def check_url(key: str, method: str, blob_key: str, query: str | Mapping[str, str], now: float) -> bool:
    """May this be done now? HEAD needs what GET needs."""
    said = dict(parse_qsl(query)) if isinstance(query, str) else query
    expiry, size, signature = said.get("e", ""), said.get("n", "-1"), said.get("s", "")
    if not _is_number(expiry) or not (size == "-1" or _is_number(size)):
        return False
    text = _url_text("GET" if method == "HEAD" else method, blob_key, int(expiry), int(size))
    return _same(signature, _sign(key, text)) and now < int(expiry)


def blob_url(blob_key: str, query: str) -> str:
    """Path and query of a blob at the blobs' port."""
    return f"/b/{quote(blob_key)}?{query}"


def _url_text(method: str, blob_key: str, expiry: int, size: int) -> str:
    return f"{method}\n{blob_key}\n{expiry}\n{size}"


def _sign(key: str, text: str) -> str:
    return hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hex()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
