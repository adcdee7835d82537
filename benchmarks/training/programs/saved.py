"""A training loop with 500 MB of state: what it loses to a checkpoint, while it is taken and until it is written."""

import json
import os
import time
from pathlib import Path
from typing import Any

import torch

import fairway as fw

LAYERS, WIDTH, ROWS = 10, 2042, 24
"""Weights and Adam's two moments of each: 500 MB."""
BASE_S, PATIENCE_S = 3.0, 15.0
"""A writer of the lowest priority does not come to its turn where training has all cores: then it is waited for without training."""


class Loop:
    """A training as it is: a forward and a backward pass, then an optimizer that changes the whole state."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-6)
        self.rows = torch.randn(ROWS, WIDTH)
        self.done = 0
        self.step()

    @property
    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(self.rows).square().mean().backward()
        self.optimizer.step()
        self.done += 1

    def pace(self) -> float:
        """Seconds for a step when nothing else goes on."""
        begun, first = time.perf_counter(), self.done
        while (took := time.perf_counter() - begun) < BASE_S:
            self.step()
        return took / (self.done - first)


def is_written(number: int) -> bool:
    """Its manifest comes last."""
    return any(Path(fw.checkpoint.dir).glob(f"step-{number:09d}*/manifest*.json"))


def take(loop: Loop, number: int, *, beside: bool) -> dict[str, float]:
    """One asynchronous save amid training."""
    before = loop.pace()
    begun = time.perf_counter()
    fw.checkpoint.save(number, loop.state, beside=beside)
    blocked, steps, look = time.perf_counter() - begun, 0, 0.0
    while True:
        loop.step()
        steps += 1
        now = time.perf_counter()
        if now - look > 0.05:
            look = now
            if is_written(number) or now - begun > PATIENCE_S:
                break
    through = time.perf_counter() - begun
    fw.checkpoint.wait()
    pace = (before + loop.pace()) / 2
    return {"blocked": blocked, "through": through, "pace": pace, "lost": through - blocked - steps * pace}


@fw.step(cache=False)
def fit(saves: int, threads: int, power: bool) -> int:
    fw.checkpoint.keep(last=1, durability="power" if power else "process")
    loop = Loop(threads)
    found = {"first": take(loop, 0, beside=False)["blocked"], "saves": [], "plain": [], "sync": [], "torch": [], "threads": threads}
    for number in range(1, 3 * saves, 3):
        found["saves"].append(take(loop, number, beside=True))
        found["plain"].append(take(loop, number + 2, beside=False))
        begun = time.perf_counter()
        fw.checkpoint.save(number + 1, loop.state)
        fw.checkpoint.wait()
        found["sync"].append(time.perf_counter() - begun)
        file = Path("torch.pt")
        begun = time.perf_counter()
        with file.open("wb") as opened:
            torch.save(loop.state, opened)
            if power:
                os.fsync(opened.fileno())
        found["torch"].append(time.perf_counter() - begun)
        file.unlink()
    Path(os.environ["FOUND"]).write_text(json.dumps(found))
    return saves


@fw.pipeline
def saved(saves: int = 3, threads: int = 1, power: bool = False):
    return fit(saves, threads, power)
