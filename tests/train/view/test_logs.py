"""What ranks wrote: merged by time, of one rank, as it comes, over the API."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.follow import follow_logs
from fairway.engine.gangview import read_gang
from fairway.engine.ranks import check_rank, merge, parse_lines, read_stacks, read_task_log, tidy_stack
from fairway.engine.reading import LogLine
from fairway.engine.recent import as_recent
from fairway.errors import NotFoundError
from fairway.spec.gang import Gang
from fairway.store.http import HttpStreamStore
from fairway.store.serverapi import ServerApi
from fairway.testing.memory import MemoryStreamStore
from fairway.web.live import spell_topic
from tests.cli.project import Project
from tests.web.rig import TOKEN, Live, Server

TWO = Gang(replicas=2)


def stamped(second: int, text: str) -> str:
    return f"2026-11-24T08:15:{second:02}.000Z {text}\n"


def make_streams(**said: str) -> MemoryStreamStore:
    streams = MemoryStreamStore()
    for name, text in said.items():
        streams.append(f"r/a/{name.replace('_', '.')}", text.encode())
    return streams


def test_ranks_and_their_leader_are_merged_by_time() -> None:
    streams = make_streams(
        log_0=stamped(1, "zero") + stamped(4, "end"), log_1=stamped(2, "one"), log=stamped(3, "rank 1 was killed, ending the others")
    )
    found = read_task_log(streams, "r", "a", "fit", TWO)
    assert [(line.rank, line.text) for line in found] == [
        (0, "zero"),
        (1, "one"),
        (-1, "rank 1 was killed, ending the others"),
        (0, "end"),
    ]


def test_one_rank_alone() -> None:
    streams = make_streams(log_0=stamped(1, "zero"), log_1=stamped(2, "one"), log="")
    assert [line.text for line in read_task_log(streams, "r", "a", "fit", TWO, 1)] == ["one"]


def test_a_rank_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="no rank 2") as refused:
        check_rank(TWO, 2, "fit")
    assert refused.value.hint == "its ranks are 0 to 1"
    with pytest.raises(NotFoundError, match="one process"):
        check_rank(Gang(), 0, "load")


def test_a_line_without_a_time_stays_behind_the_one_before_it() -> None:
    one = parse_lines((stamped(5, "before") + "no time\n").encode(), "fit", "a", 0)
    two = parse_lines((stamped(3, "early") + stamped(9, "late")).encode(), "fit", "a", 1)
    assert [line.text for line in merge([one, two])] == ["early", "before", "no time", "late"]


@given(st.lists(st.lists(st.integers(0, 59), max_size=8), max_size=4))
def test_merging_keeps_every_line_and_the_order_of_each_rank(ranks: list[list[int]]) -> None:
    parts = [[LogLine("t", "a", f"{rank}.{n}", f"{at:02}", rank) for n, at in enumerate(times)] for rank, times in enumerate(ranks)]
    merged = merge(parts)
    for rank, part in enumerate(parts):
        assert [line for line in merged if line.rank == rank] == part
    assert len(merged) == sum(map(len, parts))
    if all(times == sorted(times) for times in ranks):
        assert [line.at for line in merged] == sorted(line.at for line in merged)


def test_the_command_names_the_rank_of_each_line(gang: Project) -> None:
    said = gang.ask("logs", "last", "fit")
    assert sorted(said.out.splitlines()) == sorted(f"rank {rank}  rank {rank} says {step}" for rank in (0, 1) for step in range(4))
    assert [line for line in said.out.splitlines() if line.startswith("rank 1")] == [f"rank 1  rank 1 says {n}" for n in range(4)]


def test_the_command_prints_one_rank(gang: Project) -> None:
    assert gang.ask("logs", "last", "--rank", "1").out == "".join(f"rank 1  rank 1 says {n}\n" for n in range(4))
    assert "its ranks are 0 to 1" in gang.ask("logs", "last", "fit", "--rank", "7").err
    assert "report is one process" in gang.ask("logs", "last", "report", "--rank", "0").err


def test_the_command_gives_ranks_as_data(gang: Project) -> None:
    found = gang.ask("logs", "last", "-o", "json").data
    assert {(line["task"], line.get("rank")) for line in found} == {("fit", 0), ("fit", 1), ("report", None)}


def test_following_prints_all_ranks_until_the_end(gang: Project) -> None:
    lines = gang.ask("logs", "last", "--follow").out.splitlines()
    assert len([line for line in lines if line.startswith("fit rank 1  ")]) == 4
    assert [line for line in lines if "report" in line] == ["report  the report"]
    assert gang.ask("logs", "-f", "last", "--rank", "0").out.count("rank 0  ") == 4
    assert "rank 1" not in gang.ask("logs", "-f", "last", "--rank", "0").out


def test_the_client_has_the_lines_of_all_ranks(gang: Project) -> None:
    assert "rank 1 says 3" in gang.last().tasks["fit"].logs()


def test_stacks_are_printed_by_rank(gang: Project) -> None:
    assert "no stacks were kept" in gang.ask("logs", "last", "fit", "--stacks").err
    streams = make_streams(stacks_1='File "flow.py", line 9 in fit\n', stacks_0="\n")
    assert read_stacks(streams, "r", "a", range(2)) == {1: 'File "flow.py", line 9 in fit\n'}


def test_a_stack_ends_where_the_step_begins() -> None:
    bundle = f"/home/ann/.fairway/bundles/{'ab12' * 16}"
    text = f"""Thread 0x1 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait
