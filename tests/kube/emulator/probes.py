"""Probes: what a kubelet asks a container."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.kube.emulator.container import Container


class Prober:
    """Asks by a container's probe specification. `pace` is how long the emulator takes for one of the specification's seconds."""

    def __init__(self, address: str, pace: float) -> None:
        self._address, self._pace = address, pace

    async def until_true(self, container: Container, spec: dict[str, Any], call: Any) -> bool:
        """Ask until it has succeeded as often as it must; False if it failed as often as it may."""
        await asyncio.sleep(spec.get("initialDelaySeconds", 0) * self._pace)
        failures = successes = 0
        while failures < spec.get("failureThreshold", 3):
            if await call(container, spec):
                successes += 1
                if successes >= spec.get("successThreshold", 1):
                    return True
                failures = 0
            else:
                failures += 1
                successes = 0
            await asyncio.sleep(spec.get("periodSeconds", 10) * self._pace)
        return False

    async def ask(self, container: Container, spec: dict[str, Any]) -> tuple[bool, str]:
        """One question: whether the answer is good, and the words for an event if not."""
        if not container.running:
            return False, "container is not running"
        seconds = max(spec.get("timeoutSeconds", 1), 1)
        try:
            async with asyncio.timeout(seconds):
                if get := spec.get("httpGet"):
                    return await self._http(container, get)
                if socket := spec.get("tcpSocket"):
                    _, writer = await asyncio.open_connection(self._address, port_number(container.spec, socket["port"]))
                    writer.close()
                    return True, ""
                return await self._exec(container, spec["exec"]["command"])
        except TimeoutError:
            return False, f"command timed out after {seconds}s" if "exec" in spec else "context deadline exceeded"
        except (OSError, ClientError) as error:
            return False, str(error)

    async def hook(self, container: Container, spec: dict[str, Any], grace_s: float) -> str:
        """Run a preStop hook; "" or why it failed. One that takes longer than the grace is left."""
        try:
            async with asyncio.timeout(grace_s):
                if sleep := spec.get("sleep"):
                    await asyncio.sleep(sleep["seconds"])
                    return ""
                good, words = await (
                    self._http(container, get) if (get := spec.get("httpGet")) else self._exec(container, spec["exec"]["command"])
                )
                return "" if good else words
        except TimeoutError:
            return "it took longer than the grace"
        except (OSError, ClientError) as error:
            return str(error)

    async def _http(self, container: Container, get: dict[str, Any]) -> tuple[bool, str]:
        url = f"http://{self._address}:{port_number(container.spec, get['port'])}{get.get('path', '/')}"
        headers = {item["name"]: item["value"] for item in get.get("httpHeaders") or ()}
        async with (
            ClientSession(timeout=ClientTimeout(total=10)) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            good = 200 <= answer.status < 400
            return good, "" if good else f"HTTP probe failed with statuscode: {answer.status}"

    async def _exec(self, container: Container, command: list[str]) -> tuple[bool, str]:
        context = container.context
        assert context is not None
        words = [context.paths.local(word) for word in command]
        program = context.images.find_program(context.image, words[0], context.variables["PATH"])
        if program is None:
            return False, f'exec: "{words[0]}": executable file not found in $PATH'
        started = await asyncio.create_subprocess_exec(
            program, *words[1:], env=context.variables, cwd=context.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            text, _ = await started.communicate()
        finally:
            if started.returncode is None:
                started.kill()
                await started.wait()
        return started.returncode == 0, text.decode(errors="replace").strip()


def port_number(container: dict[str, Any], port: int | str) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next(item["containerPort"] for item in container.get("ports") or () if item.get("name") == port)
