"""`fairway ui`, once its arguments are read. Imports neither click nor rich: a page is to be there at once."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from fairway.engine.project import load_project

if TYPE_CHECKING:
    from fairway.engine.localserver import LocalServer
    from fairway.engine.project import Project


def parse_plain(words: list[str]) -> dict[str, Any] | None:
    """The arguments of `open_dashboard`, if `words` are of the plain form; click reads all others, and says what is wrong with them."""
    wanted: dict[str, Any] = {"on": "", "browser": True, "port": 0}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--no-open":
            wanted["browser"] = False
        elif name == "--on" and (value or not equals):
            wanted["on"] = value or next(rest, "")
            if not wanted["on"] or wanted["on"].startswith("-"):
                return None
        else:
            return None
    return wanted


def open_dashboard(folder: str, on: str, *, browser: bool = True, port: int = 0) -> int:
    """Show the dashboard of the project's target; returns the exit status."""
    project = load_project(folder, overrides={"target": on or None})
    if project.target != "local":
        from fairway.cli.remoteui import show_remote

        return show_remote(project, browser=browser, port=port)
    return _show_local(project, browser=browser, port=port)


def _show_local(project: Project, *, browser: bool, port: int) -> int:
    from fairway.engine.localserver import ensure_server, find_server
    from fairway.errors import InfraError

    server = ensure_server(project, port=port)
    try:
        link = make_link(server)
    except InfraError:
        there = find_server(project.home)
        if there is not None and there.pid == server.pid:
            raise
        server = ensure_server(project, port=port)  # it was about to end when it was found
        link = make_link(server)
    present(link, browser=browser)
    _say(f"the local server is process {server.pid}" + ("" if server.is_new else ", as before") + "; fairway down --on local ends it")
    return 0


def make_link(server: LocalServer) -> str:
    """An address that lets its opener in, once and for a minute."""
    import json

    from fairway.engine.localserver import exchange

    status, data = exchange(server, "POST", "/api/v1/session-code", {})
    return server.url + (f"/login#code={json.loads(data)['code']}" if status < 300 else "/")


def present(link: str, *, browser: bool) -> None:
    """The link on stdout, and in the user's browser if there is one and somebody sits before it."""
    sys.stdout.write(f"{link}\n")
    sys.stdout.flush()
    if browser and sys.stdout.isatty() and _has_display():
        import webbrowser

        webbrowser.open(link)


def _has_display() -> bool:
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
