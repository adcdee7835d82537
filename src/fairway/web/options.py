"""What a server is started with: variables in a cluster, flags on a laptop."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairway.errors import ConfigError
from fairway.spec.layout import SERVER
from fairway.spec.record import Record, field, from_plain, record
from fairway.spec.target import TargetSettings
from fairway.web.auth import SECRETS_FOLDER

API_PORT, BLOBS_PORT = 8080, 8081
IDLE_S = 3600.0
_MINOR = re.compile(r"(?:^|[/:-])python:(3\.\d+)")


@record
class ServerOptions(Record):
    """`target` says where attempts run: its kind is "kubernetes", or "local" for this machine. `secrets`: the folder with the signing key
    and the users' tokens. `journal`: a PostgreSQL URL, "" for SQLite in the home. `store`: an object store's URL, "" for the home.
    `dotenv`: the file with users' secrets for attempts on this machine. Port 0: any that is free. `oidc_secret`: what the identity provider
    knows this server by.

    `settings`: what a local server was told by its starter, as text; "" for any other server. `root`, `project`: the folder and name of the
    project that it serves. `idle_s`: it ends when nobody has used it for so long; 0: never. `serving`: where its endpoints answer."""

    home: str
    target: TargetSettings = field(default_factory=TargetSettings)
    host: str = "127.0.0.1"
    port: int = API_PORT
    blobs_port: int = BLOBS_PORT
    secrets: str = SECRETS_FOLDER
    journal: str = ""
    store: str = ""
    namespace: str = ""
    pod: str = ""
    dotenv: str = ""
    oidc_secret: str = ""
    settings: str = ""
    root: str = ""
    project: str = ""
    durability: str = "process"
    idle_s: float = 0.0
    serving: dict[str, Any] = field(default_factory=dict)

    @property
    def own(self) -> bool:
        """Is this the local server of a home, which its user starts and finds without being asked anything?"""
        return bool(self.settings)

    @property
    def local(self) -> bool:
        """Do attempts run on this machine?"""
        return self.target.kind == "local"


def read_options(words: list[str], variables: Mapping[str, str]) -> ServerOptions:
    """Flags beat variables. Raises ConfigError."""
    flags = _read_flags(words)
    if "settings" in flags:
        return _read_own(flags)
    home = flags.get("home") or variables.get("FAIRWAY_HOME", "")
    if not home:
        raise ConfigError("a server needs a home", hint="set FAIRWAY_HOME, or give --home FOLDER")
    target = _read_target(flags.get("target", ""), variables.get("FAIRWAY_TARGET", ""))
    host = flags.get("host") or variables.get("FAIRWAY_HOST") or ("127.0.0.1" if target.kind == "local" else "0.0.0.0")
    if host == "0.0.0.0" and ":" in variables.get("POD_IP", ""):
        host = "::"
    return ServerOptions(
        home=str(Path(home).absolute()),
        target=target,
        host=host,
        port=_port(flags.get("port") or variables.get("FAIRWAY_PORT", ""), API_PORT),
        blobs_port=_port(flags.get("blobs-port") or variables.get("FAIRWAY_BLOBS_PORT", ""), BLOBS_PORT),
        secrets=flags.get("secrets") or variables.get("FAIRWAY_SECRETS") or SECRETS_FOLDER,
        journal=variables.get("FAIRWAY_JOURNAL", ""),
        store=variables.get("FAIRWAY_STORE", "") or target.store,
        namespace=variables.get("FAIRWAY_NAMESPACE", ""),
        pod=variables.get("FAIRWAY_POD", ""),
        dotenv=flags.get("dotenv") or variables.get("FAIRWAY_SECRETS_FILE", ""),
        oidc_secret=variables.get("FAIRWAY_OIDC_SECRET", ""),
    )


def python_of(target: TargetSettings) -> str:
    """The Python minor version that attempts run under unless they say otherwise: it is part of their cache keys."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    named = _MINOR.search(target.image)
    if target.kind == "local" or not (target.python or target.server_image):
        return own  # a server without an image of its own runs in that of the steps
    return target.python or (named[1] if named else own)


_FLAGS = ("target", "home", "host", "port", "blobs-port", "secrets", "dotenv", "settings", "idle")


def _read_flags(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _FLAGS:
            raise ConfigError(f"a server knows no {word!r}", hint=f"known: {', '.join('--' + flag for flag in _FLAGS)}")
        found[name] = value if equals else next(rest, "")
    return found


def _read_own(flags: Mapping[str, str]) -> ServerOptions:
    """Those of a local server: its starter has written them down. The variables are for the runs that it will drive."""
    try:
        text = Path(flags["settings"]).read_text(encoding="utf-8")
        told = json.loads(text)
        target = from_plain(TargetSettings, told["target"]) if told["target"] else TargetSettings()
        idle_s = float(flags.get("idle") or IDLE_S)
        home = str(Path(flags["home"]).absolute())
        root, project, journal, dotenv, durability = (str(told[name]) for name in ("root", "name", "journal", "dotenv", "durability"))
        serving = dict(told["serving"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"these are no settings of a local server: {error}", hint="`fairway ui` starts it") from None
    return ServerOptions(
        home=home,
        target=target,
        port=_port(flags.get("port", ""), 0),
        secrets=str(Path(home) / SERVER),
        journal=journal,
        dotenv=dotenv,
        settings=text,
        root=root,
        project=project,
        durability=durability,
        idle_s=idle_s,
        serving=serving,
    )


def _read_target(name: str, text: str) -> TargetSettings:
    if name == "local" or (not name and not text):
        return TargetSettings()
    if name:
        raise ConfigError(f"a server cannot be started for {name!r} by hand", hint="`fairway up` starts it in the cluster")
    try:
        return from_plain(TargetSettings, json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"FAIRWAY_TARGET is not a target's settings: {error}", hint="`fairway up` writes it") from None


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or int(text) > 65535:
        raise ConfigError(f"{text!r} is no port", hint="give a number up to 65535, 0 for any that is free")
    return int(text)
