"""One container of a pod: its state, and its process while it has one."""

from __future__ import annotations

import asyncio
import signal
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from tests.kube.emulator.images import Image, Images
from tests.kube.emulator.memory import now_text
from tests.kube.emulator.process import Log, Process
from tests.kube.emulator.variables import expand
from tests.kube.emulator.volumes import Paths

NO_PROGRAM = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
    'container process: error during container init: exec: "{}": executable file not found in $PATH: unknown'
)


class Context(NamedTuple):
    """What a command inside a container sees."""

    images: Images
    image: Image
    variables: dict[str, str]
    paths: Paths
    folder: Path


class Container:
    """`state` is what the status shows. `started` is set while its process runs and its start-up probe has passed."""

    def __init__(self, spec: dict[str, Any], *, sidecar: bool = False) -> None:
        self.spec, self.sidecar = spec, sidecar
        self.name: str = spec["name"]
        self.state: dict[str, Any] = {"waiting": {"reason": "PodInitializing"}}
        self.last_state: dict[str, Any] = {}
        self.restarts = self.crashes = 0
        self.was_ready = False  # in its latest run
        self._ready = False
        self.up = asyncio.Event()  # its process has started
        self.started = False
        self.image_id = ""
        self.process: Process | None = None
        self.log = Log()
        self.previous: Log | None = None
        self.context: Context | None = None
        self.killed_as = ""  # the reason to show instead of Error
        self._began = ""
        self._id = ""

    @property
    def ready(self) -> bool:
        return self._ready

    @ready.setter
    def ready(self, value: bool) -> None:
        self._ready = value
        self.was_ready = self.was_ready or value

    @property
    def running(self) -> bool:
        return self.process is not None and not self.process.ended.done()

    @property
    def exit_code(self) -> int | None:
        ended = self.state.get("terminated")
        return ended["exitCode"] if ended else None

    def wait_as(self, reason: str, message: str = "") -> None:
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        self.ready = self.started = False

    def start(self, images: Images, image: Image, variables: dict[str, str], paths: Paths, home: Path) -> None:
        """Start the command; one that cannot be started ends as the runtime says."""
        spec = self.spec
        address, config = variables.pop("EMULATOR_POD_IP"), variables.pop("EMULATOR_KUBECONFIG")
        variables = {**image.env, **variables}
        words = [expand(text, variables) for text in (spec.get("command") or image.command)]
        words += [expand(text, variables) for text in (spec.get("args") or ())]
        argv = [paths.local(word).replace("0.0.0.0", address) for word in words]
        variables = {name: address if value == "0.0.0.0" else paths.local(value) for name, value in variables.items()}
        # What stands for the image's own surroundings is of this machine already.
        variables.setdefault("PATH", images.path(image))
        variables.setdefault("HOME", "/root" if image.user == 0 else "/")
        if scratch := paths.find("/tmp"):
            variables.setdefault("TMPDIR", str(scratch))
        if config:
            variables.setdefault("KUBECONFIG", config)
        folder = Path(paths.local(spec.get("workingDir") or "")) if spec.get("workingDir") else home
        if not folder.is_dir():
            folder = home
        self._id = f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self._began = now_text()
        self.image_id = f"{image.name.split('@')[0]}@{image.digest}"
        if self.state.get("terminated") or self.restarts:
            self.previous = self.log
        self.log = Log()
        self.killed_as, self.was_ready = "", False
        self.context = Context(images, image, variables, paths, folder)
        program = images.find_program(image, argv[0], variables["PATH"]) if argv else None
        if program is None:
            self._fail_to_start(NO_PROGRAM.format(argv[0] if argv else ""))
            return
        try:
            self.process = Process([program, *argv[1:]], variables, folder, self.log, self._id, images.cluster)
        except OSError as error:
            self._fail_to_start(f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {error}")
            return
        self.state = {"running": {"startedAt": self._began}}
        self.up.set()

    def _fail_to_start(self, message: str) -> None:
        ended = {"exitCode": 128, "reason": "StartError", "message": message, "startedAt": "1970-01-01T00:00:00Z", "finishedAt": now_text()}
        self.state = {"terminated": ended | {"containerID": self._id}}
        self.process = None
        self.log.close()

    async def wait(self) -> int:
        """The exit code, once the process has ended; the state then says so."""
        if self.process is None:
            return self.exit_code or 0
        code = await asyncio.shield(self.process.ended)
        self.note_end(code)
        return code

    def note_end(self, code: int) -> None:
        if "terminated" in self.state:
            return
        reason = self.killed_as or ("Completed" if code == 0 else "Error")
        ended: dict[str, Any] = {
            "exitCode": code,
            "reason": reason,
            "startedAt": self._began,
            "finishedAt": now_text(),
            "containerID": self._id,
        }
        if self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" and code and self.log.text():
            hasty = self.context is not None and self.context.images.hasty
            written = self.log.text().decode(errors="replace")
            ended["message"] = "".join(written.splitlines(keepends=True)[: -1 if hasty else None])[-2048:]
        self.state = {"terminated": ended}
        self.ready = self.started = False

    def signal(self, number: int) -> None:
        if self.process:
            self.process.signal(number)

    def kill(self, reason: str = "") -> None:
        self.killed_as = reason or self.killed_as
        self.signal(signal.SIGKILL)

    def to_status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.image_id,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }
        if self._id:
            status["containerID"] = self._id
        return status
