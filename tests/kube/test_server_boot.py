"""The text that makes a bare Python image the server: what it takes, from whom, and what it leaves on the volume."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.kube.server_boot import BOOT
from fairway.spec.tokens import KeptToken, digest_token, make_user_token, render_kept
from fairway.step.freeports import free_ports

TOKEN = make_user_token("ada")
SAYS = "import os, sys\nprint('served by', os.path.dirname(os.path.dirname(os.path.dirname(__file__))), flush=True)\n"


class Pod:
    """One process of the boot, on a volume that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        secrets = folder / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "token.ada").write_text(digest_token(TOKEN))
        (self.port,) = free_ports(1)
        variables = {
            "FAIRWAY_HOME": str(self.home),
            "FAIRWAY_SECRETS": str(secrets),
            "FAIRWAY_HOST": "127.0.0.1",
            "FAIRWAY_PORT": str(self.port),
            "FAIRWAY_RELEASE": "0.1.0-abc",
            "PATH": os.environ["PATH"],
        }
        command = [sys.executable, "-I", "-c", BOOT]
        self.process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.first = self.process.stdout.readline()  # type: ignore[union-attr]
        while "waiting" in self.first and not self.answers():
            assert self.process.poll() is None

    def answers(self) -> bool:
        try:
            return self.call("GET", "/livez")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, body: bytes = b"", token: str = TOKEN, digest: str = "") -> tuple[int, Any]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Fairway-Token": token, "Fairway-Sha256": digest or hashlib.sha256(body).hexdigest()}
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())

    def end(self) -> tuple[int, str]:
        """(exit status, all that it wrote after its first line)."""
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.home / "server").iterdir())


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    yield made
    made.kill()


def release() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, text in {"fairway/__init__.py": "", "fairway/web/__init__.py": "", "fairway/web/__main__.py": SAYS}.items():
            packed.writestr(name, text)
    return out.getvalue()


def test_it_says_what_it_is_to_who_has_a_token(pod: Pod) -> None:
    status, about = pod.call("GET", "/boot")
    assert status == 200
    assert (about["release"], about["python"]) == ("0.1.0-abc", f"3.{sys.version_info[1]}")
    assert about["machine"] == os.uname().machine and about["libc"]


@pytest.mark.parametrize("token", ["", "u1.ada." + "0" * 48, "u1.bob." + "0" * 48, "u1.../secrets/token.ada.x", "nonsense"])
def test_it_says_and_takes_nothing_without_one(pod: Pod, token: str) -> None:
    assert pod.call("GET", "/boot", token=token)[0] == 401
    assert pod.call("PUT", "/boot", release(), token=token)[0] == 401
    assert pod.releases == []


def test_only_who_may_do_everything_brings_the_servers_code(pod: Pod, tmp_path: Path) -> None:
    for role, projects in (("run", ()), ("admin", ("churn",))):
        token = make_user_token("bob")
        (tmp_path / "secrets" / "token.bob").write_text(render_kept(KeptToken(digest_token(token), role, projects)))
        assert pod.call("PUT", "/boot", release(), token=token)[0] == 401
    assert pod.releases == []


def test_it_lives_and_is_not_ready(pod: Pod) -> None:
    assert pod.call("GET", "/livez", token="")[0] == 200
    status, body = pod.call("GET", "/readyz", token="")
    assert (status, "fairway up brings it" in body["detail"]) == (503, True)


def test_what_comes_becomes_the_server(pod: Pod) -> None:
    assert pod.call("PUT", "/boot", release())[0] == 201
    status, rest = pod.end()
    (name,) = pod.releases
    assert (status, rest) == (0, f"served by {pod.home}/server/{name}\n")
    assert name.startswith("0.1.0-abc-cp3.")


def test_a_restart_needs_nobody(pod: Pod, tmp_path: Path) -> None:
    pod.call("PUT", "/boot", release())
    pod.end()
    again = Pod(tmp_path)
    assert again.first.startswith("served by ")
    assert again.end()[0] == 0


def test_what_was_changed_on_its_way_is_refused_and_may_come_again(pod: Pod) -> None:
    assert pod.call("PUT", "/boot", release(), digest="0" * 64) == (400, {"detail": "what came is not what was sent"})
    assert pod.call("PUT", "/boot", b"no zip")[0] == 507
    assert [name for name in pod.releases if not name.startswith(".")] == []
    assert pod.call("PUT", "/boot", release())[0] == 201
    assert pod.end()[0] == 0


def test_what_broke_off_may_come_again(pod: Pod) -> None:
    with socket.create_connection(("127.0.0.1", pod.port)) as link:
        link.sendall(f"PUT /boot HTTP/1.1\r\nFairway-Token: {TOKEN}\r\nContent-Length: 1000\r\n\r\nhalf".encode())
    assert pod.call("GET", "/boot")[0] == 200
    assert pod.call("PUT", "/boot", release())[0] == 201
    assert pod.end()[0] == 0


def test_older_releases_go_when_a_new_one_has_come(pod: Pod) -> None:
    (pod.home / "server" / "0.0.9-old").mkdir()
    pod.call("PUT", "/boot", release())
    pod.end()
    assert len(pod.releases) == 1 and pod.releases[0].startswith("0.1.0-abc")


def test_it_ends_at_once_when_told_to(pod: Pod) -> None:
    pod.process.send_signal(signal.SIGTERM)
    assert pod.end()[0] == 0


def test_it_is_small_and_needs_nothing_but_python() -> None:
    assert len(BOOT) < 6_000
    compile(BOOT, "boot", "exec")
    assert "fairway" not in [line.split()[1].split(".")[0] for line in BOOT.splitlines() if line.startswith(("import ", "from "))]
