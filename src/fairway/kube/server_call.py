"""One HTTP request to a pod's port through the API server, without a listening port in between: what setting a server up needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fairway.errors import InfraError

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_CHUNK = 128 * 1024
_ANSWER_S = 60.0


async def call_pod(
    client: KubeClient, pod: str, port: int, request: str, *, headers: Mapping[str, str] | None = None, file: str = ""
) -> tuple[int, bytes]:
    """(status, body) of the answer to `request` ("GET /readyz"). The bytes of `file` are the request's body. Raises InfraError where
    nothing answers."""
    size = Path(file).stat().st_size if file else 0
    given = {"Host": pod, "Connection": "close", "Content-Length": str(size), **(headers or {})}
    head = "\r\n".join([f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())])
    async with client.dial(pod, port) as stream:
        await stream.write(f"{head}\r\n\r\n".encode())
        if file:
            with Path(file).open("rb") as body:
                while piece := body.read(_CHUNK):
                    await stream.write(piece)
        answer = b""
        try:
            async with asyncio.timeout(_ANSWER_S):
                while not _is_whole(answer) and (piece := await stream.read()):
                    answer += piece
        except TimeoutError:
            raise InfraError(f"pod {pod} does not answer on port {port}", hint="try again") from None
    first, _, body = answer.partition(b"\r\n\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise InfraError(f"pod {pod} does not answer on port {port}", hint="try again")
    return int(words[1]), body


def _is_whole(answer: bytes) -> bool:
    """Is all of the body there? Known by its length; else the end of the connection tells."""
    head, end, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(line.partition(b":")[2])
    return False
