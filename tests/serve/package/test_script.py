from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.errors import ConfigError, DefinitionError, UnsupportedError
from fairway.serve.package import load, open_package
from fairway.serve.package.inputs import to_inputs
from fairway.serve.package.results import to_results
from fairway.serve.refusal import Refused
from tests.serve.package import rig


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What serving a script does to this process is undone."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    yield
    for name in set(sys.modules) - known:
        if not getattr(sys.modules[name], "__spec__", None) or "/pytest-" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def script(folder: Path, text: str, name: str = "score.py", **options: Any) -> Any:
    (folder / name).write_text(text)
    return load(open_package(str(folder / name), options=options))


def test_a_script_of_azure_runs_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "weights.json").write_text("[2, 3]")
    predictor = script(
        tmp_path,
        """
import json, os
import numpy

def init():
    global model
    with open(os.path.join(os.getenv("AZUREML_MODEL_DIR"), "weights.json")) as file:
        model = numpy.array(json.load(file))

def run(raw_data):
    data = numpy.array(json.loads(raw_data)["data"])
    return (data @ model).tolist()
""",
    )
    assert (predictor.takes, predictor.batches, predictor.methods) == ("raw", False, ("run",))
    assert rig.answer(predictor, rig.raw(b'{"data": [[1, 1], [0, 2]]}')) == [[5, 6]]


def test_rows_that_came_by_another_protocol_reach_a_raw_script_as_json(tmp_path: Path) -> None:
    predictor = script(tmp_path, "def run(raw_data):\n    return raw_data\n")
    (found,) = rig.answer(predictor, rig.matrix([[1.0, 2.0]], ("a", "b")))
    assert json.loads(found) == {"data": [{"a": 1.0, "b": 2.0}]}


@pytest.mark.parametrize(
    ("parameters", "body", "got"),
    [
        ("data", b'{"a": 1}', repr('{"a": 1}')),
        ("data: str", b"text", repr("text")),
        ("data: bytes", b"\xff\x00", repr(b"\xff\x00")),
        ("data: dict", b'{"a": 1}', repr({"a": 1})),
        ("data: list[dict]", b'{"inputs": [{"a": 1}]}', repr([{"a": 1}])),
        ("data: list", b'{"data": [1, 2]}', repr([1, 2])),
        ("age: int, name: str = 'x'", b'{"age": 3}', "3"),
        ("age: float", b'{"age": 3}', "3.0"),
        ("age: float", b"4.5", "4.5"),
        ("data, params", b"x", "'x'"),
    ],
)
def test_parameters_say_what_run_gets(tmp_path: Path, parameters: str, body: bytes, got: str) -> None:
    first = parameters.partition(":")[0].partition(",")[0]
    predictor = script(tmp_path, f"def run({parameters}):\n    return repr({first})\n")
    assert rig.answer(predictor, rig.raw(body)) == [got]


def test_arrays_and_frames_where_they_are_annotated(tmp_path: Path) -> None:
    text = "import numpy as np\ndef run(x: np.ndarray):\n    return x.sum(axis=1)\n"
    predictor = script(tmp_path, text)
    assert predictor.takes == "matrix" and rig.answer(predictor, rig.of_json([[1, 2], [3, 4]])) == [[3.0, 7.0]]
    text = "import pandas as pd\ndef run(x: pd.DataFrame):\n    return x.assign(c=x.a + x.b)\n"
    predictor = script(tmp_path, text, "framed.py")
    assert predictor.takes == "frame"
    assert rig.answer(predictor, rig.matrix([[1, 2]], ("a", "b"))) == [[{"a": 1.0, "b": 2.0, "c": 3.0}]]


def test_dataclasses_are_made_and_what_does_not_fit_is_named(tmp_path: Path) -> None:
    text = "from dataclasses import dataclass\n@dataclass\nclass Customer:\n    age: int\n    name: str = ''\n"
    predictor = script(tmp_path, text + "def run(who: Customer):\n    return who.age + 1\n")
    assert rig.answer(predictor, rig.raw(b'{"age": 3}')) == [4]
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.raw(b'{"age": "old"}'))
    assert refused.value.status == 422 and refused.value.faults[0].field == "who.age"


def test_a_missing_field_and_a_body_that_is_no_json_are_refused(tmp_path: Path) -> None:
    predictor = script(tmp_path, "def run(age: int, name: str):\n    return 1\n")
    with pytest.raises(Refused, match="'name' is missing"):
        rig.answer(predictor, rig.raw(b'{"age": 3}'))
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.raw(b"{"))
    assert refused.value.status == 400
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.raw(b"a,b", "text/csv"))
    assert refused.value.status == 415


def test_asynchronous_scripts_are_awaited_init_too(tmp_path: Path) -> None:
    text = "import asyncio\nready = 0\nasync def init():\n    global ready\n    await asyncio.sleep(0)\n    ready = 5\n"
    predictor = script(tmp_path, text + "async def run(x: int):\n    await asyncio.sleep(0)\n    return x + ready\n")
    assert predictor.is_async
    call = rig.raw(b'{"x": 2}')
    value = asyncio.run(predictor.predict(to_inputs([call], predictor), "", {}))
    assert value == 7


