"""Container steps in a pod: what runs before and beside an image that knows nothing of Fairway.

`fetch` lays its inputs out as files where the program's command line, which stands in the pod already, names them (see `program`); `ship`
brings what it has written to the server once it has ended. All three containers share the home's volume. What the exit code means is the
executor's business.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptSpec, Input
from fairway.spec.layout import CHECKPOINTS
from fairway.spec.outcome import ErrorInfo, Outcome, Usage
from fairway.spec.record import from_plain, to_plain
from fairway.step.checkpoints import CheckpointShipper
from fairway.step.command import OUTPUTS, OutputMissing, as_path, find_output
from fairway.step.link import Refused
from fairway.step.program import HOME, WORK, checkpoint_path, input_path

if TYPE_CHECKING:
    from fairway.step.agent import Office, Settings

_READY = "ship-ready"
_LOOK_EVERY_S = 0.02
_CHECKPOINTS_EVERY_S = 0.5


def work_folder(home: str) -> str:
    """The program's working folder below a home."""
    return home + WORK.removeprefix(HOME)


def place_inputs(spec: AttemptSpec, home: str, store: Any, secrets: Mapping[str, str]) -> None:
    """Make the program's folder, and in it what the command line names. `store` has all blobs. Raises what loading inputs raises."""
    from fairway.step.attempt import prepare_scratch
    from fairway.step.errors_report import Origin
    from fairway.step.item import ItemRunner

    folder = work_folder(home)
    prepare_scratch(folder)
    os.makedirs(f"{folder}/{OUTPUTS}")
    os.makedirs(home + checkpoint_path(spec.run, spec.items[0].task).removeprefix(HOME), exist_ok=True)
    runner = ItemRunner(spec, store, folder, "", secrets, Origin("", "", secrets.values()), Usage())
    inputs = _inputs(spec)
    for name, value in runner.load(spec.items[0]).items():
        ref = inputs[name].ref
        if ref is not None and any(f"{{in:{name}}}" in part for part in spec.step.argv):
            path = home + input_path(name, ref).removeprefix(HOME)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(as_path(name, value, f"{folder}/.made"), path)


def collect_outputs(spec: AttemptSpec, home: str, store: Any, secrets: Mapping[str, str]) -> dict[str, Any]:
    """{"outputs": references by name, "missing": names} of what the program has written, stored. An output that could not be stands among
    the missing as {"name", "error"}."""
    from fairway.step.errors_report import Origin, describe_exception
    from fairway.step.item import ItemRunner

    folder = work_folder(home)
    origin = Origin("", "", secrets.values())
    runner = ItemRunner(spec, store, folder, "", secrets, origin, Usage())
    outputs: dict[str, Any] = {}
    missing: list[Any] = []
    for port in spec.step.outputs:
        try:
            outputs[port.name] = to_plain(runner.save(find_output(port, folder, spec.step.argv), port))
        except (FairwayError, OSError, ValueError) as error:
            if isinstance(error, OutputMissing) and error.absent:
                missing.append(port.name)
                continue
            info = describe_exception(error, origin)
            info.kind = "output"
            missing.append({"name": port.name, "error": to_plain(info)})
    return {"outputs": outputs, "missing": missing}


def fetch(environ: Any = None) -> int:
    """The init container. An input that cannot be had is the attempt's outcome, and the program does not start."""
    from fairway.step.agent import guarded

    return guarded(lambda: _fetch(environ if environ is not None else os.environ))


def ship(environ: Any = None) -> int:
    """The sidecar: once SIGTERM says that the program has ended, what it wrote goes to the server.

    It is started before `fetch`, which waits until SIGTERM is awaited here: a program that ends at once must not do so unnoticed.
    """
    from fairway.step.agent import guarded

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    return guarded(lambda: _ship(environ if environ is not None else os.environ))


