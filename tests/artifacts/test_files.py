"""Files and folders by content."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.step import artifacts
from fairway.step import types as fw
from fairway.step.folder import FolderArtifactStore


def test_a_given_file_is_stored_by_content_and_keeps_its_name(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    path = tmp_path / "churn data.csv"
    path.write_text("a,b\n1,2\n")
    ref = artifacts.import_path(path, store, "fairway.File")
    assert (ref.format, ref.type, ref.size_bytes) == ("file", "fairway.File", 8)
    file = artifacts.load(ref, store, scratch, wanted="fairway.File")
    assert isinstance(file, fw.File) and file.name == "churn data.csv" and file.suffix == ".csv" and file.read_text() == "a,b\n1,2\n"
    assert file.size_bytes == 8 and os.path.realpath(file) == os.path.realpath(str(store.local_path(blob_key(ref.digest))))
    assert path.read_text() == "a,b\n1,2\n"
    path.write_text("changed")
    assert file.read_bytes() == b"a,b\n1,2\n"
    assert artifacts.import_path(path, store).digest != ref.digest


def test_a_file_of_the_steps_own_is_moved_not_copied(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    scratch.mkdir()
    own = scratch / "out.bin"
    own.write_bytes(b"x" * 100_000)
    inode = own.stat().st_ino
    ref = artifacts.save(fw.File(own), store, scratch)
    assert not own.exists()
    kept = store.local_path(blob_key(ref.digest))
    assert kept is not None and kept.stat().st_ino == inode
    elsewhere = tmp_path / "mine.bin"
    elsewhere.write_bytes(b"y")
    artifacts.save(fw.File(elsewhere), store, scratch)
    assert elsewhere.exists()


def test_an_input_passed_on_is_not_taken_from_the_store(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("in")
    ref = artifacts.import_path(tmp_path / "in.txt", store)
    file = artifacts.load(ref, store, scratch)
    assert artifacts.save(file, store, scratch).digest == ref.digest
    assert artifacts.load(ref, store, scratch).read_text() == "in"


def test_a_path_declared_a_file_is_one(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    for value in (str(tmp_path / "a.txt"), tmp_path / "a.txt"):
        assert artifacts.save(value, store, scratch, declared="fairway.File").format == "file"
    with pytest.raises(DefinitionError, match="must return a path, not a int"):
        artifacts.save(3, store, scratch, declared="fairway.File")


def test_a_path_that_is_not_there(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such path"):
        artifacts.save(fw.File("nowhere.csv"), store, scratch)
    with pytest.raises(NotFoundError, match="there is no"):
        artifacts.import_path(tmp_path / "x", store)
    with pytest.raises(DefinitionError, match="is a folder"):
        artifacts.import_path(tmp_path, store, "fairway.File")
    (tmp_path / "f").write_text("")
    with pytest.raises(DefinitionError, match="is a file"):
        artifacts.import_path(tmp_path / "f", store, "fairway.Directory")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "b.txt").write_text("b")
    (folder / "deep" / "er" / "a.txt").write_text("a")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link.txt").symlink_to(folder / "b.txt")
    return folder


def test_a_folder_comes_back_whole(store: FolderArtifactStore, scratch: Path, folder: Path) -> None:
    ref = artifacts.save(fw.Directory(folder), store, scratch)
    assert ref.format == "dir" and ref.meta["files"] == 4
    back = artifacts.load(ref, store, scratch)
    assert isinstance(back, fw.Directory) and back.name == "data"
    assert [os.path.relpath(f, back) for f in back.files()] == ["b.txt", "link.txt", "run.sh", "deep/er/a.txt"]
    assert Path(back / "deep/er/a.txt").read_text() == "a" and Path(back / "empty").is_dir()
    assert os.stat(back / "run.sh").st_mode & stat.S_IXUSR
    assert artifacts.save(back, store, scratch).digest == ref.digest
    assert len(set(artifacts.digests(ref, store))) == 4  # the manifest, and three different contents


def test_the_same_folder_gives_the_same_digest_wherever_it_lies(store: FolderArtifactStore, folder: Path) -> None:
    first = artifacts.import_path(folder, store)
    other = folder.rename(folder.parent / "elsewhere")
    (other / "link.txt").unlink()
    (other / "link.txt").write_text("b")
    assert artifacts.import_path(other, store).digest == first.digest


def test_folders_that_cannot_be_stored(store: FolderArtifactStore, folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    with pytest.raises(DefinitionError, match="links to itself"):
        artifacts.import_path(folder, store)
    (folder / "loop").unlink()
    (folder / "broken").symlink_to(folder / "nothing")
    with pytest.raises(DefinitionError, match="neither a file nor a folder"):
        artifacts.import_path(folder, store)


def test_a_manifest_cannot_lead_out_of_its_folder(store: FolderArtifactStore, scratch: Path) -> None:
    import hashlib
    import json

    text = json.dumps({"files": [{"path": "../evil", "digest": "0" * 64, "size_bytes": 0, "mode": 420}]}).encode()
    digest = hashlib.sha256(text).hexdigest()
    store.put(blob_key(digest), text)
    with pytest.raises(DefinitionError, match="outside itself"):
        artifacts.load(ArtifactRef(digest, 0, "dir"), store, scratch)


def test_any_artifact_can_be_had_as_a_file(store: FolderArtifactStore, scratch: Path) -> None:
    small = artifacts.load(artifacts.save({"a": 1}, store, scratch, name="params"), store, scratch, wanted="fairway.File")
    assert small.name == "params.json" and small.read_text() == '{"a":1}'
    page = artifacts.load(artifacts.save(fw.HTML("<b>"), store, scratch, name="page"), store, scratch, wanted="fairway.File")
    assert page.name == "page.html" and page.read_text() == "<b>"


def test_a_file_is_a_string_that_programs_take(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    file = fw.File(tmp_path / "a.csv")
    assert Path(file) == tmp_path / "a.csv" and os.fspath(file) == str(tmp_path / "a.csv") and file.endswith(".csv")
    assert type(os.fspath(file)) in (str, fw.File) and open(file).read() == "x" and repr(file).startswith("fw.File('")


class RemoteStore(FolderArtifactStore):
    """A store whose blobs have no files of their own here, as one behind HTTP."""

    def local_path(self, key: str) -> None:
        return None


def test_a_store_without_local_files_is_copied_from(store: FolderArtifactStore, scratch: Path, folder: Path) -> None:
    ref = artifacts.import_path(folder, store)
    remote = RemoteStore(store.root)
    back = artifacts.load(ref, remote, scratch)
    assert Path(back / "deep/er/a.txt").read_text() == "a"
    file = artifacts.load(artifacts.import_path(folder / "b.txt", store), remote, scratch)
    assert file.read_text() == "b"
