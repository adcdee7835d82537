"""KServe's V1 protocol and MLflow's /invocations."""

from __future__ import annotations

import pytest

from tests.serve.protocols.rig import MemoryServing, array_of, failed, json_of, sum_rows

V1 = "/v1/models/risk:predict"
ROWS = [[1, 2], [3, 4]]
RECORDS = [{"age": 1, "income": 2}, {"age": 3, "income": 4}]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"instances": RECORDS},
        {"inputs": {"age": [1, 3], "income": [2, 4]}},
        {"instances": ROWS, "signature_name": "x"},
    ],
)
def test_v1_answers_predictions(body) -> None:
    answer = MemoryServing(sum_rows).post(V1, body)
    assert answer.status == 200, answer.json
    assert answer.json == {"predictions": [3.0, 7.0]}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{}", 400, "came neither"),
        (b'{"instances": [], "inputs": {}}', 400, "came both of them"),
        (b"[1]", 400, "Expected `object`"),
        (b'{"instances": [[1, 2]], "more": 1}', 400, "unknown field `more`"),
        (b"{", 400, "not JSON: byte 1"),
        (b'{"instances": [[1, 2], [3, 4}]}', 400, "not JSON: byte 28"),
        (b'{"instances": [[1, 2], [NaN, 4]]}', 422, "row 1, field 'age': came NaN, expected a number"),
        (
            b' {\n"signature_name" : "x" , "inputs" : {"age": [1, 2], "income": [4, -Infinity]} }\n',
            422,
            "'income': came -Infinity",
        ),
        (b'{"instances": [[1, NaN]], "more": 1}', 400, "unknown field `more`"),
        (b'{"instances": [[1, 2]], "parameters": {"top": NaN}}', 400, "not JSON"),
        (b'{"instances": [{"age": "old", "income": 1}]}', 422, "age"),
        (b'{"instances": [[1]]}', 422, ""),
        (b'{"instances": 5}', 422, ""),
    ],
)
def test_v1_errors_are_texts(body: bytes, status: int, said: str) -> None:
    serving = MemoryServing(sum_rows)
    answer = serving.ask("POST", V1, body, content_type="application/json")
    assert answer.status == status
    assert isinstance(answer.json["error"], str)
    assert said in answer.json["error"]
    assert not serving.calls


def test_v1_hands_parameters_on() -> None:
    serving = MemoryServing(sum_rows)
    serving.post(V1, {"instances": ROWS, "parameters": {"top": 3}})
    assert serving.calls[0].params == {"top": 3}


def test_v1_says_what_there_is_and_what_is_not() -> None:
    serving = MemoryServing(sum_rows)
    assert serving.ask("GET", "/v1/models").json == {"models": ["risk"]}
    assert serving.ask("GET", "/v1/models/risk").json == {"name": "risk", "ready": True}
    assert serving.post("/v1/models/risk:explain", {"instances": ROWS}).status == 501
    missing = serving.post("/v1/models/other:predict", {"instances": ROWS})
    assert (missing.status, missing.json["error"]) == (404, "there is no model 'other' here (there is 'risk')")
    assert serving.ask("GET", "/v1/models/other").status == 404
    assert serving.ask("POST", V1, b"{}", content_type="text/plain").status == 415
    assert serving.ask("POST", V1, b'{"instances": [[1, 2]]}', content_type="application/x-www-form-urlencoded").status == 200  # curl -d
    serving.ready = False
    assert serving.ask("GET", "/v1/models/risk").status == 503


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["income", "age"], "data": [[2, 1], [4, 3]]}},
        {"dataframe_split": {"columns": ["age", "income"], "index": [0, 1], "data": ROWS}},
        {"dataframe_records": RECORDS},
        {"instances": ROWS},
        {"instances": RECORDS},
        {"inputs": {"age": [1, 3], "income": [2, 4]}},
        {"inputs": ROWS},
    ],
)
def test_each_spelling_of_mlflow_is_read(body) -> None:
    serving = MemoryServing(sum_rows)
    answer = serving.post("/invocations", {**body, "params": {"top": 3}})
    assert answer.status == 200, answer.json
    assert answer.json == {"predictions": [3.0, 7.0]}
    assert serving.calls[0].params == {"top": 3}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{}", 400, "came none of them"),
        (b'{"inputs": [], "instances": []}', 400, "came instances and inputs"),
        (b"[]", 400, "Expected `object`"),
        (b"\xff", 400, "not UTF-8"),
        (b'{"inputs": [[1, 2]], "params": []}', 400, "$.params"),
        (b'{"inputs": [[1, 2]], "param": {}}', 400, "unknown field `param`"),
        (b'{"dataframe_split": {"columns": ["age"], "data": [[1]]}}', 422, "income"),
        (b'{"dataframe_records": [{"age": 1, "income": 2}, {"age": Infinity, "income": 4}]}', 422, "row 1, field 'age': came Infinity"),
        (b'{"params": {}, "dataframe_split": {"columns": ["income", "age"], "data": [[1, NaN]]}}', 422, "row 0, field 'age': came NaN"),
        (b'{"inputs": [[1, 2],, [NaN, 4]]}', 400, "not JSON: byte 19"),
    ],
)
def test_mlflows_errors_have_mlflows_form(body: bytes, status: int, said: str) -> None:
    answer = MemoryServing(sum_rows).ask("POST", "/invocations", body, content_type="application/json")
    assert answer.status == status
    assert answer.json["error_code"] == "BAD_REQUEST"
    assert said in answer.json["message"]


