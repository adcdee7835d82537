"""Server-sent events, lines of JSON, and what happens when either side ends early."""

from __future__ import annotations

import asyncio
from typing import Any

from fairway.serve.call import Result
from tests.serve.protocols.rig import MemoryExchange, MemoryServing, failed, stream_of, sum_rows

ROW = {"age": 1, "income": 2}


def ask(result: Any, accept: str = "text/event-stream", *, leaves: bool = False) -> MemoryExchange:
    """One question at /predict, to the end of its answer; `leaves`: the client does, at once."""

    async def main() -> MemoryExchange:
        answer = MemoryServing(lambda call: result() if callable(result) else result).post("/predict", [ROW], accept=accept)
        if leaves:
            answer.gone = True
        async with asyncio.timeout(60):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
        return answer

    return asyncio.run(main())


def test_each_piece_is_an_event_and_the_end_says_so() -> None:
    answer = ask(stream_of([{"text": "a\nb"}, 2, b"one\ntwo"]))
    assert answer.kind == b"text/event-stream"
    assert answer.sent[b"cache-control"] == b"no-store"
    assert answer.streamed == [
        b'data: {"text":"a\\nb"}\n\n', b"data: 2\n\n", b"data: one\ndata: two\n\n", b'event: end\ndata: {"id":"id-1"}\n\n',
    ]  # fmt: skip
    assert answer.ended


def test_lines_of_json() -> None:
    answer = ask(stream_of([1, b"raw"]), "application/x-ndjson")
    assert answer.streamed == [b"1\n", b'"raw"\n']


def test_one_answer_is_one_event() -> None:
    serving = MemoryServing(sum_rows)

    async def main() -> MemoryExchange:
        answer = serving.post("/predict", [ROW], accept="text/event-stream")
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        return answer

    answer = asyncio.run(main())
    assert answer.streamed[0] == b"data: [3.0]\n\n"
    assert serving.calls[0].streams


def test_an_error_before_the_first_piece_has_its_status() -> None:
    answer = ask(stream_of([failed(504, "too slow"), 1]))
    assert (answer.status, answer.error, answer.replies) == (504, "too slow", 1)


def test_an_error_in_the_midst_is_an_event_or_breaks_the_connection() -> None:
    answer = ask(stream_of([1, failed(500, "no more"), 2]))
    assert answer.streamed[0] == b"data: 1\n\n"
    assert answer.streamed[1].startswith(b'event: error\ndata: {"error":{"code":"FW-MODEL","message":"no more"}')
    assert len(answer.streamed) == 3
    assert answer.ended
    answer = ask(stream_of([1, failed(500, "no more")]), "application/x-ndjson")
    assert (answer.streamed, answer.aborted, answer.ended) == ([b"1\n"], True, False)


def test_a_client_that_leaves_ends_the_models_work() -> None:
    seen: list[str] = []
    answer = ask(stream_of(range(1_000_000), seen), leaves=True)
    assert seen == ["stopped"]
    assert len(answer.streamed or []) <= 1


def test_a_client_that_leaves_while_the_model_thinks_ends_its_work() -> None:
    seen: list[str] = []

    async def main() -> None:
        async def chunks() -> Any:
            try:
                await asyncio.Event().wait()
                yield
            finally:
                seen.append("stopped")

        result = Result("stream")
        result.chunks = chunks()
        answer = MemoryServing(lambda call: result).post("/predict", [ROW], accept="text/event-stream")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert answer.on_gone is not None
        answer.gone = True
        answer.on_gone()
        async with asyncio.timeout(60):
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(main())
    assert seen == ["stopped"]


def test_a_piece_that_cannot_be_written_ends_the_stream_loudly() -> None:
    broken = Result("array", b"123")
    broken.dtype, broken.shape = "<f8", (1,)
    assert ask(stream_of([broken])).status == 500
    answer = ask(stream_of([1, broken]))
    assert (answer.streamed, answer.aborted, answer.ended) == ([b"data: 1\n\n"], True, False)


def test_an_empty_stream_ends_well() -> None:
    answer = ask(stream_of([]))
    assert answer.status == 200
    assert answer.streamed == [b'event: end\ndata: {"id":"id-1"}\n\n']


def test_who_takes_no_stream_gets_all_of_it_at_once() -> None:
    assert ask(stream_of([1, "a"]), "application/json").json["predictions"] == [1, "a"]
    assert ask(stream_of([b"a", b"b"]), "application/json").answer == b"ab"
    assert ask(stream_of([1, failed(500, "no more")]), "application/json").status == 500
