"""An attempt arrives as it was sent; its step is written once and read once."""

from __future__ import annotations

from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input
from fairway.spec.environment import Environment
from fairway.spec.graph import Port, StepDef
from fairway.spec.resources import Resources, Retry
from fairway.step.parcel import Parcels, read_attempt, read_step


def make(step: StepDef, n: int) -> AttemptSpec:
    item = AttemptItem(f"train[{n}]", {"depth": Input(ArtifactRef("ab", 1, "json", "int", inline=str(n)))}, seed=n, key="k" * n)
    return AttemptSpec(
        f"a{n}", "run", "train", n, step, "bundle", (item,), {"secret": Input(secret="TOKEN")}, secrets=("TOKEN",), context={"é": [1, "\n"]}
    )


STEPS = [
    StepDef("plain", module="m", qualname="plain"),
    StepDef(
        "full",
        kind="command",
        inputs=(Port("data", "fairway.File"),),
        outputs=(Port("model", "fairway.Model"),),
        argv=("sh", "-c", 'echo "{in:data}"'),
        exit_codes={"3": "skip"},
        resources=Resources(cpu=2.0, memory_bytes=1 << 30),
        retry=Retry(attempts=3, kinds=("timeout",)),
        environment=Environment(packages=("six",), lock="ab" * 32),
        timeout_s=1.5,
    ),
]


def test_an_attempt_arrives_as_it_was_sent() -> None:
    parcels = Parcels()
    for n, step in enumerate([*STEPS, STEPS[0], *STEPS], 1):
        assert read_attempt(*parcels.render(make(step, n))) == make(step, n)


def test_a_step_is_read_once_however_many_attempts_it_has() -> None:
    parcels = Parcels()
    first, second = (read_attempt(*parcels.render(make(STEPS[1], n))) for n in (1, 2))
    assert first.step is second.step


def test_steps_are_not_kept_for_ever() -> None:
    text = Parcels().render(make(STEPS[0], 1))[0]
    first = read_step(text)
    for n in range(300):
        read_step(text.replace('"plain"', f'"plain{n}"'))
    assert read_step(text) == first
    assert read_step(text) is not first
