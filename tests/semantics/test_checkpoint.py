"""`fw.checkpoint`: what a try leaves for the next one."""

from __future__ import annotations

from tests.semantics.rig import Rig, outputs, statuses

EPOCHS = """
import os
import signal

@fw.step(retry=fw.retry(4, backoff=0))
def train(n: int, how: str) -> list[int]:
    done = fw.checkpoint.load(default=[])
    for epoch in range(len(done), 3):
        done.append(10 * n + fw.context().n)
        fw.checkpoint.save(epoch, done)
        if epoch < 2:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("again")
    return done

@fw.pipeline
def main(how: str = "raise"):
    return train(fw.each([1, 2]), how)
"""


def test_the_next_try_finds_what_was_saved_each_task_its_own(rig: Rig) -> None:
    assert outputs(rig.run(EPOCHS)) == {"result": [[11, 12, 13], [21, 22, 23]]}


def test_a_kill_loses_nothing_that_was_saved(rig: Rig) -> None:
    assert outputs(rig.run(EPOCHS, {"how": "kill"})) == {"result": [[11, 12, 13], [21, 22, 23]]}


def test_a_resume_finds_it_and_another_run_does_not(rig: Rig) -> None:
    source = EPOCHS.replace("fw.retry(4, backoff=0)", "fw.retry(1)")
    run = rig.run(source)
    assert run.status == "failed"
    run.resume()
    run.resume()
    assert outputs(run)["result"][0] == [11, 12, 13]
    assert rig.run(source, cache=False).status == "failed", "it begins anew"


def test_its_folder_survives_a_retry_with_files_of_any_kind(rig: Rig) -> None:
    run = rig.run("""
        @fw.step(retry=fw.retry(2, backoff=0))
        def train() -> str:
            file = fw.checkpoint.dir / "weights.bin"
            if not file.exists():
                file.write_bytes(b"half")
                raise ValueError("again")
            return file.read_bytes().decode()

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": "half"}


def test_arrays_are_written_beside_the_training_and_the_last_ones_are_kept(rig: Rig) -> None:
    run = rig.run("""
        import numpy as np

        @fw.step(retry=fw.retry(2, backoff=0))
        def train() -> list[float]:
            if fw.context().n == 1:
                fw.checkpoint.keep(last=2)
                for n in range(4):
                    fw.checkpoint.save(n, {"weights": np.full(300_000, n), "there": [one.step for one in fw.checkpoint.all()]})
                raise ValueError("again")
            saved = fw.checkpoint.load()
            return [float(saved["weights"].mean()), fw.checkpoint.step, saved["there"]]

        @fw.pipeline
        def main():
            return train()
    """)
    found = outputs(run)["result"]
    assert found == [3.0, 3, [2, 1]]


def test_what_cannot_be_stored_is_refused_and_leaves_the_old_one(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def train() -> list:
            fw.checkpoint.save(1, 1)
            try:
                fw.checkpoint.save(2, {"model": [object()]})
            except fw.FairwayError as error:
                return [fw.checkpoint.load(), error.message]

        @fw.pipeline
        def main():
            return train()
    """)
    kept, message = outputs(run)["result"]
    assert kept == 1
    assert message.startswith("state['model'][0]: ") and "object" in message


def test_outside_a_run_it_is_a_temporary_folder_of_this_process(rig: Rig) -> None:
    done = rig.python(
        rig.write("""
        print(fw.checkpoint.load(default="none"))
        fw.checkpoint.save(1, {"a": 1})
        print(fw.checkpoint.load(), fw.checkpoint.dir.is_dir())
    """)
    )
    assert done.stdout == "none\n{'a': 1} True\n", done.stderr


def test_a_cached_task_needs_no_checkpoint(rig: Rig) -> None:
    pipeline = rig.load(EPOCHS)
    import fairway as fw

    fw.run(pipeline)
    assert set(statuses(fw.run(pipeline)).values()) == {"cached"}
