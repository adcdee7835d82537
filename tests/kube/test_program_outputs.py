"""What the sidecar of a program says of its outputs becomes the outcome, together with the exit code."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.executors.programs import argv_of, find_outcome, note_outputs
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import Port, StepDef
from fairway.spec.outcome import ErrorInfo, ItemOutcome
from fairway.spec.record import to_plain
from fairway.testing.memory import MemoryArtifactStore

STEP = StepDef("train", "container", outputs=(Port("score", "float"), Port("model", "fairway.File")), argv=("Rscript", "train.R"))
SPEC = AttemptSpec("a-1", "r", "train", 1, STEP, "", (AttemptItem("train"),))
SCORE = {"digest": "0" * 64, "size_bytes": 3, "format": "json", "type": "float", "inline": "0.5"}
MODEL = {"digest": "1" * 64, "size_bytes": 9, "format": "file"}
WRONG = ErrorInfo("output", "FW-TASK-FAILED", "output 'score' is declared as float, but Rscript wrote no JSON")


def item_of(outputs: dict[str, Any], missing: list[Any], code: int = 0) -> ItemOutcome:
    store = MemoryArtifactStore()
    note_outputs(SPEC, outputs, missing, store)
    ended = {"exitCode": code, "startedAt": "2026-11-24T10:00:00Z", "finishedAt": "2026-11-24T10:00:05Z"}
    status = {"containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
    outcome = find_outcome(SPEC, {"metadata": {"name": "a-1"}, "spec": {}, "status": status}, store, 0.0)
    assert outcome is not None
    return outcome.items[0]


def test_all_outputs_are_success() -> None:
    item = item_of({"score": SCORE, "model": MODEL}, [])
    assert item.status == "succeeded" and item.outputs["score"].inline == "0.5"


@pytest.mark.parametrize("missing", [["model"], [{"name": "score", "error": to_plain(WRONG)}, "model"]], ids=["not written", "not kept"])
def test_what_is_missing_is_named_with_its_reason(missing: list[Any]) -> None:
    error = item_of({"score": SCORE}, missing).error
    assert error is not None and error.kind == "output"
    assert error.message == (WRONG.message if len(missing) > 1 else "Rscript ended well but wrote no output 'model'")


def test_a_bad_exit_code_says_more_than_missing_outputs() -> None:
    error = item_of({}, ["score", "model"], code=3).error
    assert error is not None and error.kind == "exit:3"


def test_what_a_user_writes_reaches_the_program_as_it_is() -> None:
    """Kubernetes makes "$" of every "$$", and a variable of "$(NAME)"."""
    step = StepDef("shell", "container", outputs=(), argv=("sh", "-c", "echo $$ $HOME $(date) $$(x)"))
    spec = AttemptSpec("a-1", "r", "shell", 1, step, "", (AttemptItem("shell"),))
    assert argv_of(spec, MemoryArtifactStore()) == ["sh", "-c", "echo $$$$ $$HOME $$(date) $$$$(x)"]
