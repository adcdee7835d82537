"""The tables of the data benchmarks: made once, and kept in `benchmarks/.data` (5 GB) for the next suite and the next run."""

from __future__ import annotations

import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import rows, xmlread
from benchmarks.data.contenders import run_lines
from benchmarks.session import Session

KEPT = Path(__file__).parents[1] / ".data"
_CUT = """
import sys, duckdb
source, target, first, count = *sys.argv[1:3], *map(int, sys.argv[3:])
duckdb.execute("set threads = 1")
duckdb.execute(f"copy (select * from '{source}' limit {count} offset {first}) to '{target}' (format parquet)")
"""


def whole(session: Session, count: int = rows.FULL) -> Path:
    """The folder with rows.csv and rows.parquet of so many rows."""
    session.talk(f"making {count:,} rows")
    return _kept(f"rows-{count}", rows.__file__, lambda folder: run_lines([sys.executable, rows.__file__, str(folder), str(count)]))


def part(session: Session, first: int, count: int, of: int = rows.FULL) -> Path:
    """A Parquet file of `count` rows of `whole`, from row `first` on."""
    source = whole(session, of) / "rows.parquet"
    session.talk(f"cutting {count:,} rows")

    def cut(folder: Path) -> object:
        return run_lines([sys.executable, "-c", _CUT, str(source), str(folder / "rows.parquet"), str(first), str(count)])

    return _kept(f"rows-{of}-{first}-{count}", rows.__file__, cut) / "rows.parquet"


def catalogue(session: Session, megabytes: int) -> Path:
    """An XML file of so many megabytes."""
    session.talk(f"making {megabytes} MB of XML")
    words = [sys.executable, "-m", "benchmarks.data.xmlread", "make"]
    made = _kept(f"xml-{megabytes}", xmlread.__file__, lambda folder: run_lines([*words, str(folder / "catalogue.xml"), str(megabytes)]))
    return made / "catalogue.xml"


def _kept(name: str, program: str, make: Callable[[Path], object]) -> Path:
    """A folder filled by `make`, unless this very program filled it before; what another version of it filled goes."""
    folder = KEPT / f"{name}-{zlib.crc32(Path(program).read_bytes()):08x}"
    if folder.exists():
        return folder
    for old in [*KEPT.glob(f"{name}-????????"), *KEPT.glob(f"{name}-????????.part")]:
        shutil.rmtree(old)
    half = folder.with_suffix(".part")
    half.mkdir(parents=True)
    make(half)
    return half.rename(folder)
