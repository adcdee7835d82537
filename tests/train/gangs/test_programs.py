"""Command steps as gangs; and rows that have a launcher, a client, services, ranks that only serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.semantics.rig import error_of, events, outputs
from tests.train.gangs.conftest import GangRig
from tests.train.gangs.test_running import words

ROWS = '''
"""Rows of a table that somebody else has installed."""

import sys
from contextlib import contextmanager
from fairway.spec.gang import Service
from fairway.train.frameworks.plain import Plain

LAUNCHER = """
import os, subprocess, sys
count, argv = int(sys.argv[1]), sys.argv[2:]
ranks = [subprocess.Popen(argv, env={**os.environ, "MY_RANK": str(n)}) for n in range(count)]
codes = [rank.wait() for rank in ranks]
sys.exit(max(abs(code) for code in codes))
"""
SERVICE = """
import os, socket, sys, time
from pathlib import Path
print("the tracker is up", flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "dies":
    server.accept()
    sys.exit(4)
while True:
    server.accept()
"""

class Launched(Plain):
    name, title, style = "launched", "a launcher", "launcher"

    def command(self, place, gang, argv):
        return (sys.executable, "-c", LAUNCHER, str(place.world_size), *argv) if place.rank == 0 else ()

    def place_from_environment(self, environ, places):
        return places[int(environ["MY_RANK"])]

TAGGING = """
import subprocess, sys
print("three of them", flush=True)
ranks = [subprocess.Popen(["sh", "-c", sys.argv[1]], env={"MY_RANK": str(n)}, stdout=subprocess.PIPE, text=True) for n in range(3)]
for count in (3, 100):
    for n, rank in enumerate(ranks):
        print(f"[7,{n}]<stdout>:{rank.stdout.readline(count)}", end="", flush=True)
for n, rank in enumerate(ranks):
    for line in rank.stdout:
        print(f"[7,{n}]<stdout>:{line}", end="", flush=True)
print("one of them has failed, says the launcher", flush=True)
sys.exit(max(rank.wait() for rank in ranks))
"""

class Tagging(Plain):
    name, title, style, tag = "tagging", "a launcher that tags lines", "launcher", r"\\[7,(?P<rank>\\d+)\\]<stdout>:"

    def command(self, place, gang, argv):
        return (sys.executable, "-c", TAGGING, *argv) if place.rank == 0 else ()

class Late(Plain):
    name, title, ahead = "late", "a framework that loads late", ("latelib",)

class Tracked(Plain):
    name, title = "tracked", "a tracker"
    options = {"tracker": "what becomes of it"}

    def files(self, place, gang):
        return {f"hello-{place.rank}": f"rank {place.rank}"}

    def services(self, place, gang):
        if place.rank:
            return ()
        port = str(place.ports[0][1])
        return (Service("tracker", ("python", "-c", SERVICE, port, gang.options.get("tracker", "lives")), {}, ready=f"127.0.0.1:{port}"),)

    @contextmanager
    def around(self, place, gang):
        print("before")
        yield
        print("after")

class Client(Tracked):
    name, title, style = "client", "a client", "client"

    def services(self, place, gang):
        return (Service("worker", ("sh", "-c", "echo worker $FAIRWAY_RANK; touch $FW_ROOT/up-$FAIRWAY_RANK; exec sleep 1000")),)

class Served(Plain):
    name, title = "served", "a server"

    def serves(self, place, gang):
        return place.rank == 1
'''

ENGINE = """#!/bin/sh
# What `docker run` does here: it notes its words, and runs the command on this machine.
printf '%s\\n' "$@" > "$FW_NOTES.$RANK"
while [ "$1" != busybox:1.36 ]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def rows(rig: GangRig, monkeypatch: pytest.MonkeyPatch) -> GangRig:
    """A distribution with more rows is installed, for this process and for those it starts."""
    folder = rig.root / "site"
    (folder / "morerows-1.dist-info").mkdir(parents=True)
    (folder / "morerows.py").write_text(ROWS)
    (folder / "morerows-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: morerows\nVersion: 1\n")
    names = ("launched", "tagging", "late", "tracked", "client", "served")
    lines = "".join(f"{name} = morerows:{name.title()}\n" for name in names)
    (folder / "morerows-1.dist-info" / "entry_points.txt").write_text(f"[fairway.frameworks]\n{lines}")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return rig


def test_every_rank_runs_the_program_and_rank_0_s_outputs_count(rig: GangRig) -> None:
    run = rig.run("""
        share = fw.command(
            ["sh", "-c", "echo $RANK of $WORLD_SIZE; echo $RANK > $0", fw.Out("said", fw.File)], gang=fw.gang(replicas=3)
        )

        @fw.pipeline
        def main():
            return share()
    """)
    assert (Path(str(outputs(run)["said"]))).read_text() == "0\n"
    assert [words(run, f"log.{rank}") for rank in range(3)] == [[f"{rank} of 3"] for rank in range(3)]


def test_a_program_s_exit_code_is_the_gang_s(rig: GangRig) -> None:
    run = rig.run("""
        fail = fw.command(
            ["sh", "-c", "test $RANK = 1 && { echo no data; exit 7; }; sleep 1000"], gang=fw.gang(replicas=2)
        )

        @fw.pipeline
        def main():
            fail()
    """)
    error = error_of(run)
    assert error.kind == "exit:7"
    assert error.message.startswith("rank 1 of 2 failed first: sh -c")
    assert "no data" in error.traceback
    assert len(events(run, "AttemptPlanned")) == 1, "an exit code is not a crash"
    assert rig.left() == []


LAUNCHED = """
import os, signal

@fw.step(gang=fw.gang(replicas=3, framework="launched", restarts=0), secrets=["TOKEN"])
def fit(who: int, how: str) -> list:
    rank = fw.context().rank
    print(f"rank {rank} with {os.environ['TOKEN']}", flush=True)
    fw.log(rank=rank)
    if rank == who:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("not today")
    return [rank, fw.context().world_size, os.environ["RANK"], "FAIRWAY_RANK_SECRETS" in os.environ]

@fw.pipeline
def main(who: int = -1, how: str = ""):
    return fit(who, how)
"""


def test_a_launcher_starts_the_ranks(rows: GangRig) -> None:
    (rows.root / ".env").write_text("TOKEN=opensesame\n")
    run = rows.run(LAUNCHED)
    assert outputs(run) == {"result": [0, 3, "0", False]}
    assert [words(run, f"log.{rank}") for rank in range(3)] == [[f"rank {rank} with ***"] for rank in range(3)]
    assert run.tasks["fit"].metrics == {"rank": 1}, "the mean over all ranks"
    assert rows.left() == []


@pytest.mark.parametrize(("how", "says"), [("kill", "its process ended without a word"), ("raise", "not today")])
def test_of_those_a_launcher_has_started_the_first_to_fail_is_named(rows: GangRig, how: str, says: str) -> None:
    (rows.root / ".env").write_text("TOKEN=opensesame\n")
    error = error_of(rows.run(LAUNCHED, {"who": 2, "how": how}))
    assert error.message.startswith(f"rank 2 of 3 failed first: {says}")
    assert rows.left() == []


def test_a_launcher_that_cannot_start_is_said(rows: GangRig) -> None:
    (rows.root / "site" / "morerows.py").write_text(ROWS.replace('(sys.executable, "-c", LAUNCHER, ', '("no-such-launcher", '))
    (rows.root / ".env").write_text("TOKEN=opensesame\n")
    error = error_of(rows.run(LAUNCHED))
    assert "no-such-launcher" in error.message
    assert "cannot start" in error.message + error.traceback


def test_a_program_under_a_launcher_fails_as_itself_and_no_rank_is_guessed(rows: GangRig) -> None:
    """Which of its ranks was first only the launcher knows."""
    error = error_of(
        rows.run("""
        many = fw.command(["sh", "-c", "test $MY_RANK = 2 && { echo no data; exit 7; }"], gang=fw.gang(replicas=3, framework="launched"))

        @fw.pipeline
        def main():
            many()
    """)
    )
    assert "failed first" not in error.message
    assert error.message.endswith("ended with exit code 7")


def test_lines_that_a_launcher_tags_go_to_the_log_of_their_rank(rows: GangRig) -> None:
    (rows.root / ".env").write_text("TOKEN=opensesame\n")
    run = rows.run("""
        many = fw.command(
            ["echo I am $MY_RANK; echo opensesame; exit $((MY_RANK * 3))"], gang=fw.gang(replicas=3, framework="tagging"), secrets=["TOKEN"]
        )

        @fw.pipeline
        def main():
            many()
    """)
    assert [words(run, f"log.{rank}") for rank in range(3)] == [[f"I am {rank}", "***"] for rank in range(3)]
    assert words(run, "log")[0] == "three of them"
    error = error_of(run)
    assert error.message.endswith("ended with exit code 6")
    assert error.traceback.startswith("the ranks printed last:\n")
    assert error.traceback.index("says the launcher") < error.traceback.index("I am 0"), "those of ranks come last"


def test_a_program_that_failed_is_named_as_it_was_written(rig: GangRig) -> None:
    (rig.root / "fit.sh").write_text("exit 7\n")
    error = error_of(
        rig.run("""
        fit = fw.command(["sh", "fit.sh", "x" * 300], gang=fw.gang(replicas=2))

        @fw.pipeline
        def main():
            fit()
    """)
    )
    assert "failed first: sh fit.sh xxx" in error.message
    assert error.message.endswith("… ended with exit code 7"), "what is seen where the line is cut"


TRACKED = """
import os, socket
from pathlib import Path

@fw.step(gang=fw.gang(replicas=2, framework="tracked", restarts=0{more}))
def fit() -> list:
    place = fw.context().place
    socket.create_connection(("127.0.0.1", place.ports[0][1]))
    if "{more}":
        __import__("threading").Event().wait()
    return [Path(place.folder, f"hello-{{place.rank}}").read_text(), oct(os.stat(f"{{place.folder}}/hello-{{place.rank}}").st_mode & 0o777)]

@fw.pipeline
def main():
    return fit()
"""


def test_services_are_up_before_the_ranks_and_gone_after_them(rows: GangRig) -> None:
    run = rows.run(TRACKED.format(more=""))
    assert outputs(run) == {"result": ["rank 0", "0o600"]}
    assert words(run, "log.0") == ["the tracker is up", "before", "after"]
    assert words(run, "log.1") == ["before", "after"]
    assert rows.left() == []


def test_a_service_that_dies_has_failed_first(rows: GangRig) -> None:
    run = rows.run(TRACKED.format(more=', tracker="dies"').replace('"{more}"', '"x"').replace('if ", tracker="dies""', 'if "x"'))
    error = error_of(run)
    assert error.message.startswith("tracker beside rank 0 of 2 failed first")
    assert "exit code 4" in error.message
    assert rows.left() == []


def test_of_a_client_only_rank_0_runs_the_step(rows: GangRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FW_ROOT", str(rows.root))
    run = rows.run("""
        import os

        @fw.step(gang=fw.gang(replicas=3, framework="client"))
        def fit() -> int:
            while not all(os.path.exists(f"{os.environ['FW_ROOT']}/up-{rank}") for rank in range(3)):
                pass
            return fw.context().rank

        @fw.pipeline
        def main():
            return fit()
    """)
    assert outputs(run) == {"result": 0}
    assert sorted(words(run, "log.0")) == ["after", "before", "worker 0"]
    assert [words(run, f"log.{rank}") for rank in (1, 2)] == [["worker 1"], ["worker 2"]]
    assert rows.left() == []


def test_a_rank_that_serves_ends_with_the_others_and_that_is_no_failure(rows: GangRig) -> None:
    run = rows.run("""
        import threading

        @fw.step(gang=fw.gang(replicas=3, framework="served"))
        def fit() -> int:
            if fw.context().rank == 1:
                threading.Event().wait()
            return fw.context().rank

        @fw.pipeline
        def main():
            return fit()
    """)
    assert outputs(run) == {"result": 0}
    assert rows.left() == []


def test_a_container_is_told_the_variables_and_shares_the_machine_s_network(rig: GangRig, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rig.root / "bin"
    folder.mkdir()
    engine = folder / "docker"
    engine.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$FW_NOTES.$RANK"\nwhile [ "$1" != busybox:1.36 ]; do shift; done\nshift\nexec "$@"\n'
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FW_NOTES", str(rig.root / "notes"))
    run = rig.run("""
        hello = fw.container("busybox:1.36", ["sh", "-c", "echo $RANK of $WORLD_SIZE"], name="hello", gang=fw.gang(replicas=2))

        @fw.pipeline
        def main():
            hello()
    """)
    assert run.status == "succeeded"
    assert [words(run, f"log.{rank}") for rank in range(2)] == [["0 of 2"], ["1 of 2"]]
    told = (rig.root / "notes.1").read_text().split()
    assert "--network=host" in told
    assert {"--env=RANK", "--env=WORLD_SIZE", "--env=FAIRWAY_ENDPOINTS"} <= set(told)


def test_what_a_framework_loads_late_is_there_when_a_gang_starts_again(rows: GangRig) -> None:
    (rows.root / "site" / "latelib.py").write_text(f"open({str(rows.root / 'loaded')!r}, 'a').write('x')\n")
    run = rows.run("""
        import os, signal, sys, threading
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=2, framework="late", restarts=20), timeout=120)
        def fit(folder: str) -> int:
            if "latelib" not in sys.modules:  # before it is loaded, or just then
                while not Path(folder, "loaded").exists():
                    threading.Event().wait(0.005)  # a core that is idle
                os.kill(os.getpid(), signal.SIGKILL)
            return fw.context().n

        @fw.pipeline
        def main(folder: str):
            return fit(folder)
    """, {"folder": str(rows.root)})  # fmt: skip
    assert outputs(run)["result"] > 1, "the first start does not wait for it"
    assert rows.left() == []
