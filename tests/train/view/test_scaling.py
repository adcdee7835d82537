"""What more ranks bring: rates out of streams, efficiency, what bounds it and how that is said; and `fairway train --scale` for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.trainscale import read_measured, render_scaling, scaled_graph
from fairway.errors import ConfigError, DefinitionError
from fairway.spec.gang import Gang
from fairway.spec.graph import Expr, Graph, Node, StepDef
from fairway.testing.memory import MemoryStreamStore
from fairway.train.scaling import Measured, advise, growth, judge_scaling, parse_sizes
from tests.apart import forget_settings
from tests.cli.project import Project


def test_sizes() -> None:
    assert parse_sizes("4, 1,2,2") == (1, 2, 4)
    for text in ("", "0", "a,2", "-1"):
        with pytest.raises(ConfigError, match="no list of sizes"):
            parse_sizes(text)


def test_the_warm_up_does_not_count() -> None:
    assert growth([(0.0, 0.0), (10.0, 0.0), (15.0, 50.0), (100.0, 900.0)]) == pytest.approx(10.0)
    assert growth([(0.0, 1.0)]) == growth([]) == 0.0


def test_efficiency_is_against_the_smallest_size() -> None:
    first, second, third = judge_scaling([Measured(1, rate=10.0, took_s=8), Measured(2, rate=18.0, took_s=8), Measured(4, note="no room")])
    assert (first.speedup, first.efficiency) == (1.0, 1.0)
    assert (second.speedup, second.efficiency) == (1.8, 0.9)
    assert third.efficiency == 0


@given(st.floats(0.1, 1e6), st.integers(1, 8), st.integers(1, 64))
def test_what_scales_perfectly_is_a_hundred_percent(rate: float, first: int, factor: int) -> None:
    both = judge_scaling([Measured(first, rate=rate * first), Measured(first * factor + 1, rate=rate * (first * factor + 1))])
    assert [one.efficiency for one in both] == pytest.approx([1.0, 1.0])


def test_without_steps_the_time_counts() -> None:
    assert judge_scaling([Measured(1, took_s=8.0), Measured(2, took_s=5.0)])[1].speedup == 1.6
    assert judge_scaling([Measured(1, rate=5, took_s=8.0), Measured(2, rate=5, took_s=4.0)], by="time")[1].efficiency == 1.0


@pytest.mark.parametrize(
    ("bound", "told", "one"),
    [
        (
            "input",
            "wait for input 40% of the time (5% with 1)",
            Measured(4, rate=20.0, waits={"input": 0.4, "network": 0.2}, cpu=2.0, cores=8),
        ),
        ("network", "wait for the other ranks 30%", Measured(4, rate=20.0, waits={"network": 0.3}, cpu=2.0, cores=8)),
        ("machine", "3.9 of 4 cores are busy", Measured(4, rate=20.0, cpu=3.9, cores=4)),
        ("machine", "with other work too; the ranks get 0.9", Measured(4, rate=12.0, cpu=0.9, busy=1.95, cores=2)),
        ("machine", "wait for a core 40% of the time: 2.0 of 2", Measured(2, rate=9.0, cpu=0.5, busy=2.0, cores=2, starved=0.4)),
        ("machine", "wait for a core 40%", Measured(2, rate=9.0, waits={"input": 0.3}, cpu=0.5, busy=2.0, cores=2, starved=0.4)),
        ("network", "most likely for each other", Measured(2, rate=9.0, cpu=0.2, busy=2.0, cores=2, starved=0.05)),
        ("compute", "devices are 96% busy", Measured(4, rate=39.0, cpu=1.0, cores=64, gpu=96.0)),
        ("compute", "each rank computes: 0.97 cores", Measured(4, rate=39.0, cpu=3.9, cores=64)),
        ("network", "most likely for each other", Measured(4, rate=20.0, cpu=1.2, cores=64)),
    ],
)
def test_what_bounds_it_is_said_with_numbers(bound: str, told: str, one: Measured) -> None:
    _, last = judge_scaling([Measured(1, rate=10.0, waits={"input": 0.05}, cpu=0.95, cores=one.cores), one])
    assert last.bound == bound
    assert told in last.why


def test_a_size_that_was_over_at_once_is_not_said_to_idle() -> None:
    for one in judge_scaling([Measured(1, rate=9.0, took_s=1.6, cores=2), Measured(2, rate=12.0, took_s=1.9, cores=2)]):
        assert (one.bound, "over before it could be measured" in one.why) == ("", True)
    assert judge_scaling([Measured(1, rate=9.0, took_s=30.0), Measured(2, rate=12.0, took_s=30.0)])[1].bound == "network"
    assert "keeps 0.30 cores busy" in judge_scaling([Measured(1, rate=9.0, cpu=0.3, cores=2)])[0].why


def test_advice_only_where_it_is_needed() -> None:
    bad = judge_scaling([Measured(1, rate=10.0), Measured(2, rate=11.0, waits={"input": 0.5})])
    assert "Give input more room" in advise(bad)
    assert advise(judge_scaling([Measured(1, rate=10.0), Measured(2, rate=19.5)])) == ""


def test_on_a_cluster_nothing_is_said_of_this_machine() -> None:
    starved = judge_scaling([Measured(1, rate=10.0, cpu=0.5, starved=0.5), Measured(2, rate=11.0, cpu=0.5, starved=0.75)])
    assert starved[1].why == "ranks wait for a core 75% of the time, and get 0.25 each"
    assert "cpu=… of the step" in advise(starved)
    assert "    2  bound by its nodes: ranks wait" in "\n".join(render_scaling(starved)) and "his machine" not in "\n".join(
        render_scaling(starved)
    )
    here = judge_scaling([Measured(1, rate=10.0, cores=2), Measured(2, rate=11.0, cpu=0.5, busy=2.0, cores=2, starved=0.75)])
    assert "This machine has no more to give" in advise(here)


def test_the_picture() -> None:
    scaled = judge_scaling(
        [Measured(1, rate=10.0, took_s=4.0), Measured(2, rate=10.0, took_s=8.0), Measured(4, note="does not fit: 4 cpu")]
    )
    lines = render_scaling(scaled)
    assert lines[1].split() == ["1", "10", "4.0s", "1.00×", "█" * 30, "100%"]
    assert lines[2].split()[-2:] == ["█" * 15 + "·" * 15, "50%"]
    assert lines[3].split(maxsplit=1) == ["4", "does not fit: 4 cpu"]


def test_speed_waits_and_cores_are_read_of_all_ranks() -> None:
    streams = MemoryStreamStore()
    for rank in range(2):
        suffix = f".{rank}" if rank else ""
        for at in range(11):
            _put(streams, f"progress{suffix}", [100 + at, at * 5 * (rank + 1), 100])
            _put(
                streams,
                f"samples.{rank}",
                [100 + at, 1000, 0.5 * at, {"input": 0.2 * at, "core": 0.1 * at, "gpu": [[rank, 50 + 10 * rank, 1, 2]]}],
            )
    found = read_measured(streams, "r", "a", 2, 11.0, 8)
    assert (found.rate, found.cpu, found.gpu) == (pytest.approx(15.0), pytest.approx(1.0), pytest.approx(55.0))
    assert found.waits == {"input": pytest.approx(0.2)}
    assert found.starved == pytest.approx(0.1)


KINDS = """
import socket, time
import fairway as fw


