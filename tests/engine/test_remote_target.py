"""The way to a server: which one is meant, who may be how far apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway
from fairway.engine.project import Project, load_project
from fairway.engine.remote import check_version, open_connection
from fairway.engine.watching import ask_to_resume
from fairway.errors import ConfigError, ConflictError, InfraError, NotFoundError, UnsupportedError


def project(tmp_path: Path, text: str, target: str = "campus") -> Project:
    (tmp_path / "fairway.toml").write_text(text)
    return load_project(str(tmp_path), variables={}, overrides={"target": target})


def apart(minors: int) -> str:
    major, minor, *_ = fairway.__version__.split(".")
    return f"{major}.{int(minor) + minors}.0"


@pytest.mark.parametrize("server", [fairway.__version__, apart(1), "unknown"])
def test_a_server_that_is_near_is_spoken_to(server: str) -> None:
    check_version(server, "campus")


def test_a_server_that_is_too_far_apart_is_not_and_the_cure_is_named() -> None:
    with pytest.raises(ConfigError, match="too far apart") as newer:
        check_version(apart(2), "campus")
    assert "pip install -U fairway" in newer.value.hint
    major = int(fairway.__version__.split(".")[0])
    if major or int(fairway.__version__.split(".")[1]) > 1:
        return
    with pytest.raises(ConfigError):
        check_version(f"{major + 1}.0.0", "campus")


def test_this_machine_has_no_server(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="has no server"):
        open_connection(project(tmp_path, "", "local"))


def test_a_server_that_cannot_be_reached_is_given_up_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_TOKEN", "u1.ann." + "0" * 32)
    found = project(tmp_path, '[targets.campus]\nkind = "server"\nurl = "http://127.0.0.1:9"\n')
    connection = open_connection(found, patience_s=0.0)
    with pytest.raises(InfraError):
        connection.api.get("/target")
    connection.close()


def test_a_cluster_without_kubeconfig_is_a_mistake_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_TOKEN", "u1.ann." + "0" * 32)
    found = project(tmp_path, f'[targets.campus]\nkind = "kubernetes"\nkubeconfig = "{tmp_path}/nothing"\n')
    with pytest.raises((ConfigError, NotFoundError)):
        open_connection(found)


class Answers:
    """A connection whose server refuses to resume; it is at event `head`, and `driven` or not."""

    def __init__(self, head: int, driven: bool) -> None:
        self.api = self.journal = self
        self._head, self._driven = head, driven

    def send(self, method: str, path: str, body: object) -> None:
        raise ConflictError("r1 is running")

    def is_driven(self, run: str) -> bool:
        return self._driven

    async def head(self, run: str) -> int:
        return self._head


def test_a_resume_whose_answer_was_lost_is_not_refused() -> None:
    ask_to_resume(Answers(12, driven=True), "r1", {}, 10)  # type: ignore[arg-type]
    for there in (Answers(10, driven=True), Answers(12, driven=False)):
        with pytest.raises(ConflictError):
            ask_to_resume(there, "r1", {}, 10)  # type: ignore[arg-type]
