"""Azure's /score: what a script gets, and what its caller gets."""

from __future__ import annotations

import asyncio

import pytest

from fairway.serve.call import Result
from tests.serve.protocols.rig import ROWS, MemoryServing, array_of, failed, json_of, stream_of, sum_rows


def echo(call):
    result = Result("bytes", bytes(call.payload), status=201)
    result.content_type = "image/png"
    return result


def test_a_script_gets_the_body_as_it_came_and_answers_as_it_likes() -> None:
    serving = MemoryServing(echo, None, kind="script")
    answer = serving.ask("POST", "/score", b"\x89PNG", content_type="image/png")
    assert (answer.status, answer.answer, answer.kind) == (201, b"\x89PNG", b"image/png")
    call = serving.calls[0]
    assert (call.form, call.rows, call.content_type, call.streams) == ("raw", 0, "image/png", True)


@pytest.mark.parametrize(("result", "json"), [(json_of("text"), "text"), (json_of({"a": 1}), {"a": 1}), (array_of([1.5]), [1.5])])
def test_the_value_comes_alone(result: Result, json) -> None:
    answer = MemoryServing(lambda call: result, None, kind="script").post("/score", {"data": [1]})
    assert answer.json == json
    assert answer.sent[b"x-ms-request-id"] == b"id-1"


def test_a_query_comes_as_an_object_of_texts() -> None:
    serving = MemoryServing(lambda call: json_of(1), None, kind="script")
    serving.ask("GET", "/score?a=1&b=x%20y&a=2")
    assert serving.calls[0].payload == b'{"a":"2","b":"x y"}'
    assert serving.ask("GET", "/score?" + "&".join(f"x{at}=1" for at in range(200))).status == 400


def test_a_script_with_a_schema_is_never_asked_what_does_not_keep_to_it() -> None:
    serving = MemoryServing(lambda call: json_of(1), ROWS, kind="script")
    body = b'{"data": [{"age": 1, "income": 2}]}'
    assert serving.ask("POST", "/score", body, content_type="application/json").status == 200
    assert serving.calls[0].payload == body
    for bad, kind, status in (
        (b'{"data": [{"age": "old", "income": 2}]}', "application/json", 422),
        (body, "text/plain", 415),
        (b"{", "", 400),
    ):
        assert serving.ask("POST", "/score", bad, content_type=kind).status == status
    assert len(serving.calls) == 1


def test_a_model_that_is_no_script_answers_rows() -> None:
    answer = MemoryServing(sum_rows).post("/score", {"data": [{"age": 1, "income": 2}]})
    assert answer.json == [3.0]


def test_what_a_script_raises_is_told() -> None:
    answer = MemoryServing(lambda call: failed(), None, kind="script").post("/score", {})
    assert (answer.status, answer.error) == (500, "the model raised ValueError: no")


def ask_stream(pieces, **headers: str):
    async def main():
        answer = MemoryServing(lambda call: stream_of(pieces), None, kind="script").post("/score", {}, **headers)
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
        return answer

    return asyncio.run(main())


def test_what_a_script_yields_comes_in_pieces() -> None:
    answer = ask_stream([b"ab", b"c"])
    assert (answer.kind, answer.streamed, answer.ended) == (b"text/plain", [b"ab", b"c"], True)
    answer = ask_stream([{"a": 1}, 2])
    assert (answer.kind, answer.streamed) == (b"application/x-ndjson", [b'{"a":1}\n', b"2\n"])
    answer = ask_stream([1], accept="text/event-stream")
    assert (answer.kind, answer.streamed[0]) == (b"text/event-stream", b"data: 1\n\n")
