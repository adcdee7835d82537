"""What `fairway run` was asked to do, and the quick way to read it from plain arguments.

`parse_plain` understands the common form and says None to everything else (help, abbreviations, mistakes): click then reads the same
arguments from the same table of options, and explains what is wrong with them. It exists because importing click takes longer than a
small run may.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.spec.record import Record, field, record


@record
class RunOption(Record):
    """One option of `fairway run` itself. `kind`: "flag", "text", "count" or "many" (may be given again)."""

    names: tuple[str, ...]
    kind: str
    metavar: str
    help: str

    @property
    def key(self) -> str:
        """Its name as a field of RunRequest."""
        return self.names[-1].lstrip("-").replace("-", "_")


RUN_OPTIONS = (
    RunOption(("--no-cache",), "flag", "", "Run every task, even where the cache has its result."),
    RunOption(("--on",), "text", "TARGET", "Where to run: `local`, or a target of fairway.toml."),
    RunOption(("--name",), "text", "NAME", "A name for this run, to find it by."),
    RunOption(("--tag",), "many", "TAG", "A tag for this run; may be given again."),
    RunOption(("--timeout",), "text", "TIME", 'Stop the run after this long, such as "2h" or "90s".'),
    RunOption(("--max-parallel",), "count", "N", "Run at most N tasks at once."),
    RunOption(("--fail-fast",), "flag", "", "Cancel what runs as soon as one task has failed."),
    RunOption(("--detach",), "flag", "", "Print the id of a run at a target; do not wait."),
    RunOption(("-p", "--param"), "many", "NAME=VALUE", "A parameter named like one of these options."),
    RunOption(("-o", "--output"), "text", "FORMAT", "`json`: write the result to stdout as JSON."),
)
_BY_NAME = {name: option for option in RUN_OPTIONS for name in option.names}


@record
class RunRequest(Record):
    """A run to be started. `params` are still texts, by name. `folder` is where to look for the project."""

    file: str
    params: dict[str, str] = field(default_factory=dict)
    no_cache: bool = False
    on: str = ""
    name: str = ""
    tag: tuple[str, ...] = ()
    timeout: str = ""
    max_parallel: int = 0
    fail_fast: bool = False
    detach: bool = False
    output: str = ""
    folder: str = ""


def parse_plain(words: Sequence[str]) -> RunRequest | None:
    """The request, if `words` are FILE and `--name value` pairs or flags of our own; None if click should look at them."""
    file = ""
    params: dict[str, str] = {}
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            if file:
                return None
            file = word
            continue
        name, equals, value = word.partition("=")
        option = _BY_NAME.get(name)
        if option is not None and option.kind == "flag":
            if equals:
                return None
            values[option.key] = True
            continue
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                return None
        if option is None:
            if not name.startswith("--") or name in ("--help", "--"):
                return None
            params[name[2:].replace("-", "_")] = value
        elif not _take(option, value, values, params):
            return None
    if not file:
        return None
    return RunRequest(file, params, **values)


def split_param(text: str) -> tuple[str, str] | None:
    """(name, value) of "NAME=VALUE", None if it is not one."""
    name, equals, value = text.partition("=")
    return (name.strip(), value) if equals and name.strip() else None


def _take(option: RunOption, value: str, values: dict[str, Any], params: dict[str, str]) -> bool:
    """Note the option's value; False if it is not allowed."""
    key = option.key
    if key == "param":
        pair = split_param(value)
        if pair is None:
            return False
        params[pair[0]] = pair[1]
    elif option.kind == "many":
        values[key] = (*values.get(key, ()), value)
    elif option.kind == "count":
        if not value.isdigit():
            return False
        values[key] = int(value)
    elif key == "output" and value != "json":
        return False
    else:
        values[key] = value
    return True
