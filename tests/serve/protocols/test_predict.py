"""POST /predict: what may come, what may be asked for, and how failures are told."""

from __future__ import annotations

import gzip
import time

import pytest

from fairway.serve.call import Result
from fairway.serve.package.answertables import ACCEPT
from fairway.serve.refusal import Refused
from tests.serve.protocols.rig import MemoryServing, array_of, failed, json_of, sum_rows

ROW = {"age": 1.5, "income": 2}


def test_rows_give_predictions_with_the_id_and_the_models_name() -> None:
    asked = MemoryServing(sum_rows).post("/predict", {"inputs": [ROW, ROW]}, fairway_request_id="abc")
    assert asked.status == 200
    assert asked.json == {"predictions": [3.5, 3.5], "id": "abc", "model": "risk", "version": "3"}
    assert asked.kind == b"application/json"


def test_the_call_knows_its_id_and_its_deadline() -> None:
    serving = MemoryServing(sum_rows)
    for number, (asked, limit_s) in enumerate([({}, 30), ({"fairway_timeout_ms": "500"}, 0.5), ({"fairway_timeout_ms": "99999999"}, 30)]):
        before = time.monotonic()
        serving.post("/predict", [ROW], **asked)
        assert before <= serving.calls[number].deadline - limit_s <= time.monotonic()
    assert serving.calls[0].id == "id-1"


@pytest.mark.parametrize("asked", ["soon", "-1", "0", "1.5", "", "9" * 20])
def test_a_timeout_that_is_none_is_refused(asked: str) -> None:
    answer = MemoryServing(sum_rows).post("/predict", [ROW], fairway_timeout_ms=asked)
    assert answer.status == 400
    assert "fairway-timeout-ms" in answer.error


def test_csv_comes_and_goes() -> None:
    answer = MemoryServing(sum_rows).ask("POST", "/predict", b"age,income\n1,2\n3,4\n", content_type="text/csv", accept="text/csv")
    assert answer.status == 200
    assert answer.answer == b"prediction\r\n3.0\r\n7.0\r\n"


def test_a_table_as_csv_has_its_columns() -> None:
    serving = MemoryServing(lambda call: json_of([{"who": "a,b", "ok": True, "at": None}, {"who": "c", "more": [1]}]))
    answer = serving.post("/predict", [ROW], accept="text/csv")
    assert answer.answer.decode().splitlines() == ["who,ok,at,more", '"a,b",true,,', "c,,,[1]"]


def test_a_matrix_as_csv_has_the_results_names() -> None:
    serving = MemoryServing(lambda call: array_of([[0.25, 0.75]], names=("no", "yes")))
    assert serving.post("/predict", [ROW], accept="text/csv").answer == b"no,yes\r\n0.25,0.75\r\n"


def test_the_method_is_passed_on() -> None:
    serving = MemoryServing(sum_rows)
    serving.post("/predict?method=predict_proba&x=%20", [ROW])
    assert serving.calls[0].method == "predict_proba"


def test_a_compressed_body_is_unpacked_within_the_limit() -> None:
    serving = MemoryServing(sum_rows, body_bytes=1000)
    good = gzip.compress(b'[{"age":1,"income":1}]')
    assert serving.ask("POST", "/predict", good, content_encoding="gzip").json["predictions"] == [2.0]
    bomb = serving.ask("POST", "/predict", gzip.compress(b" " * 1_000_000), content_encoding="gzip")
    assert bomb.status == 413
    for body, encoding, status in ((b"no gzip", "gzip", 400), (good[:-5], "gzip", 400), (good, "br", 415)):
        assert serving.ask("POST", "/predict", body, content_encoding=encoding).status == status


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "image/png", "\xff"])
def test_other_content_types_are_refused_with_what_is_taken(kind: str) -> None:
    answer = MemoryServing(sum_rows).ask("POST", "/predict", b'{"age": 1}', content_type=kind)
    assert answer.status == 415
    assert "application/json" in answer.error
    assert answer.json["error"]["hint"] == "send the header content-type: application/json"


FORM = "application/x-www-form-urlencoded"
FORMED = {
    "/predict": b'[{"age": 1, "income": 2}]',
    "/score": b' {"data": [{"age": 1, "income": 2}]}',
    "/invocations": b'{"inputs": [{"age": 1, "income": 2}]}',
    "/v1/models/risk:predict": b'{"instances": [{"age": 1, "income": 2}]}',
    "/v2/models/risk/infer": b'{"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [1]},'
    b'{"name": "income", "datatype": "FP64", "shape": [1], "data": [2]}]}',
}


