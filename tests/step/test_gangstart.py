"""A gang that cannot even begin on this machine says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.graph import StepDef
from fairway.step.attempt import Attempt
from fairway.step.gang import GangRun
from fairway.step.gangworld import alone


def test_what_the_disk_refuses_is_the_reason(tmp_path: Path) -> None:
    gang = Gang(2)
    spec = AttemptSpec("a", "r", "fit", 1, StepDef("fit", gang=gang), "", (AttemptItem("fit"),))
    attempt = Attempt(spec, str(tmp_path))
    Path(attempt.scratch).mkdir(parents=True)
    Path(attempt.scratch, ".gang").write_text("in the way")
    with pytest.raises(FileExistsError):
        GangRun(attempt, alone(gang)).run(lambda place: pytest.fail("no rank is started"))
