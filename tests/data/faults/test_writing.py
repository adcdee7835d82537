"""Killed writers, full disks, folders that one may not write to: what stood there stays whole, with nothing left beside it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from fairway.data.wholefiles import whole, write_whole
from fairway.errors import ConfigError, NotFoundError
from tests.data.faults.limited import fairway, python

_KILLED = """
import os, signal, sys
from fairway.data.wholefiles import whole
with whole(sys.argv[1]) as part:
    with open(part, "w") as file:
        file.write("half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"{n},{n % 7},text {n}\n" for n in range(20_000))
    (tmp_path / "x.csv").write_text("a,b,c\n" + rows)
    return tmp_path


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_sweeps_up(tmp_path: Path) -> None:
    target = tmp_path / "f.json"
    write_whole(target, "old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_whole(target, "new")
    assert target.read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["f.json"]


def test_what_another_one_is_writing_is_left_to_him(tmp_path: Path) -> None:
    target = tmp_path / "f.json"
    words = [
        sys.executable,
        "-c",
        _KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print('ready', flush=True); input()"),
        str(target),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        write_whole(target, "mine")
        other.communicate(b"\n")
    assert other.returncode == 0
    assert target.read_text() == "half"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "f.json"
    write_whole(target, "old")
    with pytest.raises(RuntimeError), whole(target) as part:
        Path(part).write_text("half")
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt), whole(target) as part:
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["f.json"]


def test_links_and_rights_stay_what_they_are(tmp_path: Path) -> None:
    target = tmp_path / "real.json"
    write_whole(target, "old")
    target.chmod(0o640)
    (tmp_path / "link.json").symlink_to(target)
    write_whole(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_folders_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        write_whole(tmp_path, "x")
    with pytest.raises(NotFoundError, match="there is no folder"), whole(tmp_path / "no" / "x"):
        pass
    write_whole("/dev/null", "x")


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "x.csv", "out"], ["stats", "x.csv", "--out", "out"], ["schema", "infer", "x.csv", "--out", "out", "--force"],
        ["drift", "x.csv", "--save-baseline", "out"], ["report", "x.csv", "--out", "out"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_full_disk_is_said_and_the_old_file_stays(folder: Path, words: list[str]) -> None:
    old = '{"type": "object", "properties": {}}'
    endings = ["out.ndjson", "out.parquet", "out.arrows", "out.csv"] if words[0] == "convert" else ["out.json"]
    for name in endings:
        (folder / name).write_text(old)
        said = [name if word == "out" else word for word in words]
        made = fairway("data", *said, folder=folder, file_bytes=300, megabytes=800, seconds=240)
        made.refused("cannot be written")
        assert (folder / name).read_text() == old
    assert sorted(one.name for one in folder.iterdir()) == sorted([*endings, "x.csv"])


def test_validate_with_a_full_disk(folder: Path) -> None:
    (folder / "s.json").write_text(json.dumps({"type": "object", "properties": {name: {"type": "integer"} for name in "abcdefgh"}}))
    made = fairway(
        "data", "validate", "x.csv", "--schema", "s.json", "--format", "json", "--out", "out.json", folder=folder, file_bytes=300
    )
    made.refused("cannot be written")
    assert not (folder / "out.json").exists()


def test_a_folder_that_nobody_may_write_to(folder: Path) -> None:
    fairway("data", "convert", "x.csv", "/proc/out.parquet", folder=folder).refused("cannot be written")


def test_rejects_and_a_full_disk(folder: Path) -> None:
    (folder / "y.csv").write_text("a,b\n" + "1,2\n" * 6_000 + "x,3,4\n" * 20_000)
    (folder / "temporary").mkdir()
    made = fairway(
        "data", "stats", "y.csv", "--set", "max_rejects=all", folder=folder, file_bytes=100_000,
        environment={"TMPDIR": str(folder / "temporary")},
    )  # fmt: skip
    made.refused("cannot be kept in", "File too large", "TMPDIR")
    assert list((folder / "temporary").iterdir()) == []


_SPILL = """
import duckdb, fairway as fw
duckdb.sql("copy (select range as n, repeat(md5(range::varchar), 50) as t from range(300000)) to 't.parquet' (compression zstd)")
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    fw.read("t.parquet").sample(250_000, seed=1).rows()
except Exception as error:
    print(f"{type(error).__name__} {error}\\n{error.hint}")
"""


def test_what_does_not_fit_into_memory_and_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    code = f"import os; os.environ['TMPDIR'] = {str(tmp_path / 'temporary')!r}\n" + _SPILL
    made = python(code, folder=tmp_path, megabytes=1200, seconds=240)
    assert "ConfigError" in made.out
    assert "cannot be written to" in made.out, made
    assert "free space there" in made.out
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["t.parquet", "temporary"]


@pytest.mark.parametrize("ending", ["csv", "ndjson", "csv.gz"])
def test_ctrl_c_ends_statistics_of_a_long_file_soon(tmp_path: Path, ending: str) -> None:
    (tmp_path / "temporary").mkdir()
    path = tmp_path / f"long.{ending}"
    line = b'{"a": 1, "b": 2.5, "c": "text"}\n' if ending == "ndjson" else b"1,2.5,text\n"
    text = (b"a,b,c\n" if ending != "ndjson" else b"") + line * (1_500_000 if ending == "ndjson" else 6_000_000)
    path.write_bytes(gzip.compress(text, 1) if ending == "csv.gz" else text)
    done = subprocess.Popen(
        [sys.executable, "-m", "fairway", "data", "stats", path.name, "--out", "out.json"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )  # fmt: skip
    while not _reads(done.pid, path) and done.poll() is None:
        pass
    assert done.poll() is None
    done.send_signal(signal.SIGINT)
    out, err = done.communicate(timeout=60)
    assert done.returncode == 130, err  # and not 0, after the rest of the file
    assert b"Traceback" not in out + err
    assert b"aborted" in err or b"interrupted" in err
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, "temporary"]


def _reads(process: int, path: Path) -> bool:
    """Whether a process is well in the middle of a file."""
    for one in Path(f"/proc/{process}/fd").glob("*"):
        with suppress(OSError):
            if one.resolve() == path:
                place = Path(f"/proc/{process}/io").read_text()
                return int(place.partition("rchar: ")[2].split()[0]) > 20_000_000
    return False
