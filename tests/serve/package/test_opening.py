from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from fairway.errors import DefinitionError, NotFoundError, UnsupportedError
from fairway.serve.package import load, open_package


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("m.onnx", b"x", "onnx"),
        ("m.pt2", b"x", "torch-export"),
        ("m.keras", b"x", "keras"),
        ("m.h5", b"x", "keras"),
        ("m.safetensors", b"x", "torch"),
        ("m.pth", b"not a zip", "torch"),
        ("m.skops", b"x", "sklearn"),
        ("m.joblib", b"x", "sklearn"),
        ("m.json", b'{"learner":{}}', "xgboost"),
        ("m.ubj", b"{L\0\0\0\0\0\0\0\7learner", "xgboost"),
        ("m.txt", b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        ("score.R", b"run <- function(data) 1", "r"),
        ("score.py", b"def run(data): pass", "script"),
        ("net.py", b"class Net:\n    def predict(self, x): pass", "class"),
        ("other.py", b"from elsewhere import run", "script"),
    ],
)
def test_files_are_known_by_name_and_content_and_alone_in_a_folder(name: str, content: bytes, kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "package" / name, content)
    assert open_package(str(path)).kind == kind
    found = open_package(str(path.parent))
    assert (found.kind, found.name, found.path) == (kind, "package", path)


def test_torchs_three_zips(tmp_path: Path) -> None:
    for inner, kind in (("m/constants.pkl", "torchscript"), ("m/models/model.json", "torch-export"), ("m/data.pkl", "torch")):
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            archive.writestr(inner, b"")
        assert open_package(str(tmp_path / "m.pt")).kind == kind


def test_folders_that_libraries_write(tmp_path: Path) -> None:
    write(tmp_path / "a" / "MLmodel")
    write(tmp_path / "b" / "saved_model.pb")
    write(tmp_path / "c" / "inner" / "MLmodel")
    assert [open_package(str(tmp_path / name)).kind for name in "abc"] == ["mlflow", "tensorflow", "mlflow"]
    assert open_package(str(tmp_path / "c")).path == tmp_path / "c" / "inner"


def test_schema_and_example_beside_the_model(tmp_path: Path) -> None:
    write(tmp_path / "score.py", b"def run(data): pass")
    write(tmp_path / "schema.json", b'{"type": "object"}')
    write(tmp_path / "example.json", b"[1]")
    found = open_package(str(tmp_path / "score.py"))
    assert (found.schema, found.example, found.name) == ({"type": "object"}, [1], "score")
    write(tmp_path / "other.json", b'{"type": "array"}')
    assert open_package(str(tmp_path), schema=str(tmp_path / "other.json")).schema == {"type": "array"}
    with pytest.raises(NotFoundError, match="no file"):
        open_package(str(tmp_path), schema=str(tmp_path / "gone.json"))
    write(tmp_path / "schema.json", b'{"type":\n object}')
    with pytest.raises(DefinitionError, match="not JSON") as refused:
        open_package(str(tmp_path))
    assert refused.value.where.endswith("schema.json:2")


def test_what_is_no_package_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is nothing at"):
        open_package(str(tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DefinitionError, match="there is no model in"):
        open_package(str(tmp_path / "empty"))
    write(tmp_path / "two" / "a.onnx")
    write(tmp_path / "two" / "b.onnx")
    with pytest.raises(DefinitionError, match=r"several files that could be served: a\.onnx, b\.onnx"):
        open_package(str(tmp_path / "two"))
    with pytest.raises(DefinitionError, match="no model that Fairway knows"):
        open_package(str(write(tmp_path / "data.csv")))
    write(tmp_path / "new" / "fairway-model.json", json.dumps({"fairway": 9, "kind": "quantum"}).encode())
    with pytest.raises(DefinitionError, match="says kind 'quantum'"):
        open_package(str(tmp_path / "new"))


def test_a_library_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedError, match=r"takes onnxruntime, which is not installed here") as refused:
        load(open_package(str(write(tmp_path / "m.onnx"))))
    assert refused.value.hint == "pip install onnxruntime"
