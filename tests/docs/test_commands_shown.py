"""Each `fairway …` that a document shows is a command that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from fairway.cli.commands import ENTRIES
from tests.docs.document import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if "adr" not in path.parts)])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(fairway [^`\n]+)`")
_SHELLS = ("", "console", "sh", "bash", "shell")


def shown(path: Path) -> list[str]:
    """The commands of a document: in blocks at a line's beginning or behind a prompt, and in the text between ticks."""
    text = path.read_text(encoding="utf-8")
    found = [
        line.removeprefix("$ ").strip()
        for block in _BLOCK.finditer(text)
        if block[1] in _SHELLS
        for line in block[2].replace("\\\n", " ").splitlines()
    ]
    found += _INLINE.findall(_BLOCK.sub("", text))
    return [line for line in found if line.startswith("fairway ")]


def check(line: str) -> None:
    """Raises what click says of a line that it cannot read: an option or a command that is not there."""
    line = re.split(r" [|>&;] ?| && ", line.replace("\\|", "|").replace("…", ""))[0]
    words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)[1:]
    while words[:1] and words[0] in ("-C", "--project"):
        words = words[2:]
    if not words or words[0].startswith("-") or "/" in words[0] or words[0].isupper():
        return
    names = words[0].split("|")
    for name in names:
        command = import_module(f"fairway.cli.{ENTRIES[name].module}").command
        arguments = [word.split("|")[0].rstrip(",.:") for word in words[1:]]
        while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
            command, arguments = command.commands[arguments[0]], arguments[1:]
        if name == "run":
            continue  # a pipeline's parameters are its options
        read = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]  # a name may stand for one of them
        known = {option for one in read for param in one.params for option in (*param.opts, *param.secondary_opts)} | {"-h", "--help"}
        for word in arguments:
            if word == "--":
                break
            if word.startswith("-") and not re.fullmatch(r"-?\d.*", word):
                assert word.split("=")[0] in known or word[:2] in known, f"{name} has no option {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_command_that_is_shown_is_there(document: Path) -> None:
    wrong: list[str] = []
    for line in shown(document):
        try:
            check(line)
        except (AssertionError, KeyError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


@pytest.mark.parametrize("line", ["fairway deplov winner", "fairway deploy winner --nmae risk", "fairway endpoints key add --forever"])
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(line)