def _fetch(environ: Any) -> int:
    from fairway.step.agent import Office, Settings, say
    from fairway.step.bundles import unpack_bundle

    settings = Settings(environ)
    office = Office(settings)
    answer = office.control.find_attempt(settings.attempt)
    if answer is None:
        say(f"fairway: {settings.attempt} has an outcome already, or was given up")
        return 1
    spec = from_plain(AttemptSpec, answer["spec"])
    try:
        if spec.bundle:
            unpack_bundle(office.store.read_bundle(spec.bundle), spec.bundle, settings.home)
        office.store.fetch_inputs(given.ref for given in _inputs(spec).values() if given.ref is not None)
        place_inputs(spec, settings.home, office.store.cache, settings.secrets)
        if spec.n > 1:
            CheckpointShipper(office.control, settings.home, spec, say).restore()
    except FairwayError as error:
        say(f"fairway: {error.message}")
        info = ErrorInfo("input", error.code, error.message, error.hint, retryable=error.retryable)
        outcome = Outcome(spec.id, "failed", error=info)
        if settings.replica < 0:
            office.put_outcome(outcome)
        else:
            office.control.end_replica(spec.id, {"replica": settings.replica, "pod": settings.pod, "outcome": to_plain(outcome)})
        return 1
    if settings.replica >= 0:
        from fairway.step.gangpod import write_hosts

        if not write_hosts(spec, office.control, settings):
            say("fairway: the gang goes on without this pod")
            return 1
    until = time.monotonic() + settings.patience_s
    while not os.path.exists(f"{settings.home}/{_READY}"):
        if time.monotonic() > until:
            say("fairway: the sidecar that ships outputs did not start")
            return 1
        time.sleep(_LOOK_EVERY_S)
    return 0


def _ship(environ: Any) -> int:
    from fairway.step.agent import Office, Settings, say

    settings = Settings(environ)
    os.makedirs(settings.home, exist_ok=True)
    with open(f"{settings.home}/{_READY}", "w", encoding="ascii"):
        pass
    office = Office(settings)
    checkpoints = _ship_until_end(office, settings)
    answer = office.control.find_attempt(settings.attempt)
    if answer is None:  # it was given up, or never began
        return 0
    spec = from_plain(AttemptSpec, answer["spec"])
    if checkpoints is not None:
        checkpoints.ship(all=True)
    if settings.replica >= 0:
        from fairway.step.gangpod import is_first

        if not is_first(settings):
            return 0
    found = collect_outputs(spec, settings.home, office.store.cache, settings.secrets)
    try:
        office.store.upload_outputs(from_plain(ArtifactRef, ref) for ref in found["outputs"].values())
    except FairwayError as error:
        say(f"fairway: {error.message}")
        info = to_plain(ErrorInfo("output", error.code, error.message, error.hint))
        found = {"outputs": {}, "missing": [{"name": port.name, "error": info} for port in spec.step.outputs]}
    office.control.put_outputs(spec.id, found)
    return 0


def _ship_until_end(office: Office, settings: Settings) -> CheckpointShipper | None:
    """While the program runs, what it saves goes to the server, once it has saved anything."""
    from fairway.step.agent import say

    shipper: CheckpointShipper | None = None
    ended = refused = False
    while not ended and not refused:
        ended = signal.sigtimedwait({signal.SIGTERM}, _CHECKPOINTS_EVERY_S) is not None
        try:
            if shipper is None and _has_saved(settings.home):
                answer = office.control.find_attempt(settings.attempt)
                refused = answer is None
                if answer is not None:
                    shipper = CheckpointShipper(office.control, settings.home, from_plain(AttemptSpec, answer["spec"]), say)
                    shipper.adopt()
            if shipper is not None:
                shipper.ship()
        except FairwayError as error:
            say(f"fairway: {error.message}")
            refused = isinstance(error, Refused)
    if not ended:
        signal.sigwait({signal.SIGTERM})
    return None if refused else shipper


def _has_saved(home: str) -> bool:
    return any(names for _, _, names in os.walk(f"{home}/{CHECKPOINTS}"))


def _inputs(spec: AttemptSpec) -> dict[str, Input]:
    """Of its one item: a pod's program runs once."""
    return {**spec.inputs, **spec.items[0].inputs}
