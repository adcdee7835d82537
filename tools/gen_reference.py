"""Write docs/reference/{api,cli,errors,events,frameworks,settings}.md from the code; with --check only say whether they are current."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from fairway import errors
from fairway.cli.commands import SECTIONS, render_help
from fairway.engine.settings import HOOK_SETTINGS, SERVING_SETTINGS, SETTINGS, Setting
from fairway.engine.targets import KIND_SETTING, KUBERNETES_SETTINGS, LIMIT_SETTINGS, LOCAL_SETTINGS, OIDC_SETTINGS, SERVER_SETTINGS
from fairway.serve.refusal import CODES
from fairway.spec import event

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for what of tools stands in files of its own
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by tools/gen_reference.py from the code; edit that. -->"


def render_cli() -> str:
    """Every command with its help, as the terminal shows it."""
    parts = [
        MADE,
        "# The command line",
        "Results go to stdout, talk to stderr. What takes `-o json` writes JSON for programs.",
        _block(render_help()),
    ]
    for title, entries in SECTIONS.items():
        parts.append(f"## {title}")
        for entry in entries:
            command = import_module(f"fairway.cli.{entry.module}").command
            parts += [
                part for name, inner in _commands(entry.name, command) for part in (f"### fairway {name}", _block(_help_of(name, inner)))
            ]
    rows = [(f"`{status}`", what) for status, what in _statuses()]
    parts += ["## Exit statuses", _table(("status", "means"), rows)]
    return _join(parts)


def render_errors() -> str:
    """Every error class: its code, its exit status, what it means."""
    rows = []
    for cls in list(_subclasses(errors.FairwayError))[1:]:
        retried = "yes" if cls.retryable else ""
        rows.append((f"`{cls.code}`", f"`{cls.__name__}`", str(cls.exit_status), retried, _first_line(cls)))
    text = (
        "Every error of Fairway is a `fairway.errors.FairwayError` with a stable `code`, a `hint` that says what to do, and an "
        "`exit_status` for the command line. `FAIRWAY_DEBUG=1` shows the whole traceback."
    )
    served = [(f"`{code}`", ", ".join(map(str, statuses)), means) for code, (statuses, means) in CODES.items()]
    return _join(
        [
            MADE,
            "# Errors",
            text,
            _table(("code", "class", "exit status", "retryable", "means"), rows),
            "## What a served model answers",
            "What `fairway serve` and endpoints answer instead of predictions; the [guide](../guides/protocols.md) shows the forms.",
            _table(("code", "HTTP status", "means"), served),
        ]
    )


def render_events() -> str:
    """Every event of the journal with its fields."""
    text = (
        "The facts of a run, in order, as kept in its journal. A run's state is what its events fold to (`fairway.engine.apply.fold`). "
        "Fields at their default are not stored."
    )
    parts = [MADE, "# Events", text]
    for name, cls in event.EVENTS.items():
        if cls is event.RunStarted:
            parts.append("## The run")
        if cls is event.MapExpanded:
            parts.append("## Its tasks")
        about = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        hints = _annotations(cls)
        rows = [(f"`{field}`", f"`{hints[field]}`".replace("|", "\\|"), _default(default)) for field, default in cls.record_fields.items()]
        parts += [f"### {name}", *([" ".join(about.split())] if about else []), _table(("field", "type", "default"), rows)]
    return _join(parts)


def render_settings() -> str:
    """Every setting with its variable, its default and what it does."""
    text = (
        "Read from `fairway.toml` at the project's root, or from `[tool.fairway]` in `pyproject.toml`. Flags beat environment variables "
        "beat the file. The root is the nearest folder upward, from the pipeline's file or else from the current folder, that has such "
        "settings; else the nearest one that has runs; else the current folder."
    )
    others = [
        ("`FAIRWAY_DEBUG=1`", "Errors show the whole traceback, with our frames."),
        ("`FAIRWAY_TOKEN`", "Your token for a target's server, instead of the one that `fairway up` or `fairway token use` kept."),
        ("`FAIRWAY_CONFIG`", "The folder in which your tokens are kept, instead of `~/.config/fairway`."),
        ("`FAIRWAY_USER`", "Your name, in runs and for a new token, instead of your user name on this machine."),
        ("`NO_COLOR=1`, `FORCE_COLOR=1`", "Never colours; always colours."),
    ]
    return _join(
        [
            MADE,
            "# Settings",
            text,
            _settings_table(SETTINGS),
            "## Hooks",
            "Each `[[hooks]]` says what to do when a run ends, with exactly one of `command`, `webhook`, `slack`.",
            _settings_table(HOOK_SETTINGS),
            "## Serving",
            "`[serving]` says where endpoints of this machine answer. A gateway that runs with other settings is replaced.",
            _settings_table(SERVING_SETTINGS),
            "## Targets",
            "Each `[targets.NAME]` is a place where runs can go with `--on NAME`. `[targets.local]` is this machine.",
            _settings_table((KIND_SETTING,)),
            "### This machine",
            _settings_table(LOCAL_SETTINGS),
            "### A Kubernetes namespace",
            _settings_table(KUBERNETES_SETTINGS),
            "The table `per-run`:",
            _settings_table(LIMIT_SETTINGS),
            "The table `oidc`:",
            _settings_table(OIDC_SETTINGS),
            "### A server that runs already",
            _settings_table(SERVER_SETTINGS),
            "## Other variables",
            _table(("variable", "does"), others),
        ]
    )


def render_api() -> str:
    """Every endpoint of the server's API with its parameters, bodies and answers, from the OpenAPI document."""
    from fairway.web.openapi import make_document

    document = make_document()
    text = (
        "What a server answers under `/api/v1`; `/api/v1/openapi.json` is the same as an OpenAPI 3.1 document. Requests carry a user's "
        "token in the header `Fairway-Token`. Errors are `application/problem+json` with a `code` of the [errors](errors.md). Lists come "
        "in pages: `next` of one page is `cursor` of the next. The [guide](../guides/server-api.md) shows how it is used."
    )
    parts = [MADE, "# The server's API", text]
    for tag in document["tags"]:
        parts += [f"## {tag['name'].capitalize()}", tag["description"]]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    parts += _operation(method.upper(), path, operation, document)
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### {name}", *([schema["description"]] if schema.get("description") else [])]
        rows = [
            (f"`{field}`", _schema_type(inner), "yes" if field in schema.get("required", ()) else "")
            for field, inner in schema.get("properties", {}).items()
        ]
        parts += [_table(("field", "is", "required"), rows)] if rows else []
    return _join(parts)


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> list[str]:
    parts = [f"### {method} {path}", operation["description"]]
    rows = [
        (f"`{one['name']}`", one["in"], _schema_type(one["schema"]), _json(one["schema"].get("default"))) for one in operation["parameters"]
    ]
    if rows:
        parts.append(_table(("parameter", "in", "is", "default"), rows))
    body = operation.get("requestBody", {}).get("content", {})
    for media, content in body.items():
        parts.append(f"Body: {_schema_type(content.get('schema', {})) or media}")
    answers = []
    for status, response in operation["responses"].items():
        kinds = [
            _schema_type(content.get("schema", {})) or f"`{media}`"
            for media, content in response.get("content", {}).items()
            if media != "application/problem+json"
        ]
        if status[0] in "23" or status in ("404", "409", "413", "416"):
            answers.append(f"**{status}** {response['description']}{': ' if kinds else ''}{', '.join(kinds)}")
    return [*parts, "Answers: " + "; ".join(answers)]


