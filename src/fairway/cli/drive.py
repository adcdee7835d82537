"""Drives a run in the terminal: display, Ctrl-C, hooks, outputs, exit status. `run` and `resume` share it.

What is shown is imported when the session is open: its worker boots meanwhile.
"""

from __future__ import annotations

import os
import sys
from _signal import SIGHUP, SIGINT, SIGTERM, signal  # the bare functions: the module `signal` wraps them in enums, which cost 5 ms
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from fairway.cli.failure import INTERRUPTED_STATUS
from fairway.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType

    from fairway.engine.project import Project
    from fairway.engine.session import AnySession, OnEvents
    from fairway.spec.ports import ArtifactStore

_SIGNALS = (SIGINT, SIGTERM, SIGHUP)
FAILED_STATUS = 3


class Interrupts:
    """Ctrl-C once asks the driver to cancel the run, twice stops at once. Installed while the run goes on.

    Of a run that a server drives (`remote`) only Ctrl-C means to cancel it; a terminal that is closed means no more than not to watch.
    """

    def __init__(self, cancel: Callable[[], None], say: Callable[[str], None], *, remote: bool = False) -> None:
        self.count = 0
        self._cancel = cancel
        self._say = say
        self._remote = remote
        self._before: list[Any] = []

    def __enter__(self) -> Interrupts:
        self._before = [signal(number, self._caught) for number in _SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(_SIGNALS, self._before, strict=True):
            signal(number, handler)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1 or (self._remote and number != SIGINT):
            raise KeyboardInterrupt
        self._cancel()
        self._say(f"cancelling: what runs is told to stop; Ctrl-C again stops {'watching' if self._remote else 'at once'}")


def drive(project: Project, open_session: Callable[[OnEvents], AnySession], output: str, *, detach: bool = False) -> int:
    """Open the session, run to the end, show it, run the hooks; returns the exit status. `detach`: start it, say how to watch it."""
    if detach and project.target == "local":
        raise ConfigError(
            "a run on this machine ends with its command: it cannot be detached", hint="leave out --detach, or name a target with --on"
        )
    displays: list[Any] = []

    def on_events(state: Any, events: Sequence[Any]) -> None:
        displays[0].update(state, events)

    session = open_session(on_events)
    try:
        if detach:
            session.begin()
            return _say_detached(session.run, command_prefix(project), output)
        from fairway.cli.display import LastingStream, open_display

        stderr, sys.stderr = sys.stderr, cast("TextIO", LastingStream(sys.stderr))
        try:
            displays.append(open_display(session.services.streams, remote=session.remote))
            return _drive(project, session, displays[0], output)
        finally:
            sys.stderr = stderr
    finally:
        session.close()


def _say_detached(run: str, prefix: str, output: str) -> int:
    """The run's id on stdout; on stderr how to watch it."""
    if output == "json":
        from fairway.cli.listing import print_json

        print_json({"run": run})
    else:
        sys.stdout.write(f"{run}\n")
    sys.stdout.flush()
    sys.stderr.write(f"it goes on at the target; watch: {prefix} logs -f {run}\n")
    return 0


def _drive(project: Project, session: AnySession, display: Any, output: str) -> int:
    prefix = command_prefix(project)
    if session.remote:
        session.on_problem = display.say
    with Interrupts(session.cancel, display.say, remote=session.remote) as interrupts:
        try:
            state = session.drive()
        except KeyboardInterrupt:
            display.finish(session.driver.state)
            if session.remote:
                sys.stderr.write(f"\nnot watching any more; the run goes on without you\nwatch:       {prefix} logs -f {session.run}\n")
            else:
                sys.stderr.write("\nstopped; nothing recorded is lost\n")
                sys.stderr.write(f"{_say_searches(session.driver.state, prefix)}go on:       {prefix} resume {session.run}\n")
            return INTERRUPTED_STATUS
        except BaseException:
            display.finish(session.driver.state)
            raise
        display.finish(state)
        try:
            _say_end(state, output, prefix, session.services.artifacts)
        finally:
            for problem in session.run_hooks():
                sys.stderr.write(f"warning: {problem}\n")
    return INTERRUPTED_STATUS if interrupts.count and state.status == "cancelled" else exit_status(state)


def _say_end(state: Any, output: str, prefix: str, artifacts: ArtifactStore) -> None:
    """Outputs on stdout; on stderr how it ended and where to look. Raises BrokenPipeError if nobody reads stdout any more."""
    from fairway.cli.display import say_end
    from fairway.cli.report import group_failures, join_lines, render_way_on

    try:
        _print_outputs(state, output, artifacts)
    except OSError as error:  # a closed terminal says EIO
        raise BrokenPipeError(str(error)) from error
    finally:
        say_end(state, sys.stderr)
        sys.stderr.write(_say_searches(state, prefix))
        sys.stderr.write(join_lines(render_way_on(state, group_failures(state), prefix) or [f"look: {prefix} show {state.run}"]))


def _say_searches(state: Any, prefix: str) -> str:
    """The best trials of the run's searches, so far if it was stopped, and how to get what they made."""
    if not any(scope.index.paced for scope in state.scopes.values()):
        return ""
    from fairway.cli.trials import render_end
    from fairway.engine.studies import studies_of

    over, outputs = state.status == "succeeded", list(state.outputs)
    studies = [study for study in studies_of(state) if study.best or state.status != "failed"]  # the failure says that none was complete
    return "".join(f"{line}\n" for study in studies for line in render_end(study, state.run, outputs, prefix, over=over))


def exit_status(state: Any) -> int:
    """0 for a run that succeeded, else that of the error that ended it."""
    if state.status == "succeeded":
        return 0
    first = state.first_failure()
    error = state.error or (first[1] if first else None)
    if error is None:
        return FAILED_STATUS
    from fairway import errors

    known = {cls.code: cls.exit_status for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.FairwayError)}
    return known.get(error.code, FAILED_STATUS)


def command_prefix(project: Project) -> str:
    """ "fairway", with -C where the current folder does not lead to the run's project, and --on where that has another target."""
    from fairway.engine.project import load_project
    from fairway.errors import FairwayError

    here, near = os.getcwd(), None
    if here == project.root and project.target == "local":
        return "fairway"
    try:
        near = load_project(here)
    except FairwayError:
        near = None
    same = near is not None and (near.home == project.home or bool(os.environ.get("FAIRWAY_HOME")))
    usual = near.target if near is not None and same else "local"
    place = "" if same else f" -C {os.path.relpath(project.root, here)}"
    return f"fairway{place}" + ("" if usual == project.target else f" --on {project.target}")


def _print_outputs(state: Any, output: str, artifacts: ArtifactStore) -> None:
    """The outputs, on stdout; small tables in full."""
    if output == "json":
        from fairway.cli.listing import print_json
        from fairway.spec.record import to_plain

        print_json(
            {
                "run": state.run,
                "pipeline": state.graph.name,
                "status": state.status,
                "outputs": {name: to_plain(ref) for name, ref in state.outputs.items()},
                "metrics": state.metrics,
                "counts": state.counts(),
                "error": to_plain(state.error) if state.error else None,
            }
        )
    elif state.outputs:
        from fairway.cli.report import join_lines, render_outputs

        lines = render_outputs(state.outputs)
        if any(ref.type == "fairway.Table" for ref in state.outputs.values()):
            lines += _tables(state, artifacts)
        sys.stdout.write(join_lines(lines))
    sys.stdout.flush()


def _tables(state: Any, artifacts: ArtifactStore) -> list[str]:
    from fairway.cli.tables import render_outputs_tables

    return list(render_outputs_tables(state.outputs, artifacts))
