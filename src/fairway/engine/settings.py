"""The settings there are, and the reading of them out of flags, variables and a settings file, with the line of what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.engine.project import HOME_FOLDER, HOOK_KINDS, RUN_STATES, SECRETS_FILE, SETTINGS_FILE, Hook, Project
from fairway.errors import ConfigError, FairwayError
from fairway.spec.environment import Environment
from fairway.spec.layout import DATABASE
from fairway.spec.record import Record, record

if TYPE_CHECKING:
    from fairway.spec.target import TargetSettings


@record
class Setting(Record):
    """One key of the settings file. `variable` overrides it, "" if none does. `kind` says what a value must be."""

    key: str
    kind: str
    help: str
    variable: str = ""
    default: Any = None


SETTINGS = (
    Setting("name", "text", "The project's name, written into each run.", "FAIRWAY_PROJECT", "the root folder's name"),
    Setting("home", "text", "Where runs, artifacts and logs are kept; relative to the project's root.", "FAIRWAY_HOME", HOME_FOLDER),
    Setting("journal", "text", "A PostgreSQL URL to keep the journal in, instead of the SQLite file in `home`.", "FAIRWAY_JOURNAL", ""),
    Setting("target", "text", "Where runs go if `--on` does not say: `local`, or a name under `[targets]`.", "FAIRWAY_TARGET", "local"),
    Setting("max-parallel", "whole number", "How many tasks of a run may run at once; 0 is as many as fit.", "FAIRWAY_MAX_PARALLEL", 0),
    Setting("timeout", "duration", "How long a run may take if neither `--timeout` nor the pipeline says.", "FAIRWAY_TIMEOUT", ""),
    Setting(
        "durability",
        "text",
        "`process`: artifacts survive the kill of any process. `power`: they also survive a power cut, and each write waits for the disk.",
        "FAIRWAY_DURABILITY",
        "process",
    ),
    Setting(
        "secrets-file", "text", "A dotenv file that `fw.secret` looks into after the environment.", "FAIRWAY_SECRETS_FILE", SECRETS_FILE
    ),
    Setting("include", "list of texts", "Files to take along with the code, as glob patterns relative to the root.", "", []),
    Setting("env", "table", "The default environment of steps: `packages`, `project`, `python`, `variables`, `image`.", "", {}),
    Setting("serving", "table", "Where endpoints of this machine answer; see below.", "", {}),
    Setting("hooks", "list of tables", "What to do when a run ends; see below.", "", []),
    Setting(
        "targets",
        "table of tables",
        "Where runs can go, by name: `[targets.local]` is this machine, others are Kubernetes namespaces or servers; see below.",
        "",
        {},
    ),
)
_BY_KEY = {setting.key: setting for setting in SETTINGS}

SERVING_SETTINGS = (
    Setting("host", "text", "The address callers come to. With any other than this machine's own, everybody needs a key.", "", "127.0.0.1"),
    Setting("port", "whole number", "Its port; 0 is where it was last, at first any that is free.", "", 0),
    Setting("grpc-port", "whole number", "A second port, for gRPC; none if left out.", "", 0),
    Setting("tls-cert", "text", "A certificate (PEM), to speak HTTPS; read again when it changes. Relative to the root.", "", ""),
    Setting("tls-key", "text", "Its key (PEM).", "", ""),
)
_SERVING_KEYS = {setting.key: setting for setting in SERVING_SETTINGS}

HOOK_SETTINGS = (
    Setting("on", "list of texts", f"Ends that matter, of: {', '.join(RUN_STATES)}.", "", ["failed", "timeout"]),
    Setting("pipelines", "list of texts", "Names of pipelines, as glob patterns; all of them if left out.", "", []),
    Setting("command", "list of texts", "A program to run, with the run as JSON on its standard input and as `FAIRWAY_RUN_*` variables."),
    Setting("webhook", "text", "A URL that gets the run as JSON by POST. `${NAME}` is replaced from the environment."),
    Setting("slack", "text", "A Slack incoming webhook's URL. `${NAME}` is replaced from the environment."),
    Setting("headers", "table", "HTTP headers of a webhook. `${NAME}` is replaced from the environment.", "", {}),
    Setting("timeout", "duration", "How long a hook may take.", "", "10s"),
)
_HOOK_KEYS = {setting.key: setting for setting in HOOK_SETTINGS}
_ENV_KEYS = ("packages", "project", "python", "variables", "image")
DURABILITIES = ("process", "power")


def read_settings(root: str, path: str, table: Mapping[str, Any], variables: Mapping[str, str], flags: Mapping[str, Any]) -> Project:
    """The project at `root` with the settings of `table`, which stands in the file `path` ("" if there is none). Raises ConfigError."""
    reader = _Reader(path, table, variables, flags)
    home = os.path.join(root, os.path.expanduser(reader.text("home")))
    target = reader.text("target")
    targets = reader.targets(root)
    if target != "local" and target not in targets:
        known = ", ".join(["local", *targets])
        raise ConfigError(
            f"there is no target {target!r}", hint=f"known targets: {known}; define it under [targets.{target}] in {SETTINGS_FILE}"
        )
    return Project(
        root=root,
        name=reader.text("name", default=os.path.basename(root) or "fairway"),
        home=os.path.normpath(home),
        journal=reader.text("journal") or os.path.join(home, DATABASE),
        target=target,
        max_parallel=reader.count("max-parallel"),
        timeout_s=reader.duration("timeout"),
        durability=reader.choice("durability", DURABILITIES),
        secrets_file=os.path.join(root, reader.text("secrets-file")),
        include=reader.texts("include"),
        environment=reader.environment(),
        hooks=reader.hooks(),
        serving=reader.serving(root),
        targets=targets,
        settings_file=path,
    )


class _Reader:
    """Takes settings out of flags, variables and the file, in that order, and says what is wrong with them and where."""

    def __init__(self, path: str, table: Mapping[str, Any], variables: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
        self.path = path
        self.table = table
        self.variables = variables
        self.overrides = overrides
        for key in table:
            if key not in _BY_KEY:
                raise self.problem(key, f"there is no setting {key!r}", nearest(key, _BY_KEY))

    def problem(self, key: str, message: str, hint: str) -> ConfigError:
        """An error that points at the line of the file on which `key` stands."""
        return ConfigError(message, hint=hint, where=_line_of(self.path, key) if self.path else "")

    def raw(self, key: str) -> tuple[Any, str]:
        """(value or None, name of where it came from)."""
        setting = _BY_KEY[key]
        if self.overrides.get(key) is not None:
            return self.overrides[key], f"--{key}"
        if setting.variable and self.variables.get(setting.variable):
            return self.variables[setting.variable], setting.variable
        return self.table.get(key), key

    def text(self, key: str, default: str | None = None) -> str:
        value, source = self.raw(key)
        if value is None:
            return str(_BY_KEY[key].default) if default is None else default
        if not isinstance(value, str):
            raise self.problem(key, f"{source} must be a text, not {value!r}", f'write {key} = "…"')
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.problem(key, f"{key} cannot be {value!r}", f"write one of: {', '.join(allowed)}")
        return value

    def count(self, key: str) -> int:
        value, source = self.raw(key)
        try:
            number = 0 if value is None else int(value)
        except (TypeError, ValueError):
            number = -1
        if number < 0 or isinstance(value, bool | float):
            raise self.problem(key, f"{source} must be a whole number from 0, not {value!r}", f"write {key} = 4")
        return number

    def duration(self, key: str) -> float:
        value, source = self.raw(key)
        return self.checked(key, source, value) if value not in (None, "") else 0.0

    def checked(self, key: str, source: str, value: Any) -> float:
        from fairway.spec.resources import parse_duration

        try:
            return parse_duration(value)
        except FairwayError as error:
            raise self.problem(key, f"{source}: {error.message}", error.hint) from None

    def texts(self, key: str) -> tuple[str, ...]:
        value, source = self.raw(key)
        return self.as_texts(key, source, [] if value is None else value)

    def as_texts(self, key: str, source: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.problem(key, f"{source} must be a list of texts, not {value!r}", f'write {key} = ["…"]')

    def environment(self) -> Environment:
        table = self.table.get("env", {})
        if not isinstance(table, dict):
            raise self.problem("env", "env must be a table", "write [env] on a line of its own")
        for key in table:
            if key not in _ENV_KEYS:
                raise self.problem(key, f"there is no setting env.{key}", nearest(key, _ENV_KEYS))
        values: dict[str, Any] = {}
        for key in ("project", "python", "image"):
            if not isinstance(values.setdefault(key, table.get(key, "")), str):
                raise self.problem(key, f"env.{key} must be a text, not {table[key]!r}", f'write {key} = "…"')
        variables = table.get("variables", {})
        if not isinstance(variables, dict) or not all(isinstance(item, str) for item in variables.values()):
            raise self.problem("variables", "env.variables must be a table of texts", 'write variables = { NAME = "value" }')
        return Environment(
            packages=self.as_texts("packages", "env.packages", table.get("packages", [])), variables=dict(variables), **values
        )

    def serving(self, root: str) -> dict[str, Any]:
        """What is said of the gateway of this machine; {} for nothing. Paths are absolute."""
        table = self.table.get("serving", {})
        if not isinstance(table, dict):
            raise self.problem("serving", "serving must be a table", "write [serving] on a line of its own")
        found = dict[str, Any]()
        for key, value in table.items():
            if key not in _SERVING_KEYS:
                raise self.problem(key, f"there is no setting serving.{key}", nearest(key, _SERVING_KEYS))
            if _SERVING_KEYS[key].kind == "text" and not isinstance(value, str):
                raise self.problem(key, f"serving.{key} must be a text, not {value!r}", f'write {key} = "…"')
            if _SERVING_KEYS[key].kind != "text" and (type(value) is not int or not 0 <= value < 65536):
                raise self.problem(key, f"serving.{key} must be a port, not {value!r}", f"write {key} = 8000")
            found[key] = os.path.join(root, os.path.expanduser(str(value))) if key.startswith("tls-") else value
        if ("tls-cert" in found) != ("tls-key" in found):
            raise self.problem("serving", "a certificate and its key belong together", "write both serving.tls-cert and serving.tls-key")
        return found

    def hooks(self) -> tuple[Hook, ...]:
        tables = self.table.get("hooks", [])
        if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
            raise self.problem("hooks", "hooks must be a list of tables", "write [[hooks]] on a line of its own before each")
        return tuple(self.hook(table) for table in tables)

    def hook(self, table: Mapping[str, Any]) -> Hook:
        for key in table:
            if key not in _HOOK_KEYS:
                raise self.problem(key, f"there is no setting hooks.{key}", nearest(key, _HOOK_KEYS))
        kinds = [kind for kind in HOOK_KINDS if kind in table]
        if len(kinds) != 1:
            raise self.problem("hooks", "a hook has exactly one of: command, webhook, slack", 'write for example webhook = "https://…"')
        kind = kinds[0]
        target = table[kind]
        if kind != "command":
            if not isinstance(target, str) or not target.startswith(("http://", "https://", "${")):
                raise self.problem(
                    kind, f"hooks.{kind} must be an http(s) URL, not {target!r}", f'write {kind} = "https://…" or "${{NAME}}"'
                )
            target = [target]
        states = self.as_texts("on", "hooks.on", table.get("on", ["failed", "timeout"]))
        for state in states:
            if state not in RUN_STATES:
                raise self.problem("on", f"hooks.on knows no state {state!r}", nearest(state, RUN_STATES))
        headers = table.get("headers", {})
        if not isinstance(headers, dict) or not all(isinstance(item, str) for item in headers.values()):
            raise self.problem("headers", "hooks.headers must be a table of texts", 'write headers = { Authorization = "Bearer ${TOKEN}" }')
        return Hook(
            kind,
            self.as_texts(kind, f"hooks.{kind}", target),
            states,
            self.as_texts("pipelines", "hooks.pipelines", table.get("pipelines", [])),
            dict(headers),
            self.checked("timeout", "hooks.timeout", table.get("timeout", "10s")),
            _line_of(self.path, kind),
        )

    def targets(self, root: str) -> dict[str, TargetSettings]:
        tables = self.table.get("targets", {})
        if not isinstance(tables, dict) or not all(isinstance(item, dict) for item in tables.values()):
            raise self.problem("targets", "targets must be a table of tables", "write [targets.NAME] on a line of its own")
        if not tables:
            return {}
        from fairway.engine.targets import read_targets

        return read_targets(tables, root, self.target_problem)

    def target_problem(self, name: str, key: str, message: str, hint: str) -> ConfigError:
        """An error that points at the line of `key` ("table.key" for one that may stand in a table's line) in the target's own table."""
        lines = [_find_line(self.path, one, f"targets.{name}") for one in (key, key.partition(".")[0], name)] if self.path else []
        return ConfigError(message, hint=hint, where=next((line for line in lines if line), self.path))


def nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A hint: the known word that was likely meant, else all of them."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _line_of(path: str, key: str) -> str:
    """ "file:line" of the first line that names `key`; the file alone if none does."""
    return _find_line(path, key) or path


def _find_line(path: str, key: str, table: str = "") -> str:
    """ "file:line" of the first line of the `table` and its tables ("" = anywhere) that names `key`, "" if none does."""
    section, wanted = "", key.rpartition(".")[2]
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            name = line.split("=")[0].strip()
            if name.startswith("["):
                name = section = name.partition("]")[0].strip("[").replace('"', "").removeprefix("tool.fairway.")
            if name.rpartition(".")[2].strip("\"'") == wanted and (not table or f"{section}.".startswith(f"{table}.")):
                return f"{path}:{number}"
    return ""
