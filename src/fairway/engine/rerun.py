"""One task again, with its recorded inputs, in the foreground: a process of its own that shares the terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from fairway.engine.state import AttemptState
from fairway.engine.workspace import Workspace
from fairway.errors import NotFoundError, UnsupportedError
from fairway.spec.attempt import AttemptSpec, attempt_id
from fairway.spec.event import Index, address
from fairway.spec.layout import BLOBS, BUNDLES, SCRATCH, STREAMS
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.record import replace, to_plain
from fairway.step.folder import FolderArtifactStore, FolderStreamStore

_PROGRAM = """
import json, sys
sys.path.append(sys.argv[5])
from fairway.spec.attempt import AttemptSpec
from fairway.spec.record import from_plain
from fairway.step.foreground import run_here
with open(sys.argv[1], encoding="utf-8") as file:
    data = json.load(file)
spec = from_plain(AttemptSpec, data["spec"])
run_here(spec, sys.argv[2], source=sys.argv[3], secrets=data["secrets"], pdb=sys.argv[4] == "pdb")
"""


def make_spec(workspace: Workspace, run: str, scope: str, node: str, index: Index, *, bundle: str = "", graph: Any = None) -> AttemptSpec:
    """The task's attempt as complete data, under an id that no recorded attempt has. `bundle` and `graph` replace the recorded code.

    Raises NotFoundError if an input was never made.
    """
    from fairway.engine.plan import Planner
    from fairway.engine.recorded import get_inputs

    state = workspace.state(run)
    workspace.bring_code(state)
    inputs = get_inputs(state, scope, node, index, workspace.library)
    name = address(scope, node, index)
    attempt = AttemptState(attempt_id(run, f"rerun {name} {os.urandom(6).hex()}", 1), scope, node, (index,))
    spec = Planner(state, workspace.library, "").spec(attempt, [(index, inputs)], {})
    step = spec.step
    if graph is not None:
        key = state.scopes[scope].nodes[node].node.step
        if scope or key not in graph.steps:
            raise NotFoundError(f"the edited pipeline has no step {key!r} any more", hint="leave out --edited to run the recorded code")
        step = graph.steps[key]
    return replace(spec, bundle=bundle or spec.bundle, step=step, timeout_s=0.0)


def run_foreground(workspace: Workspace, spec: AttemptSpec, *, pdb: bool = False, source: str = "") -> Outcome:
    """Run the attempt here and now and return its outcome. The terminal's input and output are its own."""
    import subprocess

    from fairway.engine.outcomes import find_outcome
    from fairway.executors.secrets import get_secrets

    home = workspace.project.home
    artifacts, streams = workspace.artifacts, workspace.streams
    if workspace.remote is not None:  # what a server keeps is read, and nothing is written there
        workspace.remote.bring_inputs(spec)
        artifacts = FolderArtifactStore(os.path.join(home, BLOBS))
        streams = FolderStreamStore(os.path.join(home, STREAMS))
    if spec.bundle and not os.path.isdir(os.path.join(home, BUNDLES, spec.bundle)):
        raise NotFoundError("the run's code is not kept any more", hint="run the pipeline anew")
    python = _python_of(workspace, spec)
    folder = os.path.join(home, SCRATCH)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{spec.id}.json")
    secrets = get_secrets(spec.secrets, workspace.project.secrets_file)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        json.dump({"spec": to_plain(spec), "secrets": secrets}, opened)
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    argv = [python, "-P", "-c", _PROGRAM, path, home, source, "pdb" if pdb else "", package]
    try:
        done = subprocess.run(argv, env={"PYTHONHASHSEED": "0", **os.environ}, check=False)
    finally:
        os.unlink(path)
    outcome = find_outcome(artifacts, spec.run, spec.id)
    artifacts.delete(outcome_key(spec.run, spec.id))
    streams.delete(f"{spec.run}/{spec.id}")
    if outcome is None:
        raise UnsupportedError(f"the process ended with exit code {done.returncode} and left no result", hint="see what it printed above")
    return outcome


def _python_of(workspace: Workspace, spec: AttemptSpec) -> str:
    if not spec.environment.lock:
        return sys.executable
    from fairway import envs

    return str(envs.ensure(spec.environment, Path(workspace.project.home)))
