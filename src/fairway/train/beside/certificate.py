"""A certificate that every machine of a gang makes for itself out of the gang's key, the same to the last byte: who shows it knows the key.

Programs that speak TLS (Dask's) can so be told to listen to their own gang alone, with no authority and no further package. Ed25519 (RFC
8032) has signatures without chance in them, which is what makes the certificates equal. A key signs one certificate, for one gang, so it
matters to nobody how long that takes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import textwrap
from functools import cache

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Point = tuple[int, int, int, int]
_ED25519 = b"\x30\x05\x06\x03\x2b\x65\x70"  # SEQUENCE { 1.3.101.112 }
_NAME = "fairway gang"


@cache
def make_certificate(key: str) -> tuple[str, str]:
    """(certificate, private key), both PEM."""
    seed = hmac.digest(key.encode(), b"fairway: the certificate of a gang", "sha256")
    secret = _sequence(_tag(0x02, b"\x00"), _ED25519, _tag(0x04, _tag(0x04, seed)))
    return _pem("CERTIFICATE", _certify(seed)), _pem("PRIVATE KEY", secret)


def _certify(seed: bytes) -> bytes:
    """Signed by itself, an authority for itself, for ever."""
    public = public_key(seed)
    id = hashlib.sha256(public).digest()[:20]
    name = _sequence(_tag(0x31, _sequence(_oid(3), _tag(0x0C, _NAME.encode()))))
    extensions = _sequence(
        _sequence(_oid(19), _CRITICAL, _tag(0x04, _sequence(_tag(0x01, b"\xff")))),  # an authority
        _sequence(_oid(15), _CRITICAL, _tag(0x04, _tag(0x03, b"\x02\x84"))),  # signs data and certificates
        _sequence(_oid(14), _tag(0x04, _tag(0x04, id))),
        _sequence(_oid(35), _tag(0x04, _sequence(_tag(0x80, id)))),
    )
    body = _sequence(
        _tag(0xA0, _tag(0x02, b"\x02")), _tag(0x02, b"\x01"), _ED25519, name,
        _sequence(_tag(0x17, b"200101000000Z"), _tag(0x18, b"99991231235959Z")), name,
        _sequence(_ED25519, _tag(0x03, b"\x00" + public)), _tag(0xA3, extensions),
    )  # fmt: skip
    return _sequence(body, _ED25519, _tag(0x03, b"\x00" + sign(seed, body)))


# Ed25519, as RFC 8032 has it in section 6


def public_key(seed: bytes) -> bytes:
    """Of the private key `seed`, 32 bytes."""
    return _compress(_multiply(_expand(seed)[0], _BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """64 bytes."""
    scalar, prefix = _expand(seed)
    nonce = _hash(prefix + message)
    point = _compress(_multiply(nonce, _BASE))
    challenge = _hash(point + public_key(seed) + message)
    return point + ((nonce + challenge * scalar) % _ORDER).to_bytes(32, "little")


def _expand(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254), digest[32:]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % _ORDER


def _add(a: _Point, b: _Point) -> _Point:
    low, high = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    cross, twice = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = high - low, twice - cross, twice + cross, high + low
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    found: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found


def _compress(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


# DER, in which certificates are written


def _tag(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (length if size < 128 else bytes([128 | len(length)]) + length) + content


def _sequence(*parts: bytes) -> bytes:
    return _tag(0x30, b"".join(parts))


def _oid(number: int) -> bytes:
    """2.5.29.NUMBER for an extension, 2.5.4.3 for a name."""
    return _tag(0x06, bytes([0x55, 0x04 if number == 3 else 0x1D, number]))


_CRITICAL = _tag(0x01, b"\xff")


def _pem(kind: str, data: bytes) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"
