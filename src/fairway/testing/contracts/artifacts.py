"""What every artifact store promises. Give a fixture `store`: an empty one."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from fairway.errors import NotFoundError
from fairway.spec.ports import ArtifactStore

_KEY = "sha256/ab/cdef"


def _key(data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"sha256/{digest[:2]}/{digest[2:]}"


class ArtifactReaderContract:
    """What everybody may ask of an artifact store. Subclass it and give the fixture `store`; `writer`, the same store as those see it who
    may write anything, only where that is another object."""

    @pytest.fixture
    def writer(self, store: ArtifactStore) -> ArtifactStore:
        return store

    def test_bytes_come_back(self, store: ArtifactStore, writer: ArtifactStore) -> None:
        blob = bytes(range(256)) * 10_000
        for key, data in ((_key(b"hello"), b"hello"), (_key(b""), b""), (_key(blob), blob), ("outcome/r/a-1", blob)):
            assert writer.put(key, data)
            assert store.get(key) == data
            with store.open(key) as file:
                assert file.read(3) == data[:3]
                assert file.read() == data[3:]
            stat = store.stat(key)
            assert stat is not None
            assert (stat.key, stat.size_bytes) == (key, len(data))
            assert abs(stat.modified_at - time.time()) < 60

    def test_what_is_not_there(self, store: ArtifactStore) -> None:
        assert store.stat(_KEY) is None
        assert store.local_path(_KEY) is None
        assert list(store.list("")) == []
        for read in (store.get, store.open):
            with pytest.raises(NotFoundError):
                read(_KEY)

    def test_listing_takes_the_beginning_of_a_key(self, store: ArtifactStore, writer: ArtifactStore) -> None:
        keys = ["outcome/r1/a-1", "outcome/r1/a-2", "outcome/r10/a-1", "sha256/ab/c", "sha256/ac/d"]
        for key in reversed(keys):
            writer.put(key, key.encode())
        assert sorted(stat.key for stat in store.list("")) == keys
        assert [stat.key for stat in store.list("outcome/r1/")] == keys[:2]
        assert [stat.key for stat in store.list("outcome/r1")] == keys[:3]
        assert [stat.key for stat in store.list("sha256/a")] == keys[3:]
        assert [(stat.key, stat.size_bytes) for stat in store.list("sha256/ab/c")] == [("sha256/ab/c", 11)]
        assert list(store.list("sha256/zz")) == []

    def test_a_local_path_has_the_bytes(self, store: ArtifactStore, writer: ArtifactStore) -> None:
        writer.put(_key(b"hello"), b"hello")
        path = store.local_path(_key(b"hello"))
        if path is not None:
            assert path.read_bytes() == b"hello"


class ArtifactStoreContract(ArtifactReaderContract):
    """All of it: what the server and the attempts need too. Subclass it and give the fixture `store`."""

    def test_the_first_one_stays(self, store: ArtifactStore) -> None:
        assert store.put("outcome/r/a-1", b"first")
        assert not store.put("outcome/r/a-1", b"second")
        assert store.get("outcome/r/a-1") == b"first"
        assert store.put("outcome/r/a-1", b"third", if_absent=False)
        assert store.get("outcome/r/a-1") == b"third"

    def test_of_many_writers_at_once_one_wins(self, store: ArtifactStore) -> None:
        won: list[int] = []
        barrier = threading.Barrier(8)

        def write(n: int) -> None:
            barrier.wait()
            if store.put("outcome/r/a-1", str(n).encode()):
                won.append(n)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get("outcome/r/a-1") == str(won[0]).encode()

    def test_a_file_is_copied_or_taken(self, store: ArtifactStore, tmp_path: Path) -> None:
        data = b"line\n" * 300_000
        path = tmp_path / "source"
        path.write_bytes(data)
        assert store.put("sha256/aa/copied", path)
        assert path.read_bytes() == data
        assert store.put("sha256/aa/taken", path, move=True)
        assert not path.exists()
        assert store.get("sha256/aa/copied") == store.get("sha256/aa/taken") == data

    def test_a_file_that_is_not_needed_is_not_left_behind_when_moved(self, store: ArtifactStore, tmp_path: Path) -> None:
        store.put(_KEY, b"there")
        path = tmp_path / "source"
        path.write_bytes(b"there")
        assert not store.put(_KEY, path, move=True)
        assert not path.exists()

    def test_a_taken_file_cannot_be_changed_through_another_name(self, store: ArtifactStore, tmp_path: Path) -> None:
        path, other = tmp_path / "source", tmp_path / "other"
        path.write_bytes(b"stored")
        other.hardlink_to(path)
        store.put(_KEY, path, move=True)
        other.write_bytes(b"edited")
        assert store.get(_KEY) == b"stored"

    def test_a_link_is_followed_and_its_target_stays(self, store: ArtifactStore, tmp_path: Path) -> None:
        path, link = tmp_path / "source", tmp_path / "link"
        path.write_bytes(b"stored")
        link.symlink_to(path)
        store.put(_KEY, link, move=True)
        assert path.read_bytes() == b"stored"
        path.write_bytes(b"edited")
        assert store.get(_KEY) == b"stored"

    def test_a_source_that_is_not_there(self, store: ArtifactStore, tmp_path: Path) -> None:
        for move in (False, True):
            with pytest.raises(NotFoundError):
                store.put(_KEY, tmp_path / "absent", move=move)
        assert list(store.list("")) == []

    def test_deleting(self, store: ArtifactStore) -> None:
        assert store.delete(_KEY)  # absent = success
        store.put(_KEY, b"x")
        store.put(_KEY + "2", b"y")
        assert store.delete(_KEY)
        assert store.stat(_KEY) is None
        assert store.get(_KEY + "2") == b"y"
        assert store.put(_KEY, b"x")

    def test_what_was_put_again_is_not_deleted_as_unused(self, store: ArtifactStore) -> None:
        store.put(_KEY, b"x")
        assert not store.delete(_KEY, unused_since=time.time() - 3600)
        assert store.get(_KEY) == b"x"
        assert store.delete(_KEY, unused_since=time.time() + 3600)
        assert store.stat(_KEY) is None

    def test_readers_see_a_whole_blob_or_none(self, store: ArtifactStore) -> None:
        size = 2_000_000
        stop = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not stop.is_set():
                try:
                    seen.append(len(store.get(_KEY)))
                except NotFoundError:
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for _ in range(20):
                store.put(_KEY, b"x" * size)
                store.delete(_KEY)
        finally:
            stop.set()
            reader.join()
        assert set(seen) <= {size}
