"""Secrets by name: the environment first, then a dotenv file, then the system's keyring."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from fairway.errors import NotFoundError

_SERVICE = "fairway"


def find_secret(name: str, dotenv: str = "") -> str | None:
    """The value of secret `name`, None if nobody has it."""
    if name in os.environ:
        return os.environ[name]
    if dotenv:
        value = parse_dotenv(_read(dotenv)).get(name)
        if value is not None:
            return value
    try:
        import keyring  # type: ignore[import-not-found]
    except ImportError:
        return None
    try:
        return keyring.get_password(_SERVICE, name)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 - a plugin of the user's system; having no keyring service is no error of the run
        return None


def check_secrets(wanted: Mapping[str, str], dotenv: str = "") -> None:
    """`wanted`: name -> where it is asked for. Raises NotFoundError that names all that nobody has."""
    missing = [name for name in wanted if find_secret(name, dotenv) is None]
    if missing:
        raise _missing(missing, wanted[missing[0]])


def get_secrets(names: tuple[str, ...], dotenv: str = "") -> dict[str, str]:
    """Values by name. Raises NotFoundError for the first that nobody has."""
    found: dict[str, str] = {}
    for name in names:
        value = find_secret(name, dotenv)
        if value is None:
            raise _missing([name])
        found[name] = value
    return found


def _missing(names: Sequence[str], where: str = "") -> NotFoundError:
    which = f"is no secret {names[0]!r}" if len(names) == 1 else f"are no secrets {', '.join(map(repr, names))}"
    lines = " ".join(f"{name}=…" for name in names)
    once = "the variable {0}, add a line {1} to .env, or run `keyring set {2} {0}`"
    each = "a variable for each, add lines to .env ({1}), or run `keyring set {2} NAME` for each"
    hint = "set " + (once if len(names) == 1 else each).format(names[0], lines, _SERVICE)
    return NotFoundError(f"there {which}", hint=hint, where=where)


def parse_dotenv(text: str) -> dict[str, str]:
    """`NAME=value` lines; comments, `export`, quotes (single: as it is; double: \\n and the like) are understood."""
    values: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip().removeprefix("export ").strip()
        name, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            quote, value = value[0], value[1:-1]
            if quote == '"':
                value = value.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
        else:
            value = value.partition(" #")[0].rstrip()
        values[name.strip()] = value
    return values


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
