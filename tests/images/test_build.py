"""Images built without a daemon, pushed to a real registry, looked at with skopeo and umoci."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fairway.envs.image import Built, ImagePlan, Reference, build_image
from fairway.envs.image.build import plan_digest
from fairway.envs.image.registry import open_store
from fairway.errors import ConfigError, ImageUnavailable, NotFoundError, UnsupportedError
from tests.images.conftest import Registry, make_base
from tests.images.wheels import make_wheel


def quiet(text: str) -> None:
    """Nobody listens."""


def build(plan: ImagePlan, to: Reference, cache: Path) -> Built:
    return build_image(plan, to, cache, say=quiet)


@pytest.fixture
def base(tmp_path: Path) -> Reference:
    return make_base(tmp_path / "base")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "flow.py").write_text("x = 1\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def plan_of(base: Reference, tmp_path: Path, code: Path, *, digest: str = "d1", **more: Any) -> ImagePlan:
    _, line = make_wheel(tmp_path / "wheels", "tool", script="tool")
    return ImagePlan(base, requirements=line, lock="a" * 64, python="3.11", bundle=(str(code), digest), **more)


def unpack(image: str, tmp_path: Path, name: str = "unpacked") -> Path:
    """The image's files, by skopeo and umoci."""
    subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{image}", f"oci:{tmp_path}/{name}-oci:x"], check=True)
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/{name}-oci:x", tmp_path / name], check=True, capture_output=True
    )
    return tmp_path / name / "rootfs"


