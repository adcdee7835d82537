"""`fairway doctor`: is this machine fit, is this project sound?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from fairway.cli.arguments import output_option, take_target
from fairway.cli.listing import print_json
from fairway.cli.style import paint, spell_count, spell_size
from fairway.cli.version import find_version
from fairway.engine.parity import Finding
from fairway.engine.project import Project, load_project
from fairway.errors import ConfigError, FairwayError

LOW_DISK_BYTES = 2_000_000_000
_MARKS = {"ok": ("✓", "green"), "note": ("·", "dim"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@click.command("doctor")
@click.argument("file", metavar="[FILE]", default="")
@click.option("--on", default="", metavar="TARGET", callback=take_target, help="Compare a target with this machine.")
@output_option
@click.pass_obj
def command(folder: str, file: str, on: str, output: str | None) -> int:
    """Check this machine and this project, and say what to do about what is wrong. Exit status 2 if something must be mended.

    With --on: what differs between here and a target, by how much it matters. With the
    FILE of a pipeline too: what of it would fail there.

    \b
    Examples:
      fairway doctor
      fairway doctor churn.py --on campus
    """
    if file and not on:
        raise ConfigError("a pipeline is compared with a target", hint=f"say which: fairway doctor {file} --on TARGET")
    findings = _examine_target(folder, on, file) if on else list(examine(folder))
    if output == "json":
        print_json(findings)
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.level]
            sys.stdout.write(f"{paint(mark, colour, sys.stdout)} {finding.what}\n")
            if finding.where:
                sys.stdout.write(f"    at {finding.where}\n")
            if finding.hint:
                sys.stdout.write(f"    {finding.hint}\n")
    return 2 if any(finding.level == "problem" for finding in findings) else 0


def _examine_target(folder: str, on: str, file: str) -> list[Finding]:
    from fairway.engine.checkup import examine_target

    project = load_project(folder, near=file.partition(":")[0], overrides={"target": on})
    return examine_target(project, on, file)


def examine(folder: str) -> Iterator[Finding]:
    """Look at everything; a check that cannot be made is a problem of its own."""
    yield from _machine()
    try:
        project = load_project(folder)
    except FairwayError as error:
        yield Finding("problem", f"settings: {error}", error.hint)
        return
    settings = os.path.relpath(project.settings_file, project.root) if project.settings_file else "no settings file, defaults hold"
    yield Finding("ok", f"project {project.name} in {project.root} ({settings})")
    checks: tuple[Callable[[Project], Iterator[Finding]], ...] = (_home, _journal, _server, _environments, _hooks)
    for check in checks:
        try:
            yield from check(project)
        except FairwayError as error:
            yield Finding("problem", str(error), error.hint)


def _machine() -> Iterator[Finding]:
    yield Finding("ok", f"Fairway {find_version()}, Python {platform.python_version()} ({sys.executable})")
    yield Finding("ok", f"{platform.system()} {platform.release()} on {platform.machine()}")
    if sys.platform == "win32":
        yield Finding("problem", "Windows is not supported", "use WSL: https://learn.microsoft.com/windows/wsl")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", f"{cores} CPU cores, {spell_size(memory)} memory")
    if sys.platform == "darwin":
        yield Finding("warning", "on macOS every attempt starts a fresh interpreter: forking is not safe there", "give small tasks batch=")


def _home(project: Project) -> Iterator[Finding]:
    there = project.home
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("problem", f"{there} cannot be written", "mend its rights, or set FAIRWAY_HOME to a folder of your own")
        return
    free = shutil.disk_usage(there).free
    low = free < LOW_DISK_BYTES
    hint = "free some space, try `fairway gc`, or set FAIRWAY_HOME to a bigger disk" if low else ""
    yield Finding("warning" if low else "ok", f"home {project.home}: {spell_size(free)} free", hint)


def _journal(project: Project) -> Iterator[Finding]:
    from fairway.engine.workspace import Workspace

    if "://" not in project.journal and not os.path.exists(project.journal):
        yield Finding("ok", "journal: nothing has been run here yet")
        return
    workspace = Workspace(project)
    rows = list(workspace.all_summaries())
    dead = [row.run for row in rows if row.status == "running" and workspace.is_left(row.run)]
    yield Finding("ok", f"journal: {len(rows):,} runs")
    if dead:
        yield Finding(
            "warning", f"{len(dead)} of them were left by a killed process, the newest is {dead[0]}", f"go on: fairway resume {dead[0]}"
        )


def _server(project: Project) -> Iterator[Finding]:
    """The local server: is there one, does it answer, is it of this Fairway?"""
    from fairway.engine.localserver import find_server, fingerprint, list_driven, render_settings

    found = find_server(project.home)
    if found is None:
        yield Finding("ok", "local server: none runs; fairway ui starts one")
        return
    driven = list_driven(found)
    stays = "until fairway down --on local" if found.kept else "until nobody uses it"
    yield Finding("ok", f"local server: {found.url} (process {found.pid}), drives {spell_count(len(driven), 'run')}, stays {stays}")
    if found.made_with != fingerprint(render_settings(project)):
        what = "another Fairway or Python, or older settings" if found.version == find_version() else f"Fairway {found.version}"
        yield Finding("note", f"the local server is of {what}", "it is replaced when it drives no runs: fairway ui")


def _environments(project: Project) -> Iterator[Finding]:
    found = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
    wanted = project.environment.packages or project.environment.project or project.environment.python
    if found:
        yield Finding("ok", f"uv for environments: {found}")
    else:
        level = "problem" if wanted else "ok"
        yield Finding(
            level, "uv is not installed; only steps with environments of their own need it", "pip install 'fairway[env]'" if wanted else ""
        )


def _hooks(project: Project) -> Iterator[Finding]:
    from fairway.engine.hooks import missing_variables

    for hook in project.hooks:
        missing = missing_variables(hook, os.environ)
        where = f" ({hook.where})" if hook.where else ""
        if missing:
            yield Finding("warning", f"{hook.kind} hook{where} needs the variable {missing[0]}", f"export {missing[0]}=…")
        elif hook.kind == "command" and shutil.which(hook.target[0], path=_path_of(project)) is None:
            yield Finding("warning", f"command hook{where}: there is no program {hook.target[0]!r}", "install it, or mend the hook")
        else:
            yield Finding("ok", f"{hook.kind} hook{where} on {', '.join(hook.on)}")


def _path_of(project: Project) -> Any:
    return os.pathsep.join([project.root, os.environ.get("PATH", os.defpath)])
