from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.errors import DefinitionError, NotFoundError
from fairway.serve.control.sources import pack_source, resolve_source
from fairway.serve.package import load, open_package
from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import from_plain
from fairway.step.paths import open_folder
from tests.serve.package import rig

PIPELINE = """
import fairway as fw
from sklearn.linear_model import LinearRegression

@fw.step
def train(slope: float) -> fw.Model:
    return fw.Model(LinearRegression().fit([[0.0], [1.0]], [0.0, slope]), metrics={"r2": 1.0})

@fw.step
def bare(slope: float):
    return LinearRegression().fit([[0.0], [1.0]], [0.0, slope])

@fw.pipeline
def fit(slope: float = 2.0):
    return {"winner": train(slope), "plain": bare(slope)}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """A project with two runs, and their ids, oldest first."""
    root = tmp_path_factory.mktemp("project")
    (root / "fairway.toml").write_text("")
    (root / "fit.py").write_text(PIPELINE)
    from fairway.dsl.load import load_pipeline
    from fairway.engine.session import open_run

    project = load_project(str(root), variables={})
    runs: list[str] = []
    for slope in (2.0, 3.0):
        session = open_run(project, lambda: load_pipeline(str(root / "fit.py")), {"slope": slope})
        runs.append(session.drive().run)
        session.close()
    return Workspace(project), runs


def predicted(folder: str) -> Any:
    return rig.answer(load(open_package(folder)), rig.matrix([[1.0]]))[0]


def test_outputs_of_runs_are_found_by_run_and_by_name(trained: tuple[Workspace, list[str]]) -> None:
    workspace, (first, second) = trained
    for source, slope in ((f"runs/{first}/winner", 2), (f"{first}/winner", 2), ("winner", 3), ("last/plain", 3), (f"{second}/train", 3)):
        found = resolve_source(source, workspace)
        assert predicted(found.folder) == [pytest.approx(slope)], source
    found = resolve_source(f"{first}/winner", workspace)
    assert (found.name, found.lineage["run"], found.lineage["task"]) == ("winner", first, "train")
    assert found.lineage["metrics"] == {"r2": 1.0} and found.ref is not None and found.ref.digest == found.lineage["artifact"]
    again = resolve_source(f"sha256:{found.ref.digest}", workspace)
    assert predicted(again.folder) == [pytest.approx(2)]


def test_what_is_not_there_is_told_with_what_is(trained: tuple[Workspace, list[str]]) -> None:
    workspace, (first, _) = trained
    with pytest.raises(NotFoundError, match="no run with an output of that name") as missing:
        resolve_source("looser", workspace)
    assert "plain, winner" in missing.value.hint
    with pytest.raises(NotFoundError, match="has no output 'looser'") as missing:
        resolve_source(f"{first}/looser", workspace)
    assert "winner" in missing.value.hint
    with pytest.raises(NotFoundError, match=r"no file score\.py"):
        resolve_source("score.py", workspace)


def test_an_artifact_is_deployed_as_it_lies_in_the_store(trained: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace, (first, _) = trained
    (tmp_path / "s.json").write_text('{"type": "object"}')
    spec = pack_source(f"{first}/winner", workspace, schema=str(tmp_path / "s.json"))
    assert spec.package["digest"] == spec.lineage["artifact"] and spec.framework == "sklearn"
    assert workspace.artifacts.get(f"sha256/{spec.schema[:2]}/{spec.schema[2:]}") == b'{"type": "object"}'


def unpacked(workspace: Workspace, spec: Any, folder: Path) -> str:
    return str(open_folder(from_plain(ArtifactRef, spec.package), workspace.artifacts, str(folder)))


def test_a_script_travels_with_its_imports_its_files_and_no_secret(trained: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace, _ = trained
    root = Path(workspace.project.root)
    serving = root / "serving"
    serving.mkdir(exist_ok=True)
    (root / "ours_of_the_project.py").write_text("FACTOR = 4\n")
    (serving / "score.py").write_text(
        "import json, os\nfrom ours_of_the_project import FACTOR\n"
        "def run(raw_data):\n    return FACTOR * json.load(open(os.path.join(os.environ['AZUREML_MODEL_DIR'], 'w.json')))\n"
    )
    (serving / "w.json").write_text("5")
    (serving / ".env").write_text("PASSWORD=1")
    spec = pack_source(str(serving / "score.py"), workspace)
    again = pack_source(str(serving / "score.py"), workspace)
    assert spec.package["digest"] == again.package["digest"] and spec.framework == "script"
    folder = unpacked(workspace, spec, tmp_path)
    files = sorted(path.name for path in Path(folder).iterdir())
    assert files == ["fairway-model.json", "ours_of_the_project.py", "score.py", "w.json"]
    card = json.loads(Path(folder, "fairway-model.json").read_text())
    assert (card["kind"], card["entry"], card["name"]) == ("script", "score.py", "score")


def test_a_schema_that_is_named_is_that_which_lies_beside_the_script(trained: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace, (first, _) = trained
    (tmp_path / "scoring_by_schema.py").write_text("def run(rows: list[dict]):\n    return rows\n")
    schema = tmp_path / "schema.json"
    schema.write_text('{"inputs": {"age": "number"}}')
    plain = pack_source(str(tmp_path / "scoring_by_schema.py"), workspace)
    named = pack_source(str(tmp_path / "scoring_by_schema.py"), workspace, schema=str(schema))
    assert named == plain, "equal packages are one revision"
    assert open_package(unpacked(workspace, named, tmp_path / "out")).schema == {"inputs": {"age": "number"}}
    elsewhere = tmp_path / "elsewhere" / "other.json"
    elsewhere.parent.mkdir()
    elsewhere.write_text('{"inputs": {"size": "number"}}')
    other = pack_source(str(tmp_path / "scoring_by_schema.py"), workspace, schema=str(elsewhere))
    assert open_package(unpacked(workspace, other, tmp_path / "out2")).schema == {"inputs": {"size": "number"}}
    found = pack_source(f"{first}/winner", workspace)
    own = open_package(unpacked(workspace, found, tmp_path / "own")).schema
    (tmp_path / "own.json").write_text(json.dumps(own))
    if own is not None:
        assert pack_source(f"{first}/winner", workspace, schema=str(tmp_path / "own.json")) == found


def test_what_programs_write_beside_a_script_makes_no_other_revision(trained: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace, _ = trained
    (tmp_path / "scoring_with_logs.py").write_text("def run(rows: list[dict]):\n    return rows\n")
    (tmp_path / "model.pkl").write_bytes(b"the model stays")
    spec = pack_source(str(tmp_path / "scoring_with_logs.py"), workspace)
    for name in (
        "train.log",
        "server.pid",
        "nohup.out",
        "half.tmp",
        "logs/Deep.LOG",
        "__pycache__/a.pyc",
        ".fairway/state",
        "env/lib/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("grows")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    again = pack_source(str(tmp_path / "scoring_with_logs.py"), workspace)
    assert again == spec
    assert Path(unpacked(workspace, spec, tmp_path / "out"), "model.pkl").exists()


def test_the_model_that_an_option_names_comes_along(trained: tuple[Workspace, list[str]], tmp_path: Path, monkeypatch: Any) -> None:
    workspace, _ = trained
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    (tmp_path / "weights.txt").write_text("7")
    (tmp_path / "large.bin").write_bytes(b"x")
    text = "import os\ndef run(x: int):\n    return os.listdir(os.environ['AZUREML_MODEL_DIR'])\n"
    (tmp_path / "scoring_of_weights.py").write_text(text)
    options: dict[str, Any] = {"model": str(tmp_path / "weights.txt")}
    spec = pack_source(str(tmp_path / "scoring_of_weights.py"), workspace, options=options)
    assert "model" not in options and "model" not in spec.options
    folder = unpacked(workspace, spec, tmp_path / "out")
    assert not Path(folder, "large.bin").exists()
    assert rig.answer(load(open_package(folder)), rig.raw(b"1")) == [["weights.txt"]]


def test_files_folders_classes_and_zips(trained: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace, _ = trained
    from sklearn.linear_model import LinearRegression

    fw.Model(LinearRegression().fit([[0.0], [1.0]], [0.0, 9.0])).save(tmp_path / "nine")
    assert predicted(resolve_source(str(tmp_path / "nine"), workspace).folder) == [pytest.approx(9)]
    with zipfile.ZipFile(tmp_path / "nine.zip", "w") as archive:
        for path in (tmp_path / "nine").iterdir():
            archive.write(path, f"nine/{path.name}")
    assert predicted(resolve_source(str(tmp_path / "nine.zip"), workspace).folder) == [pytest.approx(9)]
    spec = pack_source(str(tmp_path / "nine" / "model.skops"), workspace)
    assert predicted(unpacked(workspace, spec, tmp_path / "out")) == [pytest.approx(9)]
    (tmp_path / "own.py").write_text("class Own:\n    def predict(self, data):\n        return data\n")
    found = resolve_source(f"{tmp_path}/own.py:Own", workspace)
    assert found.folder.endswith("own.py:Own") and found.name == "own"
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.py", "x")
    with pytest.raises(DefinitionError, match="outside itself"):
        resolve_source(str(tmp_path / "evil.zip"), workspace)
