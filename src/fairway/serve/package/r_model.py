"""An R script: one R process for each worker, started once, spoken to over two pipes. Its own stdout and stderr go to the log."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.errors import UnsupportedError
from fairway.serve.package import rliteral
from fairway.serve.package.script import MODEL_DIR, model_folder
from fairway.step.processes import die_with_parent

if TYPE_CHECKING:
    from fairway.serve.package.package import Package


class RFailed(Exception):
    """The user's R code stopped with an error, or R itself ended."""


def load_r(package: Package) -> RPredictor:
    """Start R and let it source the script and call `init()`. Raises UnsupportedError without R, RFailed with what R said."""
    return RPredictor(RProcess(package), package)


class RPredictor:
    """Takes rows, as a data.frame; or a text where the script's `run` asks for `raw_data`."""

    bears_fork, is_async, methods, names = False, False, ("run",), ()

    def __init__(self, process: RProcess, package: Package) -> None:
        self._process = process
        self.takes = "raw" if process.takes_text else "rows"
        chosen = package.options.get("batch")
        self.batches = bool(process.batches if chosen is None else chosen) and self.takes == "rows"

    def predict(self, inputs: Any, method: str, params: dict[str, Any]) -> Any:
        if self.takes == "raw":
            return self._process.ask(rliteral.quote(str(bytes(inputs.data), "utf-8", "replace")))
        return self._process.ask(rliteral.to_data_frame(inputs))

    def output_names(self, method: str) -> tuple[str, ...]:
        return ()

    def warm_up(self) -> None:
        """Nothing: `init` did it."""


class RProcess:
    """R with the script in it. If R has ended it is started anew with the next request."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._program = str(package.options.get("rscript") or shutil.which("Rscript") or "")
        if not self._program:
            raise UnsupportedError(
                f"to serve {package.entry} takes R, and there is no Rscript here",
                hint="install R (Debian and Ubuntu: apt-get install r-base-core), or say where it is with the option rscript",
            )
        self.takes_text = self.batches = False
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def ask(self, literal: str) -> Any:
        """What `run` returned for the literal. Raises RFailed."""
        with self._one_at_a_time:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                self._to.write(literal.encode() + b"\n")
                self._to.flush()
            except BrokenPipeError:
                raise self._ended() from None
            return self._read().get("value")

    def close(self) -> None:
        """End R."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._to.close()
            self._from.close()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        with contextlib.suppress(OSError):
            self.close()
        their_in, to = os.pipe()
        from_, their_out = os.pipe()
        self._to, self._from = open(to, "wb"), open(from_, "rb")  # noqa: SIM115, PTH123 - kept as long as R runs
        me = os.getpid()
        code = resources.files("fairway.serve.package").joinpath("runner.R").read_bytes()
        try:
            with tempfile.NamedTemporaryFile(suffix=".R") as runner:
                runner.write(code)
                runner.flush()
                self._process = subprocess.Popen(
                    [self._program, "--vanilla", runner.name, str(self._package.path), f"/dev/fd/{their_in}", f"/dev/fd/{their_out}"],
                    cwd=self._package.path.parent,
                    env=_environment(self._package),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(their_in, their_out),
                    preexec_fn=lambda: die_with_parent(me),  # noqa: PLW1509 - one system call; R that hangs must not outlive its worker
                )
                os.close(their_in)
                os.close(their_out)
                about = self._read()  # R has read the runner by now
        except OSError as error:
            raise UnsupportedError(f"cannot start {self._program}: {error.strerror or error}", hint="is that Rscript?") from error
        self.takes_text, self.batches = bool(about["text"]), bool(about["batch"])

    def _read(self) -> dict[str, Any]:
        line = self._from.readline()
        if not line:
            raise self._ended()
        try:
            answer = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise RFailed(f"{self._package.entry} returned text of class json that is not JSON: {error}") from None
        if "error" in answer:
            where = f" in {answer['where']}" if answer.get("where") else ""
            raise RFailed(f"{answer['error']}{where}")
        if isinstance(answer.get("value"), dict) and "$raw" in answer["value"]:
            found = answer["value"]
            return {"value": (bytes.fromhex(found["$raw"]), found["type"])}
        return answer

    def _ended(self) -> RFailed:
        assert self._process is not None
        status = self._process.wait()
        self._process = None
        told = f"signal {-status}" if status < 0 else f"exit status {status}"
        return RFailed(f"R ended while it worked on {self._package.entry} ({told}); its last words are in the log")


def _environment(package: Package) -> dict[str, str]:
    """As ours, in a locale that knows UTF-8, one thread for each BLAS unless the user says otherwise."""
    made = {**os.environ, MODEL_DIR: model_folder(package)}
    if not any("utf" in made.get(name, "").lower() for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        made["LC_ALL"] = "C.UTF-8"
    return made