def test_mlflow_takes_csv_and_is_pinged() -> None:
    serving = MemoryServing(sum_rows)
    assert serving.ask("POST", "/invocations", b"age,income\n1,2\n", content_type="text/csv").json == {"predictions": [3.0]}
    assert serving.ask("POST", "/invocations", b"{}", content_type="text/plain").status == 415
    assert serving.ask("GET", "/ping").status == 200
    assert serving.ask("GET", "/version").answer.startswith(b"fairway ")
    serving.ready = False
    assert serving.ask("GET", "/ping").status == 503


@pytest.mark.parametrize("url", ["/invocations", V1])
def test_failures_keep_their_status(url: str) -> None:
    answer = MemoryServing(lambda call: failed(504, "too slow")).post(url, {"instances": ROWS})
    assert (answer.status, answer.error) == (504, "too slow")


@pytest.mark.parametrize("url", ["/invocations", V1])
def test_matrices_and_tables_are_nested(url: str) -> None:
    assert MemoryServing(lambda call: array_of([[0.5, 0.5]])).post(url, {"instances": ROWS}).json == {"predictions": [[0.5, 0.5]]}
    assert MemoryServing(lambda call: json_of([{"a": 1}])).post(url, {"instances": ROWS}).json == {"predictions": [{"a": 1}]}


@pytest.mark.parametrize(
    ("params", "said"),
    [(b'{"seed": 554110259044178591744}', "does not fit 64 bits"), (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "deep")],
)
def test_parameters_that_no_process_could_be_told_are_refused(params: bytes, said: str) -> None:
    serving = MemoryServing(sum_rows)
    for url, body in (
        ("/invocations", b'{"inputs": [[1, 2]], "params": %b}' % params),
        ("/predict", b'{"inputs": [[1, 2]], "params": %b}' % params),
        (
            "/v2/models/risk/infer",
            b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "parameters": %b}' % params,
        ),
    ):
        answer = serving.ask("POST", url, body, content_type="application/json")
        assert answer.status in (400, 422), answer.answer
        assert said in answer.error
    assert not serving.calls


def test_a_fault_is_told_once() -> None:
    answer = MemoryServing(sum_rows).post(V1, {"instances": [{"age": "old", "income": None}]})
    for field in ("age", "income"):
        assert answer.error.count(f"'{field}'") == 1, answer.error


@pytest.mark.parametrize(("url", "key"), [(V1, "instances"), ("/invocations", "dataframe_records"), ("/predict", "inputs")])
def test_where_the_schema_lets_nan_in_it_comes_in_by_every_protocol(url: str, key: str) -> None:
    serving = MemoryServing(sum_rows, {"inputs": {"age": {"type": "number", "x-fairway": {"nan": True}}, "income": "number"}})
    answer = serving.ask("POST", url, b'{"%b": [{"age": NaN, "income": 1}]}' % key.encode(), content_type="application/json")
    assert answer.status == 200, answer.answer
    assert [call.rows for call in serving.calls] == [1]
