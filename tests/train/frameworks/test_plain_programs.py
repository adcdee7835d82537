"""Programs that know nothing of Fairway, in gangs: what they need lies in variables and files. A parameter server, a hostfile, services."""

from __future__ import annotations

import sys

import pytest

from fairway.errors import TaskFailed
from tests.semantics.rig import events
from tests.train.gangs.conftest import GangRig

PARAMETER_SERVER = '''"""A parameter server in the manner of ps-lite: one file, whose role is in DMLC_ROLE. Serves for ever, as those do."""
import json, os, socket, sys, time

role, servers, workers = os.environ["DMLC_ROLE"], int(os.environ["DMLC_NUM_SERVER"]), int(os.environ["DMLC_NUM_WORKER"])
root = (os.environ["DMLC_PS_ROOT_URI"], int(os.environ["DMLC_PS_ROOT_PORT"]))

def ask(address, **message):
    while True:
        try:
            with socket.create_connection(address) as sock, sock.makefile("rw") as file:
                file.write(json.dumps(message) + "\\n")
                file.flush()
                return json.loads(file.readline())
        except ConnectionRefusedError:
            time.sleep(0.005)

def answer(listener, reply):
    while True:
        sock, _ = listener.accept()
        with sock, sock.makefile("rw") as file:
            file.write(json.dumps(reply(json.loads(file.readline()))) + "\\n")

if role == "scheduler":
    known = []
    def reply(message):
        if "server" in message:
            known.append(message["server"])
        return known
    answer(socket.create_server(root), reply)
elif role == "server":
    listener = socket.create_server((os.environ["DMLC_NODE_HOST"], 0))
    ask(root, server=listener.getsockname())
    state = {"weight": 0.0, "pushed": 0}
    def reply(message):
        if "gradient" in message:
            state["weight"] -= message["gradient"]
            state["pushed"] += 1
        return state
    answer(listener, reply)
else:
    while len(found := ask(root)) < servers:
        time.sleep(0.005)
    worker = int(os.environ["DMLC_WORKER_ID"])
    for address in found:
        ask(tuple(address), gradient=10.0 ** worker)
    while any(ask(tuple(address))["pushed"] < workers for address in found):
        time.sleep(0.005)
    if worker == 0:
        with open(sys.argv[1], "w") as file:
            json.dump([ask(tuple(address)) for address in found], file)
'''
COMMAND = """
fit = fw.command([{python!r}, "program.py", fw.Out("seen", dict)], name="fit", cpu=0.5, gang=fw.gang({gang}))

@fw.pipeline
def main():
    return fit().seen
"""


def run(rig: GangRig, gang: str, program: str, kind: str = "dict") -> object:
    (rig.root / "program.py").write_text(program)
    return rig.result(COMMAND.format(python=sys.executable, gang=gang).replace("dict)", f"{kind})"))


def test_a_parameter_server_in_roles_trains_and_is_ended_with_its_workers(rig: GangRig) -> None:
    roles = 'framework="mxnet", roles={"worker": 2, "server": 2, "scheduler": 1}'
    assert run(rig, roles, PARAMETER_SERVER, "list") == [{"weight": -11.0, "pushed": 2}] * 2
    rig.await_gone()


def test_a_parameter_server_beside_its_workers(rig: GangRig) -> None:
    beside = f'replicas=2, framework="mxnet", server=[{sys.executable!r}, {str(rig.root / "program.py")!r}]'
    assert run(rig, beside, PARAMETER_SERVER, "list") == [{"weight": -11.0, "pushed": 2}] * 2
    rig.await_gone()


def test_any_program_finds_the_hostfile(rig: GangRig) -> None:
    program = "import json, os, sys; json.dump({'hosts': open(os.environ['FAIRWAY_HOSTFILE']).read()}, open(sys.argv[1], 'w'))"
    assert run(rig, 'replicas=2, processes=2, framework="caffe"', program) == {"hosts": "127.0.0.1 slots=4\n"}


def test_a_service_that_fails_is_what_failed_first(rig: GangRig) -> None:
    beside = f'replicas=2, framework="mxnet", restarts=0, server=[{sys.executable!r}, "-c", "import sys; sys.exit(\'no such device\')"]'
    with pytest.raises(TaskFailed, match=r"MXNet (scheduler|server) beside rank . of 2 failed first"):
        run(rig, beside, PARAMETER_SERVER)
    rig.await_gone()
    done = rig.last()
    attempt = events(done, "AttemptPlanned")[-1].attempt
    logs = "".join(rig.workspace.streams.read(f"{done.id}/{attempt}/log.{rank}").decode() for rank in (0, 1))
    assert "no such device" in logs
