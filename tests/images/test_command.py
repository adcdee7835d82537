"""`fairway image build`, and the images that a target with a registry gets by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairway.dsl.load import load_pipeline
from fairway.engine import images
from fairway.engine.project import load_project
from fairway.engine.submit import _with_images, lock_and_bundle
from fairway.envs.image import Reference
from fairway.errors import ConfigError
from tests.images.conftest import Registry, make_base
from tests.images.wheels import make_wheel

FLOW = """
import fairway as fw

@fw.step
def plain() -> int:
    return 1

@fw.step(env=fw.env(packages=["tool==1.0"]))
def packed(x: int) -> int:
    return x

@fw.pipeline
def flow():
    return packed(plain())
"""


@pytest.fixture
def project(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a target whose registry and base image are real; packages come from a folder of wheels."""
    make_wheel(tmp_path / "wheels", "tool")
    base = make_base(tmp_path / "base", python=f"3.{sys.version_info.minor}")
    words = [
        "skopeo",
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        f"oci:{base.repository}",
        f"docker://{registry.host}/base:{tmp_path.name}",
    ]
    subprocess.run(words, check=True)
    root = tmp_path / "project"
    root.mkdir()
    target = f'image = "{registry.host}/base:{tmp_path.name}"\nregistry = "{registry.host}/team/{tmp_path.name}"\n'
    (root / "fairway.toml").write_text(f'target = "campus"\n[targets.campus]\nkind = "kubernetes"\n{target}')
    (root / "flow.py").write_text(FLOW)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def fairway(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("fairway"), "image", "build", *words], capture_output=True, text=True, timeout=180, check=False
    )


def test_a_pipeline_has_one_image_for_each_of_its_environments(registry: Registry, project: Path) -> None:
    done = fairway("flow.py", "-o", "json")
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    assert len(built) == 2
    layers = [len(registry.get(f"/v2/team/{project.parent.name}/manifests/{one['digest']}")["layers"]) for one in built]
    assert sorted(layers) == [3, 4]
    again = fairway("flow.py")
    assert again.stdout.split() == [one["image"] for one in built]
    assert again.stderr.count("there already, nothing sent") == 2
    (project / "flow.py").write_text(FLOW.replace("return 1", "return 2"))
    edited = json.loads(fairway("flow.py", "-o", "json").stdout)
    assert [what for one in edited for what in one["sent"]] == ["the user's code"], "once, as both images are in one repository"


def test_a_run_at_a_target_with_a_registry_has_images_for_what_it_locks(registry: Registry, project: Path) -> None:
    told: list[str] = []
    opened = load_project(str(project))
    graph, _ = lock_and_bundle(load_pipeline("flow.py"), opened)
    made = images.with_images(graph, opened, opened.targets["campus"], told.append)
    assert made.steps["plain"].environment.built == ""
    image = made.steps["packed"].environment.built
    assert image.startswith(f"{registry.host}/team/{project.parent.name}@sha256:")
    assert told
    assert _with_images(graph, opened) == made
    code_edited = images.with_images(graph, opened, opened.targets["campus"], told.append)
    assert code_edited.steps["packed"].environment.built == image, "the user's code is not in it"


def test_a_target_without_a_registry_builds_nothing(project: Path) -> None:
    (project / "fairway.toml").write_text("")
    opened = load_project(str(project))
    graph, _ = lock_and_bundle(load_pipeline("flow.py"), opened)
    assert _with_images(graph, opened) is graph


def test_the_server_has_an_image_of_its_own(registry: Registry, project: Path, tmp_path: Path) -> None:
    done = fairway("--server", "--base", f"{registry.host}/base:{tmp_path.name}", "--to", f"oci:{tmp_path}/server:v1")
    assert done.returncode == 0, done.stderr
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/server:v1", tmp_path / "unpacked"], check=True, capture_output=True
    )
    config = json.loads((tmp_path / "unpacked/config.json").read_text())["process"]
    assert config["args"] == ["python3", "-m", "fairway.web"]
    path = next(pair for pair in config["env"] if pair.startswith("PYTHONPATH=")).partition("=")[2]
    code = tmp_path / "unpacked/rootfs" / path.lstrip("/")
    words = [sys.executable, "-S", "-c", "import fairway.web.app, uvicorn, starlette; print(fairway.web.app.__file__)"]
    shown = subprocess.run(words, env={"PYTHONPATH": str(code)}, cwd="/", capture_output=True, text=True, check=False)
    assert shown.stdout.startswith(str(code)), shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a pipeline's FILE, or --server"),
        (("flow.py", "--server"), "name a pipeline's FILE, or --server"),
        (("flow.py", "--platform", "windows/amd64"), "images cannot be built for 'windows/amd64'"),
        (("flow.py", "--base", "Not An Image"), "not an image"),
        (("flow.py", "--to", "127.0.0.1:1/x:one"), "2 environments"),
        (("absent.py",), "absent.py"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_way_out(project: Path, words: tuple[str, ...], said: str) -> None:
    done = fairway(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_without_a_registry_one_has_to_say_where_it_goes(project: Path) -> None:
    (project / "fairway.toml").write_text("")
    done = fairway("flow.py")
    assert (done.returncode, "where the image goes" in done.stderr) == (2, True)


def test_a_server_is_built_for_one_platform_at_a_time() -> None:
    with pytest.raises(ConfigError, match="one platform at a time"):
        images.plan_server(str(Reference("", "x")), ("linux/amd64", "linux/arm64"))
