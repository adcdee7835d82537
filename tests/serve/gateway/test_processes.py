"""The gateway as processes: the child, the parent, a replica are killed under load; the gateway is renewed and stopped under load."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.gateway.processes import GatewayProcess, gateway_process, is_alive, replica_process
from tests.serve.gateway.rig import render
from tests.waiting import until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked at in /proc")


class Load:
    """Callers that ask again and again. `broken`: connections that ended with a request on its way; `failed`: answers but 200."""

    def __init__(self, gateway: GatewayProcess, callers: int) -> None:
        self.gateway, self.callers = gateway, callers
        self.answered = 0
        self.broken: list[str] = []
        self.failed: list[bytes] = []
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> Load:
        self._tasks = [asyncio.create_task(self._call(number)) for number in range(self.callers)]
        return self

    async def stop(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _call(self, number: int) -> None:
        client = None
        turn = 0
        while not self._stop:
            turn += 1
            body = b'{"n": %d, "turn": %d}' % (number, turn)
            client = client or await self.gateway.client()
            try:
                answer = await client.ask("/risk/predict", body)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.broken.append(repr(error))
                client = None
                continue
            self.answered += 1
            if answer.status != 200 or answer.body != body:
                self.failed.append(answer.body)
            if answer.headers.get("connection") == "close":
                client.writer.close()
                client = None

    async def more(self, count: int = 100) -> None:
        goal = self.answered + count
        await until(lambda: self.answered >= goal)


def row(*paths: Path) -> dict[str, Any]:
    return {"traffic": [[1, 100]], "replicas": {"1": [{"id": path.stem, "address": f"unix:{path}"} for path in paths]}}


def processes_of(folder: Path) -> list[int]:
    """Gateways that live there."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "fairway.serve.gateway" in words and f"{folder}/table.json" in words:
                found.append(int(entry.name))
    return found


