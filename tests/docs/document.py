"""Reading the documentation as a program does: its code blocks, in order, played in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^# (\w+\.(?:py|R|toml))(, continued|, edited: replace)?\n")
_STATUS = re.compile(r"# exit status (\d+)")
NOT_PLAYED = ("pip ", "make ", ". .venv", "git ", "cd ", "fairway rerun", "python -m venv")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line its text begins at."""

    language: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 2) for found in _FENCE.finditer(text)]


def write_block(block: Block, folder: Path) -> Path | None:
    """Do what a named block says: begin a file, continue it, or edit it. None for a block without a name."""
    named = _FILE.match(block.text)
    if named is None:
        return None
    path, kind, body = folder / named[1], named[2] or "", block.text[named.end() :]
    if "continued" in kind:
        path.write_text(path.read_text() + "\n\n" + body)
    elif "edited" in kind:
        old, new = body.split("# by\n")
        assert path.read_text().count(old) == 1, f"line {block.line}: what is to be replaced does not stand in {path.name} exactly once"
        path.write_text(path.read_text().replace(old, new))
    else:
        path.write_text(body)
    return path


class Played(NamedTuple):
    """A command of a console block and how it ended."""

    command: str
    expected: int
    status: int
    output: str


def commands(block: Block) -> list[tuple[str, int]]:
    """(command, expected exit status) of the lines that begin with `$ `."""
    found: list[tuple[str, int]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            status = _STATUS.search(line)
            found.append((line[2:].partition("    #")[0].strip(), int(status[1]) if status else 0))
    return found


def environment(folder: Path) -> dict[str, str]:
    """As on a fresh machine: no settings of ours, this interpreter's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FAIRWAY_HOME": str(folder / ".fairway"),
        "NO_COLOR": "1",
    }


def play(command: str, folder: Path, expected: int = 0) -> Played:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Played(command, expected, done.returncode, done.stdout + done.stderr)
