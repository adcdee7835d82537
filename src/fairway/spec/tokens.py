"""Who may do what for how long, as signed text: tokens of attempts and pools, and addresses of single blobs.

The server signs with a key that never leaves it (hex text, as it stands in its secret) and keeps no list: what it needs to know is in
what was signed. `now` and `expires_at` are epoch seconds.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

HEADER = "Fairway-Token"
_KIND = "w1"


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
