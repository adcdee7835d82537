"""Ways to check one row of 23 named numbers within bounds, from bytes to checked values. Run by `serving-checks`: ROUNDS; prints JSON.

Everybody begins with the request's bytes and has to find a missing field, an unknown one, a wrong type and a number out of bounds. Ours
also gives the row as the model wants it, packed as floats. CPU time is counted: nothing here waits, and other processes count less.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

COLUMNS = tuple(f"column_{number:02d}" for number in range(23))
LEAST, MOST = -1e7, 1e7
Check = Callable[[bytes], Any]


def schema() -> dict[str, Any]:
    """Of one row."""
    properties = {name: {"type": "number", "minimum": LEAST, "maximum": MOST} for name in COLUMNS}
    return {"type": "object", "required": list(COLUMNS), "additionalProperties": False, "properties": properties}


def row() -> dict[str, float]:
    numbers = random.Random(0)
    return {name: round(numbers.uniform(-1e5, 1e5), 2) for name in COLUMNS}


def make_checks() -> dict[str, tuple[Check, bytes, list[bytes]]]:
    """Name -> the check, a good body, and bodies that it has to refuse. Those that are not installed are left out."""
    good = row()
    wrong = [
        {**good, COLUMNS[3]: "text"},
        {**good, "more": 1.0},
        {**good, COLUMNS[3]: 2e7},
        {name: value for name, value in good.items() if name != COLUMNS[5]},
    ]
    made: dict[str, tuple[Check, bytes, list[bytes]]] = {}
    for name, make in MAKERS.items():
        envelope: Callable[[Any], Any] = (lambda value: {"data": [value]}) if name.startswith("fairway") else (lambda value: value)
        if name == "fairway, values":  # without their names: what is there is counted
            short = list(good.values())
            bad = [[*short[:3], "text", *short[4:]], [*short, 1.0], [*short[:3], 2e7, *short[4:]], short[:-1]]
            bodies = [_bytes(envelope(value)) for value in (short, *bad)]
        else:
            bodies = [_bytes(envelope(value)) for value in (good, *wrong)]
        try:
            made[name] = (make(), bodies[0], bodies[1:])
        except ImportError:
            continue
    return made


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _fairway() -> Check:
    from fairway.data.schema.load import load_schema
    from fairway.serve.schema.checker import compile_checker

    document = {"type": "object", "properties": {"inputs": {"type": "array", "items": schema()}}}
    return compile_checker(load_schema(document, "schema.json")).read_json


def _msgspec() -> Check:
    import msgspec

    bounded = Annotated[float, msgspec.Meta(ge=LEAST, le=MOST)]
    return msgspec.json.Decoder(msgspec.defstruct("Row", [(name, bounded) for name in COLUMNS], forbid_unknown_fields=True)).decode


def _pydantic() -> Check:
    import pydantic

    bounded = Annotated[float, pydantic.Field(ge=LEAST, le=MOST)]
    fields: dict[str, Any] = dict.fromkeys(COLUMNS, (bounded, ...))
    return pydantic.create_model("Row", __config__=pydantic.ConfigDict(extra="forbid"), **fields).model_validate_json


def _fastjsonschema() -> Check:
    import fastjsonschema
    import orjson

    check = fastjsonschema.compile(schema())
    return lambda body: check(orjson.loads(body))


def _jsonschema_rs() -> Check:
    import jsonschema_rs
    import orjson

    validate = jsonschema_rs.validator_for(schema()).validate
    return lambda body: validate(orjson.loads(body))


def _jsonschema() -> Check:
    import jsonschema
    import orjson

    validate = jsonschema.Draft202012Validator(schema()).validate
    return lambda body: validate(orjson.loads(body))


MAKERS: dict[str, Callable[[], Check]] = {
    "fairway": _fairway, "fairway, values": _fairway, "msgspec": _msgspec, "pydantic": _pydantic, "fastjsonschema": _fastjsonschema,
    "jsonschema-rs": _jsonschema_rs, "jsonschema": _jsonschema,
}  # fmt: skip


def refuses(check: Check, body: bytes) -> bool:
    try:
        check(body)
    except Exception:
        return True
    return False


def time_call(check: Check, body: bytes, *, least_s: float = 0.1) -> float:
    """Microseconds of CPU time for each call, over at least so long."""
    count = 1
    while True:
        began = time.process_time()
        for _ in range(count):
            check(body)
        took = time.process_time() - began
        if took >= least_s:
            return took / count * 1e6
        count *= 2


def main(rounds: str) -> None:
    """{"name": {"us": [...], "missed": wrong rows that were let through}}, in turns."""
    checks = make_checks()
    found: dict[str, dict[str, Any]] = {
        name: {"us": [], "missed": sum(not refuses(check, body) for body in wrong)} for name, (check, _, wrong) in checks.items()
    }
    for _ in range(int(rounds)):
        for name, (check, good, _) in checks.items():
            found[name]["us"].append(time_call(check, good))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
