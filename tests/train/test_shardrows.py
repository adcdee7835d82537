"""`fw.shard` of tables that can only be read from the front: one rank of a machine reads them for all, and nothing else is different."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import fairway as fw
from fairway.data import rowfile
from fairway.data.table import Table
from fairway.errors import DataAnomalies
from fairway.spec.gang import Place
from fairway.step import context
from fairway.train import shardrows
from tests.data.sources.test_remote import served
from tests.semantics.conftest import rig
from tests.semantics.rig import Rig, outputs
from tests.train import halting
from tests.train.gangs.test_running import words

__all__ = ["rig"]
ROWS = 200


def be(rank: int, world: int, folder: Path | None, *, local_world: int = 0, seed: int = 7) -> None:
    """This process is a rank, of a gang whose files are in `folder`; None: of one that has no place for any."""
    now = context.Context()
    now.run, now.task, now.rank, now.world_size, now.seed = "r", "train", rank, world, seed
    hosts = ("10.0.0.1", "10.0.0.2") if local_world else ("127.0.0.1",)
    now.place = None if folder is None else Place(rank, world, rank, local_world or world, hosts=hosts, folder=f"{folder}/files/0")
    context.enter(now, None, trust=False)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    context.leave()


@pytest.fixture(scope="module", autouse=True)
def chunks() -> Iterator[None]:
    """Small ones, so that some rows are in several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowfile, "CHUNK_ROWS", 64)
        patch.setattr(rowfile, "_FEWEST", 50)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows as CSV and as JSON Lines, with what is awkward in either."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(3)
    rows = [
        {
            "n": n,
            "x": None if n % 7 == 0 else rng.random(),
            "text": rng.choice(["plain", 'two\nlines, "quoted"', "", "ünï\r\ncode 🙂"]) + str(n),
            "day": f"2026-0{1 + n % 9}-01",
            "flag": n % 3 == 0,
        }
        for n in range(ROWS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps({**row, "list": [row["n"], 1]}) + "\n" for row in rows))
    lines = ["n,x,text,day,flag"]
    for row in rows:
        quoted = '"' + str(row["text"]).replace('"', '""') + '"'
        lines.append(f"{row['n']},{'' if row['x'] is None else row['x']},{quoted},{row['day']},{str(row['flag']).lower()}")
    (folder / "rows.csv").write_bytes(("\n".join(lines) + "\n").encode())
    (folder / "parts").mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:110]), folder / "parts" / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows[110:]), folder / "parts" / "b.parquet")
    return {"csv": folder / "rows.csv", "jsonl": folder / "rows.jsonl", "parquet": folder / "parts", "shared": folder / "shared"}


def table_of(data: dict[str, Path], kind: str) -> Table:
    made = fw.read(data[kind.partition(" ")[0]])
    if kind.endswith("where"):
        made = made.where("n % 5 != 1 AND (x > 0.2 OR x IS NULL)")
    return made.select("text", "x", "n") if kind.endswith("select") else made


def plain(batch: dict[str, Any]) -> str:
    """A batch with its types, comparable though NaN is in it."""
    return repr({name: (str(one.dtype), one.tolist()) if isinstance(one, np.ndarray) else one for name, one in batch.items()})


class Held:
    """What a table has given, to be read again and again from the front."""

    fairway_type = Table.fairway_type
    source, origin, format, steps = None, None, "", ()

    def __init__(self, table: Table) -> None:
        self.columns = table.columns
        self._batches = list(table.batches())

    def batches(self, *, rows: int) -> list[Any]:
        del rows
        return self._batches


@pytest.fixture(scope="module")
def tables(data: dict[str, Path]) -> dict[str, tuple[Table, Held]]:
    made = {kind: table_of(data, kind) for kind in KINDS}
    return {kind: (table, Held(table)) for kind, table in made.items()}


KINDS = ["csv", "jsonl", "csv where", "jsonl where", "parquet where", "csv select"]


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@given(
    st.sampled_from(KINDS),
    st.integers(1, 7).flatmap(lambda world: st.tuples(st.integers(0, world - 1), st.just(world))),
    st.sampled_from([None, 3, 16, 90]),
    st.sampled_from([True, False, 0, 1, 5, 64, 150]),
    st.sampled_from(["keep", "drop", "pad"]),
    st.integers(0, 2**64),
    st.tuples(st.integers(0, 1), st.integers(0, ROWS)),
)
def test_the_same_rows_come_in_the_same_order(
    data: dict[str, Path],
    tables: dict[str, tuple[Table, Held]],
    kind: str,
    at: tuple[int, int],
    batch: int | None,
    shuffle: bool | int,
    last: str,
    seed: int,
    begin: tuple[int, int],
) -> None:
    given: list[list[str]] = []
    states: list[dict[str, Any]] = []
    for table in tables[kind]:
        be(*at, data["shared"], seed=seed)
        shard = fw.shard(table, batch=batch, shuffle=shuffle, last=last, epochs=2)
        shard.resume({**shard.state(), "epoch": begin[0], "position": begin[1]})
        given.append([plain(one) for one in shard])
        states.append(shard.state())
    assert given[0] == given[1]
    assert states[0] == states[1]