def _schema_type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_schema_type, schema["anyOf"])))
    if "enum" in schema:
        return " \\| ".join(f"`{value!r}`".replace("'", '"') for value in schema["enum"])
    if schema.get("type") == "array":
        inner = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        return f"list of {_schema_type(inner) or 'anything'}" if inner else "list"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_schema_type(inner)}" if isinstance(inner, dict) and inner else "object"
    limits = [f"{word} {schema[name]}" for name, word in (("minimum", "≥"), ("maximum", "≤")) if name in schema]
    return " ".join([schema.get("type", ""), *limits])


def _json(value: Any) -> str:
    import json

    return "" if value in (None, "", [], {}) else f"`{json.dumps(value)}`"


def render_frameworks() -> str:
    """The rendezvous table: every framework of a gang, what its ranks are told, its options."""
    from tools.gen_frameworks import render_rows

    text = (
        "A step with `gang=fw.gang(replicas=4, framework=…)` runs in several processes, which find each other by what they are told in "
        "variables before they start. This is the table of the frameworks there are; the [guide](../guides/distributed-training.md) has "
        "examples, and `fairway train FILE --dry-run` prints what every rank of a pipeline of yours is told. Other packages add rows by "
        'the entry point group "fairway.frameworks".'
    )
    return _join([MADE, "# Frameworks of gangs", text, *render_rows()])


PAGES = {
    "api.md": render_api,
    "cli.md": render_cli,
    "errors.md": render_errors,
    "events.md": render_events,
    "frameworks.md": render_frameworks,
    "settings.md": render_settings,
}


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner, child in command.commands.items():
            yield from _commands(f"{name} {inner}", child)


def _help_of(name: str, command: click.Command) -> str:
    context = click.Context(
        command, info_name=f"fairway {name}", terminal_width=96, max_content_width=96, help_option_names=["-h", "--help"]
    )
    for param in command.params:
        if isinstance(param, click.Option):
            param.hidden = False  # what is too much for a screen stands here
    return command.get_help(context)


def _statuses() -> list[tuple[int, str]]:
    found = {0: "Success.", 130: "Interrupted by Ctrl-C."}
    for cls in errors.FairwayError.__subclasses__():
        found[cls.exit_status] = _first_line(cls)
    return sorted(found.items())


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == "fairway.errors":
            yield from _subclasses(child)


def _annotations(cls: type[Any]) -> dict[str, str]:
    return {name: str(hint) for name, hint in inspect.get_annotations(cls).items()}


def _default(default: Any) -> str:
    if type(default) is object:
        return "required"
    return "empty" if type(default).__name__ == "_Factory" else f"`{default!r}`"


def _first_line(cls: type[Any]) -> str:
    return re.sub(r"\s+", " ", (cls.__doc__ or "").strip().partition("\n\n")[0])


def _settings_table(settings: tuple[Setting, ...]) -> str:
    rows = [
        (
            f"`{setting.key}`",
            setting.kind,
            f"`{setting.variable}`" if setting.variable else "",
            _setting_default(setting.default),
            setting.help,
        )
        for setting in settings
    ]
    return _table(("key", "is a", "variable", "default", "does"), rows)


def _setting_default(default: Any) -> str:
    return "" if default in ("", None, [], {}) else f"`{', '.join(default) if isinstance(default, list) else default}`"


def _table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(headers)} |", f"| {' | '.join('---' for _ in headers)} |"]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def _block(text: str) -> str:
    return "```text\n" + text.rstrip() + "\n```"


def _join(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the pages, or with --check compare them; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not current")
    check = parser.parse_args().check
    stale = [
        name for name, render in PAGES.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != render()
    ]
    if check:
        for name in stale:
            print(f"docs/reference/{name} is not current; run: python tools/gen_reference.py", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/reference/{name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
