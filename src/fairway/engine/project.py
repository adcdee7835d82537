"""A project's settings: flags beat environment variables beat `fairway.toml` (or `[tool.fairway]` in `pyproject.toml`).

Read on every command, so it costs next to nothing where nothing is set: the table of settings and `tomllib` are imported only to read some.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError
from fairway.spec.environment import Environment
from fairway.spec.layout import DATABASE
from fairway.spec.record import Record, field, record

if TYPE_CHECKING:
    from fairway.spec.target import TargetSettings

SETTINGS_FILE = "fairway.toml"
HOME_FOLDER = ".fairway"
RUN_STATES = ("succeeded", "failed", "cancelled", "timeout")
HOOK_KINDS = ("command", "webhook", "slack")
SECRETS_FILE = ".env"


@record
class Hook(Record):
    """What to do when a run ends. `kind` is one of HOOK_KINDS; `target` is the URL, or the command's words. `on`: run states; `pipelines`:
    globs, () = all."""

    kind: str
    target: tuple[str, ...]
    on: tuple[str, ...] = ("failed", "timeout")
    pipelines: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 10.0
    where: str = ""


@record
class Project(Record):
    """Settings in force. Paths are absolute. `journal`: a URL, or the path of the SQLite file. `settings_file` is "" if there is none.

    `targets` are those of the settings file; the limits of the one named "local" cap what the local executor hands out.
    """

    root: str
    name: str
    home: str
    journal: str
    target: str = "local"
    max_parallel: int = 0
    timeout_s: float = 0.0
    durability: str = "process"
    secrets_file: str = ""
    include: tuple[str, ...] = ()
    environment: Environment = field(default_factory=Environment)
    hooks: tuple[Hook, ...] = ()
    targets: dict[str, TargetSettings] = field(default_factory=dict)
    settings_file: str = ""
    serving: dict[str, Any] = field(default_factory=dict)


def load_project(
    start: str = "", *, near: str = "", variables: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Project:
    """The settings that hold for `start` (a folder, "" = the current one), or for the pipeline file `near` if that has settings of its own.

    `overrides` are flags: setting key -> value. Raises ConfigError with the file's line where a setting is not allowed.
    """
    start = os.path.abspath(start or ".")
    if not os.path.isdir(start):
        raise ConfigError(f"there is no folder {start}", hint="give the project's folder to -C")
    found = _find_settings(os.path.dirname(os.path.abspath(near))) if near else None
    found = found or _find_settings(start)
    root, path, table = found or (_find_root(start), "", {})
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    if table or flags or any(name.startswith("FAIRWAY_") for name in variables):
        from fairway.engine.settings import read_settings

        return read_settings(root, path, table, variables, flags)
    home = os.path.join(root, HOME_FOLDER)
    name = os.path.basename(root) or "fairway"
    return Project(root, name, home, os.path.join(home, DATABASE), secrets_file=os.path.join(root, SECRETS_FILE), settings_file=path)


def _find_settings(folder: str) -> tuple[str, str, dict[str, Any]] | None:
    """(root, settings file, its table) of the nearest folder upward that has settings."""
    while True:
        path = os.path.join(folder, SETTINGS_FILE)
        if os.path.isfile(path):
            return folder, path, _parse(path)
        path = os.path.join(folder, "pyproject.toml")
        if os.path.isfile(path):
            with open(path, "rb") as file:
                stated = b"[tool.fairway" in file.read()
            table = _parse(path).get("tool", {}).get("fairway") if stated else None
            if isinstance(table, dict):
                return folder, path, table
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _find_root(start: str) -> str:
    """The nearest folder upward that was used as a root before, else `start` itself."""
    folder = start
    while not os.path.isfile(os.path.join(folder, HOME_FOLDER, DATABASE)):
        above = os.path.dirname(folder)
        if above == folder:
            return start
        folder = above
    return folder


def _parse(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read()
        if all(line.lstrip()[:1] in (b"", b"#") for line in text.splitlines()):
            return {}  # nothing but comments, as `fairway init` writes it: no reason to import a parser
        import tomllib

        return tomllib.loads(text.decode())
    except ValueError as error:  # of tomllib, or of a file that is not UTF-8
        raise ConfigError(f"not valid TOML: {error}", where=path, hint="mend the file; https://toml.io shows how it is written") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="mend its rights or remove it") from None
