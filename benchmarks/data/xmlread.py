"""Run as a program: `make FILE MB` writes a catalogue; `read FILE` reads all its columns, and prints JSON."""

from __future__ import annotations

import json
import random
import sys
import time

from benchmarks.data.measured import peak_mb

BEGUN = time.perf_counter()
_WORDS = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "do", "eiusmod"]
_RECORD = """  <book id="bk{n}">
    <author>{a}, {b} é</author>
    <title>{title}</title>
    <price currency="EUR">{price:.2f}</price>
    <publish_date>20{year}-{month:02}-{day:02}</publish_date>
    <stock>{stock}</stock>
    <description>{words} &amp; more</description>
  </book>
"""


def make(path: str, megabytes: int) -> None:
    """Ten megabytes of books, as often as it takes."""
    books = _books(random.Random(1), min(megabytes, 10) * 1_000_000)
    with open(path, "wb") as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<catalog xmlns="http://example.org/shop">\n')
        while file.tell() < megabytes * 1_000_000:
            file.write(books)
        file.write(b"</catalog>\n")


def _books(rng: random.Random, size: int) -> bytes:
    """At least so many bytes of them."""
    made, written = list[bytes](), 0
    while written < size:
        text = _RECORD.format(
            n=len(made) + 1, a=rng.choice(_WORDS), b=rng.choice(_WORDS), title=" ".join(rng.choices(_WORDS, k=5)),
            price=rng.random() * 100, year=rng.randrange(10, 30), month=rng.randrange(1, 13), day=rng.randrange(1, 29),
            stock=rng.randrange(1_000), words=" ".join(rng.choices(_WORDS, k=14)),
        )  # fmt: skip
        made.append(text.encode())
        written += len(made[-1])
    return b"".join(made)


def read(path: str) -> int:
    import fairway as fw

    return sum(batch.rows for batch in fw.read(path).batches())


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        rows = read(sys.argv[2])
        print(json.dumps({"wall_s": time.perf_counter() - BEGUN, "cpu_s": time.process_time(), "mb": peak_mb(), "rows": rows}))
