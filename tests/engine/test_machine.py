"""What is recorded of the machine, and which distribution an imported name belongs to."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path

import pytest

from fairway.engine import machine


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, the only one on the import path."""
    folder = tmp_path / "site-packages"
    files = {
        "scikit_fake-1.5.0.dist-info/RECORD": "skfake/__init__.py,,\nskfake/core.py,,\nscikit_fake-1.5.0.dist-info/METADATA,,\n",
        "Plain.Name-2.0.dist-info/RECORD": "plain_name/__init__.py,,\n",
        "single-3.1.dist-info/RECORD": "lonely.py,,\n",
        "old_style-0.9-py3.11.egg-info/top_level.txt": "oldstyle\n",
        "silent-1.0.dist-info/METADATA": "Name: silent\n",
        "ns_a-1.dist-info/RECORD": "shared/a.py,,\n",
        "ns_b-2.dist-info/RECORD": "shared/b.py,,\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr("sys.path", [str(folder)])
    return folder


def test_the_machine_is_recorded_in_full_as_json() -> None:
    found = machine.record()
    assert json.loads(json.dumps(found)) == found
    assert found["python"] == platform.python_version()
    assert (found["host"], found["cpus"]) == (platform.node(), os.cpu_count())
    assert found["platform"].split()[0] == platform.system()
    assert found["memory_bytes"] > 1 << 28 and found["cpu"]


def test_every_distribution_is_recorded_with_its_version() -> None:
    wanted = {machine.normalise(one.metadata["Name"]): one.version for one in metadata.distributions() if one.metadata["Name"]}
    found = machine.distributions()
    assert {name: found.get(name) for name in ("pytest", "click", "msgspec")} == {
        name: wanted[name] for name in ("pytest", "click", "msgspec")
    }


def test_names_are_compared_as_package_indexes_do() -> None:
    assert {machine.normalise(name) for name in ("Scikit_Learn", "scikit.learn", "scikit-learn", "SCIKIT--LEARN")} == {"scikit-learn"}


def test_distributions_are_read_from_the_names_of_folders(packages: Path) -> None:
    assert machine.distributions() == {
        "ns-a": "1", "ns-b": "2", "old-style": "0.9", "plain-name": "2.0", "scikit-fake": "1.5.0", "silent": "1.0", "single": "3.1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("imported", "versions"),
    [
        ("skfake", {"scikit-fake": "1.5.0"}),
        ("plain_name", {"plain-name": "2.0"}),
        ("lonely", {"single": "3.1"}),
        ("oldstyle", {"old-style": "0.9"}),
        ("shared", {"ns-a": "1", "ns-b": "2"}),
        ("nowhere", {"nowhere": "unknown"}),
    ],
)
def test_an_imported_name_leads_to_its_distributions(packages: Path, tmp_path: Path, imported: str, versions: dict[str, str]) -> None:
    assert machine.versions([imported], str(tmp_path / "home")) == versions
    assert machine.versions([imported], str(tmp_path / "home")) == versions  # from what was kept
    assert machine.versions([imported]) == versions


def test_what_was_kept_does_not_outlive_a_change_of_the_packages(packages: Path, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    assert machine.versions(["later"], home) == {"later": "unknown"}
    (packages / "late_dist-1.0.dist-info").mkdir()
    (packages / "late_dist-1.0.dist-info" / "RECORD").write_text("later/__init__.py,,\n")
    os.utime(packages, ns=(1, 1))
    assert machine.versions(["later"], home) == {"late-dist": "1.0"}
    (packages / "late_dist-1.0.dist-info").rename(packages / "late_dist-1.1.dist-info")
    os.utime(packages, ns=(2, 2))
    assert machine.versions(["later"], home) == {"late-dist": "1.1"}


def test_a_damaged_file_of_what_was_kept_is_made_anew(packages: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    machine.versions(["skfake"], str(home))
    (kept,) = (home / machine.CACHE).iterdir()
    for text in ("", "{", "[]", '{"stamp": 1}'):
        kept.write_text(text)
        assert machine.versions(["skfake"], str(home)) == {"scikit-fake": "1.5.0"}


def test_a_home_that_cannot_be_written_only_costs_time(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    assert machine.versions(["skfake"], str(tmp_path / "home")) == {"scikit-fake": "1.5.0"}
