"""One driver at work in this process: what starts or resumes a run, for the command line and the Python client alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.engine.project import Project
from fairway.engine.services import Services
from fairway.errors import NotFoundError, StoreUnavailable
from fairway.spec.event import RunOptions
from fairway.spec.graph import Graph
from fairway.spec.layout import LOCKS
from fairway.spec.ports import run_now
from fairway.spec.record import replace

if TYPE_CHECKING:
    from typing import TypeAlias

    from fairway.engine.watching import RemoteSession
    from fairway.engine.workspace import Workspace

    AnySession: TypeAlias = "Session | RemoteSession"

OnEvents = Callable[[Any, Sequence[Any]], None]


class Session:
    """A driver with its services. Marks the run as driven for other processes, from before its first record until `close`."""

    remote = False
    on_problem: Callable[[str], None] | None = None

    def __init__(self, run: str, project: Project, services: Services, make_driver: Callable[[], Any]) -> None:
        from fairway.store.live import LiveMark, forget_served

        self.run = run
        self.project = project
        self.services = services
        locks = os.path.join(project.home, LOCKS)
        self._mark = LiveMark(locks, run)
        forget_served(locks, run)
        try:
            self.driver = make_driver()
        except BaseException:
            self._mark.close()
            raise

    def begin(self) -> None:
        """A run of this machine begins with `drive`."""

    def drive(self) -> Any:
        """Run until the run has ended; returns its state. Raises JournalConflict, StoreUnavailable, KeyboardInterrupt."""
        return run_now(self.driver.drive())

    def cancel(self) -> None:
        """Ask the driver to cancel the run; safe in a signal handler."""
        from fairway.engine.submit import user_name

        self.driver.cancel("interrupted", user_name())

    def run_hooks(self) -> list[str]:
        """Do what the project wants done at this end; returns what went wrong, a line each."""
        if not self.project.hooks:
            return []
        from fairway.engine.hooks import run_hooks

        summary = run_now(self.services.journal.find_summary(self.run))
        return run_hooks(self.project.hooks, summary, root=self.project.root) if summary is not None else []

    def close(self) -> None:
        """Stop what still runs, leave no process behind."""
        close_services(self.services)
        self._mark.close()


def close_services(services: Services) -> None:
    """Stop the executor and close the journal."""
    try:
        run_now(services.executor.close())
    finally:
        run_now(services.journal.close())


def open_run(
    project: Project,
    load: Callable[[], Any],
    params: Mapping[str, Any],
    *,
    options: RunOptions | None = None,
    labels: Mapping[str, Any] | None = None,
    source: str = "",
    on_events: OnEvents | None = None,
) -> AnySession:
    """A session for a new run. `load` gives the Pipeline or Graph; it is called while the executor starts.

    `labels`: `name`, `tags`, `triggered_by` of the run. Raises what `submit.prepare` raises; nothing has run then.
    """
    from fairway.engine import submit
    from fairway.store.runs import new_run_id

    _make_home(project)
    if project.target != "local":
        from fairway.engine.watching import open_remote_run

        return open_remote_run(project, load, params, options=options, labels=labels, source=source, on_events=on_events)
    file, root = _file_of(find_source(project, source)), ""
    if not file:
        file, root = _find_module(source)
    services = submit.open_services(project, file=file, root=root)
    try:
        submission = submit.prepare(load(), params, project, services, source=source)
        run = new_run_id()
        wanted = options or RunOptions(max_parallel=project.max_parallel, timeout_s=project.timeout_s)
        return Session(
            run,
            project,
            services,
            lambda: submit.start(run, submission, services, project, options=wanted, on_events=on_events, **(labels or {})),
        )
    except BaseException:
        close_services(services)
        raise


def _make_home(project: Project) -> None:
    try:
        os.makedirs(project.home, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make the folder {project.home}: {error.strerror}", hint="set FAIRWAY_HOME to a folder that you may write to"
        ) from error


def open_resume(
    project: Project,
    run: str,
    *,
    load: Callable[[str], Any] | None = None,
    options: RunOptions | None = None,
    on_events: OnEvents | None = None,
    history: Any = None,
) -> AnySession:
    """A session that goes on with `run` (an id). `load` gives the pipeline as it is now, by its source; None keeps the recorded code.

    `history` is the run's, if it has been read already.
    """
    from fairway.engine import submit
    from fairway.engine.workspace import Workspace

    if project.target != "local":
        from fairway.engine.watching import open_remote_resume

        return open_remote_resume(project, run, load=load, options=options, on_events=on_events, history=history)
    history = history or Workspace(project).history(run)
    state = history.state
    source = find_source(project, state.source)
    services = submit.open_services(project, file=_file_of(source) if load is not None else "")
    try:
        submission = None
        if load is not None and source:
            submission = prepare_again(project, services, state, load(source))
        return Session(
            run, project, services, lambda: submit.resume(history, services, submission=submission, options=options, on_events=on_events)
        )
    except BaseException:
        close_services(services)
        raise


def prepare_edited(project: Project, state: Any, source: str) -> Any:
    """The run's pipeline as it is now (a `submit.Submission`), with the run's parameters. Raises NotFoundError if its file is gone."""
    from fairway.dsl.load import load_target
    from fairway.engine import submit

    if not source:
        raise NotFoundError("the file that the run came from is not there any more", hint="only its recorded code can be run")
    services = submit.open_services(replace(project, target="local"))  # what it needs is looked for here: it runs here
    try:
        return prepare_again(project, services, state, load_target(source))
    finally:
        close_services(services)


def prepare_again(project: Project, services: Services, state: Any, pipeline: Any, workspace: Workspace | None = None) -> Any:
    """The run's parameters for the pipeline as it is now, checked and stored as for a new run."""
    from fairway.dsl.tuning import as_recorded
    from fairway.engine import submit
    from fairway.engine.workspace import Workspace

    pipeline = as_recorded(pipeline, state.graph)
    graph = pipeline if isinstance(pipeline, Graph) else pipeline.trace()
    return submit.prepare(pipeline, _given(workspace or Workspace(project), state, graph), project, services, source=state.source)


