"""A gang that runs well: who its ranks are, whose outputs and metrics count, what is kept of each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import fairway as fw
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.record import from_plain
from fairway.step.folder import FolderStreamStore
from fairway.step.gangwires import Wires
from tests.semantics.rig import error_of, events, outputs, statuses
from tests.train.gangs.conftest import MEETING, GangRig

SUM = (
    MEETING
    + """
@fw.step(gang=fw.gang(replicas=3, processes=1))
def total(scale: int) -> dict:
    rank = fw.context().rank
    peers = Peers()
    for step in range(3):
        found = peers.sum((rank + 1) * scale)
        fw.log(total=found + rank, step=step)
    print(f"rank {rank} has {found:g}")
    print(f"rank {rank} complains", file=__import__("sys").stderr)
    return {"total": found, "rank": rank, "world": fw.context().world_size, "cwd": os.path.basename(os.getcwd())}

@fw.pipeline
def main(scale: int = 10):
    return total(scale)
"""
)


def stream(run: fw.Run, name: str) -> str:
    """A stream of the run's only attempt, or of the last one."""
    attempt = events(run, "AttemptPlanned")[-1].attempt
    return run.workspace.streams.read(f"{run.id}/{attempt}/{name}").decode()


def words(run: fw.Run, name: str) -> list[str]:
    return [line.partition(" ")[2] for line in stream(run, name).splitlines()]


def outcome(run: fw.Run) -> Outcome:
    attempt = events(run, "AttemptPlanned")[-1].attempt
    return from_plain(Outcome, json.loads(run.workspace.artifacts.get(outcome_key(run.id, attempt))))


def test_ranks_compute_together_and_what_rank_0_returns_is_the_task_s(rig: GangRig) -> None:
    run = rig.run(SUM)
    assert outputs(run) == {"result": {"total": 60.0, "rank": 0, "world": 3, "cwd": "rank-0"}}
    assert [words(run, f"log.{rank}") for rank in range(3)] == [[f"rank {r} has 60", f"rank {r} complains"] for r in range(3)]
    assert run.tasks["total"].metrics == {"total": 61.0}, "the mean over all ranks"
    assert [json.loads(line)[2] for line in stream(run, "metrics.2").splitlines()] == [{"total": 62.0}] * 3
    assert rig.left() == []


def test_it_is_one_task_that_is_cached_like_any_other(rig: GangRig) -> None:
    pipeline = rig.load(SUM)
    assert statuses(fw.run(pipeline)) == {"total": "succeeded"}
    again = fw.run(pipeline)
    assert events(again, "AttemptPlanned") == []
    assert outputs(again)["result"]["total"] == 60.0


def test_processes_of_a_replica_are_ranks_and_know_their_place(rig: GangRig) -> None:
    found = rig.result("""
        import os, json
        from pathlib import Path

        @fw.step(gang=fw.gang(roles={"chief": 1, "worker": 1}, processes=2), cpu=2)
        def where(folder: str) -> int:
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "FAIRWAY_ROLE")
            place = fw.context().place
            Path(folder, f"rank-{place.rank}.json").write_text(json.dumps([os.environ[name] for name in names] + [place.cpus, place.key]))
            return place.rank

        @fw.step
        def read(folder: str, after: int) -> list:
            return [json.loads(Path(folder, f"rank-{rank}.json").read_text()) for rank in range(4)]

        @fw.pipeline
        def main(folder: str):
            return read(folder, where(folder))
    """, {"folder": str(rig.root)})  # fmt: skip
    keys = {place.pop() for place in found}
    assert len(keys) == 1, "one secret that all share"
    assert len(keys.pop()) >= 32
    assert found == [
        ["0", "4", "0", "2", "chief", 1],
        ["1", "4", "1", "2", "chief", 1],
        ["2", "4", "0", "2", "worker", 1],
        ["3", "4", "1", "2", "worker", 1],
    ]


def test_each_item_of_a_map_is_a_gang_of_its_own(rig: GangRig) -> None:
    source = SUM.replace("cpu", "cpu").replace("return total(scale)", "return total(fw.each([1, 2, 3]))").replace("scale: int = 10", "")
    assert [found["total"] for found in outputs(rig.run(source))["result"]] == [6.0, 12.0, 18.0]


