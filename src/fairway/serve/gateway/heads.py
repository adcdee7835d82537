"""What of a request's headers goes to a replica, and what of its answer's comes back: nothing of one connection reaches the other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Header = tuple[bytes, bytes]

_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade"}
)  # fmt: skip
_NOT_ASKED = _HOP | {
    b"host", b"content-length", b"expect", b"http2-settings", b"fairway-caller", b"fairway-replica", b"fairway-request-id",
    b"fairway-revision", b"fairway-shadow", b"fairway-timeout-ms", b"grpc-timeout", b"x-forwarded-for", b"x-forwarded-host",
    b"x-forwarded-prefix", b"x-forwarded-proto", b"x-request-id",
}  # fmt: skip
_SECRET = frozenset({b"authorization", b"x-api-key"})
_NOT_ANSWERED = _HOP | {b"content-length", b"content-type", b"date", b"fairway-replica", b"fairway-request-id", b"fairway-revision"}


def render_request(
    first: bytes, headers: Mapping[bytes, bytes], added: Iterable[Header], *, size: int, hides_key: bool
) -> bytes:  # fmt: skip
    """The head of a request to a replica. `first`: the request line and what else stands before; `added`: what the gateway says itself;
    `hides_key`: the caller's key was for us, not for the model's code."""
    named = headers.get(b"connection")
    skipped = _NOT_ASKED if named is None else _NOT_ASKED | _split(named)
    if hides_key:
        skipped = skipped | _SECRET
    lines = [first]
    lines += [b"%b: %b\r\n" % item for item in headers.items() if item[0] not in skipped]
    lines += [b"%b: %b\r\n" % item for item in added]
    lines.append(b"content-length: %d\r\n\r\n" % size if size >= 0 else b"\r\n")
    return b"".join(lines)


def forwarded(headers: Mapping[bytes, bytes], peer: str, *, is_encrypted: bool, prefix: str) -> tuple[Header, ...]:
    """`X-Forwarded-*`: what a proxy before us said is kept, our own caller is added behind it."""
    before = headers.get(b"x-forwarded-for")
    caller = peer.encode() or b"unknown"
    made = [
        (b"x-forwarded-for", before + b", " + caller if before else caller),
        (b"x-forwarded-proto", headers.get(b"x-forwarded-proto") or (b"https" if is_encrypted else b"http")),
    ]
    host = headers.get(b"x-forwarded-host") or headers.get(b"host")
    if host:
        made.append((b"x-forwarded-host", host))
    if prefix:
        made.append((b"x-forwarded-prefix", headers.get(b"x-forwarded-prefix", b"").rstrip(b"/") + prefix.encode("latin-1")))
    return tuple(made)


def answer_headers(headers: Iterable[Header], prefix: str, path: str = "") -> tuple[bytes, list[Header]]:
    """The content type of an answer, and what else of its headers the caller gets. Places below the replica's root are below `prefix`.
    `path`: what the caller asked for; a place beside the root is another for who asked without a slash at the end."""
    kind = b"application/octet-stream"
    kept: list[Header] = []
    dropped: frozenset[bytes] = frozenset()
    for header in headers:
        name, value = header
        if name == b"content-type":
            kind = value
        elif name == b"connection":
            dropped = _split(value)
        elif name not in _NOT_ANSWERED:
            if name == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
                header = (name, prefix.encode("latin-1") + value)
            elif name == b"location" and path == prefix != "" and not value.startswith(b"/") and b":" not in value.partition(b"/")[0]:
                header = (name, prefix[1:].encode("latin-1") + b"/" + value)
            kept.append(header)
    return kind, [header for header in kept if header[0] not in dropped] if dropped else kept


def _split(value: bytes) -> frozenset[bytes]:
    return frozenset(part.strip().lower() for part in value.split(b","))
