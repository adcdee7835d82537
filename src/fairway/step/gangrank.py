"""One rank of a gang, in its own process: forked from the leader, or `python -m fairway.step rank FILE`, as a launcher starts it.

It says where it is (pulses), answers the signal that asks for its stack, and leaves a report. What becomes of the process after that is
no matter.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from fairway.spec.gang import Gang, Place
from fairway.spec.graph import StepDef
from fairway.spec.record import replace
from fairway.step import pulse
from fairway.step.defeat import BROKEN, raise_when_terminated, report_defeat
from fairway.step.gangreport import Folder, Report, write_report

if TYPE_CHECKING:
    from fairway.spec.ports import Framework

SECRETS = "FAIRWAY_RANK_SECRETS"
RANK_FILE = "FAIRWAY_RANK_FILE"
"""Where this machine keeps FILE, for a rank that is started from another one, whose launcher knows only its own."""
STACK_SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Asks a rank for its stack. Libraries use the plain user signals."""

_START = "import sys; sys.path.append(sys.argv[1]); from fairway.step.__main__ import main; sys.exit(main(sys.argv[2:]))"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_kept: list[Any] = []


def get_framework(name: str) -> Framework:
    """The rendezvous table is above this room: it is found as a plugin is. Raises NotFoundError."""
    return import_module("fairway.train.frameworks").get_framework(name)


def be_rank(work: Callable[[Place], Report], place: Place, folder: Folder, variables: Mapping[str, str]) -> NoReturn:
    """Be the rank at `place`, report, and end the process."""
    status = BROKEN
    try:
        _settle(place, folder, variables)
        report = work(place)
        try:
            write_report(report, folder.report(place.rank))
        except OSError:  # what it left in its working folder may be what fills the disk
            import shutil

            shutil.rmtree(folder.work(place.rank), ignore_errors=True)
            write_report(report, folder.report(place.rank))
        status = 0
    except BaseException as error:  # noqa: BLE001 - the process's last boundary: must never unwind into the leader's own loop
        status = report_defeat(error, "the rank")
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(status)


def _settle(place: Place, folder: Folder, variables: Mapping[str, str]) -> None:
    """Make this process that rank's: its variables, its folder, its pulse."""
    os.environ.update(variables)
    work = folder.work(place.rank)
    os.makedirs(work, exist_ok=True)
    os.chdir(work)
    stack = open(folder.stack(place.rank), "ab")  # noqa: SIM115 - written to by a signal's handler for as long as the process lives
    _kept.append(stack)
    faulthandler.register(STACK_SIGNAL, file=stack, all_threads=True)
    pulse.enter(folder.pulses, place.rank)
    raise_when_terminated()


@contextmanager
def around(row: Framework, place: Place, gang: Gang) -> Generator[None]:
    """Around the user's function: what the framework wants there; and the leader sees that it runs."""
    enter = getattr(row, "around", None)
    with enter(place, gang) if enter is not None else nullcontext():
        pulse.set_phase(pulse.RUNNING)
        try:
            yield
        finally:
            pulse.set_phase(pulse.DONE)


def step_of(step: StepDef, place: Place, row: Framework) -> StepDef:
    """The step as this rank runs it: a program's command line is the framework's, and only rank 0 has outputs."""
    if step.kind in ("command", "container"):
        variables = {**row.environment(place, step.gang), **step.environment.variables}  # a container is given those that are named here
        argv = tuple(row.command(place, step.gang, step.argv))
        step = replace(step, argv=argv, environment=replace(step.environment, variables=variables))
    return replace(step, outputs=(), returns="none") if place.rank else step


def rank_argv(folder: Folder) -> list[str]:
    """The command line by which a launcher starts a rank. Which one it is, it finds in the launcher's variables."""
    return [sys.executable, "-P", "-c", _START, _PACKAGE, "rank", folder.told]


def main(words: Sequence[str]) -> NoReturn:
    """`rank FILE [RANK]`: be one rank of the attempt in FILE."""
    from fairway.step.attempt import Attempt
    from fairway.step.gangtold import read_told
    from fairway.step.gangworld import places_for, variables_of
    from fairway.step.zygote import prepare

    told = read_told(os.environ.get(RANK_FILE) or words[0])
    prepare(told.home)
    secrets = json.loads(os.environ.pop(SECRETS, "{}"))
    attempt = Attempt(told.spec, told.home, secrets=secrets, source=told.source, scratch=told.scratch, world=told.world)
    attempt.usage.started_at = told.began_at
    gang, folder = told.spec.step.gang, Folder(attempt.scratch)
    row = get_framework(gang.framework)
    places = places_for(told.spec, told.world, folder)
    place = places[int(words[1])] if len(words) > 1 else _find_place(row, places)
    log = os.open(folder.log(place.rank), os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if len(words) == 1:
        _ring(folder, place)  # started by the leader itself it is known there
    be_rank(lambda place: attempt.run_rank(place, row), place, folder, variables_of(place, told.spec, told.world, row))


def _find_place(row: Framework, places: Sequence[Place]) -> Place:
    find = getattr(row, "place_from_environment", None)
    return places[int(os.environ.get("RANK", "0"))] if find is None else find(os.environ, places)


def _ring(folder: Folder, place: Place) -> None:
    """Tell the leader who has come."""
    bell = os.open(folder.bell, os.O_WRONLY)
    os.write(bell, f"{place.rank} {os.getpid()}\n".encode())
    os.close(bell)