def test_an_image_holds_base_packages_runtime_and_code(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    built = build(plan_of(base, tmp_path, code), registry.reference("team/flow"), tmp_path / "cache")
    seen = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{built.image}"], check=True, capture_output=True, text=True
        ).stdout
    )
    assert seen["Digest"] == built.digest
    assert (seen["Os"], seen["Architecture"], len(seen["Layers"])) == ("linux", "amd64", 4)
    variables = dict(pair.split("=", 1) for pair in seen["Env"])
    assert variables["FAIRWAY_LOCK"] == "a" * 64
    root = unpack(built.image, tmp_path)
    assert (root / "usr/local/bin/python3.11").exists()
    assert (root / "opt/fairway/bundles/d1/flow.py").read_text() == "x = 1\n"
    assert (root / "opt/fairway/bundles/d1/run.sh").stat().st_mode & 0o111
    assert (root / "opt/fairway/runtime/fairway/step/__main__.py").exists()
    assert (root / "opt/fairway/site/tool/__init__.py").exists()
    paths = [str(root) + path for path in variables["PYTHONPATH"].split(":")]
    words = "import fairway.step.attempt, tool, flow; print(tool.VERSION, flow.x)"
    done = subprocess.run(
        ["python3", "-S", "-c", words],
        env={"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/usr/local/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1.0 1\n", done.stderr


def test_nothing_in_the_packages_names_this_machine(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    root = unpack(build(plan_of(base, tmp_path, code), registry.reference("team/portable"), tmp_path / "cache").image, tmp_path)
    site = root / "opt/fairway/site"
    assert (site / "bin/tool").read_text().startswith("#!/usr/bin/env python3\n")
    assert not list(site.glob("*.dist-info/direct_url.json"))
    assert not [path for path in site.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()]
    record = (site / "tool-1.0.dist-info/RECORD").read_text()
    assert "direct_url" not in record
    assert f",{(site / 'bin/tool').stat().st_size}\n" in record


def test_the_same_wish_gives_the_same_digest_whoever_builds_it(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    plan = plan_of(base, tmp_path, code)
    first = build(plan, registry.reference("one/flow"), tmp_path / "cache-1")
    second = build(plan, registry.reference("two/flow"), tmp_path / "cache-2")
    assert first.digest == second.digest
    assert first.new
    assert second.new


def test_when_nothing_changed_nothing_is_built_or_sent(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    plan, to = plan_of(base, tmp_path, code), registry.reference("team/same")
    first = build(plan, to, tmp_path / "cache")
    before = len(registry.requests())
    again = build(plan, to, tmp_path / "cache")
    assert (again.image, again.new, again.sent) == (first.image, False, ())
    assert [request.split()[0] for request in registry.requests()[before:]] == ["HEAD"]


def test_when_code_changed_only_the_code_is_sent(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    to = registry.reference("team/edited")
    build(plan_of(base, tmp_path, code), to, tmp_path / "cache")
    (code / "flow.py").write_text("x = 2\n")
    edited = build(plan_of(base, tmp_path, code, digest="d2"), to, tmp_path / "cache")
    assert edited.sent == ("the user's code",)
    assert edited.sent_bytes < 20_000


def test_a_tag_of_ones_own_points_at_the_newest(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    to = registry.reference("team/tagged", "prod")
    first = build(plan_of(base, tmp_path, code), to, tmp_path / "cache")
    second = build(plan_of(base, tmp_path, code, digest="d2"), to, tmp_path / "cache")
    assert open_store(to).has_manifest("prod") == second.digest
    build(plan_of(base, tmp_path, code), to, tmp_path / "cache")
    assert open_store(to).has_manifest("prod") == first.digest


def test_one_name_for_two_platforms(registry: Registry, code: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "both", platforms=("linux/amd64", "linux/arm64"))
    plan = plan_of(base, tmp_path, code, platforms=("linux/amd64", "linux/arm64"))
    built = build(plan, registry.reference("team/both"), tmp_path / "cache")
    index = registry.get(f"/v2/team/both/manifests/{built.digest}")
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    for architecture in ("amd64", "arm64"):
        words = ["skopeo", "inspect", "--tls-verify=false", f"--override-arch={architecture}", f"docker://{built.image}"]
        assert json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["Architecture"] == architecture


def test_layers_of_a_base_in_the_same_registry_are_mounted_not_sent(
    registry: Registry, base: Reference, code: Path, tmp_path: Path
) -> None:
    words = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{base.repository}", f"docker://{registry.host}/library/base:1"]
    subprocess.run(words, check=True)
    built = build(plan_of(registry.reference("library/base", "1"), tmp_path, code), registry.reference("team/mounted"), tmp_path / "cache")
    assert "a layer of the base" not in built.sent
    assert (unpack(built.image, tmp_path) / "etc/hosts").exists()


def test_an_image_may_go_into_a_folder(base: Reference, code: Path, tmp_path: Path) -> None:
    built = build(plan_of(base, tmp_path, code), Reference("", str(tmp_path / "out"), "v1"), tmp_path / "cache")
    words = ["skopeo", "inspect", f"oci:{tmp_path}/out:v1"]
    assert json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["Digest"] == built.digest


def test_what_the_base_had_stays(registry: Registry, code: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", variables=("PYTHONPATH=/theirs", "LANG=C.UTF-8"))
    built = build(plan_of(base, tmp_path, code), registry.reference("team/kept"), tmp_path / "cache")
    manifest = registry.get(f"/v2/team/kept/manifests/{built.digest}")
    config = registry.get(f"/v2/team/kept/blobs/{manifest['config']['digest']}")
    variables = dict(pair.split("=", 1) for pair in config["config"]["Env"])
    assert variables["LANG"] == "C.UTF-8"
    assert variables["PYTHONPATH"].endswith(":/theirs")
    assert variables["PATH"] == "/opt/fairway/site/bin:/usr/local/bin:/usr/bin"
    assert config["config"]["Cmd"] == ["python3"]
    assert config["history"][0] == {"created_by": "base"}
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == len(config["history"])


@pytest.mark.parametrize(
    ("python", "wanted", "words"),
    [("3.12", "3.11", "locked for Python 3.11"), ("3.10", "", "has Python 3.10"), ("", "3.11", "no Python of its own")],
)
def test_a_python_that_does_not_fit_is_refused_before_anything_is_sent(
    registry: Registry, code: Path, tmp_path: Path, python: str, wanted: str, words: str
) -> None:
    base = make_base(tmp_path / "wrong", python=python)
    before = len([request for request in registry.requests() if request.startswith(("POST", "PUT"))])
    plan = plan_of(base, tmp_path, code)
    plan.python = wanted
    with pytest.raises(ConfigError, match=words):
        build(plan, registry.reference("team/wrong"), tmp_path / "cache")
    assert len([request for request in registry.requests() if request.startswith(("POST", "PUT"))]) == before


def test_a_musl_base_gets_musl_wheels(registry: Registry, code: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "alpine", libc="musl")
    _, line = make_wheel(tmp_path / "wheels", "native", tag="cp311-cp311-manylinux_2_17_x86_64")
    plan = ImagePlan(base, requirements=line, lock="b" * 64, python="3.11", bundle=(str(code), "d1"))
    with pytest.raises(ConfigError, match="musllinux"):
        build(plan, registry.reference("team/alpine"), tmp_path / "cache")


def test_a_platform_that_the_base_is_not_made_for(registry: Registry, base: Reference, code: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="not for linux/arm64"):
        build(plan_of(base, tmp_path, code, platforms=("linux/arm64",)), registry.reference("team/arm"), tmp_path / "cache")


def test_an_image_that_is_not_there(registry: Registry, code: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nobody/nothing"):
        build(plan_of(registry.reference("nobody/nothing", "1"), tmp_path, code), registry.reference("team/x"), tmp_path / "cache")


def test_a_registry_that_does_not_answer(base: Reference, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.envs.image.http._WAIT_S", 0.0)
    with pytest.raises(ImageUnavailable, match="cannot be reached"):
        build(plan_of(base, tmp_path, code), Reference("127.0.0.1:1", "team/x"), tmp_path / "cache")


def test_the_plan_counts_all_that_the_image_is_made_of(base: Reference, code: Path, tmp_path: Path) -> None:
    plan = plan_of(base, tmp_path, code)
    digests = {plan_digest(plan, "sha256:1"), plan_digest(plan, "sha256:2")}
    for name, value in (
        ("bundle", ("x", "d2")),
        ("lock", "c" * 64),
        ("python", "3.12"),
        ("command", ("a",)),
        ("variables", {"A": "1"}),
        ("platforms", ("linux/arm64",)),
    ):
        digests.add(
            plan_digest(ImagePlan(**{**{field: getattr(plan, field) for field in ImagePlan.record_fields}, name: value}), "sha256:1")
        )
    assert len(digests) == 8
