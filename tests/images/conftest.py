"""A real registry (Debian's docker-registry) for the module, and small base images made by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway.envs.image.reference import Reference
from fairway.step.freeports import free_ports

_TOOLS = Path(__file__).parents[2] / "tools"
HASHED = "$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK"
"""What bcrypt makes of "s3cret", the password of "ann"."""
_PROGRAMS = ("docker-registry", "skopeo", "umoci")


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """The registry and the programs that look at what we made, from Debian's packages."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        subprocess.run([_TOOLS / "apt_install.sh", *missing], check=True)


class Registry:
    """A registry on this machine."""

    def __init__(self, folder: Path, *, guarded: bool = False) -> None:
        (self.port,) = free_ports(1)
        self.host = f"127.0.0.1:{self.port}"
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.host},
        }
        if guarded:
            (folder / "htpasswd").write_text(f"ann:{HASHED}\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
        self._await()

    def _await(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until
                try:
                    self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            else:
                return

    def reference(self, repository: str, tag: str = "") -> Reference:
        return Reference(self.host, repository, tag)

    def get(self, path: str) -> Any:
        accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.host}{path}", headers=accept), timeout=60) as reply:
            return json.loads(reply.read())

    def requests(self) -> list[str]:
        """The method and path of every request so far."""
        found: list[str] = []
        for line in self.log.read_text().splitlines():
            if '"' in line and "HTTP/1.1" in line and line.startswith("127.0.0.1"):
                found.append(" ".join(line.split('"')[1].split()[:2]))
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("registry"))
    yield made
    made.close()


def make_base(
    folder: Path, *, platforms: Sequence[str] = ("linux/amd64",), python: str = "3.11", libc: str = "", variables: Sequence[str] = ()
) -> Reference:
    """An OCI layout with an image that has a file where Python would be."""
    files = {f"usr/local/bin/python{python}": b"not really", "etc/hosts": b"127.0.0.1 localhost\n"} if python else {"bin/prog": b"x"}
    if libc == "musl":
        files["lib/ld-musl-x86_64.so.1"] = b""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def keep(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}"

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    layer = gzip.compress(out.getvalue(), mtime=0)
    listed: list[dict[str, Any]] = []
    for platform in platforms:
        system, _, architecture = platform.partition("/")
        config = json.dumps(
            {
                "os": system,
                "architecture": architecture,
                "config": {"Env": ["PATH=/usr/local/bin:/usr/bin", *variables], "Cmd": ["python3"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"]},
                "history": [{"created_by": "base"}],
            }
        ).encode()
        body = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": keep(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": keep(layer), "size": len(layer)}],
        }
        manifest = json.dumps(body).encode()
        listed.append(
            {
                "mediaType": body["mediaType"],
                "digest": keep(manifest),
                "size": len(manifest),
                "platform": {"os": system, "architecture": architecture},
            }
        )
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed}
    if len(listed) > 1:
        data = json.dumps(index).encode()
        index = {**index, "manifests": [{"mediaType": index["mediaType"], "digest": keep(data), "size": len(data)}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return Reference("", str(folder))
