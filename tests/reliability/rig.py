"""The command line in real processes, each marked, so that whatever one leaves behind is seen."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairway.step.processes import find_marked
from tests.waiting import await_true

FAIRWAY = [sys.executable, "-c", "import sys; from fairway.cli import main; sys.exit(main())"]
DEADLINE_S = 60.0


class Shell:
    """A project's folder with a pipeline file in it, and the commands typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = os.urandom(8).hex()
        (folder / "fairway.toml").write_text('[targets.local]\ncpu = 4\ngrace = "300ms"\n')

    @property
    def home(self) -> Path:
        return self.folder / ".fairway"

    def write(self, source: str, name: str = "flow.py") -> None:
        (self.folder / name).write_text("import fairway as fw\n" + textwrap.dedent(source))

    def environ(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
        return plain | {"TERM": "xterm", "COLUMNS": "100", "FAIRWAY_TEST_MARK": self.mark, "SHELL_FOLDER": str(self.folder)}

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """`fairway WORDS`, not waited for."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*FAIRWAY, *words], cwd=self.folder, env=self.environ(), **{**given, **more})

    def __call__(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """`fairway WORDS`, to its end."""
        with self.start(*words, **more) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return subprocess.CompletedProcess(list(words), process.returncode, out, err)

    def ask(self, *words: str) -> Any:
        """What `fairway WORDS -o json` says."""
        done = self(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> str:
        return self.ask("show")["status"]

    def touched(self, name: str) -> Callable[[], bool]:
        """Has a step made the file NAME in the project's folder?"""
        return (self.folder / name).exists

    def left(self) -> list[int]:
        return find_marked(f"FAIRWAY_TEST_MARK={self.mark}")

    def check_nothing_left(self) -> None:
        await_true(lambda: not self.left(), "a process was left behind")


class Terminal:
    """A command in a terminal of its own. `screen` is what it has written so far, without escape sequences."""

    def __init__(self, shell: Shell, *words: str) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(shell.folder)
            os.execve(FAIRWAY[0], [*FAIRWAY, *words], shell.environ())
        self.screen = ""

    def read_until(self, found: Callable[[str], bool]) -> None:
        """Until `found(screen)`, the command's end, or the deadline."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and not found(self.screen):
            ready, _, _ = select.select([self.file], [], [], 0.2)
            try:
                data = os.read(self.file, 65536) if ready else b" "
            except OSError:
                return
            if not data:
                return
            if ready:
                self.screen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode("utf-8", "replace"))

    def press(self, keys: bytes) -> None:
        os.write(self.file, keys)

    def close(self) -> None:
        """As one closes a window."""
        os.close(self.file)

    def end(self) -> int:
        """Its exit status."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]
