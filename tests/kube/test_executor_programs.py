"""Container steps on a cluster: what a program is given, and the outcome that follows from its exit code and its outputs."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.errors import FairwayError, InfraError
from fairway.executors.runview import RunView
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptSpec, Input
from fairway.spec.graph import Port, StepDef
from fairway.spec.record import to_plain
from tests.kube.executorrig import RUN, Rig, play, spec_of

PROGRAM = StepDef(
    "report", kind="container", image="r:4", argv=("Rscript", "{in:data}", "{out:model}", "--n={param:n}", "$(HOME)"),
    outputs=(Port("model", "fairway.File"),), returns="dict", exit_codes={"3": "skip", "4": "retry", "5": "ok"},
)  # fmt: skip
DATA = ArtifactRef("d" * 64, 9, "file", "fairway.File", meta={"name": "data.csv"})
MODEL = ArtifactRef("e" * 64, 5, "file", "fairway.File")
INPUTS = {"data": Input(DATA), "n": Input(ArtifactRef("f" * 64, 1, "json", "int", inline="7"))}


def exit_status(code: int, phase: str = "Running", reason: str = "") -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason or "Error", "startedAt": "2026-11-24T18:23:27Z", "finishedAt": "2026-11-24T18:23:29Z"}
    return {"phase": phase, "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}


async def begin_program(rig: Rig, **more: Any) -> tuple[RunView, AttemptSpec]:
    view, spec = await rig.start(), spec_of(step=PROGRAM, inputs=INPUTS, **more)
    await rig.placed(view, spec)
    rig.cluster.output[spec.id] = b"reading\nfitting\n"
    return view, spec


def test_a_programs_command_line_has_paths_and_values_in_their_places() -> None:
    async def story() -> None:
        rig = Rig()
        _, spec = await begin_program(rig)
        (main,) = rig.cluster.pod(spec.id)["spec"]["containers"]
        assert main["image"] == "r:4"
        assert main["command"] == [
            "Rscript", "/fairway/work/inputs/data/data.csv", "/fairway/work/outputs/model", "--n=7", "$$(HOME)",
        ]  # fmt: skip
        await rig.executor.close()

    play(story())


def test_a_secret_in_a_command_line_stands_there_by_reference() -> None:
    async def story() -> None:
        rig = Rig()
        view = await rig.start()
        step = StepDef("s", kind="container", image="r:4", argv=("prog", "--token={param:key}", "$(key)"), outputs=(), returns="none")
        spec = spec_of(step=step, inputs={"key": Input(secret="TOKEN")}, secrets=("TOKEN",))
        await rig.placed(view, spec)
        (main,) = rig.cluster.pod(spec.id)["spec"]["containers"]
        assert main["command"] == ["prog", "--token=$(TOKEN)", "$$(key)"]
        assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "fairway-secrets", "key": "TOKEN"}}} in main["env"]
        await rig.executor.close()

    play(story())


@pytest.mark.parametrize("outputs_first", [True, False])
def test_a_programs_outcome_follows_from_its_exit_code_and_its_outputs(outputs_first: bool) -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        if outputs_first:
            rig.executor.note_outputs(spec.id, {"model": to_plain(MODEL)}, [])
            rig.cluster.set_status(spec.id, exit_status(0))
        else:
            rig.cluster.set_status(spec.id, exit_status(0))
            await rig.told(view, spec, "running")
            rig.executor.note_outputs(spec.id, {"model": to_plain(MODEL)}, [])
        ended = await rig.settled(view, spec)
        assert ended.status == "ended"
        assert ended.items[0].status == "succeeded"
        assert ended.items[0].outputs == {"model": MODEL}
        assert (ended.usage.wall_s, ended.usage.host) == (2.0, "n1")
        log = rig.streams.read(f"{RUN}/{spec.id}/log")
        assert [line.partition(b" ")[2] for line in log.splitlines()] == [b"reading", b"fitting"]
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


@pytest.mark.parametrize(
    "followed",
    [b"", b"reading\n", b"reading\nfit", b"reading\nfitting", InfraError("cut off")],
    ids=["nothing", "a line", "half a line", "all of it", "refused"],
)
def test_what_following_its_log_has_missed_is_read_when_it_has_ended(followed: bytes | FairwayError) -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        rig.cluster.followed[spec.id] = followed
        rig.executor.note_outputs(spec.id, {"model": to_plain(MODEL)}, [])
        rig.cluster.set_status(spec.id, exit_status(0))
        await rig.settled(view, spec)
        log = rig.streams.read(f"{RUN}/{spec.id}/log")
        assert [line.partition(b" ")[2] for line in log.splitlines()] == [b"reading", b"fitting"]
        await rig.executor.close()

    play(story())


@pytest.mark.parametrize(
    ("code", "status", "kind"), [(7, "failed", "exit:7"), (3, "skipped", ""), (4, "failed", "exit:4"), (139, "failed", "crash")]
)
def test_exit_codes_mean_what_the_step_says(code: int, status: str, kind: str) -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        rig.cluster.set_status(spec.id, exit_status(code, "Failed"))
        ended = await rig.settled(view, spec)
        item = ended.items[0] if ended.items else None
        error = item.error if item else ended.error
        assert (item.status if item else "failed") == status
        assert (error.kind if error else "") == kind
        await rig.executor.close()

    play(story())


def test_a_program_that_wrote_no_output_has_failed() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        rig.executor.note_outputs(spec.id, {}, ["model"])
        rig.cluster.set_status(spec.id, exit_status(5))
        error = (await rig.settled(view, spec)).items[0].error
        assert error is not None
        assert error.message == "Rscript ended well but wrote no output 'model'"
        await rig.executor.close()

    play(story())


def test_outputs_that_a_killed_server_was_told_of_are_not_forgotten() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        rig.executor.note_outputs(spec.id, {"model": to_plain(MODEL)}, [])
        await rig.executor.close()
        rig.cluster.set_status(spec.id, exit_status(0, "Succeeded"))
        rig.executor = rig.fresh()
        view = await rig.start()
        await view.submit([spec])
        assert (await rig.settled(view, spec)).items[0].outputs == {"model": MODEL}
        await rig.executor.close()

    play(story())


def test_a_program_killed_for_memory_is_told_as_such() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig)
        rig.cluster.set_status(spec.id, exit_status(137, "Failed", "OOMKilled"))
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert failed.error.kind == "oom"
        await rig.executor.close()

    play(story())


def test_a_program_that_takes_too_long_is_ended() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await begin_program(rig, timeout_s=60.0)
        running = {"running": {"startedAt": "1970-01-01T02:46:40Z"}}
        rig.cluster.set_status(spec.id, {"phase": "Running", "containerStatuses": [{"name": "main", "state": running}]})
        await rig.told(view, spec, "running")
        await rig.executor.tend()
        assert spec.id in await view.observe([spec.id])
        rig.now += 61
        await rig.executor.tend()
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.code) == ("timeout", "FW-TASK-TIMEOUT")
        await rig.executor.close()

    play(story())


def test_a_program_that_could_not_be_given_its_inputs_never_started() -> None:
    async def story() -> None:
        rig = Rig()
        view = await rig.start()
        step = StepDef("s", kind="container", image="r:4", argv=("prog", "{in:nothing}"))
        spec = spec_of(step=step)
        await view.submit([spec])
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert "an input 'nothing' that it was not given" in failed.error.message
        assert rig.cluster.requests["create Pod"] == 0
        await rig.executor.close()

    play(story())