def run_slow(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_killing_the_child_under_load_breaks_only_what_it_had_in_hand(tmp_path: Path) -> None:
    async def test() -> None:
        async with replica_process(tmp_path / "a.sock"), gateway_process(tmp_path, "--spool", str(tmp_path / "spool")) as gateway:
            assert (await gateway.change(risk=row(tmp_path / "a.sock"))).status == 200
            load = Load(gateway, 8).start()
            await load.more()
            pids = {(await gateway.state())["pid"]}
            for turn in range(3):
                os.kill((await gateway.state())["pid"], signal.SIGKILL)
                await load.more()
                pids.add((await gateway.state())["pid"])
                assert len(load.broken) <= 8 * (turn + 1), "one for each caller, at most"
            await load.stop()
            assert not load.failed
            assert len(pids) == 4
            assert gateway.process.returncode is None

    run_slow(test)


def test_no_feedback_that_was_acknowledged_is_lost_when_the_child_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        acknowledged: list[str] = []
        stop = False

        async def send(gateway: GatewayProcess, caller: int) -> None:
            client, turn = None, 0
            while not stop:
                turn += 1
                name = f"call-{caller}-{turn}"
                client = client or await gateway.client()
                try:
                    answer = await client.ask("/risk/feedback", b'{"id": "%s", "label": 1}' % name.encode())
                except (OSError, asyncio.IncompleteReadError):
                    client = None
                    continue
                assert answer.status == 200, answer.body
                acknowledged.append(name)

        async with gateway_process(tmp_path, "--spool", str(tmp_path / "spool")) as gateway:
            await gateway.change(risk={"traffic": [[1, 100]]})
            senders = [asyncio.create_task(send(gateway, number)) for number in range(4)]
            for turn in range(1, 4):
                await until(lambda goal=30 * turn: len(acknowledged) >= goal)
                os.kill((await gateway.state())["pid"], signal.SIGKILL)
            await until(lambda: len(acknowledged) >= 120)
            stop = True
            await asyncio.gather(*senders)
        kept = "".join(path.read_text() for path in (tmp_path / "spool" / "risk").glob("feedback-*.jsonl"))
        assert [name for name in acknowledged if f'"{name}"' not in kept] == []

    run_slow(test)


def test_a_connection_made_while_no_child_lives_is_answered_by_the_next(tmp_path: Path) -> None:
    async def test() -> None:
        async with replica_process(tmp_path / "a.sock"), gateway_process(tmp_path) as gateway:
            await gateway.change(risk=row(tmp_path / "a.sock"))
            state = await gateway.state()
            gateway.process.send_signal(signal.SIGSTOP)  # it can't start another
            os.kill(state["pid"], signal.SIGKILL)
            await until(lambda: not is_alive(state["pid"]))
            client = await gateway.client()
            await client.send(render("/risk/predict", b'"waited"'))
            gateway.process.send_signal(signal.SIGCONT)
            assert (await client.answer()).json == "waited"

    run_slow(test)


def test_killing_the_parent_ends_nothing_and_another_takes_its_place(tmp_path: Path) -> None:
    async def test() -> None:
        async with replica_process(tmp_path / "a.sock"), gateway_process(tmp_path) as gateway:
            await gateway.change(risk=row(tmp_path / "a.sock"))
            load = Load(gateway, 4).start()
            await load.more()
            before = await gateway.state()
            gateway.process.kill()
            await gateway.process.wait()
            while (after := await gateway.state())["pid"] == before["pid"]:
                await load.more(10)
            try:
                await until(lambda: not is_alive(before["pid"]))
                await load.more()
                os.kill(after["pid"], signal.SIGKILL)
                await load.more()
                assert len(load.broken) <= 4
            finally:
                await load.stop()
                os.kill(after["holder"], signal.SIGTERM)
                await until(lambda: not is_alive(after["holder"]))
            assert not load.failed

    run_slow(test)


def test_the_gateway_is_renewed_under_load_without_one_broken_request(tmp_path: Path) -> None:
    async def test() -> None:
        async with replica_process(tmp_path / "a.sock"), gateway_process(tmp_path) as gateway:
            await gateway.change(risk=row(tmp_path / "a.sock"))
            load = Load(gateway, 8).start()
            await load.more()
            for _ in range(2):
                before = await gateway.state()
                gateway.process.send_signal(signal.SIGHUP)
                while (after := await gateway.state())["pid"] == before["pid"]:
                    await load.more(10)
                await until(lambda pid=before["pid"]: not is_alive(pid))
                await load.more()
                assert after["holder"] == gateway.process.pid
                assert sorted(processes_of(tmp_path)) == sorted([after["holder"], after["pid"]])
                assert after["version"] == 1
            await load.stop()
            assert not load.broken
            assert not load.failed

    run_slow(test)


def test_killing_one_of_two_replicas_under_load_fails_only_what_it_had_in_hand(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            replica_process(tmp_path / "a.sock") as doomed,
            replica_process(tmp_path / "b.sock"),
            gateway_process(tmp_path) as gateway,
        ):
            await gateway.change(risk=row(tmp_path / "a.sock", tmp_path / "b.sock"))
            load = Load(gateway, 8).start()
            await load.more()
            doomed.kill()
            await load.more(300)
            await load.stop()
            assert not load.broken
            assert len(load.failed) <= 8
            assert all(b"FW-REPLICA-LOST" in body for body in load.failed)

    run_slow(test)


def test_a_gateway_that_is_told_to_end_answers_what_it_has(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_process(tmp_path) as gateway:
            await gateway.change(risk={"traffic": [[1, 100]], "replicas": {}})
            client = await gateway.client()
            await client.send(render("/risk/predict", b'"last"'))
            while (await gateway.state())["in_flight"] != 1:
                pass
            state = await gateway.state()
            gateway.process.send_signal(signal.SIGTERM)
            async with replica_process(tmp_path / "a.sock"):
                await gateway.change(2, risk=row(tmp_path / "a.sock"))
                answer = await client.answer()
                assert (answer.json, answer.headers["connection"]) == ("last", "close")
            assert await gateway.process.wait() == 0
            await until(lambda: not is_alive(state["pid"]))
            with pytest.raises(OSError):
                await gateway.client()

    run_slow(test)


def test_the_table_is_kept_over_restarts_and_read_when_its_file_changes(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "table.json").write_text("{broken")
        async with replica_process(tmp_path / "a.sock"):
            async with gateway_process(tmp_path) as gateway:
                assert (await gateway.state())["version"] == -1
                assert "is not used" in (tmp_path / "gateway.log").read_text()
                refused = await gateway.change(1, risk={"traffic": 5})
                assert (refused.status, b"/endpoints/risk/traffic" in refused.body) == (400, True)
                await gateway.change(7, risk=row(tmp_path / "a.sock"))
            async with gateway_process(tmp_path) as gateway:
                assert (await gateway.state())["version"] == 7
                assert (await (await gateway.client()).ask("/risk/predict", b"1")).json == 1
                made = tmp_path / "made.json"
                made.write_text('{"version": 9, "endpoints": {}}')
                made.replace(tmp_path / "table.json")
                while (await gateway.state())["version"] != 9:
                    pass

    run_slow(test)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--listen", "203.0.113.1:1"], "cannot be listened on"),
        (["--tls-cert", "x"], "belong together"),
        (["--admin", "0.0.0.0:0"], "needs a token"),
    ],
)
def test_what_cannot_start_says_why_in_a_line(tmp_path: Path, options: list[str], text: str) -> None:
    command = [sys.executable, "-m", "fairway.serve.gateway", "--table", "t.json", "--admin", f"unix:{tmp_path}/a", *options]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 2
    assert text in made.stderr
    assert "Traceback" not in made.stderr


def make_certificate(folder: Path, name: str) -> bytes:
    """A new one for localhost at cert.pem and key.pem; its DER form."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    subprocess.run([*command, "-keyout", folder / "key.new", "-out", folder / "cert.new"], check=True, capture_output=True, timeout=60)
    for kind in ("key", "cert"):
        (folder / f"{kind}.new").replace(folder / f"{kind}.pem")
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())


def served_certificate(port: int) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as sock:
        return sock.getpeercert(binary_form=True)


def test_a_certificate_is_served_and_a_new_one_from_when_it_is_there(tmp_path: Path) -> None:
    async def test() -> None:
        first = make_certificate(tmp_path, "one")
        options = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
        async with gateway_process(tmp_path, *options) as gateway:
            assert gateway.said["url"].startswith("https://")
            assert await asyncio.to_thread(served_certificate, gateway.port) == first
            second = make_certificate(tmp_path, "two")

            async def is_served() -> bool:
                return await asyncio.to_thread(served_certificate, gateway.port) == second

            await until(is_served)

    run_slow(test)