def test_its_usage_is_that_of_all_ranks(rig: GangRig) -> None:
    run = rig.run("""
        @fw.step(gang=fw.gang(replicas=2))
        def burn() -> None:
            import time
            kept = b"x" * 60_000_000
            while time.process_time() < 0.3:
                sum(range(1000))

        @fw.pipeline
        def main():
            burn()
    """)
    used = outcome(run).usage
    assert used.cpu_s >= 0.55
    assert used.peak_memory_bytes > 2 * 60_000_000


def test_a_rank_s_use_and_waits_are_sampled_apart(rig: GangRig) -> None:
    run = rig.run("""
        import os, threading, time
        from pathlib import Path
        from fairway.step import pulse

        def sampled(folder: str) -> int:
            found = Path(folder).glob(f".fairway/streams/*/*/samples.{fw.context().rank}")
            return sum(one.read_bytes().count(b"\\n") for one in found)

        @fw.step(gang=fw.gang(replicas=2))
        def slow(folder: str) -> None:
            fw.log(x=1)
            with pulse.waiting("input"):
                taken = sampled(folder)
                while sampled(folder) < taken + 2:  # one is taken each second
                    threading.Event().wait(0.01)
            assert len(list(fw.shard(list(range(6)), batch=1))) == 3

        @fw.pipeline
        def main(folder: str):
            slow(folder)
    """, {"folder": str(rig.root)})  # fmt: skip
    for rank in range(2):
        at, rss, cpu, more = json.loads(stream(run, f"samples.{rank}").splitlines()[-1])
        assert at > 1e9
        assert rss > 1_000_000
        assert cpu >= 0
        assert more["input"] > 0.5
        assert more["checkpoint"] == 0
        assert more["steps"] == 4
        assert more["batches"] == 3, "also what came after the last look"


def test_a_skip_skips_the_task_whichever_rank_says_it(rig: GangRig) -> None:
    for who in ("True", "fw.context().rank == 1"):
        run = rig.run(f"""
            import threading

            @fw.step(gang=fw.gang(replicas=2))
            def maybe() -> int:
                if {who}:
                    fw.skip("nothing to train on")
                threading.Event().wait()

            @fw.pipeline
            def main():
                return maybe()
        """)
        assert statuses(run) == {"maybe": "skipped"}
        assert outcome(run).items[0].reason == "nothing to train on"
        assert rig.left() == []


def test_a_rank_that_loses_the_one_that_skips_does_not_fail_the_task(rig: GangRig) -> None:
    run = rig.run("""
        import os
        import socket
        import threading

        @fw.step(gang=fw.gang(replicas=2))
        def maybe() -> int:
            host, port = os.environ["FAIRWAY_ENDPOINTS"].split(",")[0].split(":")
            if fw.context().rank == 0:
                with socket.create_server((host, int(port))) as server:
                    server.accept()[0].close()
                    fw.skip("pruned")
            while True:
                try:
                    sock = socket.create_connection((host, int(port)))
                    break
                except ConnectionRefusedError:
                    threading.Event().wait(0.01)
            sock.recv(1)
            raise RuntimeError("Connection reset by peer")

        @fw.pipeline
        def main():
            return maybe()
    """)
    assert statuses(run) == {"maybe": "skipped"}
    assert outcome(run).items[0].reason == "pruned"
    assert rig.left() == []


def test_secrets_reach_every_rank_and_no_log(rig: GangRig) -> None:
    (rig.root / ".env").write_text("TOKEN=opensesame-1234\n")
    run = rig.run("""
        import os

        @fw.step(gang=fw.gang(replicas=2), secrets=["TOKEN"])
        def use(token: str) -> int:
            print(f"{fw.context().rank} has {token} and {os.environ['TOKEN']}")
            return len(token)

        @fw.pipeline
        def main():
            return use(fw.secret("TOKEN"))
    """)
    assert outputs(run) == {"result": 15}
    assert [words(run, f"log.{rank}") for rank in range(2)] == [["0 has *** and ***"], ["1 has *** and ***"]]