class Data:
    def __len__(self):
        return 1 << 20

    def __getitem__(self, number):
        time.sleep(0.004)  # a slow disk
        return number


def meet(place, wire, end):
    # All ranks meet at rank 0 in every step, over a slow wire, and hear of it whether they go on: they end together.
    if place.world_size == 1:
        return lambda: time.monotonic() < end
    if place.rank == 0:
        server = socket.create_server((place.hosts[0], place.ports[0][0]))
        peers = [server.accept()[0] for _ in range(place.world_size - 1)]

        def together():
            for peer in peers:
                peer.recv(1)
            time.sleep(wire)
            goes_on = time.monotonic() < end
            for peer in peers:
                peer.sendall(b"x" if goes_on else b".")
            return goes_on

        return together
    while True:
        try:
            peer = socket.create_connection((place.hosts[0], place.ports[0][0]))
            return lambda: (peer.sendall(b"x"), peer.recv(1))[1] == b"x"
        except ConnectionRefusedError:
            pass


@fw.step(gang=fw.gang(replicas=2), cpu=0.5)
def fit(kind: str) -> int:
    end = time.monotonic() + 3.5
    together = meet(fw.context().place, 0.03, end) if kind == "network" else lambda: time.monotonic() < end
    batches = iter(fw.shard(Data(), batch=4, epochs=None)) if kind == "input" else iter(int, 1)
    step = 0
    while together():
        next(batches)
        until = time.thread_time() + (0.02 if kind == "compute" else 0.001)
        while time.thread_time() < until:
            pass
        step += 1
        fw.progress(step)
    return step


