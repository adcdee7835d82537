"""What a serving pod does before it serves: brings libraries, packages and the model to its disk, and becomes the program that serves.

`python -c BOOT replica` or `python -c BOOT gateway`; the pod's variables say the rest. Whatever is on its disk already is not fetched
again, so a container that is started anew after a crash needs nobody.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

from fairway.errors import FairwayError, UnsupportedError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.environment import Environment
from fairway.spec.layout import BLOBS
from fairway.spec.record import from_plain
from fairway.step.agent import Settings, guarded, say
from fairway.step.control import Control
from fairway.step.install import IMAGE_LOCK, Environments
from fairway.step.link import Link, Refused
from fairway.step.paths import open_folder
from fairway.step.remote import RemoteArtifactStore

LIBRARIES_PATH = "serving-libraries.zip"
SPOOL_TOKEN = "FAIRWAY_SPOOL_TOKEN"
LIBRARIES = "FAIRWAY_LIBRARIES"
"""The variable that names the folder of the serving libraries; `fairway.serve` looks there last, after all that the image has."""
_NEEDED = ("msgspec", "httptools", "jsonschema", "grpclib", "google.protobuf")
_HTTP, _GRPC = 8080, 8081
_ROOT = str(Path(__file__).absolute().parents[2])

Become = Callable[[list[str], dict[str, str]], NoReturn]


def main(argv: list[str]) -> int:
    """Become the inference server or the gateway; returns only when that cannot be."""
    return guarded(lambda: _main(argv, os.environ, _become))


def _main(argv: list[str], environ: MutableMapping[str, str], become: Become) -> int:
    told = json.loads(environ.pop("FAIRWAY_SERVE", "{}"))
    host = environ.pop("FAIRWAY_HOST", "0.0.0.0")
    if ":" in environ.get("POD_IP", "") and host == "0.0.0.0":
        host = "::"
    place = Place(Settings(environ), environ)
    if argv == ["replica"]:
        become(*place.replica(told, host))
    if argv == ["gateway"]:
        become(*place.gateway(told, host))
    say("fairway: a serving pod is a replica or a gateway")
    return 2


class Place:
    """The pod's disk, and the way to the server."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings, self._environ = settings, environ
        self.control = Control(Link(patience_s=settings.patience_s, say=say), settings.url, settings.token)
        self.store = RemoteArtifactStore(f"{settings.home}/{BLOBS}", self.control, settings.blobs_url)

    def replica(self, told: Mapping[str, Any], host: str) -> tuple[list[str], dict[str, str]]:
        """The command line and the variables of the inference server, once all that it needs is here."""
        python = self._python(told)
        libraries = self._libraries(python)
        ref = from_plain(ArtifactRef, told["package"])
        self.store.fetch_inputs([ref])
        folder = open_folder(ref, self.store, f"{self._settings.home}/model")
        command = [python, "-m", "fairway.serve.replica", folder, "--name", told["name"], "--version", told["version"]]
        command += ["--host", host, "--port", str(_HTTP)]
        if told.get("grpc_port"):
            command += ["--grpc-port", str(told["grpc_port"])]
        if told.get("workers"):
            command += ["--workers", str(told["workers"])]
        for name in ("limits", "options"):
            if told.get(name):
                command += [f"--{name}", json.dumps(told[name], separators=(",", ":"))]
        variables = {name: str(value) for name, value in (told.get("variables") or {}).items()}
        return command, self._surroundings(libraries, own=python != sys.executable) | variables

    def gateway(self, told: Mapping[str, Any], host: str) -> tuple[list[str], dict[str, str]]:
        """The command line and the variables of the gateway."""
        libraries = self._libraries(sys.executable)
        at = f"[{host}]" if ":" in host else host
        command = [sys.executable, "-m", "fairway.serve.gateway", "--table", told["table"], "--listen", f"{at}:{_HTTP}"]
        command += ["--admin", f"{at}:{told['admin_port']}", "--admin-token-file", told["token_file"]]
        if told.get("grpc_port"):
            command += ["--grpc", f"{at}:{told['grpc_port']}"]
        command += ["--spool", self.control.path_url("spool")]
        if told.get("tls"):
            command += ["--tls-cert", f"{told['tls']}/tls.crt", "--tls-key", f"{told['tls']}/tls.key"]
        return command, self._surroundings(libraries, own=False) | {SPOOL_TOKEN: self._settings.token}

    def _python(self, told: Mapping[str, Any]) -> str:
        """The interpreter with the revision's packages: the image's own, or one of an environment that is made here."""
        lock = told.get("lock", "")
        if not lock or lock == self._environ.get(IMAGE_LOCK):
            return sys.executable
        environment = Environment(python=told.get("python", ""), lock=lock)
        text = self.store.get(blob_key(lock)).decode()
        return Environments(self._settings.home).ensure(environment, text, say)

    def _libraries(self, python: str) -> str:
        """The folder with what serving needs of others, "" where that interpreter has it all. Raises UnsupportedError where neither it nor
        the server has what fits."""
        if not _lacking(python, self._environ):
            return ""
        about = describe_python()
        folder = Path(self._settings.home, "libraries", "-".join(about.values()).replace(" ", "-"))
        if not folder.is_dir():
            url = f"{self.control.path_url(LIBRARIES_PATH)}?{urlencode(about)}"
            try:
                data = self.control.link.call("GET", url, headers=self.control.headers).body
            except Refused as error:
                raise UnsupportedError(
                    f"the image lacks {', '.join(_lacking(python, self._environ))}, and the server cannot bring them: {error.message}",
                    hint='put them into the image (pip install "fairway[serve]"), or use one with the Python of the server\'s image',
                ) from error
            part = folder.with_name(f"{folder.name}.{os.getpid()}")
            zipfile.ZipFile(io.BytesIO(data)).extractall(part)
            part.rename(folder)
        return str(folder)

    def _surroundings(self, libraries: str, *, own: bool) -> dict[str, str]:
        """Variables of the program: without tokens and addresses, which are not the model's business. `own`: its environment is one of its
        own, so none of the image's packages."""
        kept = {name: value for name, value in self._environ.items() if name != "PYTHONPATH"}
        path = [_ROOT] if own else [_ROOT, *(part for part in self._environ.get("PYTHONPATH", "").split(":") if part and part != _ROOT)]
        return {**kept, "PYTHONPATH": ":".join(path), **({LIBRARIES: libraries} if libraries else {})}


def describe_python() -> dict[str, str]:
    """What libraries have to fit: the Python of this process, the processor, the C library."""
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    if not libc and "musl" in (sysconfig.get_config_var("SOABI") or ""):
        libc = "musl 1.2"
    return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "machine": platform.machine(), "libc": libc}


def _lacking(python: str, environ: Mapping[str, str]) -> list[str]:
    """Which of the libraries an interpreter does not find."""
    if python == sys.executable:
        return [name for name in _NEEDED if not _is_here(name)]
    kept = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", _ASK, *_NEEDED], env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsupportedError(f"{python} does not run: {done.stderr.strip()[-300:]}", hint="look at the revision's environment")
    return done.stdout.split()


def _is_here(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


_ASK = """import importlib.util, sys
for name in sys.argv[1:]:
    try: found = importlib.util.find_spec(name)
    except ImportError: found = None
    if found is None: print(name)
"""


def _become(command: list[str], variables: dict[str, str]) -> NoReturn:
    try:
        os.execve(command[0], command, variables)
    except OSError as error:
        raise FairwayError(f"cannot start {command[0]}: {error.strerror}") from error
