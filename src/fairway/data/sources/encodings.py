"""Which encoding a text is in: by its byte order mark, else by what its bytes can and cannot be."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from fairway.errors import ConfigError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")
_LONG_RUN = 3.0


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec's name in Python, the bytes of its mark, and how it is known: "mark", "bytes" (certain), "guess", "pinned"."""

    name: str
    mark: int = 0
    known: str = "bytes"


def find_encoding(sample: bytes, pinned: str = "", *, whole: bool = False) -> Encoding:
    """The encoding of a text that begins with `sample`. Raises ConfigError for a pinned one that is unknown."""
    for mark, name in _MARKS:
        if sample.startswith(mark):
            if pinned and _plain(pinned) not in (name, name.rpartition("-")[0], name + "-sig"):
                break
            return Encoding(name, len(mark), "mark")
    if pinned:
        return Encoding(_plain(pinned), 0, "pinned")
    wide = _by_zeros(sample)
    if wide:
        return Encoding(wide, 0, "guess")
    if decodes(sample, "utf-8", whole=whole):
        return Encoding("utf-8")
    return Encoding(_legacy(sample, whole), 0, "guess")


def _plain(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise ConfigError(f"there is no encoding {name!r}", hint="for example utf-8, utf-16, latin-1, cp1252, shift-jis, gb18030") from None
    if found in (
        "base64",
        "bz2",
        "hex",
        "quopri",
        "rot13",
        "uu",
        "zlib",
        "idna",
        "punycode",
        "unicode-escape",
        "raw-unicode-escape",
        "undefined",
    ):
        raise ConfigError(f"{name!r} is not an encoding of text")
    return {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le", "ascii": "utf-8"}.get(found, found)


def decodes(sample: bytes, name: str, *, whole: bool = False) -> bool:
    """Whether the bytes are of this encoding; the last character may be cut off unless they are the whole."""
    try:
        codecs.getincrementaldecoder(name)("strict").decode(sample, whole)
    except (UnicodeDecodeError, ValueError):
        return False
    return True


def _by_zeros(sample: bytes) -> str:
    """UTF-16 and UTF-32 without a mark show by where their zeros are."""
    part = sample[: len(sample) // 4 * 4][:4096]
    if len(part) < 8 or part.count(0) < len(part) // 5:
        return ""
    zeros = [part[n::4].count(0) / (len(part) // 4) for n in range(4)]
    for name, filled in (("utf-32-le", (0,)), ("utf-32-be", (3,)), ("utf-16-le", (0, 2)), ("utf-16-be", (1, 3))):
        empty = [n for n in range(4) if n not in filled]
        if all(zeros[n] > 0.4 for n in empty) and all(zeros[n] < 0.1 for n in filled) and decodes(part, name):
            return name
    return ""


def _legacy(sample: bytes, whole: bool) -> str:
    """The likeliest encoding of before UTF-8. Bytes of Western texts stand alone; those of Cyrillic and of East Asia stand in runs."""
    runs = _HIGH_RUNS.findall(sample)
    share = sum(map(len, runs)) / len(runs)
    if decodes(sample, "shift_jis", whole=whole) and _kana(sample.decode("shift_jis", "ignore")) > 0.2:
        return "shift_jis"
    if decodes(sample, "euc_jp", whole=whole) and _kana(sample.decode("euc_jp", "ignore")) > 0.2:
        return "euc_jp"
    if (
        all(len(run) % 2 == 0 for run in runs[:-1])
        and decodes(sample, "euc_kr", whole=whole)
        and _share(sample, "euc_kr", "가", "힣") > 0.95
    ):
        return "euc_kr"
    if share > 1.6 and decodes(sample, "gb18030", whole=whole) and _common_chinese(sample) > 0.5:
        return "gb18030"
    if share > 1.6 and decodes(sample, "big5", whole=whole) and _share(sample, "big5", "一", "鿿") > 0.8:
        return "big5"
    if share >= _LONG_RUN and decodes(sample, "cp1251", whole=whole) and _lower_cyrillic(sample) > 0.6:
        return "cp1251"
    if share >= _LONG_RUN and decodes(sample, "koi8_r", whole=whole):
        return "koi8_r"
    return "cp1252" if decodes(sample, "cp1252", whole=whole) else "latin-1"


def _kana(text: str) -> float:
    wide = [letter for letter in text if letter > "\x7f"]
    return sum("\u3041" <= letter <= "\u30ff" for letter in wide) / max(1, len(wide))


def _share(sample: bytes, name: str, first: str, last: str) -> float:
    wide = [letter for letter in sample.decode(name, "ignore") if letter > "\x7f"]
    return sum(first <= letter <= last for letter in wide) / max(1, len(wide))


def _common_chinese(sample: bytes) -> float:
    """The share of the characters that are of GB 2312's first level, the 3,755 most used."""
    wide = [letter for letter in sample.decode("gb18030", "ignore") if letter > "\x7f"]
    codes = [letter.encode("gb18030") for letter in wide]
    return sum(len(code) == 2 and 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1 for code in codes) / max(1, len(wide))


def _lower_cyrillic(sample: bytes) -> float:
    high = [byte for byte in sample if byte >= 0x80]
    return sum(byte >= 0xE0 for byte in high) / max(1, len(high))
