"""Runs that pages are measured with: a random graph of many steps, a gate that opens when a file is there, a long log."""

import pathlib
import random
import time

import fairway as fw


@fw.step
def source(seed: int) -> int:
    return seed


@fw.step
def one(a: int) -> int:
    return a % 1000 + 1


@fw.step
def two(a: int, b: int) -> int:
    return (a + b) % 1000


@fw.step
def three(a: int, b: int, c: int) -> int:
    return (a + b + c) % 1000


@fw.pipeline
def tangle(seed: int = 7, nodes: int = 1000):
    """Each step takes what one to three steps before it gave, near ones more often than far ones."""
    draw = random.Random(5)
    made = [source(seed) for _ in range(10)]
    while len(made) < 1000:
        before = [made[max(0, len(made) - 1 - int(draw.expovariate(1 / 30)))] for _ in range(draw.choice([1, 1, 2, 2, 3]))]
        made.append([one, two, three][len(before) - 1](*before))
    return made[-1]


@fw.step
def hold(gate: str) -> str:
    while not pathlib.Path(gate).exists():
        time.sleep(0.001)
    return "through"


@fw.pipeline
def gated(gate: str = "nowhere"):
    return hold(gate)


@fw.step
def talk(lines: int) -> int:
    for start in range(0, lines, 10_000):
        print(
            "\n".join(
                f"line {n} of a long log, as long as lines of logs usually are; value {n * 7919 % 100_003}"
                for n in range(start, start + 10_000)
            )
        )
    return lines


@fw.pipeline
def chatty(lines: int = 1_000):
    return talk(lines)
