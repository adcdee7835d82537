"""`POST /ENDPOINT/feedback`: the truth about an answer that was given, kept before it is acknowledged."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.protocols.requests import need_json
from fairway.serve.refusal import Fault, Refused

if TYPE_CHECKING:
    from fairway.serve.gateway.gateway import Gateway
    from fairway.serve.gateway.job import Job

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MOST = 1_000
_BYTES = 1 << 20
_FIELDS = "an object with 'id' (of the answer), 'label' (the truth) and perhaps 'user'"


def parse_feedback(body: bytes) -> list[dict[str, Any]]:
    """One record or a list of them. Raises Refused 400 or 413, naming the row and the field."""
    if len(body) > _BYTES:
        raise Refused(413, "FW-TOO-LARGE", f"feedback of {len(body) / 1e6:.1f} MB: at most {_BYTES / 1e6:.1f} MB at once")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, "FW-NOT-JSON", f"feedback is not JSON: {error}", hint=f"send {_FIELDS}") from error
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not rows or len(rows) > _MOST:
        raise Refused(400, "FW-INPUT", f"feedback has {len(rows):,} records: 1 to {_MOST:,} are taken at once")
    faults = [fault for at, row in enumerate(rows) for fault in _check(row, at if isinstance(value, list) else -1)][:20]
    if faults:
        raise Refused(400, "FW-INPUT", "feedback cannot be taken: " + faults[0].text, faults=tuple(faults), hint=f"each is {_FIELDS}")
    return rows


def _check(row: Any, at: int) -> list[Fault]:
    if not isinstance(row, dict):
        return [Fault(at, "", _name(row), _FIELDS)]
    faults: list[Fault] = []
    if not isinstance(row.get("id"), str) or not _ID.fullmatch(row["id"]):
        faults.append(
            Fault(at, "id", _name(row["id"]) if "id" in row else "nothing", "the id of an answer (its header fairway-request-id)")
        )
    if "label" not in row:
        faults.append(Fault(at, "label", "nothing", "the truth: any JSON value"))
    if not isinstance(row.get("user", ""), str):
        faults.append(Fault(at, "user", _name(row["user"]), "text"))
    if isinstance(row.get("at", 0.0), bool) or not isinstance(row.get("at", 0.0), int | float):
        faults.append(Fault(at, "at", _name(row["at"]), "seconds since 1970"))
    return faults


def _name(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return kinds.get(type(value)) or f"the number {value}"


async def take_feedback(gateway: Gateway, job: Job) -> None:
    """Answer one request of feedback: 200 when it is on the disk."""
    exchange, service = job.exchange, job.service
    try:
        need_json(exchange)
        rows = parse_feedback(exchange.body)
        if gateway.spool is None:
            raise Refused(501, "FW-UNSUPPORTED", "this gateway keeps no feedback", hint="start it with --spool FOLDER")
        now = time.time()
        for row in rows:
            row.setdefault("at", now)
            row.pop("caller", None)
            if job.caller:
                row["caller"] = job.caller
        await gateway.spool.write_durably(service.name, *rows)
    except Refused as refused:
        gateway.refuse(exchange, refused, service, job.caller)
        return
    exchange.reply(200, msgspec.json.encode({"accepted": len(rows), "id": exchange.id}))
