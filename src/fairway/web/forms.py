"""A pipeline's parameters as fields of a form, and what was written into them as the parameters of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl import types
from fairway.dsl.params import coerce
from fairway.engine.library import StoreLibrary
from fairway.errors import ConfigError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Param
from fairway.spec.record import Record, record

FIELD = "p."
"""What the names of a form's fields begin with."""
KEEP = "(as before)"
_LONG = 60


@record
class Field(Record):
    """One parameter in a form. `kind`: "number", "check", "choice", "text", "long" or "file"; `text`: what stands in it; `wrong`: why that
    will not do. `kept`: the file of the run that the form was made from, which stays if nothing else is chosen."""

    name: str
    kind: str
    type: str
    text: str
    help: str = ""
    required: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()
    default: str = ""
    wrong: str = ""
    kept: str = ""

    @property
    def changed(self) -> bool:
        """Is it another value than the pipeline's own?"""
        return not self.required and self.kind != "file" and self.text != self.default


def make_fields(
    params: Sequence[Param],
    before: Mapping[str, ArtifactRef],
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    told: Mapping[str, Any] | None = None,
) -> list[Field]:
    """A field for each parameter: with what was `given`, else with what the run `before` had, else with the default. `told`: what that
    run's summary says of its files."""
    texts, problems, words = given or {}, wrong or {}, told or {}
    return [
        _make_field(param, before.get(param.name), texts.get(param.name), problems.get(param.name, ""), str(words.get(param.name, "")))
        for param in params
    ]


def read_form(
    params: Sequence[Param], before: Mapping[str, ArtifactRef], given: Mapping[str, str], library: StoreLibrary
) -> tuple[dict[str, ArtifactRef], dict[str, str]]:
    """(parameters of the run, what is wrong by field). All fields are looked at, so that everything wrong is said at once."""
    made: dict[str, ArtifactRef] = {}
    wrong: dict[str, str] = {}
    for param in params:
        text = given.get(param.name, "false" if _kind(param, "") == "check" else "")  # a box that is not ticked is not sent
        if is_file(param):
            if param.name in before:
                made[param.name] = before[param.name]
            else:
                wrong[param.name] = "a file can only be given on the command line: fairway run FILE"
            continue
        try:
            made[param.name] = library.constant(read_value(param, text))
        except ConfigError as error:
            wrong[param.name] = _say(error)
    return made, wrong


def read_value(param: Param, text: str) -> Any:
    """The JSON value of `param` that a field's text stands for. Raises ConfigError."""
    if not text.strip() and _head(param) not in ("str", "") and not param.type.endswith("| None"):
        raise ConfigError("a value is missing", hint=f"it is {_article(param.type)}")
    return coerce(param, text)


def is_file(param: Param) -> bool:
    """Is its value the content of a file or folder?"""
    bare = types.without_none(param.type)
    inner = bare[5:-1] if bare.startswith("list[") else bare
    return inner in types.FILES or inner in ("pathlib.Path", "Path", "os.PathLike")


def spell(value: Any) -> str:
    """A value as it is written into a field: what `read_value` reads as the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    return json.dumps(value, ensure_ascii=False)


def value_of(ref: ArtifactRef) -> Any:
    """The value of a small parameter; None for what does not travel inside its reference."""
    return json.loads(ref.inline) if ref.inline is not None and ref.format == "json" else None


def _make_field(param: Param, before: ArtifactRef | None, given: str | None, wrong: str, told: str) -> Field:
    default = "" if param.required else spell(param.default)
    known = before is not None and before.inline is not None and before.format == "json"
    text = given if given is not None else spell(value_of(before)) if before is not None and known else default
    file = is_file(param)
    kept = (told or f"{before.name or before.type} ({before.digest[:12]})") if file and before is not None else ""
    return Field(
        name=param.name,
        kind="file" if file else _kind(param, text),
        type=param.type,
        text=text,
        help=param.help,
        required=param.required,
        whole=types.without_none(param.type) == "int",
        choices=tuple(map(spell, param.choices)),
        default=default,
        wrong=wrong,
        kept=kept,
    )


def _kind(param: Param, text: str) -> str:
    head = _head(param)
    optional = types.without_none(param.type) != param.type
    if param.choices and head != "list":
        return "choice"
    if head == "bool" and not optional:
        return "check"
    if head in ("int", "float") and not optional:
        return "number"
    return "long" if "\n" in text or len(text) > _LONG or head == "dict" else "text"


def _head(param: Param) -> str:
    return types.split(types.without_none(param.type))[0]


def _article(kind: str) -> str:
    return {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind, kind or "any value")


def _say(error: ConfigError) -> str:
    """The error without the parameter's name, which stands above it."""
    text = error.message
    if ": expected " in text:
        text = f"expected {text.partition(': expected ')[2]}"
    elif " cannot be " in text:
        text = f"this cannot be {text.partition(' cannot be ')[2]}"
    hint = error.hint.partition(" --")[0] if error.hint.startswith("for example --") else error.hint
    return text + (f"; {hint}" if hint and hint != "for example" else "")
