"""Schema files: read with the line that is to blame, written as people edit them, of the disk or of a revision of git."""

from __future__ import annotations

import difflib
import json
import subprocess
from pathlib import Path
from typing import Any

from fairway.data.schema.model import TableSchema
from fairway.data.schema.parse import parse_schema
from fairway.errors import ConfigError, NotFoundError


def load_schema_file(path: str | Path) -> TableSchema:
    """The schema in a file, or in a revision of it: "HEAD:schema.json"."""
    return parse_schema(read_document(path), str(path))


def read_document(path: str | Path) -> dict[str, Any]:
    """A schema's JSON, of a file or of "REVISION:FILE" of git."""
    name, file = str(path), Path(path)
    revision, colon, inside = name.partition(":")
    if colon and len(revision) > 1 and not file.exists():
        return parse_document(_of_git(revision, inside, name), name)
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {name!r}", hint=_near(file)) from None
    except OSError as error:
        raise ConfigError(f"{name!r} cannot be read: {error.strerror}") from None
    return parse_document(text, name)


def parse_document(text: bytes, where: str) -> dict[str, Any]:
    """JSON that is an object, and names nothing twice."""
    try:
        made = json.loads(text.decode("utf-8-sig"), object_pairs_hook=lambda pairs: _once(pairs, where))
    except UnicodeDecodeError as error:
        raise ConfigError(f"it is not UTF-8: byte {error.start}", where=where) from None
    except RecursionError:
        raise ConfigError("it is nested too deep to be a schema", where=where) from None
    except json.JSONDecodeError as error:
        hint = "" if error.lineno > 1 or error.colno > 1 else "A schema is JSON: `fairway data schema infer DATA --out schema.json`."
        raise ConfigError(f"it is no JSON: {error.msg}, column {error.colno}", where=f"{where}:{error.lineno}", hint=hint) from None
    if not isinstance(made, dict):
        raise ConfigError("a schema is a JSON object", where=where)
    return made


def _once(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"it names {twice!r} twice in one object", where=where, hint="The second would hide the first: keep one.")
    return made


def _near(file: Path) -> str:
    folder = file.parent if file.parent.is_dir() else Path()
    found = difflib.get_close_matches(file.name, [one.name for one in folder.glob("*.json")], 3, 0.5)
    return f"Did you mean {found[0]!r}?" if found else "`fairway data schema infer DATA --out schema.json` makes one."


def _of_git(revision: str, inside: str, name: str) -> bytes:
    """A file as it was: relative to the current folder, like git's own `REVISION:./FILE`."""
    path = inside if inside.startswith(("/", "./", "../")) else f"./{inside}"
    try:
        done = subprocess.run(["git", "show", "--end-of-options", f"{revision}:{path}"], capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise ConfigError(f"{name!r} names a revision, but git is not installed") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        hint = "It is REVISION:FILE, as in HEAD:schema.json."
        raise NotFoundError(f"git has no {name!r}: {lines[0].removeprefix('fatal: ') if lines else 'it failed'}", hint=hint)
    return done.stdout