def test_a_rank_s_process_may_end_as_it_likes_once_it_has_reported(rig: GangRig) -> None:
    run = rig.run("""
        import atexit, os, signal, threading

        @fw.step(gang=fw.gang(replicas=2))
        def fit() -> str:
            folder = f"../.gang/report-{fw.context().rank}.json"

            def die_once_reported():
                while not os.path.exists(folder):
                    pass
                os.kill(os.getpid(), signal.SIGKILL)

            threading.Thread(target=die_once_reported, daemon=True).start()
            return "done"

        @fw.pipeline
        def main():
            return fit()
    """)
    assert outputs(run) == {"result": "done"}
    assert len(events(run, "AttemptPlanned")) == 1


def test_a_rank_that_prints_much_does_not_wait_for_its_lines_to_gather(tmp_path: Path) -> None:
    """As long as a pipe's fill comes at once it is carried over at once."""
    streams = FolderStreamStore(tmp_path / "streams")
    wires = Wires(streams, ())
    wires.open_log(0, "r/a/log.0", str(tmp_path / "fifo"))
    fill = b"x" * 999 + b"\n"
    for count in (1, 2, 3):
        os.write(wires.writers[0], fill * 60)
        assert wires.wait(0.0) == [0]
        assert len(streams.read("r/a/log.0").splitlines()) == 60 * count
    wires.close()


@pytest.mark.parametrize(
    ("framework", "how", "is_told"),
    [
        ("torch", "pulse.look_for_company()", True),
        ("deepspeed", "pulse.look_for_company()", True),
        ("torch", "pulse.go_on() if fw.context().rank else pulse.look_for_company()", False),  # who has heard of others need not be rank 0
        ("torch", "", False),
        ("plain", "pulse.look_for_company()", False),
    ],
)
def test_a_gang_whose_ranks_never_heard_of_each_other_says_so_once(rig: GangRig, framework: str, how: str, is_told: bool) -> None:
    run = rig.run(f"""
        @fw.step(gang=fw.gang(replicas=2, framework="{framework}"))
        def train() -> int:
            from fairway.step import pulse

            {how}
            return 1

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": 1}
    said = [line for line in words(run, "log") if "collective" in line]
    assert len(said) == is_told
    assert not is_told or said[0].startswith("fairway: none of the 2 ranks has called a collective of PyTorch: ")


def test_files_and_folders_are_laid_out_once_for_all_ranks_of_a_machine(rig: GangRig, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    for n in range(20):
        (folder / "deep" / f"{n}.txt").write_text(f"text {n}")
    (tmp_path / "one.csv").write_text("a,b\n")
    run = rig.run(
        """
        import os

        @fw.step(gang=fw.gang(replicas=3), cpu=0.1)
        def fit(texts: fw.Directory, table: fw.File) -> int:
            found = os.listdir(texts / "deep")
            text = open(os.path.join(texts, "deep", found[0])).read(4)
            print(os.stat(texts).st_ino, len(found), text, table.name, table.read_text())
            return len(found)

        @fw.pipeline
        def main(texts: fw.Directory, table: fw.File):
            return fit(texts, table)
        """,
        {"texts": str(folder), "table": str(tmp_path / "one.csv")},
    )
    assert outputs(run) == {"result": 20}
    said = [words(run, f"log.{rank}") for rank in range(3)]
    assert said[0] == said[1] == said[2] and said[0][0].endswith(" 20 text one.csv a,b"), "one folder for all"
    assert not list((rig.root / ".fairway" / "scratch").rglob("opened")), "it goes with the attempt"


@pytest.mark.parametrize("code", [0, 3])
def test_inputs_of_programs_are_laid_out_once_for_all_ranks_of_a_machine(rig: GangRig, tmp_path: Path, code: int) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("text\n")
    run = rig.run(
        f"""
        look = fw.command(
            ["sh", "-c", 'ls -di "$1"; cat "$1/a.txt"; exit {code}', "look", fw.In("texts", fw.Directory)],
            gang=fw.gang(replicas=2),
            cpu=0.1,
        )

        @fw.pipeline
        def main(texts: fw.Directory):
            look(texts=texts)
        """,
        {"texts": str(folder)},
    )
    if code:
        assert error_of(run).message.endswith(" look texts ended with exit code 3"), "an input by its own name"
        return
    said = [words(run, f"log.{rank}") for rank in range(2)]
    assert said[0] == said[1] and said[0][-1] == "text", "one folder for all"
