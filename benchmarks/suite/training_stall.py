"""One rank hangs in Python, the other waits for it in native code: how long until that is known and all stacks are kept."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import OURS, Bar
from benchmarks.process import run
from benchmarks.session import Benchmark, Session
from benchmarks.training.bench import command, last_run, marks, project

TIMEOUT_S = 2.0
FOUND = Bar(
    "training-stall",
    "a rank hangs: from its last progress to the end, all stacks kept, beyond `stall_timeout`",
    2,
    "s",
)
STACKS = Bar("training-stacks", "ranks whose stack does not name the function in which it stands", 0, "ranks")
WHERE = {0: "all_reduce", 1: "read_batch"}


def measure(session: Session) -> None:
    folder = project(session, "stall")
    found, missing, named = list[float | None](), 0, 0
    rounds = 2 if session.quick else 5
    for number in range(rounds):
        session.talk(f"hang {number + 1}")
        made = marks(folder, "stall")
        words = command(session, folder, "fairway", "run", "stalled.py", variables={"MARKS": str(made)})
        run(replace(words, statuses=(3,)))  # the step has failed, as it should
        told = last_run(folder)
        events = [event for _, event in told.workspace.events(told.id)]
        (ended,) = [event for event in events if type(event).__name__ == "AttemptEnded"]
        error = ended.outcome.items[0].error
        named += error.kind == "stall" and "rank 1 of 2 stopped first in read_batch" in error.message
        found.append(ended.at - max(float((made / str(rank)).read_text()) for rank in range(2)) - TIMEOUT_S)
        stacks = {rank: told.workspace.streams.read(f"{told.id}/{ended.attempt}/stacks.{rank}").decode() for rank in WHERE}
        missing += sum(word not in stacks[rank] for rank, word in WHERE.items())
    note = f"the rank to blame, and its function, named in {named} of {rounds}"
    session.record(FOUND.name, OURS, "s", found, note)
    session.record(STACKS.name, OURS, "ranks", [float(missing)])


BENCHMARK = Benchmark("training-stall", "a rank hangs", (FOUND, STACKS), measure)
