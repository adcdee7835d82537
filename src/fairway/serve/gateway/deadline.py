"""How long a request may take: what its caller says, within what the endpoint allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fairway.serve.refusal import Fault, Refused

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def read_timeout(headers: Mapping[bytes, bytes]) -> float:
    """Seconds that the caller gives (`fairway-timeout-ms: 250`, `grpc-timeout: 250m`); 0 if it says nothing. Raises Refused 400."""
    value = headers.get(b"fairway-timeout-ms")
    if value is not None:
        if not value.isdigit() or len(value) > 12 or int(value) == 0:
            raise _refused("fairway-timeout-ms", value, "milliseconds, a whole number from 1")
        return int(value) / 1000
    value = headers.get(b"grpc-timeout")
    if value is None:
        return 0.0
    number, unit = value[:-1], _UNITS.get(value[-1:])
    if unit is None or not number.isdigit() or len(number) > 8:
        raise _refused("grpc-timeout", value, "up to 8 digits and a unit out of H, M, S, m, u, n")
    return max(int(number) * unit, 1e-6)


def _refused(name: str, value: bytes, expected: str) -> Refused:
    came = repr(value[:40].decode("latin-1"))
    return Refused(400, "FW-REQUEST", f"the header {name} cannot be read", faults=(Fault(-1, name, came, expected),))
