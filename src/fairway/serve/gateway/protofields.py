"""Just enough of protobuf's wire format to find a text in a message, and to write one. Pure."""

from __future__ import annotations


def read_field(message: bytes, number: int) -> bytes:
    """The last value of a text or bytes field at the top of the message; empty if there is none, or if it is no message."""
    found = b""
    at, end = 0, len(message)
    while at < end:
        tag, at = _read_number(message, at)
        if tag < 0:
            return b""
        kind = tag & 7
        if kind == 2:
            size, at = _read_number(message, at)
            if size < 0 or at + size > end:
                return b""
            if tag >> 3 == number:
                found = message[at : at + size]
            at += size
        elif kind == 0:
            value, at = _read_number(message, at)
            if value < 0:
                return b""
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return b""
    return found if at == end else b""


def write_text(number: int, text: str) -> bytes:
    """A text field of fewer than 128 bytes."""
    data = text.encode()
    return bytes((number << 3 | 2, len(data))) + data


def _read_number(message: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the place after it; -1 if there is none."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return -1, at
