"""Reading requests: content types, what a caller accepts, compressed bodies."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from fairway.serve.protocols.serving import Serving, shorten
from fairway.serve.refusal import Refused, too_large
from fairway.serve.schema import careful

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

T = TypeVar("T")


FORM = "application/x-www-form-urlencoded"
"""What curl says of whatever it sends with -d; the examples of V1 and V2 that everybody copies do so."""


def content_type(exchange: Exchange) -> str:
    """The media type alone, in small letters; "" if none was said. JSON that curl -d calls a form is JSON, unless a page of another site
    sends it: browsers send forms anywhere without asking."""
    found = exchange.headers.get(b"content-type")
    if found is None:
        return ""
    kind = found.partition(b";")[0].strip().lower().decode("latin-1")
    if kind == FORM and bytes(exchange.body).lstrip()[:1] in (b"{", b"[") and not _is_foreign(exchange):
        return "application/json"
    return kind


def _is_foreign(exchange: Exchange) -> bool:
    """Does a browser say that it comes from a page of another site?"""
    origin = exchange.headers.get(b"origin")
    host = exchange.headers.get(b"host", b"")
    return origin is not None and (not host or origin.lower().partition(b"://")[2] != host.lower())


def is_json(kind: str) -> bool:
    return kind in ("application/json", "", "text/json") or kind.endswith("+json")


def need_json(exchange: Exchange, *others: str) -> None:
    """Raises Refused 415 for another content type than JSON's or `others`."""
    kind = content_type(exchange)
    if not is_json(kind) and kind not in others:
        raise Refused(
            415, "FW-UNSUPPORTED", f"the content type is {shorten(kind)!r}, expected application/json",
            hint="send the header content-type: application/json",
        )  # fmt: skip


def read_body(serving: Serving, exchange: Exchange) -> bytes:
    """The body, unpacked if it came compressed; never more than the limit. Raises Refused 400, 413, 415."""
    encoding = exchange.headers.get(b"content-encoding")
    if encoding is None or encoding == b"identity":
        return exchange.body
    kind = encoding.strip().lower()
    if kind not in (b"gzip", b"deflate"):
        raise Refused(415, "FW-UNSUPPORTED", f"the content encoding is {shorten(kind.decode('latin-1'))!r}, expected gzip or deflate")
    limit = serving.limits.body_bytes
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16 if kind == b"gzip" else zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(exchange.body, limit + 1)
    except zlib.error:
        raise Refused(400, "FW-REQUEST", f"the body is not what its content encoding says: {kind.decode()}") from None
    if len(body) > limit:
        raise too_large(limit, 0)
    if not unpacker.eof:
        raise Refused(400, "FW-REQUEST", f"the body ends too early for {kind.decode()}")
    return body


def query_of(exchange: Exchange) -> dict[str, str]:
    """The query; the last of several values of a name. Raises Refused 400 for more than a hundred."""
    if not exchange.query:
        return {}
    try:
        return dict(parse_qsl(exchange.query, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Refused(400, "FW-REQUEST", "the query has more than 100 fields") from None


def choose(exchange: Exchange, offers: tuple[str, ...]) -> str:
    """What of `offers` (the first is the usual one) the caller likes best. Raises Refused 406."""
    accept = exchange.headers.get(b"accept")
    if accept is None or accept in (b"*/*", b"application/json"):
        return offers[0] if accept != b"application/json" or "application/json" not in offers else "application/json"
    best, best_rank = "", (0.0, 0)
    for part in accept.decode("latin-1").lower().split(","):
        kind, _, rest = part.partition(";")
        kind, quality = kind.strip(), _quality(rest)
        for offer in offers:
            exact = 2 if kind == offer else 1 if kind == f"{offer.partition('/')[0]}/*" else 0
            if (exact or kind == "*/*") and quality > 0 and (quality, exact) > best_rank:
                best, best_rank = offer, (quality, exact)
    if best:
        return best
    raise Refused(406, "FW-UNSUPPORTED", f"accept is {shorten(accept.decode('latin-1'))!r}; this can be answered as {', '.join(offers)}")


def _quality(text: str) -> float:
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def decode_body(decode: Callable[[Any], T], body: bytes | memoryview, where: str = "the body", raw: tuple[str, ...] = ()) -> T:
    """What `decode` makes of JSON. Raises Refused 400 for what is none, or is not of the protocol's form. NaN may stand in the fields
    `raw`, whose text is left to who knows the schema."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        raise Refused(
            400, "FW-REQUEST", f"{where} is not of the protocol's form: {(place.strip('`') + ': ') if place else ''}{what}"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        found = careful.members(body, where)
        if not any(name in found for name in raw):
            raise Refused(400, "FW-NOT-JSON", f"{where} is not JSON: {error}") from None
        beside = b",".join(b"%b:%b" % (msgspec.json.encode(name), text) for name, text in found.items() if name not in raw)
        request = decode_body(decode, b"{%b}" % beside, where)
        for name in raw:
            if name in found:
                setattr(request, name, msgspec.Raw(found[name]))
        return request


def to_text(refused: Refused) -> str:
    """A refusal as one text, for protocols whose errors are texts."""
    faults = "; ".join(fault.text for fault in refused.faults if fault.text.removeprefix("field ") not in refused.message)
    text = refused.message
    if faults:
        text += f"{'; ' if len(refused.faults) > 1 and refused.faults[0].text in text else ': '}{faults}"
    return f"{text} ({refused.hint})" if refused.hint else text
