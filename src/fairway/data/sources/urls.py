"""URLs with passwords: what may be shown of them."""

from __future__ import annotations

import re
from urllib.parse import unquote

_USER = re.compile(r"(?P<before>^[A-Za-z][\w+.-]*://[^/?#@:]*:)(?P<password>[^@]*(?:@[^@/?#]*)*?)(?=@[^@/]*(?:[/?#]|$))")
_SECRET = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:password|passwd|pwd|secret|token|passphrase|access_?key|account_?key|signature|sig))=)([^&;]*)"
)


def shown(uri: str) -> str:
    """The URL with *** for each password."""
    if "://" not in uri:
        return uri
    return _SECRET.sub(r"\1***", _USER.sub(r"\g<before>***", uri))


def secrets_of(uri: str) -> list[str]:
    """The passwords in a URL, as they stand there and as they are meant."""
    if "://" not in uri:
        return []
    found = [one["password"] for one in _USER.finditer(uri)] + [one[2] for one in _SECRET.finditer(uri)]
    return sorted({spelt for one in found if one for spelt in (one, unquote(one))}, key=len, reverse=True)


def without(text: str, secrets: list[str]) -> str:
    """A text, of a library's error for instance, in which no password stands."""
    for one in secrets:
        text = text.replace(one, "***")
    return text