@fw.pipeline
def flow(kind: str):
    return fit(kind)
"""


@pytest.mark.parametrize(("kind", "sizes"), [("compute", "1"), ("input", "1"), ("network", "1,2")])
def test_it_is_told_what_bounds_a_gang_that_really_is(kind: str, sizes: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("flow.py", KINDS)
    said = project.ask("train", "flow.py", "--scale", sizes, "-p", f"kind={kind}", "-o", "json")
    assert said.status == 0, said.text
    last = said.data[-1]
    starved = last["starved"] >= 0.15  # another program has the cores now, and that is then what is to be said
    assert last["bound"] == ("machine" if starved and last["bound"] != kind else kind), last
    if kind == "input":
        assert last["waits"]["input"] > (0 if starved else 0.5) and last["samples"] > 0


def _put(streams: MemoryStreamStore, name: str, line: list[Any]) -> None:
    streams.append(f"r/a/{name}", (json.dumps(line) + "\n").encode())


def test_only_what_the_gang_needs_is_run_and_never_from_the_cache() -> None:
    steps = {name: StepDef(name) for name in ("load", "other", "after")}
    steps["fit"] = StepDef("fit", gang=Gang(replicas=2, min_replicas=1))
    nodes = (
        Node("load", "load"),
        Node("other", "other"),
        Node("fit", "fit", {"data": Expr("output", "load", "result")}),
        Node("after", "after", after=("fit",)),
    )
    made = scaled_graph(Graph("train", steps=steps, nodes=nodes, outputs={"x": Expr("output", "after", "result")}), "fit", 4)
    assert ([node.id for node in made.nodes], made.outputs) == (["load", "fit"], {})
    assert (made.steps["fit"].gang.replicas, made.steps["fit"].gang.min_replicas, made.steps["fit"].cache) == (4, 0, False)
    assert made.steps["load"].cache


def test_a_gang_with_roles_has_one_shape() -> None:
    steps = {"fit": StepDef("fit", gang=Gang(replicas=2, roles={"chief": 1, "ps": 1}))}
    with pytest.raises(DefinitionError, match="has roles"):
        scaled_graph(Graph("train", steps=steps, nodes=(Node("fit", "fit"),)), "fit", 4)


def test_the_command_trains_at_each_size(gang: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)
    said = gang.ask("train", "flow.py", "--scale", "2,1,4000", "-p", "epochs=3", "--by", "time", "-o", "json")
    assert said.status == 0, said.text
    one, two, none = said.data
    assert [one["ranks"], two["ranks"], none["ranks"]] == [1, 2, 4000]
    assert one["efficiency"] == 1.0 and two["speedup"] > 0
    assert none["note"].startswith("does not fit: ") and "speedup" not in none
    assert gang.ask("runs", "-o", "json").data[0]["tags"] == ["scale"]