def test_a_state_goes_on_where_rows_are_read_the_other_way_and_with_other_ranks(data: dict[str, Path]) -> None:
    state, seen = None, []
    for world, steps, folder in ((3, 2, data["shared"]), (2, 3, None), (4, 10_000, data["shared"])):
        states = []
        for rank in range(world):
            be(rank, world, folder)
            shard = fw.shard(fw.read(data["csv"]), batch=10, shuffle=100).resume(state)
            until = shard.steps + steps
            for batch in shard:
                seen += batch["n"].tolist()
                if shard.steps == until:
                    break
            states.append(shard.state())
        state = states[0]
    assert sorted(seen) == list(range(ROWS))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often tables are read from the front."""
    made: list[str] = []
    real = Table.batches
    monkeypatch.setattr(Table, "batches", lambda self, *args, **options: (made.append(self.uri), real(self, *args, **options))[1])
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_one_rank_of_a_machine_reads_for_all_and_all_epochs(data: dict[str, Path], tmp_path: Path, passes: list[str], kind: str) -> None:
    seen = []
    for rank in range(3):
        be(rank, 3, tmp_path)
        for batch in fw.shard(table_of(data, kind), batch=32, epochs=2):
            seen += batch["n"].tolist()
    assert len(passes) == 1
    assert sorted(seen) == sorted(2 * [row["n"] for row in table_of(data, kind).rows()])


def test_what_is_read_otherwise_is_read_anew(data: dict[str, Path], tmp_path: Path, passes: list[str]) -> None:
    """Another condition, other options, a file that was written again."""
    be(0, 2, tmp_path)
    path = tmp_path / "own.csv"
    path.write_text("n,t\n1,a\n2,b\n3,c\n4,d\n")

    def first(table: Table) -> list[Any]:
        return list(next(iter(fw.shard(table, batch=2, shuffle=False))).values())

    assert first(fw.read(path))[0].tolist() == [1, 2]
    assert first(fw.read(path).where("n > 2"))[0].tolist() == [3]
    assert first(fw.read(path, types={"n": "string"})) == [["1", "2"], ["a", "b"]]
    path.write_text("n,t\n10,a\n20,b\n30,c\n40,d\n")
    assert first(fw.read(path))[0].tolist() == [10, 20]
    assert len(passes) == 4


@pytest.mark.parametrize(("local_world", "epochs", "count"), [(1, 1, 2), (1, 2, 1), (2, 1, 1)])
def test_a_rank_that_is_alone_on_its_machine_reads_for_itself_unless_it_has_more_epochs(
    data: dict[str, Path], tmp_path: Path, passes: list[str], local_world: int, epochs: int, count: int
) -> None:
    for _ in range(2):
        be(0, 2, tmp_path, local_world=local_world)
        assert sum(len(batch["n"]) for batch in fw.shard(fw.read(data["csv"]), batch=50, epochs=epochs)) == epochs * ROWS / 2
    assert len(passes) == count


@pytest.mark.parametrize(("query", "fetches"), [("?tagged", 1), ("", 3)])
def test_a_file_of_a_web_server_is_fetched_once_where_the_server_says_whether_it_changes(
    data: dict[str, Path], tmp_path: Path, query: str, fetches: int
) -> None:
    files = {"/rows.csv": data["csv"].read_bytes()}
    with served(files) as (url, asked):
        tables = [fw.read(f"{url}/rows.csv{query}") for _ in range(3)]
        asked.clear()
        seen = []
        for rank, table in enumerate(tables):
            be(rank, 3, tmp_path)
            seen += [n for batch in fw.shard(table, batch=20) for n in batch["n"].tolist()]
        assert sorted(seen) == list(range(ROWS))
        assert len([verb for verb, _ in asked if verb == "GET"]) == fetches
        files["/rows.csv"] = b"n\n5\n"
        be(0, 3, tmp_path)
        assert [one["n"] for one in fw.shard(fw.read(f"{url}/rows.csv{query}"))] == [5]


def test_every_rank_knows_what_was_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("n,t\n1,a\n2,b,c\n3,d\n4,e\n")
    found = []
    for rank in range(2):
        be(rank, 2, tmp_path)
        table = fw.read(path, max_rejects=5, rejects=str(tmp_path / "rejects.ndjson"))
        assert len(list(fw.shard(table, epochs=2))) == 2 * (2 - rank)
        found.append((table.rejects.count, [(one.line, one.reason) for one in table.rejects.rows]))
    assert found[0] == found[1] == (1, [(3, "3 values, 2 columns")])
    assert '"line": 3' in (tmp_path / "rejects.ndjson").read_text()


def test_rows_that_cannot_be_read_fail_every_rank_and_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("n,t\n1,a\n2,b,c\n3,d\n")
    for rank in range(2):
        be(rank, 2, tmp_path)
        with pytest.raises(DataAnomalies, match=r"1 row of .* cannot be read"):
            list(fw.shard(fw.read(path)))
    assert {one.suffix for one in (tmp_path / "files" / "rows").iterdir()} == {".lock"}


@pytest.mark.parametrize("batches", [0, 1, 7, halting.BATCHES])
def test_a_rank_that_is_killed_while_it_reads_is_replaced_by_one_that_waits(tmp_path: Path, batches: int) -> None:
    path = tmp_path / "rows" / "key"
    writer = subprocess.Popen([sys.executable, halting.__file__, str(batches), str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "halted\n"
    assert not path.exists()
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(shardrows.share_rows(halting.Halting(), str(path), 64)))  # type: ignore[arg-type]
    waiting.start()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    waiting.join()
    numbers = [49_999, 0, 5_000, 31_234]
    (rows,) = found
    assert rows.size == halting.BATCHES * halting.EACH
    for columns, places, ours in rows.find(numbers):
        assert columns["n"].values(ours) == [numbers[place] for place in places]
    assert sorted(one.name for one in path.parent.iterdir()) == ["key", "key.lock"]


READING = """
import hashlib, os, resource, signal