@pytest.mark.parametrize("url", FORMED)
def test_json_that_curl_calls_a_form_is_taken_unless_a_page_of_another_site_sends_it(url: str) -> None:
    serving = MemoryServing(sum_rows)
    body = FORMED[url]
    assert serving.ask("POST", url, body, content_type=FORM, host="here:80").status == 200
    assert serving.ask("POST", url, body, content_type=FORM, host="here:80", origin="http://here:80").status == 200
    asked = len(serving.calls)
    for origin in ("http://evil.test", "null", "http://here:81"):
        assert serving.ask("POST", url, body, content_type=FORM, host="here:80", origin=origin).status == 415, origin
    assert serving.ask("POST", url, b"age=1&income=2", content_type=FORM, host="here:80").status == 415
    assert len(serving.calls) == asked


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", b"application/json"),
        ("application/*", b"application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", b"application/json"),
        ("text/csv;q=0.9, application/json;q=0.1", b"text/csv; charset=utf-8"),
        ("text/*", b"text/csv; charset=utf-8"),
        ("application/json;q=0, text/csv", b"text/csv; charset=utf-8"),
        ("Application/JSON; charset=utf-8", b"application/json"),
    ],
)
def test_the_answer_is_of_the_kind_that_is_liked_best(accept: str, kind: bytes) -> None:
    assert MemoryServing(sum_rows).post("/predict", [ROW], accept=accept).kind == kind


def test_a_kind_that_cannot_be_had_is_refused_before_the_model_is_asked() -> None:
    serving = MemoryServing(sum_rows)
    answer = serving.post("/predict", [ROW], accept="image/png")
    assert answer.status == 406
    assert "text/csv" in answer.error
    assert not serving.calls


def test_tables_go_to_the_model_process_as_they_are() -> None:
    serving = MemoryServing(lambda call: json_of([1]))
    arrow = b"\xff\xff\xff\xff\x10\0\0\0" + b"\0" * 16
    kind = "application/vnd.apache.arrow.stream"
    assert serving.ask("POST", "/predict", arrow, content_type=kind).json["predictions"] == [1]
    assert (serving.calls[0].form, serving.calls[0].payload, serving.calls[0].content_type) == ("table", arrow, kind)
    refused = serving.ask("POST", "/predict", b"ARROW1\0\0", content_type=kind)
    assert refused.status == 400
    assert "not an Arrow stream" in refused.error
    assert serving.ask("POST", "/predict", b"PAR1", content_type="application/vnd.apache.parquet").status == 400


def test_arrow_is_asked_of_the_model_process() -> None:
    def answer(call):
        assert call.params[ACCEPT] == "application/vnd.apache.arrow.stream"
        result = Result("bytes", b"an arrow stream")
        result.content_type = call.params[ACCEPT]
        return result

    asked = MemoryServing(answer).post("/predict", [ROW], accept="application/vnd.apache.arrow.stream")
    assert (asked.answer, asked.kind) == (b"an arrow stream", b"application/vnd.apache.arrow.stream")
    without = MemoryServing(sum_rows).post("/predict", [ROW], accept="application/vnd.apache.arrow.stream")
    assert without.status == 406
    assert "pyarrow" in without.error


def test_what_the_model_raises_is_told_with_its_status() -> None:
    answer = MemoryServing(lambda call: failed()).post("/predict", [ROW])
    assert answer.status == 500
    assert answer.json == {"error": {"code": "FW-MODEL", "message": "the model raised ValueError: no"}, "id": "id-1"}


def test_a_full_queue_is_told_with_when_to_come_again() -> None:
    def full(call):
        raise Refused(429, "FW-BUSY", "1000 requests wait already", retry_after_s=2)

    answer = MemoryServing(full).post("/predict", [ROW])
    assert answer.status == 429
    assert answer.sent[b"retry-after"] == b"2"


def test_a_result_that_is_not_what_it_says_is_an_error_of_ours_not_silence() -> None:
    def short(call):
        result = array_of([1.0])
        result.payload = result.payload[:5]
        return result

    answer = MemoryServing(short).post("/predict", [ROW])
    assert answer.status == 500
    assert answer.json["error"]["code"] == "FW-INTERNAL"


@pytest.mark.parametrize(
    ("dtype", "values", "json"),
    [
        ("<f4", [[0.5, 0.25]], [[0.5, 0.25]]),
        ("<f8", [float("nan"), float("inf")], [None, None]),
        ("<i8", [[[1], [2]]], [[[1], [2]]]),
        ("|b1", [True, False], [True, False]),
        ("<f2", [[0.5], [1.0]], [[0.5], [1.0]]),
        ("|u1", [255], [255]),
        ("<f8", [], []),
        ("<f8", [[], []], [[], []]),
        ("<f4", 1.5, 1.5),
    ],
)
def test_arrays_of_every_kind_as_json(dtype: str, values, json) -> None:
    assert MemoryServing(lambda call: array_of(values, dtype)).post("/predict", [ROW]).json["predictions"] == json


def test_what_the_schema_refuses_names_row_and_field() -> None:
    answer = MemoryServing(sum_rows).post("/predict", [ROW, {"age": "old", "income": 1}])
    assert answer.status == 422
    assert answer.json["error"]["faults"][0]["row"] == 1
    assert answer.json["error"]["faults"][0]["field"].strip("/") == "age"
