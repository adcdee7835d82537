"""Steps that are programs: a command on this machine, or a command in a container image. Files in, files out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairway.dsl import types
from fairway.dsl.constants import plain_constant
from fairway.dsl.settings import checked
from fairway.dsl.source import caller
from fairway.dsl.step import Step
from fairway.errors import DefinitionError
from fairway.spec.graph import Expr, Port, StepDef

_PLACEHOLDER = re.compile(r"\{(in|out|param):(\w+)\}")
_MEANINGS = ("ok", "skip", "retry", "fail")
_MISSING: Any = object()


class In:
    """An input of a command: `In("data")` is the path of a file, `In("depth", int)` the value as text; `default` makes it optional."""

    def __init__(self, name: str, type: Any = "fairway.File", *, default: Any = _MISSING) -> None:
        self.name = _checked_name(name, "an input")
        self.type = types.type_name(type)
        self.default = None if default is _MISSING else Expr("const", value=plain_constant(default, f"the default of `{name}`"))

    def __str__(self) -> str:
        return f"{{{'in' if types.file_type(self.type) or '.' in self.type else 'param'}:{self.name}}}"

    def port(self) -> Port:
        return Port(self.name, self.type, self.default)


class Out:
    """An output of a command: the path at which it is to write a file (or, with `type=fw.Directory`, files)."""

    def __init__(self, name: str, type: Any = "fairway.File") -> None:
        self.name = _checked_name(name, "an output")
        self.type = types.type_name(type)

    def __str__(self) -> str:
        return f"{{out:{self.name}}}"

    def port(self) -> Port:
        return Port(self.name, self.type)


def command(
    argv: Sequence[Any],
    *,
    inputs: Iterable[In] = (),
    outputs: Iterable[Out] = (),
    exit_codes: Mapping[int, str] | None = None,
    **settings: Any,
) -> Step:
    """A step that runs a program: `fw.command(["Rscript", "train.R", fw.In("data"), fw.Out("model")])`.

    In a text, `{in:data}`, `{out:model}` and `{param:depth}` stand for the same. `exit_codes` says what an exit code means: "ok", "skip",
    "retry" or "fail" (0 is ok, all others fail). Other settings are those of a step.
    """
    return _program("command", "", argv, inputs, outputs, exit_codes, settings)


def container(
    image: str,
    argv: Sequence[Any],
    *,
    inputs: Iterable[In] = (),
    outputs: Iterable[Out] = (),
    exit_codes: Mapping[int, str] | None = None,
    **settings: Any,
) -> Step:
    """A step that runs a program in a container image; otherwise as `fw.command`."""
    if not isinstance(image, str) or not image or " " in image:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"not a container image: {image!r}", hint='write fw.container("rocker/r-ver:4.4", [...])', where=caller())
    return _program("container", image, argv, inputs, outputs, exit_codes, settings)


def _program(
    kind: str,
    image: str,
    argv: Sequence[Any],
    inputs: Iterable[In],
    outputs: Iterable[Out],
    exit_codes: Mapping[int, str] | None,
    settings: Mapping[str, Any],
) -> Step:
    where = caller()
    if isinstance(argv, str | bytes) or not isinstance(argv, Sequence) or not argv:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(
            f"fw.{kind} takes a list of words, not {argv!r}",
            hint='write ["Rscript", "train.R"], or ["sh", "-c", "…"] for a shell',
            where=where,
        )
    ins: dict[str, Port] = {i.name: i.port() for i in inputs}
    outs: dict[str, Port] = {o.name: o.port() for o in outputs}
    words = [_word(part, ins, outs, where) for part in argv]
    clash = [name for name in ins if name in outs]
    if clash:
        raise DefinitionError(f"`{clash[0]}` is both an input and an output", hint="give them two names", where=where)
    base = StepDef(
        _name(words),
        kind=kind,
        inputs=tuple(ins.values()),
        outputs=tuple(outs.values()),
        returns="dict" if outs else "none",
        argv=tuple(words),
        image=image,
        exit_codes=_codes(exit_codes or {}, where),
        where=where,
    )
    return Step(None, base, checked(settings, f"fw.{kind}"), {})


def _word(part: Any, ins: dict[str, Port], outs: dict[str, Port], where: str) -> str:
    """One word of the command line; In, Out and placeholders in it are declared as they are met."""
    if isinstance(part, In):
        ins.setdefault(part.name, part.port())
    elif isinstance(part, Out):
        outs.setdefault(part.name, part.port())
    elif not isinstance(part, str):
        part = plain_constant(part, "a word of the command")
        if isinstance(part, bool | list | dict) or part is None:
            raise DefinitionError(
                f"not a word of a command line: {part!r}", hint="write text, a number, fw.In(...) or fw.Out(...)", where=where
            )
    text = str(part)
    if isinstance(part, str):
        for kind, name in _PLACEHOLDER.findall(text):
            if kind == "out":
                outs.setdefault(name, Port(name, "fairway.File"))
            else:
                ins.setdefault(name, Port(name, "fairway.File" if kind == "in" else ""))
    return text


def _name(words: Sequence[str]) -> str:
    """A step's name from its script ("train" from "Rscript scripts/train.R"), or from the program."""
    plain = [word for word in words if not word.startswith("-") and "{" not in word and " " not in word]
    script = next((word for word in plain[1:] if re.search(r"\w\.\w{1,4}$", word)), plain[0] if plain else "command")
    stem = re.sub(r"\.\w{1,4}$", "", script.replace("\\", "/").rpartition("/")[2])
    return re.sub(r"\W+", "_", stem).strip("_") or "command"


def _codes(codes: Mapping[int, str], where: str) -> dict[str, str]:
    for code, meaning in codes.items():
        if type(code) is not int or not 0 <= code <= 255 or meaning not in _MEANINGS:
            raise DefinitionError(
                f"exit_codes maps a number from 0 to 255 to one of {', '.join(_MEANINGS)}: {code!r}: {meaning!r}",
                hint='write exit_codes={3: "skip", 75: "retry"}',
                where=where,
            )
    return {str(code): meaning for code, meaning in codes.items()}


def _checked_name(name: str, what: str) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name == "after" or name.startswith("fw_"):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{what} cannot be called {name!r}", hint="use a plain word: letters, digits, underscores", where=caller())
    return name
