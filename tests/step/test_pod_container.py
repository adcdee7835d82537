"""Container steps: what runs before and beside a program whose image knows nothing of Fairway."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.layout import BLOBS
from fairway.spec.outcome import Outcome
from fairway.step import artifacts
from fairway.step.container import work_folder
from fairway.step.folder import FolderArtifactStore
from fairway.step.processes import find_marked
from fairway.step.program import HOME, checkpoint_path, fill_argv, value_text
from tests.step.pods import RUN, Yard, end_of, terminate
from tests.waiting import await_true

SCRIPT = 'cat "$0"; cat "$1"/*; printf "%s\\\\n" "$3"; cp "$0" "$2"; printf 0.5 > "$4"; cp -r "$1" "$5"'
ARGV = ("sh", "-c", SCRIPT, "{in:text}", "{in:folder}", "{out:copy}", "{param:depth}", "{out:score}", "{out:all}")
STEP = StepDef(
    "program",
    "container",
    inputs=(Port("text", "fairway.File"), Port("folder", "fairway.Directory"), Port("depth")),
    outputs=(Port("copy", "fairway.File"), Port("score", "float"), Port("all", "fairway.Directory")),
    returns="dict",
    argv=ARGV,
    image="busybox",
)


class Program:
    """A container step's pod: the volume is a folder, the program a process of this machine."""

    def __init__(self, yard: Yard, inputs: dict[str, Input], step: StepDef = STEP, n: int = 1, volume: str = "volume") -> None:
        self.yard, self.volume, self.home = yard, volume, yard.folder / volume
        run = f"{RUN}-{yard.mark[:6]}"
        self.spec = AttemptSpec(attempt_id(run, "program", n), run, "program", n, step, "", (AttemptItem("program", inputs),))
        yard.server.crew.live[self.spec.id] = self.spec

    def start(self) -> tuple[int, str]:
        """The containers in the order of the manifest; returns how `fetch` ended."""
        self.ship = self.yard.pod(self.spec, home=self.volume, role="ship")
        return end_of(self.yard.pod(self.spec, home=self.volume, role="fetch"))

    def run(self, store: FolderArtifactStore) -> subprocess.CompletedProcess[str]:
        refs = {name: given.ref for name, given in self.spec.items[0].inputs.items() if given.ref is not None}

        def read(ref: ArtifactRef) -> str:
            return value_text(ref, ref.inline.encode() if ref.inline is not None else store.get(blob_key(ref.digest)))

        argv = [word.replace(HOME, str(self.home)) for word in fill_argv(self.spec.step.argv, refs, read, "", ())]
        told = {"FAIRWAY_CHECKPOINTS": checkpoint_path(self.spec.run, "program").replace(HOME, str(self.home))}
        environ = {**os.environ, **told}
        return subprocess.run(argv, env=environ, cwd=work_folder(str(self.home)), capture_output=True, text=True, check=False)

    def end(self) -> tuple[dict[str, ArtifactRef], list[object]]:
        """Tell the sidecar that the program has ended, and take what it says."""
        terminate(self.ship)
        code, said = end_of(self.ship)
        assert code == 0, said
        outputs, missing = self.yard.server.crew.outputs[self.spec.id]
        return {name: ArtifactRef(**ref) for name, ref in outputs.items()}, missing


def test_what_a_program_saves_is_there_for_its_next_try_on_another_node(yard: Yard) -> None:
    script = 'cd "$FAIRWAY_CHECKPOINTS"; cat */w; mkdir $0.part; echo $0 > $0.part/w; mv $0.part $0'
    step = StepDef("program", "container", returns="none", argv=("sh", "-c", script, "5"), image="busybox")
    for n, told in ((1, ""), (2, "5\n")):
        program = Program(yard, {}, step, n, volume=f"node-{n}")
        assert program.start() == (0, "")
        assert program.run(yard.server.store).stdout == told
        program.end()


@pytest.fixture
def inputs(yard: Yard, tmp_path: Path) -> dict[str, Input]:
    store = yard.server.store
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / name).write_text(f"{name}\n")
    (tmp_path / "words.txt").write_text("words\n")
    refs = {
        "text": artifacts.import_path(tmp_path / "words.txt", store),
        "folder": artifacts.import_path(tmp_path / "data", store),
        "depth": artifacts.save({"max": 3}, store, tmp_path),
    }
    return {name: Input(ref) for name, ref in refs.items()}


def test_a_program_finds_its_inputs_as_files_and_what_it_writes_is_kept(yard: Yard, inputs: dict[str, Input]) -> None:
    program = Program(yard, inputs)
    assert program.start() == (0, "")
    done = program.run(yard.server.store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'words\na\nb\n{"max":3}\n'
    outputs, missing = program.end()
    assert missing == [] and sorted(outputs) == ["all", "copy", "score"]
    store = yard.server.store
    assert store.get(blob_key(outputs["copy"].digest)) == b"words\n"
    assert (outputs["score"].inline, outputs["score"].type) == ("0.5", "float")
    files = json.loads(store.get(blob_key(outputs["all"].digest)))["files"]
    assert [store.get(blob_key(file["digest"])) for file in files] == [b"a\n", b"b\n"]


def test_files_keep_the_names_they_had(yard: Yard, inputs: dict[str, Input]) -> None:
    program = Program(yard, inputs)
    program.start()
    assert (program.home / "work" / "inputs" / "text" / "words.txt").read_text() == "words\n"
    assert sorted(path.name for path in (program.home / "work" / "inputs" / "folder" / "data").iterdir()) == ["a", "b"]


def test_what_was_not_written_and_what_cannot_be_read_is_said(yard: Yard, inputs: dict[str, Input]) -> None:
    program = Program(yard, inputs)
    program.start()
    outputs = program.home / "work" / "outputs"
    (outputs / "copy").write_text("c")
    (outputs / "score").write_text("no number")
    found, missing = program.end()
    assert list(found) == ["copy"]
    wrong, absent = missing
    assert isinstance(wrong, dict) and wrong["name"] == "score" and "wrote no JSON" in wrong["error"]["message"]
    assert absent == "all"


def test_an_input_that_cannot_be_had_is_the_outcome_and_the_program_does_not_start(yard: Yard, inputs: dict[str, Input]) -> None:
    inputs["text"] = Input(ArtifactRef("ab" * 32, 5, "file", meta={"name": "words.txt"}))
    program = Program(yard, inputs)
    code, said = program.start()
    assert code == 1 and "gone from the store" in said
    outcome: Outcome = yard.server.outcome(program.spec)
    assert outcome.error is not None and outcome.error.kind == "input" and "'text'" in outcome.error.message
    terminate(program.ship)
    assert end_of(program.ship)[0] == 0


def test_the_program_does_not_start_before_its_end_can_be_noticed(yard: Yard, inputs: dict[str, Input]) -> None:
    program = Program(yard, inputs)
    fetch = yard.pod(program.spec, home="volume", role="fetch")
    await_true((program.home / "work" / "inputs" / "text").exists, "nothing was fetched")
    assert fetch.poll() is None
    program.ship = yard.pod(program.spec, home="volume", role="ship")
    assert end_of(fetch) == (0, "")
    assert "blobs" in [path.name for path in program.home.iterdir()] and BLOBS == "blobs"
    program.end()


def test_a_sidecar_leaves_nothing_running(yard: Yard, inputs: dict[str, Input]) -> None:
    program = Program(yard, inputs)
    program.start()
    program.end()
    assert find_marked(f"FAIRWAY_TEST_MARK={yard.mark}") == []
