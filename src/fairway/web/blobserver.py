"""The process beside the server that moves the blobs' bytes: started, watched, and started again if it dies."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

from fairway.errors import InfraError
from fairway.step.freeports import free_ports
from fairway.web.auth import SIGNING_KEY
from fairway.web.options import ServerOptions

_START_S = 20.0
_RETRY_FIRST_S, _RETRY_MOST_S = 0.2, 10.0
_STEADY_S = 30.0
_GOODBYE_S = 5.0


class BlobProcess:
    """`python -m fairway.web.blobs`, for as long as the server lives. It reads the same folder and signing key, and nothing else."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> int:
        """Start it and wait until it listens; returns its port. Raises InfraError."""
        self.port = self._options.blobs_port or free_ports(1)[0]
        await self._spawn()
        assert self._process is not None
        end = time.monotonic() + _START_S
        while not await self._answers():
            if self._process.returncode is not None or time.monotonic() > end:
                await self.close()
                raise InfraError(f"the process for blobs does not listen on port {self.port}", hint="its words are above")
            await asyncio.sleep(0.02)
        self._keeper = asyncio.create_task(self._keep(), name="blob process")
        return self.port

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _GOODBYE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep(self) -> None:
        tries = 0
        while True:
            assert self._process is not None
            since = time.monotonic()
            status = await self._process.wait()
            tries = 0 if time.monotonic() - since > _STEADY_S else tries + 1
            delay = min(_RETRY_MOST_S, _RETRY_FIRST_S * 2**tries)
            print(f"the process for blobs ended with status {status}; again in {delay:g} s", file=sys.stderr, flush=True)
            await asyncio.sleep(delay)
            await self._spawn()

    async def _spawn(self) -> None:
        options = self._options
        words = ["--home", options.home, "--host", options.host, "--port", str(self.port), "--key-file", f"{options.secrets}/{SIGNING_KEY}"]
        program = (sys.executable, "-m", "fairway.web.blobs", *words, "--until-eof")
        # A signal to the whole group is for the server alone, which ends this one last; a server that is killed lets the pipe go.
        self._process = await asyncio.create_subprocess_exec(*program, stdin=asyncio.subprocess.PIPE, start_new_session=True)

    async def _answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._options.host, self._options.host)
        try:
            _, writer = await asyncio.open_connection(host, self.port)
        except OSError:
            return False
        writer.close()
        return True
