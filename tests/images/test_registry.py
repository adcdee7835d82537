"""Logins, names of images, and registries that misbehave."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.envs.image.credentials import find_credentials
from fairway.envs.image.layers import Entry, write_layer
from fairway.envs.image.reference import Reference, parse_reference
from fairway.envs.image.registry import FolderImages, RegistryImages
from fairway.errors import ConfigError
from tests.images.conftest import Registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("guarded"), guarded=True)
    yield made
    made.close()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty docker config folder."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def write_config(folder: Path, **config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def test_a_login_of_the_docker_config_opens_the_registry(guarded: Registry, docker: Path) -> None:
    write_config(docker, auths={guarded.host: {"auth": base64.b64encode(b"ann:s3cret").decode()}})
    images = RegistryImages(guarded.reference("team/x"))
    data = b"a layer"
    digest = "sha256:" + __import__("hashlib").sha256(data).hexdigest()
    assert images.put_blob(digest, len(data), lambda: io.BytesIO(data))
    assert not images.put_blob(digest, len(data), lambda: io.BytesIO(data))
    with images.open_blob(digest) as stream:
        assert stream.read() == data
    images.close()


@pytest.mark.parametrize("login", [None, "ann:wrong"])
def test_without_the_right_login_it_says_how_to_log_in(guarded: Registry, docker: Path, login: str | None) -> None:
    if login:
        write_config(docker, auths={guarded.host: {"auth": base64.b64encode(login.encode()).decode()}})
    with pytest.raises(ConfigError, match=guarded.host) as refused:
        RegistryImages(guarded.reference("team/x")).has_manifest("latest")
    assert f"docker login {guarded.host}" in refused.value.hint
    assert "wrong" not in str(refused.value)


def test_a_credential_helper_is_asked(guarded: Registry, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-tests"
    program.write_text('#!/bin/sh\nread name\nprintf \'{"Username":"ann","Secret":"s3cret","ServerURL":"%s"}\' "$name"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    write_config(docker, credHelpers={guarded.host: "tests"})
    assert RegistryImages(guarded.reference("team/x")).has_manifest("latest") == ""
    write_config(docker, credsStore="tests")
    assert find_credentials("anything.example") == ("ann", "s3cret")


def test_a_helper_that_fails_is_named(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    write_config(docker, credsStore="absent")
    with pytest.raises(ConfigError, match="docker-credential-absent"):
        find_credentials("registry.example")
    program = tmp_path / "docker-credential-odd"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    program.chmod(0o755)
    write_config(docker, credsStore="odd")
    with pytest.raises(ConfigError, match="broken"):
        find_credentials("registry.example")
    program.write_text("#!/bin/sh\necho 'credentials not found in native keychain'\nexit 1\n")
    assert find_credentials("registry.example") is None


@pytest.mark.parametrize("text", ["{", '{"auths": {"r.example": {"auth": "%%%"}}}'])
def test_a_docker_config_that_is_damaged_is_named(docker: Path, text: str) -> None:
    (docker / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        find_credentials("r.example")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("python:3.12-slim", Reference("docker.io", "library/python", "3.12-slim")),
        ("team/tool", Reference("docker.io", "team/tool")),
        ("ghcr.io/team/tool:v1", Reference("ghcr.io", "team/tool", "v1")),
        ("localhost/tool", Reference("localhost", "tool")),
        ("127.0.0.1:5000/a/b", Reference("127.0.0.1:5000", "a/b")),
        (f"r.example/a@sha256:{'0' * 64}", Reference("r.example", "a", "", f"sha256:{'0' * 64}")),
        (f"r.example/a:v1@sha256:{'0' * 64}", Reference("r.example", "a", "v1", f"sha256:{'0' * 64}")),
        ("oci:some/folder:v1", Reference("", "some/folder", "v1")),
        ("oci:some/folder", Reference("", "some/folder")),
    ],
)
def test_names_of_images(text: str, wanted: Reference) -> None:
    assert parse_reference(text) == wanted


@pytest.mark.parametrize("text", ["", ":x", "UPPER/case", "a b", "a@sha256:12", "a:", "r.example/", "a//b", "oci:", "a:-x"])
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not an image"):
        parse_reference(text)


_name = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True)


@given(
    st.sampled_from(["docker.io", "ghcr.io", "10.0.0.1:5000"]),
    _name,
    st.sampled_from(["", "v1"]),
    st.sampled_from(["", "sha256:" + "a" * 64]),
)
def test_a_name_that_is_spelled_and_read_again_is_the_same(registry: str, repository: str, tag: str, digest: str) -> None:
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    one = Reference(registry, repository, tag, digest)
    assert parse_reference(str(one)) == one


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}\.py", fullmatch=True), st.binary(max_size=64), max_size=6),
    st.booleans(),
    st.randoms(),
)
def test_a_layer_depends_on_nothing_but_its_files(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], compress: bool, random: object
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    entries = [Entry(path, data) for path, data in files.items()]
    one = write_layer(entries, folder, compress=compress, comment="")
    random.shuffle(entries)  # type: ignore[attr-defined]
    assert write_layer(entries, folder, compress=compress, comment="") == one


def test_a_folder_with_other_things_in_it_is_no_layout(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="no OCI image layout"):
        FolderImages(tmp_path).has_manifest("v1")
