"""This Fairway as code for another machine: what fits there, and what is fetched."""

from __future__ import annotations

import os
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from fairway.engine.release import Machine, collect, find_local, find_release, is_portable, versions_apart
from fairway.spec.record import replace

HERE = Machine("3.11", "x86_64", "glibc 2.99")


class Wheel:
    """An installed distribution with these tags."""

    files = ("greet/__init__.py",)

    def __init__(self, *tags: str, editable: bool = False) -> None:
        self.texts = {"WHEEL": "".join(f"Tag: {tag}\n" for tag in tags)}
        self.texts["direct_url.json"] = '{"dir_info": {"editable": true}}' if editable else ""

    def read_text(self, name: str) -> str:
        return self.texts[name]


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", False),  # a wheel lists each of its tags on a line of its own
        ("cp311-cp311-manylinux_2_17_x86_64", True),
        ("cp312-cp312-manylinux_2_17_x86_64", False),
        ("cp39-abi3-manylinux_2_17_x86_64", True),
        ("cp312-abi3-manylinux_2_17_x86_64", False),
        ("cp311-cp311-manylinux_2_28_x86_64", True),
        ("cp311-cp311-manylinux_2_39_x86_64", False),
        ("cp311-cp311-manylinux2014_x86_64", True),
        ("cp311-cp311-manylinux_2_17_aarch64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
        ("cp311-cp311-macosx_11_0_arm64", False),
        ("cp311-cp311-linux_x86_64", False),
        ("py3-none-manylinux_2_17_x86_64", True),
    ],
)
def test_a_wheel_fits_by_its_tags(tag: str, fits: bool) -> None:
    assert is_portable(Wheel(tag), Machine("3.11", "x86_64", "glibc 2.36")) is fits  # type: ignore[arg-type]


def test_a_wheel_for_musl_fits_an_image_of_musl() -> None:
    alpine = Machine("3.11", "x86_64", "musl 1.2")
    assert is_portable(Wheel("cp311-cp311-musllinux_1_2_x86_64"), alpine)  # type: ignore[arg-type]
    assert not is_portable(Wheel("cp311-cp311-manylinux_2_17_x86_64"), alpine)  # type: ignore[arg-type]


def test_what_is_edited_here_is_not_copied() -> None:
    assert not is_portable(Wheel("py3-none-any", editable=True), HERE)  # type: ignore[arg-type]


def test_the_release_names_what_the_server_requires() -> None:
    names = {requirement.partition(">")[0] for requirement in find_release().requirements}
    assert {"click", "lightkube", "msgspec", "starlette", "uvicorn", "zstandard"} <= names
    assert "psycopg[binary]" not in names and "pytest" not in names
    assert "psycopg[binary]" in {one.partition(">")[0] for one in find_release(["server", "postgres"]).requirements}


def test_the_release_changes_with_its_requirements_and_not_with_time() -> None:
    assert find_release().id == find_release().id
    assert find_release(["server", "postgres"]).id != find_release().id
    assert find_release().id.startswith(f"{distribution('fairway').version}-")


def test_all_that_is_required_is_found_here_for_a_machine_like_this() -> None:
    found = find_local(find_release(), HERE)
    assert found is not None
    names = {one.metadata["Name"].lower() for one in found}
    assert {"starlette", "uvicorn", "h11", "anyio", "httpx2"} <= names
    assert "pytest" not in names


OTHERS = [replace(HERE, python="3.13"), replace(HERE, machine="aarch64"), replace(HERE, libc="")]


@pytest.mark.parametrize("machine", OTHERS)
def test_nothing_is_taken_from_here_for_another_machine(machine: Machine) -> None:
    assert find_local(find_release(), machine) is None


def test_a_version_that_is_not_here_is_not_taken_from_here() -> None:
    assert find_local(replace(find_release(), requirements=("click>=99",)), HERE) is None
    assert find_local(replace(find_release(), requirements=("no-such-thing",)), HERE) is None


def test_the_zip_can_be_imported_and_is_kept(tmp_path: Path) -> None:
    release = replace(find_release(), requirements=("click>=8",))
    path = collect(release, HERE, str(tmp_path))
    with zipfile.ZipFile(path) as made:
        names = made.namelist()
    assert {"fairway/web/__main__.py", "fairway/step/__main__.py", "click/__init__.py"} <= set(names)
    version = distribution("fairway").version
    assert f"fairway-{version}.dist-info/METADATA" in names and f"fairway-{version}.dist-info/entry_points.txt" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("..", "/"))]
    made_at = os.stat(path).st_ino
    assert os.stat(collect(release, HERE, str(tmp_path))).st_ino == made_at


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(8):
        old = tmp_path / f"old-{number}.zip"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    collect(replace(find_release(), requirements=()), HERE, str(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("old-*")) == [f"old-{number}.zip" for number in range(3, 8)]


VERSIONS = [("0.1.0", "0.1.9", 0), ("0.1.0", "0.2.0", 1), ("1.4", "1.2", -2), ("1.0", "2.0", None), ("unknown", "1.0", None)]


@pytest.mark.parametrize(("mine", "theirs", "apart"), VERSIONS)
def test_versions_are_compared_by_their_minor(mine: str, theirs: str, apart: int | None) -> None:
    assert versions_apart(mine, theirs) == apart
