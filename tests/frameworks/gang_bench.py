"""A pipeline written as a user would, run by the real executor, for tests that train in earnest."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.errors import TaskError

LISTENING = """
    import os
    import time
    from pathlib import Path

    def wide(ranks=1):
        # of all that the test has started: who listens where others than this machine can call. Where so many ranks ask, none goes before
        # all have been answered: what it holds would go with it
        answer = look()
        folder = Path(os.environ["FAIRWAY_TEST_FOLDER"], "answered")
        folder.mkdir(exist_ok=True)
        (folder / str(os.getpid())).touch()
        until = time.monotonic() + 120
        while len(list(folder.iterdir())) < ranks and time.monotonic() < until:
            time.sleep(0.01)
        return answer

    def look():
        found = {}
        for kind in ("tcp", "tcp6"):
            for line in read(Path("/proc/net", kind)).splitlines()[1:]:
                local, state, inode = (line.split()[n] for n in (1, 3, 9))
                if state == "0A" and not local.partition(":")[0].endswith(("7F", "01000000")):
                    found[f"socket:[{inode}]"] = local
        processes = below(os.environ["FAIRWAY_TEST_ROOT"])
        return sorted(f"{read(Path('/proc', pid, 'comm')).strip()} {found[held]}" for pid in processes for held in held_by(pid) & {*found})

    def below(root):
        parents = {path.parent.name: (read(path).rpartition(")")[2].split() + ["", ""])[1] for path in Path("/proc").glob("[0-9]*/stat")}
        found = {root}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {root}

    def held_by(pid):
        held = set()
        for path in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                held.add(os.readlink(path))
            except OSError:
                pass
        return held

    def read(path):
        try:
            return path.read_text()
        except OSError:
            return ""
"""
"""The module `listening`, which pipelines of these tests find beside them."""


def train(folder: Path, text: str, name: str = "gang", **files: str) -> Any:
    """What the pipeline in `text` returns: its only output. `files` lie beside it, NAME_py as NAME.py."""
    os.environ["FAIRWAY_TEST_ROOT"], os.environ["FAIRWAY_TEST_FOLDER"] = str(os.getpid()), str(folder)
    for file, content in {f"{name}_py": text, "listening_py": LISTENING, **files}.items():
        (folder / file.replace("_py", ".py")).write_text(textwrap.dedent(content))
    (folder / "fairway.toml").touch()  # a project of its own
    # the programs of this environment, as for a person who has activated it
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([str(Path(sys.executable).parent), *os.environ["PATH"].split(os.pathsep)]))
    try:
        run = fw.run(load_pipeline(folder / f"{name}.py"))
    except TaskError as error:
        error.add_note(error.run.logs())
        raise
    (output,) = run.outputs.values()
    return output.load()
