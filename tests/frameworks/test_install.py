"""The wheel, and what an install of it brings: pure, small, few."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPELINE = """
import fairway as fw


@fw.step
def one() -> int:
    return 1


@fw.step
def double(x: int) -> int:
    return 2 * x


@fw.pipeline
def hello():
    return double(one())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an empty environment into which the wheel was installed, without any extra."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    return python


def test_the_wheel_is_pure_and_small(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < 3_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "fairway/spec/graph.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".so", ".pyd", ".dylib", ".pyc"))]
    assert not [name for name in names if not name.startswith("fairway")]


def content(python: Path) -> tuple[set[str], int]:
    """The distributions that an environment has beside what every new one has, and their bytes."""
    listed = json.loads(subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True).stdout)
    names = {row["name"].lower() for row in listed} - {"pip", "setuptools", "wheel"}
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    given = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    ours = (path for path in site.rglob("*") if path.is_file() and path.relative_to(site).parts[0].partition("-")[0] not in given)
    return names, sum(path.stat().st_size for path in ours)


def test_an_install_is_few_distributions_and_small(installed: Path) -> None:
    names, size_bytes = content(installed)
    assert "fairway" in names
    assert len(names) <= 16
    assert size_bytes <= 42_000_000  # a third of it is Fairway with its compiled files, the rest what it needs


def test_data_needs_few_distributions_and_does_all_of_its_work_with_them(installed: Path, wheel: Path, tmp_path: Path) -> None:
    before, bytes_before = content(installed)
    folder = tmp_path / "data"
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[data]"], check=True)
    names, size_bytes = content(python)
    assert len(names - before) <= 12, sorted(names - before)
    assert size_bytes - bytes_before <= 250_000_000
    (tmp_path / "train.csv").write_text(
        "at;plan;paid\n" + "".join(f"2026-03-02 10:{n // 60:02}:{n % 60:02};{'ab'[n % 2]};{n / 4}\n" for n in range(900))
    )
    (tmp_path / "odd.json").write_text('{"type": "object", "properties": {"plan": {"type": "word"}}}')

    def fairway(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python.with_name("fairway"), "data", *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    for words in (
        ("head", "train.csv"),
        ("convert", "train.csv", "train.parquet"),
        ("stats", "train.parquet"),
        ("schema", "infer", "train.csv", "--out", "schema.json"),
        ("validate", "train.parquet", "--schema", "schema.json"),
        ("drift", "train.csv", "train.parquet"),
        ("report", "train.csv", "--out", "report.html"),
    ):
        done = fairway(*words)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
    refused = fairway("validate", "train.csv", "--schema", "odd.json")
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr


def test_the_installed_command_runs_a_pipeline(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(PIPELINE)
    command = [installed.with_name("fairway"), "run", "hello.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
