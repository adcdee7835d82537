"""The folder stores on a disk that is full, read-only or taken away, and under kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import ConfigError, NotFoundError, StoreUnavailable
from fairway.step.folder import FolderArtifactStore, FolderStreamStore


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root can mount a small disk; the test with RLIMIT_FSIZE covers the rest")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_named_and_nothing_is_left_of_what_did_not_fit(small_disk: Path, tmp_path: Path) -> None:
    store = FolderArtifactStore(small_disk / "blobs")
    assert store.put("sha256/aa/fits", b"x" * 500_000)
    source = tmp_path / "source"
    source.write_bytes(b"y" * 900_000)
    for data in (b"y" * 900_000, source):
        with pytest.raises(StoreUnavailable) as caught:
            store.put("sha256/bb/does-not", data)
        assert "the disk is full" in caught.value.message
        assert "fairway gc" in caught.value.hint
    with pytest.raises(StoreUnavailable):
        store.put("sha256/bb/does-not", source, move=True)
    assert source.exists()
    assert [stat.key for stat in store.list("")] == ["sha256/aa/fits"]
    assert os.listdir(small_disk / "blobs" / ".tmp") == []
    assert store.put("sha256/aa/small", b"x" * 1000)
    streams = FolderStreamStore(small_disk / "streams")
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        streams.append("r/a/log", b"z" * 900_000)


def test_a_file_beyond_the_allowed_size_is_named(tmp_path: Path) -> None:
    code = """
import resource, sys
from fairway.errors import StoreUnavailable
from fairway.step.folder import FolderArtifactStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = FolderArtifactStore(sys.argv[1])
try:
    store.put("sha256/aa/big", b"x" * 200_000)
except StoreUnavailable as error:
    print(error.message, "|", error.hint)
print(list(store.list("")), store.sweep(1e12))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "blobs")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "cannot store 'sha256/aa/big': the file would be larger than this process may write | look at `ulimit -f`",
        "[] 0",
    ]


def test_a_read_only_disk_is_named_but_can_be_read(small_disk: Path) -> None:
    store = FolderArtifactStore(small_disk / "blobs")
    store.put("sha256/aa/there", b"x")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert store.get("sha256/aa/there") == b"x"
    assert not store.put("sha256/aa/there", b"x")
    with pytest.raises(StoreUnavailable, match="read-only") as caught:
        store.put("sha256/aa/new", b"x")
    assert "FAIRWAY_HOME" in caught.value.hint
    with pytest.raises(StoreUnavailable, match="read-only"):
        FolderStreamStore(small_disk / "streams").append("r/a/log", b"x")


def test_a_store_without_permission_is_named(tmp_path: Path) -> None:
    code = """
import os, sys
from fairway.errors import StoreUnavailable
from fairway.step.folder import FolderArtifactStore
try:
    FolderArtifactStore(sys.argv[1]).put("sha256/aa/x", b"x")
except StoreUnavailable as error:
    print(error.message)
"""
    if os.geteuid() == 0:
        code = code.replace("import os, sys", "import os, sys, fairway.errors, fairway.step.folder; os.setgid(65534); os.setuid(65534)")
    else:
        tmp_path.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "cannot store 'sha256/aa/x': permission denied", done.stderr


def test_a_store_deleted_in_use_is_made_anew(tmp_path: Path) -> None:
    import shutil

    store = FolderArtifactStore(tmp_path / "blobs")
    store.put("sha256/aa/x", b"x")
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises(NotFoundError) as caught:
        store.get("sha256/aa/x")
    assert str(tmp_path) in caught.value.hint
    assert store.put("sha256/aa/x", b"x")
    assert store.get("sha256/aa/x") == b"x"


def test_a_killed_writer_leaves_no_half_blob(tmp_path: Path) -> None:
    code = """
import sys
from fairway.step.folder import FolderArtifactStore
store = FolderArtifactStore(sys.argv[1])
print("ready", flush=True)
n = int(sys.argv[2])
while True:
    n += 1
    store.put(f"sha256/aa/{n:09}", b"x" * 3_000_000)
"""
    store = FolderArtifactStore(tmp_path / "blobs")
    for n in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "blobs"), str(n * 1_000_000)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        until = time.perf_counter() + 0.005 + n * 0.003
        while time.perf_counter() < until:
            pass
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert {stat.size_bytes for stat in store.list("")} <= {3_000_000}
    store.sweep(time.time() + 60)
    assert os.listdir(tmp_path / "blobs" / ".tmp") == []


def test_a_moved_file_from_another_disk_is_copied(tmp_path: Path, small_disk: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    for key in ("sha256/aa/x", "outcome/r/a-1"):
        source = small_disk / "source"
        source.write_bytes(b"from elsewhere")
        assert store.put(key, source, move=True)
        assert not source.exists()
        assert store.get(key) == b"from elsewhere"


def test_blobs_are_read_only_and_fresh(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    os.utime(source, (1.0, 1.0))
    store.put("sha256/aa/moved", source, move=True)
    store.put("sha256/aa/written", b"x")
    for stat in store.list(""):
        path = store.local_path(stat.key)
        assert path is not None
        assert path.stat().st_mode & 0o777 == 0o444
        assert stat.modified_at > time.time() - 60


def test_putting_again_refreshes_the_age(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    store.put("sha256/aa/x", b"x")
    os.utime(tmp_path / "blobs" / "sha256" / "aa" / "x", (1.0, 1.0))
    store.put("sha256/aa/x", b"x")
    stat = store.stat("sha256/aa/x")
    assert stat is not None
    assert stat.modified_at > time.time() - 60


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a/./b", "a\0b"])
def test_keys_that_leave_the_store_are_refused(tmp_path: Path, key: str) -> None:
    store, streams = FolderArtifactStore(tmp_path / "blobs"), FolderStreamStore(tmp_path / "streams")
    for call in (lambda: store.put(key, b""), lambda: store.get(key), lambda: store.delete(key), lambda: streams.append(key, b"x")):
        with pytest.raises(ConfigError):
            call()


def test_a_name_too_long_for_the_file_system_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="too long"):
        FolderArtifactStore(tmp_path / "blobs").put("sha256/aa/" + "n" * 300, b"x")


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="durability"):
        FolderArtifactStore(tmp_path, durability="forever")


def test_a_source_of_unknown_length_is_copied_whole(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    store.put("sha256/aa/x", Path("/proc/self/status") if Path("/proc").exists() else Path(__file__))
    assert store.get("sha256/aa/x").startswith((b"Name:", b'"""'))


def test_a_sparse_file_and_an_empty_one_are_copied_whole(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    for name, size in (("empty", 0), ("sparse", 5_000_000)):
        source = tmp_path / name
        with source.open("wb") as file:
            file.truncate(size)
        store.put(f"sha256/aa/{name}", source)
        assert store.get(f"sha256/aa/{name}") == b"\0" * size


def test_puts_are_quick(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path / "blobs")
    times: list[float] = []
    for n in range(200):
        began = time.perf_counter()
        store.put(f"outcome/r/a-{n}", b"x" * 500)
        times.append(time.perf_counter() - began)
    assert sorted(times)[20] < 0.1  # a fortieth of it on an idle machine would be a slow disk; `make bench` measures


def test_importing_it_is_cheap() -> None:
    code = "import sys, fairway.step.folder; print([m for m in sys.modules if m in %r])"
    heavy = {
        "asyncio",
        "dataclasses",
        "inspect",
        "logging",
        "tempfile",
        "uuid",
        "subprocess",
        "shutil",
        "typing_extensions",
        "json",
        "random",
    }
    done = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
