"""The bytes of a call: its matrix, its rows, its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairway.serve.call import Call

SMALL_BYTES = 1 << 16
"""Up to here joining by a copy is quicker than finding out whether one is needed."""
decode_rows = msgspec.msgpack.Decoder(list[list[Any]]).decode


def joined(calls: Sequence[Call]) -> Any:
    """One array over the numbers of all calls."""
    import numpy as np

    first = calls[0]
    if len(calls) == 1:
        data: Any = first.payload
    elif sum(len(call.payload) for call in calls) <= SMALL_BYTES:
        data = b"".join([call.payload for call in calls])
    else:
        parts = [np.frombuffer(call.payload, np.uint8) for call in calls]
        data = _whole(parts)
        if data is None:
            data = np.concatenate(parts)
    columns = len(first.names) or -1
    made = np.frombuffer(data, first.dtype)
    return made.reshape(-1, columns) if columns > 0 else made.reshape(sum(call.rows for call in calls), -1)


def _whole(parts: list[Any]) -> Any:
    """The array that all `parts` are pieces of, one after another; None if they are not."""
    import numpy as np

    begin = parts[0].__array_interface__["data"][0]
    at = begin
    owner = getattr(parts[0].base, "obj", parts[0].base)
    for part in parts:
        if part.__array_interface__["data"][0] != at or getattr(part.base, "obj", part.base) is not owner:
            return None
        at += part.nbytes
    whole = np.frombuffer(owner, np.uint8)
    offset = begin - whole.__array_interface__["data"][0]
    return whole[offset : offset + at - begin]


def decode_json(call: Call) -> Any:
    if call.form == "raw" and call.content_type and "json" not in call.content_type:
        raise Refused(
            415, "FW-UNSUPPORTED", f"this model takes no {call.content_type}", hint="send JSON with content-type: application/json"
        )
    try:
        return msgspec.json.decode(call.payload)
    except msgspec.DecodeError as error:
        raise Refused(400, "FW-NOT-JSON", f"the body is not JSON: {error}", hint="check it with `python -m json.tool FILE`") from None