def name_source(project: Project, file: str) -> str:
    """How a run remembers the file (and the pipeline's name in it) that it came from: relative to the project's root if it lies below."""
    path, colon, name = file.partition(":")
    if not os.path.exists(path):
        return file
    full = os.path.abspath(path)
    inside = os.path.relpath(full, project.root)
    return (full if inside.startswith("..") else inside) + colon + name


def find_source(project: Project, source: str) -> str:
    """What `name_source` named, as a path that can be loaded now; "" if it is no more."""
    path, colon, name = source.partition(":")
    if name.isdigit():  # a place in a file, not a pipeline in it
        colon = name = ""
    full = os.path.join(project.root, path)
    return full + colon + name if path and os.path.isfile(full) else ""


def _file_of(source: str) -> str:
    path, colon, _ = source.rpartition(":")
    return path if colon else source


def _find_module(source: str) -> tuple[str, str]:
    """The file of "package.module:name", if it lies where modules are looked for first, and that folder; ("", "") if not."""
    place, root = source.rpartition(":")[0] or source, os.getcwd()
    path = os.path.join(root, *place.split(".")) + ".py"
    return (path, root) if place and os.sep not in place and os.path.isfile(path) else ("", "")


def _given(workspace: Workspace, state: Any, graph: Graph) -> dict[str, Any]:
    """The run's parameters as values, for a pipeline that may have other ones by now; files are those that were stored then."""
    from fairway.engine.outputs import Output

    known = {param.name for param in graph.params}
    values: dict[str, Any] = {}
    for name, ref in state.params.items():
        if name not in known:
            continue
        output = Output(workspace, name, ref)
        try:
            values[name] = output.load() if ref.format == "json" else output.path()
        except NotFoundError as error:
            raise NotFoundError(f"parameter {name!r} of the run is gone from the store: {error.message}", hint="start a new run") from None
    return values
