"""Attempts that need an environment wait for it; others go on meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import envs
from fairway.envs.files import held
from fairway.executors.local import LocalExecutor
from fairway.spec import layout
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.environment import Environment
from fairway.spec.graph import Port, StepDef
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain
from fairway.step.folder import FolderArtifactStore

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    (tmp_path / "code.py").write_text("import sys\n\ndef where():\n    return sys.prefix\n")
    made = LocalExecutor(tmp_path / "home", settings={"source": str(tmp_path)})
    yield made
    run_now(made.close())


def make(n: int, environment: Environment) -> AttemptSpec:
    step = StepDef("where", module="code", qualname="where", outputs=(Port("result"),), environment=environment)
    return AttemptSpec(attempt_id("r", f"t{n}", 1), "r", f"t{n}", 1, step, "", (AttemptItem(f"t{n}"),), environment=environment)


def outcome(executor: LocalExecutor, spec: AttemptSpec) -> Outcome:
    store = FolderArtifactStore(f"{executor.home}/{layout.BLOBS}")
    for _ in range(100):
        if store.stat(outcome_key(spec.run, spec.id)) is not None:
            return from_plain(Outcome, json.loads(store.get(outcome_key(spec.run, spec.id))))
        run_now(executor.wait(1.0))
    raise AssertionError(f"{spec.id} has not ended")


def test_while_an_environment_is_made_others_run_and_one_can_be_cancelled(executor: LocalExecutor, tmp_path: Path) -> None:
    home = Path(executor.home)
    locked = envs.lock(Environment(python=HERE), tmp_path, home)
    waits, dropped, plain = make(1, locked), make(2, locked), make(3, Environment())
    with held(home / layout.ENVIRONMENTS / "locks" / f"{locked.lock}.held"):
        run_now(executor.submit([waits, dropped]))
        assert waits.id in run_now(executor.wait(1.0)), "its new phase is pushed"
        seen = run_now(executor.observe([waits.id]))[waits.id]
        assert (seen.phase, seen.reason) == ("starting", "its environment is being made")
        run_now(executor.cancel(dropped.id, 1.0))
        error = outcome(executor, dropped).error
        assert error is not None
        assert error.kind == "cancelled"
        run_now(executor.submit([plain]))
        assert outcome(executor, plain).items[0].outputs["result"].inline == json.dumps(sys.prefix)
    assert outcome(executor, waits).items[0].outputs["result"].inline == json.dumps(str(home / layout.ENVIRONMENTS / locked.lock))


def test_an_environment_that_cannot_be_made_fails_its_attempts_with_the_reason(executor: LocalExecutor) -> None:
    spec = make(1, Environment(lock="0" * 64))
    run_now(executor.submit([spec]))
    error = outcome(executor, spec).error
    assert error is not None
    assert "has no environment with the lock" in error.message


def test_whatever_else_goes_wrong_while_an_environment_is_made_nobody_waits_for_ever(executor: LocalExecutor) -> None:
    envs_folder = Path(executor.home) / layout.ENVIRONMENTS
    envs_folder.parent.mkdir(parents=True, exist_ok=True)
    envs_folder.write_text("in the way")
    spec = make(1, Environment(lock="0" * 64))
    run_now(executor.submit([spec]))
    error = outcome(executor, spec).error
    assert error is not None
    assert "cannot make the environment" in error.message
    assert error.hint
