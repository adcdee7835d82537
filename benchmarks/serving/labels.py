"""Callers that send the truth about answers, and remember which of it was acknowledged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from benchmarks.serving.callers import Broken, Link, render_post
from benchmarks.serving.place import LIMIT_S, Place, await_true

_READ = "import sys, json, fairway as fw; print(json.dumps([str(x) for x in fw.traffic(sys.argv[1]).labels().column('id').to_pylist()]))"


class Labels:
    """While it is entered, `count` callers send labels one after the other. What was not acknowledged is sent again under another id."""

    def __init__(self, place: Place, count: int = 4) -> None:
        self._place, self._count = place, count
        self.acknowledged: set[str] = set()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Labels:
        self._tasks = [asyncio.create_task(self._send(number)) for number in range(self._count)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _send(self, caller: int) -> None:
        link = Link("127.0.0.1", self._place.port)
        number = 0
        while not self._stopping:
            number += 1
            id = f"label-{caller}-{number}"
            body = json.dumps({"id": id, "label": number % 2}).encode()
            try:
                status, _, _ = await link.ask(render_post(f"/{self._place.name}/feedback", body))
            except (Broken, OSError):
                await asyncio.sleep(0.01)
                continue
            if status == 200:
                self.acknowledged.add(id)
        link.close()

    def read(self) -> set[str]:
        """The ids that a pipeline finds now."""
        done = subprocess.run(
            [sys.executable, "-c", _READ, self._place.name], cwd=self._place.folder, env=self._place.variables, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout))

    def count_lost(self) -> int:
        """Of what was acknowledged, how much is not found once all was brought in."""
        try:
            await_true(lambda: self.acknowledged <= self.read(), "the labels", LIMIT_S)
        except TimeoutError:
            return len(self.acknowledged - self.read())
        return 0