@fw.step(gang=fw.gang(replicas=2, restarts=0))
def read(path: str, limit: int) -> list:
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    seen = [batch["n"].tolist() for batch in fw.shard(fw.read(path), batch=20, seed=5)]
    place = fw.context().place
    kept = sorted(os.path.splitext(name)[1] for name in os.listdir(os.path.dirname(place.folder) + "/rows"))
    return [seen, kept]

@fw.pipeline
def main(path: str = "", limit: int = 0):
    return read(path, limit)
"""


def test_a_gang_reads_once_and_where_the_disk_is_full_as_often_as_it_has_ranks(rig: Rig, data: dict[str, Path]) -> None:
    be(0, 2, None)
    expected = [batch["n"].tolist() for batch in fw.shard(fw.read(data["csv"]), batch=20, seed=5)]
    context.leave()
    said = []
    for limit in (0, 4096):
        run = rig.run(READING, {"path": str(data["csv"]), "limit": limit})
        seen, kept = outputs(run)["result"]
        assert seen == expected
        assert ".refused" in kept if limit else kept == ["", ".lock"]
        said.append([line for rank in range(2) for line in words(run, f"log.{rank}")])
    assert said[0] == []
    (line,) = said[1]
    assert line == (f"fairway: {data['csv']} cannot be read once for all ranks of this machine (File too large): each rank reads all of it")


def test_a_table_that_the_disk_has_no_room_for_is_not_even_begun(
    data: dict[str, Path], tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shardrows, "SPARE_BYTES", 1 << 60)
    for rank in range(2):
        be(rank, 2, tmp_path)
        assert sum(len(batch["n"]) for batch in fw.shard(fw.read(data["csv"]), batch=50)) == ROWS / 2
    assert len(passes) == 2, "each rank has read all of it, once"
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and "MB are free in" in said[0] and said[0].endswith("each rank reads all of it")


def test_a_rank_opens_no_files_of_a_folder_but_its_own(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"text {number}")
    parts = []
    for rank in range(4):
        be(rank, 4, None)
        parts.append([file for batch in fw.shard(fw.Directory(tmp_path), batch=2) for file in batch])
    assert sorted(file for part in parts for file in part) == sorted(map(str, tmp_path.iterdir()))
    for file in {file for part in parts[1:] for file in part}:  # what is not rank 0's cannot be opened any more
        os.unlink(file)
        os.symlink("nowhere", file)
    be(0, 4, None)
    texts = [file.read_text() for batch in fw.shard(fw.Directory(tmp_path), batch=2) for file in batch]
    assert texts == [f"text {int(file.name[:2])}" for file in parts[0]]
