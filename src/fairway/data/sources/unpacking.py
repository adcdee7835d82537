"""Compressed files, unpacked as they are read: gzip, bzip2, xz, zstandard, and zip of one file. Bombs are refused."""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

from fairway.errors import ConfigError, UnsupportedError

PIECE = 1 << 18
_MAGIC = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)  # fmt: skip
_NAMES = {"gz": "gzip", "gzip": "gzip", "bz2": "bz2", "xz": "xz", "lzma": "xz", "zst": "zstd", "zstd": "zstd", "zip": "zip", "none": ""}
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_FREE_BYTES = 16 << 20
_XZ_MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file may unpack: `ratio` times its size once it is past 16 MiB, and `size_bytes` in all (0: without bound)."""

    ratio: float = 500.0
    size_bytes: int = 0
    member: str = ""

    @classmethod
    def parse(cls, options: dict[str, Any]) -> Limits:
        """From `max_ratio`, `max_bytes` (a number, or "50 GB"), `member`. Raises ConfigError."""
        ratio, size = options.get("max_ratio", 500), options.get("max_bytes", 0)
        try:
            if isinstance(size, str):
                number = size.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
                size = float(number) * _UNITS[size[len(number) :].strip().lower()]
            return cls(float(ratio), int(size), str(options.get("member", "")))
        except (ValueError, KeyError, TypeError, OverflowError):
            raise ConfigError(
                f"max_bytes={size!r}, max_ratio={ratio!r}: not sizes", hint='write max_bytes="50 GB", max_ratio=1000'
            ) from None


def find_packing(path: str, begin: bytes, pinned: str) -> str:
    """ "gzip", "bz2", "xz", "zstd", "zip" or "" by the first bytes. Raises ConfigError for a pinned one that is unknown."""
    if pinned:
        if pinned.lower() not in _NAMES:
            raise ConfigError(f"compression={pinned!r} is not known", hint="gzip, bz2, xz, zstd, zip or none")
        return _NAMES[pinned.lower()]
    del path
    return next((name for magic, name in _MAGIC if begin.startswith(magic)), "")


def unpacked(file: BinaryIO, packing: str, path: str, limits: Limits) -> Iterator[bytes]:
    """The bytes of `file`, unpacked, in pieces of at most a quarter of a megabyte. Raises ConfigError for damage and for bombs."""
    taken = [0]

    def pieces() -> Iterator[bytes]:
        while piece := file.read(PIECE):
            taken[0] += len(piece)
            yield piece

    made = 0
    try:
        for piece in _OPENERS[packing](file, pieces(), path, limits):
            made += len(piece)
            if limits.size_bytes and made > limits.size_bytes:
                raise ConfigError(f"{path} holds more than the {limits.size_bytes:,} bytes that max_bytes allows", hint="raise max_bytes=")
            if packing and made > _FREE_BYTES and made > limits.ratio * max(1, taken[0] or file.tell()):
                raise ConfigError(
                    f"{path} unpacks to more than {limits.ratio:g} times its size ({made:,} bytes so far): it looks like a bomb",
                    hint="if it is not, raise max_ratio=",
                )
            yield piece
    except (zlib.error, OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise ConfigError(f"{path} cannot be unpacked as {packing or 'it is'}: {error}", hint="was it cut off? copy it again") from error


def _plain(_file: BinaryIO, pieces: Iterator[bytes], _path: str, _limits: Limits) -> Iterator[bytes]:
    yield from pieces


def _gzip(_file: BinaryIO, pieces: Iterator[bytes], _path: str, _limits: Limits) -> Iterator[bytes]:
    """All members, one after the other."""
    one, begun = zlib.decompressobj(31), False
    for piece in pieces:
        while piece:
            begun = True
            yield one.decompress(piece, PIECE)
            piece = one.unconsumed_tail
            if one.eof:
                piece, one, begun = one.unused_data.lstrip(b"\0"), zlib.decompressobj(31), False
    if begun:
        yield one.flush()
        raise EOFError("it ends before its end")


def _bz2(_file: BinaryIO, pieces: Iterator[bytes], _path: str, _limits: Limits) -> Iterator[bytes]:
    yield from _members(pieces, bz2.BZ2Decompressor)


def _xz(_file: BinaryIO, pieces: Iterator[bytes], _path: str, _limits: Limits) -> Iterator[bytes]:
    yield from _members(pieces, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))


def _members(pieces: Iterator[bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    one, begun = new(), False
    for piece in pieces:
        while piece or (begun and not one.needs_input):
            begun = True
            yield one.decompress(piece, PIECE)
            piece = b""
            if one.eof:
                piece, one, begun = one.unused_data.lstrip(b"\0"), new(), False
    if begun:
        raise EOFError("it ends before its end")


def _zstd(file: BinaryIO, pieces: Iterator[bytes], path: str, _limits: Limits) -> Iterator[bytes]:
    try:
        library = import_module("compression.zstd")  # Python 3.14
    except ImportError:
        library = None
    if library is not None:
        yield from _members(pieces, library.ZstdDecompressor)
        return
    try:
        zstandard = import_module("zstandard")
    except ImportError:
        raise UnsupportedError(
            f"{path} is compressed with zstandard, which this Python cannot unpack", hint="pip install zstandard"
        ) from None
    counted = _Counted(pieces)
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(counted, read_across_frames=True, closefd=False) as reader:
        del file
        try:
            while piece := reader.read(PIECE):
                yield piece
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error


class _Counted:
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1) -> bytes:
        return next(self._pieces, b"")


def _zip(file: BinaryIO, _pieces: Iterator[bytes], path: str, limits: Limits) -> Iterator[bytes]:
    """The one file in it, or the one that `member` names."""
    with zipfile.ZipFile(file) as archive:
        names = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX/")]
        if limits.member and limits.member not in names:
            raise ConfigError(f"{path} holds no {limits.member!r}", hint="it holds: " + ", ".join(names[:10]))
        if not limits.member and len(names) != 1:
            raise ConfigError(f"{path} holds {len(names)} files", hint=f"choose one with member=…: {', '.join(names[:10])}")
        info = archive.getinfo(limits.member or names[0])
        if info.flag_bits & 1:
            raise ConfigError(f"{path} is encrypted", hint="unpack it first")
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _FREE_BYTES and ratio > limits.ratio:
            raise ConfigError(
                f"{path} says that it unpacks to {ratio:,.0f} times its size: it looks like a bomb", hint="if it is not, raise max_ratio="
            )
        with archive.open(info) as member:
            while piece := member.read(PIECE):
                yield piece


_OPENERS: dict[str, Callable[[BinaryIO, Iterator[bytes], str, Limits], Iterator[bytes]]] = {
    "": _plain, "gzip": _gzip, "bz2": _bz2, "xz": _xz, "zstd": _zstd, "zip": _zip,
}  # fmt: skip
