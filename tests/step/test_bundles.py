"""A bundle travels as one blob, and what arrives is that bundle or is refused."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.dsl import bundle as bundles
from fairway.errors import NotFoundError, StoreUnavailable
from fairway.spec.layout import BUNDLES
from fairway.step.bundles import pack_bundle, unpack_bundle

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..", "__pycache__") and len(name.encode()) < 200
)


def write(home: Path, files: dict[str, bytes]) -> str:
    listing = "".join(f"{path}\0{hashlib.sha256(data).hexdigest()}\n" for path, data in sorted(files.items()))
    digest = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    for path, data in files.items():
        target = home / BUNDLES / digest / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return digest


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=5), st.booleans())
def test_what_was_packed_is_unpacked(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], deep: bool) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    files = {f"pkg/{name}" if deep else name: data for name, data in files.items()}
    digest = write(here, files)
    folder = Path(unpack_bundle(pack_bundle(digest, str(here)), digest, str(there)))
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files


def test_a_bundle_of_a_pipeline_keeps_its_digest_its_programs_and_not_its_compiled_forms(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "flow.py").write_text("import helper\n")
    (root / "helper.py").write_text("X = 1\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    made = bundles.collect(str(root / "flow.py"), str(root), (), commands=[("./run.sh",)])
    folder = Path(bundles.write(made, tmp_path / "home"))
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "flow.cpython-311.pyc").write_bytes(b"compiled")
    there = Path(unpack_bundle(pack_bundle(made.digest, str(tmp_path / "home")), made.digest, str(tmp_path / "there")))
    assert sorted(path.name for path in there.iterdir()) == sorted(Path(file.path).name for file in made.files)
    assert os.access(there / "run.sh", os.X_OK) and not os.access(there / "flow.py", os.X_OK)


def test_a_bundle_that_is_there_is_left_alone(tmp_path: Path) -> None:
    digest = write(tmp_path, {"a.py": b"1"})
    assert unpack_bundle(b"nothing", digest, str(tmp_path)) == f"{tmp_path}/{BUNDLES}/{digest}"


def test_another_bundle_under_its_name_is_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path, {"a.py": b"1"}), write(tmp_path, {"a.py": b"2"})
    with pytest.raises(StoreUnavailable, match="is not the bundle"):
        unpack_bundle(pack_bundle(other, str(tmp_path)), one, str(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: zlib.compress(b"no archive")])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: object) -> None:
    digest = write(tmp_path, {"a.py": os.urandom(2000)})
    with pytest.raises(StoreUnavailable):
        unpack_bundle(damage(pack_bundle(digest, str(tmp_path))), digest, str(tmp_path / "there"))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py", "link"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(StoreUnavailable):
        unpack_bundle(zlib.compress(out.getvalue()), "ab" * 32, str(tmp_path / "there"))
    assert not (tmp_path / "evil.py").exists()


def test_a_bundle_that_is_not_here_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        pack_bundle("ab" * 32, str(tmp_path))
