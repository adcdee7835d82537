"""Checks a request: path, query, body, what the caller accepts. What is wrong is said by field."""

from __future__ import annotations

import typing
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from fairway.web.operation import JSON, Operation
from fairway.web.problem import Refused

S = TypeVar("S", bound=msgspec.Struct)
BODY_LIMIT_BYTES = 16 << 20
_NAME_LIMIT = 1024


def read_path(request: Request) -> dict[str, str]:
    """The path's parameters. Raises 404 for what nothing can be named."""
    for name, value in request.path_params.items():
        if not value or len(value) > _NAME_LIMIT or not value.isprintable() or "\ufffd" in value:
            raise Refused(404, f"there is no {name} of this name", code="FW-NOT-FOUND", where=f"path.{name}")
    return dict(request.path_params)


def read_query(request: Request, kind: type[msgspec.Struct]) -> Any:
    """The query as `kind`; a field that is a list may be given several times. Raises 422."""
    given: dict[str, Any] = {}
    several = {field.name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    for name, value in request.query_params.multi_items():
        if name in several:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise _invalid(f"the parameter {name!r} is given twice", f"query.{name}")
        else:
            given[name] = value
    known = {field.name for field in msgspec.structs.fields(kind)}
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise _invalid(f"there is no parameter {name[:80]!r}", f"query.{name[:80]}", hint=f"the parameters: {listed}")
    if any("\0" in text for value in given.values() for text in (value if isinstance(value, list) else [value])):
        raise _invalid("a parameter contains a NUL", "query")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _from_msgspec(error, "query") from None


async def read_body(request: Request, kind: type[msgspec.Struct] | None) -> Any:
    """The JSON body as `kind`; None where none is taken. Raises 400, 413, 415, 422."""
    if kind is None:
        return None
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != JSON:
        raise Refused(415, f"the body must be {JSON}, not {media[:80] or 'untyped'}", code="FW-UNSUPPORTED")
    data = await read_bytes(request, BODY_LIMIT_BYTES)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _from_msgspec(error, "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}", code="FW-CONFIG") from None


def convert(value: Any, kind: type[S], place: str) -> S:
    """Plain data as `kind`. Raises 422 with the field below `place`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _from_msgspec(error, place) from None


async def read_bytes(request: Request, limit: int) -> bytes:
    """The whole body. Raises 413 as soon as it is larger than `limit`."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said[:20]) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)


def check_accept(request: Request, operation: Operation) -> None:
    """Raises 406 if the caller accepts nothing that this operation answers with."""
    accept = request.headers.get("accept", "")
    if not accept.strip():
        return
    wanted = [_media_range(part) for part in accept.split(",")]
    offered = [media.partition(";")[0] for media in operation.media]
    for media in offered:
        kind = media.partition("/")[0]
        if any(quality > 0 and name in (media, f"{kind}/*", "*/*") for name, quality in wanted):
            return
    if "*/*" in offered:
        return
    raise Refused(406, f"this answers with {' or '.join(offered)}, not with {accept[:80]}", code="FW-UNSUPPORTED")


def too_large(limit: int) -> Refused:
    """A body that is over the limit."""
    return Refused(
        413, f"the body is larger than {limit >> 20} MiB", hint="large blobs go to the blobs' port: POST /blobs", code="FW-CONFIG"
    )


def _invalid(message: str, where: str, *, hint: str = "") -> Refused:
    return Refused(422, message, where=where, hint=hint, code="FW-CONFIG")


def _from_msgspec(error: msgspec.ValidationError, place: str) -> Refused:
    message, _, path = str(error).partition(" - at ")
    return _invalid(message, f"{place}{path.strip('`').removeprefix('$').removeprefix('key in $')}")


def _media_range(text: str) -> tuple[str, float]:
    name, _, parameters = text.strip().partition(";")
    quality = next((part.strip()[2:] for part in parameters.split(";") if part.strip().startswith("q=")), "1")
    try:
        return name.strip().lower(), float(quality)
    except ValueError:
        return name.strip().lower(), 1.0


def _is_list(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        hint = hint.__origin__
    return typing.get_origin(hint) is tuple