def test_generators_are_streams(tmp_path: Path) -> None:
    predictor = script(tmp_path, "def run(n: int):\n    for i in range(n):\n        yield {'i': i}\n")
    call = rig.raw(b'{"n": 2}')
    (result,) = to_results(predictor.predict(to_inputs([call], predictor), "", {}), [call])
    assert result.form == "stream"
    assert [rig.value_of(chunk) for chunk in result.chunks] == [{"i": 0}, {"i": 1}]  # type: ignore[union-attr]


def test_asynchronous_generators_are_streams(tmp_path: Path) -> None:
    predictor = script(tmp_path, "async def run(n: int):\n    for i in range(n):\n        yield str(i)\n")
    call = rig.raw(b'{"n": 2}')

    async def main() -> list[Any]:
        (result,) = to_results(await predictor.predict(to_inputs([call], predictor), "", {}), [call])
        return [rig.value_of(chunk) async for chunk in result.chunks]  # type: ignore[union-attr]

    assert asyncio.run(main()) == ["0", "1"]


def test_a_script_of_rows_may_ask_for_batches(tmp_path: Path) -> None:
    predictor = script(tmp_path, "fairway_batch = True\ndef run(rows: list[dict]):\n    return [row['a'] * 2 for row in rows]\n")
    assert predictor.batches
    assert rig.answer(predictor, rig.rows([[1], [2]], ("a",)), rig.rows([[3]], ("a",))) == [[2, 4], [6]]
    with pytest.raises(ConfigError, match="cannot take several requests at once"):
        script(tmp_path, "def run(raw_data):\n    return 1\n", "one.py", batch=True)


def test_a_class_with_predict(tmp_path: Path) -> None:
    text = """
class Doubler:
    def __init__(self, folder):
        self.folder = folder
    def load(self):
        self.factor = 2
    def predict(self, data):
        return [row["x"] * self.factor for row in data]
    def explain(self, data):
        return self.folder
"""
    (tmp_path / "doubler.py").write_text(text)
    for named in ("doubler.py", "doubler.py:Doubler"):
        predictor = load(open_package(str(tmp_path / named)))
        assert predictor.methods == ("predict", "explain")
        assert rig.answer(predictor, rig.of_json({"inputs": [{"x": 4}]})) == [[8]]
    assert rig.answer(predictor, rig.of_json([]), method="explain") == [str(tmp_path)]
    with pytest.raises(DefinitionError, match="no class 'Tripler'") as refused:
        load(open_package(str(tmp_path / "doubler.py:Tripler")))
    assert "Doubler" in refused.value.hint


def test_the_model_lies_where_it_was_said_to(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    text = "import os\ndef run(data):\n    return os.environ['AZUREML_MODEL_DIR']\n"
    predictor = script(tmp_path, text, model="weights")
    assert rig.answer(predictor, rig.raw(b"")) == [str(tmp_path / "weights")]
    os.environ["AZUREML_MODEL_DIR"] = "/elsewhere"
    assert rig.answer(script(tmp_path, text, "other.py"), rig.raw(b"")) == ["/elsewhere"]


def test_modules_beside_the_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "features_of_ours.py").write_text("def double(x):\n    return 2 * x\n")
    predictor = script(tmp_path, "from features_of_ours import double\ndef run(x: float):\n    return double(x)\n")
    assert rig.answer(predictor, rig.raw(b"4")) == [8.0]


def test_faults_of_scripts_are_told_before_anything_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azureml", None)  # as where it is not installed
    with pytest.raises(DefinitionError, match="nothing to serve"):
        script(tmp_path, "x = 1\n")
    with pytest.raises(DefinitionError, match="Python cannot read it") as refused:
        script(tmp_path, "def run(:\n")
    assert refused.value.where.endswith("score.py:1")
    with pytest.raises(DefinitionError, match="takes no argument"):
        script(tmp_path, "def run():\n    pass\n")
    with pytest.raises(UnsupportedError, match="imports azureml") as missing:
        script(tmp_path, "from azureml.contrib.services.aml_request import rawhttp\n@rawhttp\ndef run(request):\n    pass\n")
    assert "azureml-contrib-services" in missing.value.hint
    with pytest.raises(DefinitionError, match="ended with sys"):
        script(tmp_path, "import sys\nsys.exit(3)\ndef run(data):\n    pass\n")


def test_a_script_named_like_a_module_of_python_replaces_none(tmp_path: Path) -> None:
    predictor = script(tmp_path, "def run(x: int):\n    return x\n", "json.py")
    assert rig.answer(predictor, rig.raw(b"4")) == [4] and sys.modules["json"] is json
    assert np.array([1]).tolist() == [1]