Current thread 0x2 (most recent call first):
  File "{bundle}/flow.py", line 9 in fit
  File "/lib/fairway/step/item.py", line 76 in run
  File "/lib/fairway/step/worker.py", line 1 in main
"""
    assert tidy_stack(text).splitlines() == [
        "Thread 0x1 (most recent call first):",
        '  File "/usr/lib/python3.11/threading.py", line 331 in wait',
        "Current thread 0x2 (most recent call first):",
        '  File "flow.py", line 9 in fit',
    ]
    assert tidy_stack("of another program\n  as it is\n") == "of another program\n  as it is\n"


def test_topics_of_a_rank() -> None:
    assert spell_topic("log:RUN/a-1/3") == "RUN/a-1/log.3"
    assert spell_topic("metrics:RUN/a-1/0") == "RUN/a-1/metrics"
    assert spell_topic("log:RUN/a-1/x") is None


def test_the_api_has_streams_and_the_log_of_each_rank(gang: Project) -> None:
    run = gang.last()
    attempt = run.tasks["fit"].attempts[-1]
    with Server(gang.root / ".fairway").client() as client:
        text = client.get(f"/runs/{run.id}/attempts/{attempt}/log", params={"rank": "1", "search": "SAYS 2"}).text
        assert text.split(" ", 1)[1] == "rank 1 says 2\n"
        found: Any = client.post(f"/runs/{run.id}/streams", json={"offsets": {f"{attempt}/log.0": 0, f"{attempt}/log.1": 0}}).json()
    assert sorted(found["items"]) == [f"{attempt}/log.0", f"{attempt}/log.1"]
    assert b"rank 1 says 0" in base64.b64decode(found["items"][f"{attempt}/log.1"]["data"])


def test_a_server_elsewhere_gives_the_same_lines(gang: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run = gang.last()
    task = run.tasks["fit"]
    live = Live()
    try:
        with live.serving(Server(gang.root / ".fairway")):
            far = HttpStreamStore(ServerApi(live.url, TOKEN, patience_s=60))
            found = read_task_log(far, run.id, task.attempts[-1], "fit", task.gang)
            assert found == read_task_log(run.workspace.streams, run.id, task.attempts[-1], "fit", task.gang)
            assert {line.rank for line in found} == {0, 1}
            vars(run.workspace)["streams"] = far
            follow_logs(run, "fit", lambda line, many: f"{line.rank}: {line.text}\n")
            assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"{line.rank}: {line.text}" for line in found)
            assert len(read_gang(as_recent(far), run.id, task.attempts[-1], 2).ranks) == 2
    finally:
        live.close()
