"""Programs that know nothing of Fairway, in gangs: what they need lies in variables and files. A parameter server, a hostfile, services."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import pytest

from tests.semantics.rig import error_of, events
from tests.train.gangs.conftest import GangRig

PARAMETER_SERVER = '''"""A parameter server in the manner of ps-lite: one file, whose role is in DMLC_ROLE. Serves for ever, as those do."""
import collections, json, os, signal, socket, sys, threading

signal.alarm(60)
role, servers, workers = os.environ["DMLC_ROLE"], int(os.environ["DMLC_NUM_SERVER"]), int(os.environ["DMLC_NUM_WORKER"])
root = (os.environ["DMLC_PS_ROOT_URI"], int(os.environ["DMLC_PS_ROOT_PORT"]))
come = threading.Condition()

def ask(address, **message):
    with socket.create_connection(address) as sock, sock.makefile("rw") as file:
        file.write(json.dumps(message) + "\\n")
        file.flush()
        return json.loads(file.readline())

def ask_root(**message):
    os.close(os.open({scheduled!r}, os.O_RDONLY))  # a FIFO that the scheduler holds once it listens
    return ask(root, **message)

def answer(listener, reply):
    def one(sock):
        with sock, sock.makefile("rw") as file:
            message = json.loads(file.readline())
            with come:
                said = reply(**message)
            file.write(json.dumps(said) + "\\n")
    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

if role == "scheduler":
    known = []
    def reply(server=None):
        known.extend([server] if server else [])
        come.notify_all()
        come.wait_for(lambda: len(known) == servers)
        return known
    listener = socket.create_server(root)
    os.open({scheduled!r}, os.O_RDWR)
    answer(listener, reply)
elif role == "server":
    listener = socket.create_server((os.environ["DMLC_NODE_HOST"], 0))
    threading.Thread(target=ask_root, kwargs={"server": listener.getsockname()}, daemon=True).start()
    weights, rounds, pushed = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    def reply(key, gradient=None, round=0):
        if gradient is None:
            come.wait_for(lambda: rounds[key] == round)
        else:
            pushed[key].append(gradient)
            if len(pushed[key]) == workers:
                weights[key] -= 0.5 * sum(pushed.pop(key)) / workers
                rounds[key] += 1
                come.notify_all()
        return weights[key]
    answer(listener, reply)
else:
    found, worker = [tuple(one) for one in ask_root()], int(os.environ["DMLC_WORKER_ID"])
    rows = [(n / 8, 3 * n / 8 - 1 + n % 3) for n in range(8)][worker::workers]
    where = {"slope": found[0], "start": found[-1]}
    def pull(round):
        return {key: ask(address, key=key, round=round) for key, address in where.items()}
    for round in range(20):
        line = pull(round)
        off = [line["slope"] * x + line["start"] - y for x, y in rows]
        ask(where["slope"], key="slope", gradient=sum(error * x for error, (x, _) in zip(off, rows)) / len(rows))
        ask(where["start"], key="start", gradient=sum(off) / len(rows))
    if worker == 0:
        with open(sys.argv[1], "w") as file:
            json.dump({**pull(20), "servers": len(set(found))}, file)
'''
COMMAND = """
fit = fw.command([{python!r}, "program.py", fw.Out("seen", dict)], name="fit", cpu=0.5, gang=fw.gang({gang}))

@fw.pipeline
def main():
    return fit().seen
"""


def run(rig: GangRig, gang: str, program: str) -> Any:
    return rig.result(prepare(rig, gang, program))


def prepare(rig: GangRig, gang: str, program: str) -> str:
    """The pipeline that runs the program in a gang."""
    os.mkfifo(rig.root / "scheduled")
    (rig.root / "program.py").write_text(program.replace("{scheduled!r}", repr(str(rig.root / "scheduled"))))
    return COMMAND.format(python=sys.executable, gang=gang)


def fitted(rows: list[tuple[float, float]]) -> dict[str, float]:
    """What one process makes of them."""
    slope = start = 0.0
    for _ in range(20):
        off = [slope * x + start - y for x, y in rows]
        down = sum(error * x for error, (x, _) in zip(off, rows, strict=True)) / len(rows)
        slope, start = slope - 0.5 * down, start - 0.5 * sum(off) / len(rows)
    return {"slope": slope, "start": start}


ROWS = [(n / 8, 3 * n / 8 - 1 + n % 3) for n in range(8)]
BESIDE = 'replicas=2, framework="mxnet", server=[{python!r}, {program!r}]'


@pytest.mark.parametrize(
    ("gang", "servers"),
    [
        ('framework="mxnet", roles={{"worker": 2, "server": 1, "scheduler": 1}}', 1),
        ('framework="mxnet", roles={{"worker": 2, "server": 2, "scheduler": 1}}', 2),
        (BESIDE, 2),  # a server beside each of them, and the scheduler beside the first
    ],
)
def test_workers_train_by_a_parameter_server_what_one_process_makes_of_all_rows(rig: GangRig, gang: str, servers: int) -> None:
    found = run(rig, gang.format(python=sys.executable, program=str(rig.root / "program.py")), PARAMETER_SERVER)
    assert found == {"servers": servers, **{name: pytest.approx(value, abs=1e-9) for name, value in fitted(ROWS).items()}}
    assert abs(fitted(ROWS[::2])["start"] - found["start"]) > 0.01, "one worker's rows make another line"
    rig.await_gone()  # servers and scheduler serve for ever, and are ended with their workers


def test_any_program_finds_the_hostfile(rig: GangRig) -> None:
    program = "import json, os, sys; json.dump({'hosts': open(os.environ['FAIRWAY_HOSTFILE']).read()}, open(sys.argv[1], 'w'))"
    assert run(rig, 'replicas=2, processes=2, framework="caffe"', program) == {"hosts": "127.0.0.1 slots=4\n"}


def test_a_service_that_fails_is_what_failed_first(rig: GangRig) -> None:
    beside = f'replicas=2, framework="mxnet", restarts=0, server=[{sys.executable!r}, "-c", "import sys; sys.exit(\'no such device\')"]'
    done = rig.run(prepare(rig, beside, PARAMETER_SERVER))
    assert re.match(r"MXNet (scheduler|server) beside rank . of 2 failed first", error_of(done).message)
    rig.await_gone()
    attempt = events(done, "AttemptPlanned")[-1].attempt
    logs = "".join(rig.workspace.streams.read(f"{done.id}/{attempt}/log.{rank}").decode() for rank in (0, 1))
    assert "no such device" in logs
