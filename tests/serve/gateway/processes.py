"""A gateway as its own processes, and replicas as processes that can be killed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fairway.serve.httpclient import Answer, Upstream
from tests.serve.gateway.rig import Client

REPLICA = """
import asyncio, sys
from fairway.serve.http import HttpServer
from fairway.serve.listening import listen_on_path
async def main():
    server = HttpServer(lambda exchange: exchange.reply(200, exchange.body))
    await server.listen(listen_on_path(sys.argv[1]))
    print("up", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class GatewayProcess:
    """`port`: of callers; `admin`: the keeper's side; `process`: the holder."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.folder, self.table, self._options = folder, folder / "table.json", options
        self.admin = Upstream(f"unix:{folder}/admin.sock")
        self.port = 0
        self.said: dict[str, Any] = {}
        self.process: asyncio.subprocess.Process

    async def start(self) -> GatewayProcess:
        command = ["-m", "fairway.serve.gateway", "--table", str(self.table), "--admin", f"unix:{self.folder}/admin.sock"]
        if "--listen" not in self._options:
            command += ["--listen", "127.0.0.1:0"]
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *command, *self._options, stdout=asyncio.subprocess.PIPE, stderr=log
            )  # fmt: skip
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, (self.folder / "gateway.log").read_text()
        self.said = json.loads(line)
        self.port = int(self.said["url"].rpartition(":")[2])
        return self

    async def state(self) -> dict[str, Any]:
        """Asked again until there is an answer: the working process may just have been killed."""
        while True:
            answer = await self.admin.ask("GET", "/state")
            if answer.status == 200:
                return json.loads(answer.body)

    async def change(self, version: int = 1, **endpoints: Any) -> Answer:
        return await self.admin.ask("PUT", "/table", (), json.dumps({"version": version, "endpoints": endpoints}).encode())

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def stop(self) -> int:
        self.admin.abort()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def gateway_process(folder: Path, *options: str) -> AsyncIterator[GatewayProcess]:
    gateway = await GatewayProcess(folder, list(options)).start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def replica_process(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Answers with what it was asked."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", REPLICA, str(path), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
