"""A training loop with 500 MB of state: what it loses to a checkpoint, while it is taken and until it is written."""

import json
import os
import time
from pathlib import Path

import torch

import fairway as fw

TENSORS, BYTES = 50, 500_000_000
BASE_S, PATIENCE_S = 1.0, 15.0
"""A writer of the lowest priority does not come to its turn where training has all cores: then it is waited for without training."""


class Loop:
    """Steps of some ten milliseconds; each changes a part of the state."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.state = {f"layer-{number}": torch.randn(BYTES // TENSORS // 4) for number in range(TENSORS)}
        self.left, self.right = torch.randn(500, 500), torch.randn(500, 500)
        self.done = 0

    def step(self) -> None:
        for _ in range(4):
            self.left = torch.tanh(self.left @ self.right)
        self.state[f"layer-{self.done % TENSORS}"].add_(1e-3)
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


def take(loop: Loop, number: int) -> dict[str, float]:
    """One asynchronous save amid training."""
    before = loop.pace()
    begun = time.perf_counter()
    fw.checkpoint.save(number, loop.state)
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
    found = {"first": take(loop, 0)["blocked"], "saves": [], "sync": [], "torch": [], "threads": threads}
    for number in range(1, 2 * saves, 2):
        found["saves"].append(take(loop, number))
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
