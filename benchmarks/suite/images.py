"""An image of a pipeline's packages and code, built and pushed to a real registry on this machine."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

SAME = Bar("image-same", "`fairway image build`, nothing changed", 0.5, "s")
EDITED = Bar("image-edited", "`fairway image build` after an edit, push included", 1.5, "s")
SENT = Bar("image-sent", "of its layers only the code is sent: bytes", 20_000, "bytes")


def measure(session: Session) -> None:
    if shutil.which("docker-registry") is None:
        raise CommandError("no registry: apt-get install docker-registry")
    folder = session.project("images")
    base = make_base(session.work / "base", f"3.{sys.version_info.minor}")
    with serve_registry(session.work / "registry") as host:
        to = f"{host}/bench/packed"
        build = session.ours(folder, "image", "build", "packed.py", "--base", f"oci:{base}", "--to", to, expect=r"@sha256:")
        session.run_once(build)
        same = session.ours(
            folder, "image", "build", "packed.py", "--base", f"oci:{base}", "--to", to, expect="there already, nothing sent"
        )
        session.time(SAME.name, {"fairway": same})
        numbers, source = itertools.count(2), folder / "packed.py"

        def edit() -> None:
            text = source.read_text(encoding="utf-8").splitlines(keepends=True)
            source.write_text(
                "".join(f"ADDED = {next(numbers)}\n" if line.startswith("ADDED") else line for line in text), encoding="utf-8"
            )

        edited = session.ours(
            folder,
            *("image", "build", "packed.py", "--base", f"oci:{base}", "--to", to),
            before=edit,
            expect=r"sent the user's code",
        )
        session.time(EDITED.name, {"fairway": edited}, warm_up=False)
        edit()
        done = subprocess.run([*same.argv, "-o", "json"], cwd=folder, env=same.environ(), capture_output=True, text=True, check=True)
        session.record(SENT.name, "fairway", "bytes", [float(json.loads(done.stdout)[0]["sent_bytes"])])


@contextmanager
def serve_registry(folder: Path) -> Iterator[str]:
    """host:port of Debian's docker-registry, for as long as it is wanted."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder / "data")}}, "http": {"addr": host}}
    (folder / "config.yml").write_text(json.dumps(config))
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host
    finally:
        process.kill()
        process.wait()


def make_base(folder: Path, python: str) -> Path:
    """An OCI layout with one layer that has a file where Python would be: what is measured never runs it."""
    from fairway.envs.image.layers import Entry, write_layer
    from fairway.envs.image.registry import CONFIG, MANIFEST, FolderImages, make_manifest

    layer = write_layer(
        [Entry(f"usr/local/bin/python{python}", b"", executable=True)], folder.with_name("base-blobs"), compress=True, comment=""
    )
    store = FolderImages(folder)
    store.put_blob(layer.digest, layer.size_bytes, lambda: io.BytesIO(Path(layer.path).read_bytes()))
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}})
    digest = f"sha256:{hashlib.sha256(config.encode()).hexdigest()}"
    store.put_blob(digest, len(config), lambda: io.BytesIO(config.encode()))
    body = {"config": {"mediaType": CONFIG, "digest": digest, "size": len(config)}, "layers": [layer.descriptor()]}
    store.put_manifest(make_manifest(body, MANIFEST), "v1")
    return folder


BENCHMARK = Benchmark("images", "images without a container daemon", (SAME, EDITED, SENT), measure)
