"""Inputs near others: bits flipped, parts cut, doubled, moved, mixed with a second input; and values that parsers stumble over."""

from __future__ import annotations

import random

_WORDS = (
    b"", b"\0", b"\xff" * 4, b'"', b'""', b"'", b"\\", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf",
    b"\xff\xfe", b"-1", b"1e999", b"nan",
    b"9223372036854775808", b"[" * 50, b"{" * 50,
    b"]", b"}", b'{"a":', b"null", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"<", b"&amp;", b"]]>",
    b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f", b"\0" * 16, b"2024-02-30", b"99/99/9999", b"0" * 400, b"A" * 5000,
)  # fmt: skip


def mutated(rng: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """A new input from one or two seeds."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                data[at:at] = rng.choice(_WORDS)
            case 3:
                del data[at : at + rng.choice((1, 2, 8, 64))]
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 8, 64, 512))] * rng.choice((1, 2, 5))
            case 5:
                other = rng.choice(seeds)
                start = rng.randrange(len(other) + 1)
                data[at:] = other[start:]
            case _:
                word = rng.choice(_WORDS)
                data[at : at + len(word)] = word
    return bytes(data[:200_000])
