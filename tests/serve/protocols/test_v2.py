"""The Open Inference Protocol over REST: JSON and binary tensors, in both directions, and lies about them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fairway.data.schema.datatypes import FROM_NUMPY
from tests.serve.protocols.rig import NUMPY, MemoryExchange, MemoryServing, array_of, failed, identity, json_of, sum_rows

URL = "/v2/models/risk/infer"
X = np.arange(6, dtype="<f4").reshape(3, 2)


def binary_request(*arrays: np.ndarray, sizes: list[int] | None = None, outputs=(), **more) -> tuple[bytes, dict[str, str]]:
    """A body with binary tensors, and its header; `sizes` lie."""
    inputs = [
        {"name": f"x{at}", "shape": array.shape, "datatype": FROM_NUMPY[array.dtype.str],
         "parameters": {"binary_data_size": array.nbytes if sizes is None else sizes[at]}}
        for at, array in enumerate(arrays)
    ]  # fmt: skip
    head = msgspec.json.encode({"inputs": inputs, "outputs": outputs, **more})
    return head + b"".join(array.tobytes() for array in arrays), {"inference_header_content_length": str(len(head))}


def read_binary(answer: MemoryExchange) -> dict[str, np.ndarray]:
    """Tensors of an answer, binary or not."""
    size = int(answer.sent.get(b"Inference-Header-Content-Length", len(answer.answer)))
    head, at = msgspec.json.decode(answer.answer[:size]), size
    found = {}
    for output in head["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size")
        if length is None:
            found[output["name"]] = np.array(output["data"], dtype=NUMPY[output["datatype"]]).reshape(output["shape"])
            continue
        found[output["name"]] = np.frombuffer(answer.answer[at : at + length], NUMPY[output["datatype"]]).reshape(output["shape"])
        at += length
    assert at == len(answer.answer)
    return found


def test_json_tensors_are_answered_with_the_id_they_came_with() -> None:
    for data in (X.tolist(), X.ravel().tolist()):
        answer = MemoryServing(sum_rows).post(
            URL, {"id": "mine", "inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": data}]}
        )
        assert answer.status == 200
        assert answer.json == {
            "model_name": "risk", "model_version": "3", "id": "mine",
            "outputs": [{"name": "predictions", "datatype": "FP32", "shape": [3], "data": [1.0, 5.0, 9.0]}],
        }  # fmt: skip


def test_binary_tensors_go_through_without_a_copy_and_come_back_binary() -> None:
    body, headers = binary_request(X, outputs=[{"name": "predictions", "parameters": {"binary_data": True}}])
    serving = MemoryServing(sum_rows)
    answer = serving.ask("POST", URL, body, **headers)
    assert answer.status == 200
    assert answer.kind == b"application/octet-stream"
    assert read_binary(answer)["predictions"].tolist() == [1.0, 5.0, 9.0]
    payload = serving.calls[0].payload
    assert isinstance(payload, memoryview)
    assert payload.obj is body


def test_binary_may_be_asked_for_all_outputs_and_refused_for_one() -> None:
    body, headers = binary_request(X, parameters={"binary_data_output": True})
    assert read_binary(MemoryServing(sum_rows).ask("POST", URL, body, **headers))["predictions"].tolist() == [1.0, 5.0, 9.0]
    body, headers = binary_request(
        X, parameters={"binary_data_output": True}, outputs=[{"name": "predictions", "parameters": {"binary_data": False}}]
    )
    assert MemoryServing(sum_rows).ask("POST", URL, body, **headers).json["outputs"][0]["data"] == [1.0, 5.0, 9.0]


@pytest.mark.parametrize("header", ["-1", "1e3", "999999", "abc", "", "9" * 50, " 5", "0x10"])
def test_a_header_length_that_cannot_be_is_refused(header: str) -> None:
    body, _ = binary_request(X)
    answer = MemoryServing(sum_rows).ask("POST", URL, body, inference_header_content_length=header)
    assert answer.status == 400
    assert "Inference-Header-Content-Length" in answer.error


@pytest.mark.parametrize("shift", [-1, 1, -20])
def test_a_header_length_that_is_a_little_wrong_is_refused(shift: int) -> None:
    body, headers = binary_request(X)
    size = int(headers["inference_header_content_length"]) + shift
    answer = MemoryServing(sum_rows).ask("POST", URL, body, inference_header_content_length=str(size))
    assert answer.status == 400
    assert f"the first {size} bytes of the body is not JSON" in answer.error


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (23, "1 bytes at the end of the body belong to no tensor|came 23 bytes, expected 24"),
        (25, "says 25 bytes, but 24 are left"),
        (0, "came 0 bytes, expected 24"),
        (-1, "binary_data_size is -1"),
        (1 << 62, "but 24 are left"),
    ],
)
def test_a_binary_size_that_lies_is_refused_with_the_tensors_name(size: int, said: str) -> None:
    body, headers = binary_request(X, sizes=[size])
    answer = MemoryServing(sum_rows).ask("POST", URL, body, **headers)
    assert answer.status == 400
    assert any(part in answer.error for part in said.split("|")), answer.error
    assert "'x0'" in answer.error


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    body, headers = binary_request(X)
    answer = MemoryServing(sum_rows).ask("POST", URL, body + b"more", **headers)
    assert (answer.status, "4 bytes at the end" in answer.error) == (400, True)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3]}, "came 3 values, expected 4: the shape is [2, 2]"),
        ({"shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3]]}, "came 1 values at [1], expected a list of 2 as at [0]"),
        ({"shape": [2, 2], "datatype": "FP32", "data": [[1, 2]]}, "came 2 values, expected 4"),
        ({"shape": [2, 2], "datatype": "FP32", "data": [[1, 2], 3]}, "came the number 3 at [1], expected a list of 2"),
        ({"shape": [0, 2], "datatype": "FP32", "data": []}, "each 1 or more"),
        ({"shape": [-1, 2], "datatype": "FP32", "data": [1, 2]}, "each 1 or more"),
        ({"shape": [], "datatype": "FP32", "data": [1]}, "came the shape []"),
        ({"shape": [1] * 40, "datatype": "FP32", "data": [1]}, "expected 1 to 32 sizes"),
        ({"shape": [1], "datatype": "FLOAT", "data": [1]}, "expected one of BOOL"),
        ({"shape": [1], "datatype": "INT8", "data": [300]}, "came the number 300 as value 0, expected whole numbers from -128 to 127"),
        ({"shape": [2], "datatype": "UINT8", "data": [1, -1]}, "came the number -1 as value 1, expected whole numbers from 0 to 255"),
        ({"shape": [1], "datatype": "INT64", "data": [1.5]}, "came the number 1.5 as value 0, expected a whole number"),
        ({"shape": [2], "datatype": "FP32", "data": [1, "old"]}, "came the text 'old' as value 1, expected a number"),
        ({"shape": [1], "datatype": "FP64", "data": [None]}, "came null as value 0, expected a number"),
        ({"shape": [2], "datatype": "FP32", "data": [1, -1e39]}, "came the number -1e+39 as value 1, expected numbers up to 3.40282e+38"),
        ({"shape": [1], "datatype": "BF16", "data": [3.4e38]}, "came the number 3.4e+38 as value 0, expected numbers up to 3.38e+38"),
        ({"shape": [1], "datatype": "FP16", "data": [1e6]}, "expected numbers up to 65504"),
        ({"shape": [1], "datatype": "BOOL", "data": ["yes"]}, "expected true or false"),
        ({"shape": [1], "datatype": "BYTES", "data": [5]}, "came the number 5 as value 0, expected text"),
        ({"shape": [1], "datatype": "FP32"}, "neither data nor binary_data_size"),
        ({"shape": [1], "datatype": "FP32", "data": 5}, "came the number 5, expected a list of 1"),
        ({"shape": [1], "datatype": "FP32", "data": {}}, "came an empty object, expected a list of 1"),
        ({"shape": [1 << 62, 1 << 62], "datatype": "FP32", "data": [1]}, "came 1 values"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused_by_name(tensor, said: str) -> None:
    serving = MemoryServing(sum_rows)
    answer = serving.post(URL, {"inputs": [{"name": "age", **tensor}]})
    assert answer.status == 400
    assert "'age'" in answer.error
    assert said in answer.error
    assert not serving.calls


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": {}}', "$.inputs"),
        (b'{"inputs": [{"name": "x"}]}', "missing required field `shape`"),
        (b'{"inputs": [{"name": 5, "shape": [1], "datatype": "FP32", "data": [1]}]}', "$.inputs[0].name"),
        (b'{"inputs": [{"name": "x", "shape": [1.5], "datatype": "FP32", "data": [1]}]}', "$.inputs[0].shape[0]"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}', "not JSON"),
        (b"[" * 100_000, ""),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}", "deep"),
        (b'{"inputs": [' + b'{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]},' * 2 + b"]}", ""),
        (b"\xff\xfe", "not UTF-8: byte 0"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, said: str) -> None:
    answer = MemoryServing(sum_rows).ask("POST", URL, body, content_type="application/json")
    assert answer.status == 400
    assert said in answer.error


def test_the_same_tensor_twice_is_refused() -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = MemoryServing(sum_rows).post(URL, {"inputs": [tensor, tensor]})
    assert (answer.status, answer.error) == (400, "the tensor 'x': came the tensor twice, expected it once")


def test_an_output_that_is_none_is_refused_with_those_there_are() -> None:
    body, headers = binary_request(X, outputs=[{"name": "other"}])
    answer = MemoryServing(sum_rows).ask("POST", URL, body, **headers)
    assert answer.status == 400
    assert answer.error == "there is no output 'other' (there is 'predictions')"


def test_another_model_or_version_is_refused_with_the_one_there_is() -> None:
    for url in ("/v2/models/other/infer", "/v2/models/risk/versions/9/infer"):
        answer = MemoryServing(sum_rows).post(url, {"inputs": []})
        assert answer.status == 404
        assert "'risk'" in answer.error
    assert MemoryServing(sum_rows).ask("GET", "/v2/models/other").status == 404


def test_metadata_says_what_to_send() -> None:
    serving = MemoryServing(sum_rows)
    assert serving.ask("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    for url in ("/v2/models/risk", "/v2/models/risk/versions/3"):
        about = serving.ask("GET", url).json
        assert about["name"] == "risk"
        assert about["versions"] == ["3"]
        assert about["inputs"] == [{"name": "inputs", "datatype": "FP64", "shape": [-1, 2]}]
        assert about["outputs"] == [{"name": "predictions", "datatype": "FP64", "shape": [-1]}]
        assert about["properties"] == {"columns": '["age","income"]'}


def test_metadata_has_a_datatype_for_whatever_there_is() -> None:
    mixed = {"inputs": {"city": "string", "age": {"type": "integer"}, "more": {}}, "outputs": {"type": "string"}}
    about = MemoryServing(sum_rows, mixed).ask("GET", "/v2/models/risk").json
    assert [(one["name"], one["datatype"], one["shape"]) for one in about["inputs"]] == [
        ("city", "BYTES", [-1]), ("age", "INT64", [-1]), ("more", "BYTES", [-1]),
    ]  # fmt: skip
    assert about["outputs"][0]["datatype"] == "BYTES"
    tensors = {"inputs": {"x": {"type": "float32", "shape": [-1, 28, 28]}}}
    (one,) = MemoryServing(sum_rows, tensors).ask("GET", "/v2/models/risk").json["inputs"]
    assert one == {"name": "x", "datatype": "FP32", "shape": [-1, 28, 28]}
    assert MemoryServing(sum_rows, None).ask("GET", "/v2/models/risk").json["inputs"] == []


def test_errors_are_texts() -> None:
    answer = MemoryServing(lambda call: failed(504, "it took longer than 30 s")).ask(
        "POST", URL, *[binary_request(X)[0]], **binary_request(X)[1]
    )
    assert answer.status == 504
    assert answer.json == {"error": "it took longer than 30 s"}


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        ([1, 2], [("output", "INT64", [2], [1, 2])]),
        ([[1.5, 2]], [("output", "FP64", [1, 2], [1.5, 2.0])]),
        (["a", "b"], [("output", "BYTES", [2], ["a", "b"])]),
        ([True], [("output", "BOOL", [1], [True])]),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [("a", "INT64", [2], [1, 2]), ("b", "BYTES", [2], ["x", "y"])]),
        ({"a": [1], "b": [0.5, 1]}, [("a", "INT64", [1], [1]), ("b", "FP64", [2], [0.5, 1.0])]),
        ({"answer": "yes"}, [("output", "BYTES", [1], ['{"answer":"yes"}'])]),
        ([[1], [1, 2]], [("output", "BYTES", [2], ["[1]", "[1,2]"])]),
        (None, [("output", "BYTES", [1], ["null"])]),
        ([], [("output", "BYTES", [0], [])]),
        ([2**70], [("output", "FP64", [1], [2.0**70])]),
    ],
)
def test_what_a_script_returns_becomes_tensors(value, outputs) -> None:
    serving = MemoryServing(lambda call: json_of(value), None)
    answer = serving.post(URL, {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]})
    assert answer.status == 200, answer.json
    assert [(o["name"], o["datatype"], o["shape"], o["data"]) for o in answer.json["outputs"]] == outputs


def test_a_column_for_each_output_that_the_schema_names() -> None:
    serving = MemoryServing(lambda call: array_of([[0.25, 0.75], [1.0, 0.0]], "<f4"))
    serving.schema = type("S", (), {"outputs": [type("C", (), {"name": n, "datatype": "FP32"}) for n in ("no", "yes")], "columns": ()})
    body, headers = binary_request(X, parameters={"binary_data_output": True})
    answer = read_binary(serving.ask("POST", URL, body, **headers))
    assert {name: array.tolist() for name, array in answer.items()} == {"no": [0.25, 1.0], "yes": [0.75, 0.0]}


@pytest.mark.parametrize("datatype", sorted(FROM_NUMPY.values()))
def test_every_datatype_goes_in_and_out_in_binary_and_json(datatype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype=NUMPY[datatype])
    serving = MemoryServing(identity, None)
    body, headers = binary_request(array, parameters={"binary_data_output": True})
    assert np.array_equal(read_binary(serving.ask("POST", URL, body, **headers))["x0"], array)
    answer = serving.post(URL, {"inputs": [{"name": "x0", "shape": [2, 3], "datatype": datatype, "data": array.tolist()}]})
    assert np.array_equal(read_binary(answer)["x0"], array)
