"""Steps that fail, wait, or are edited between two runs."""

import os

from gate import wait_at_gate

import fairway as fw


@fw.step(cpu=0.05, retries=2)
def flaky() -> int:
    if fw.context().n < 2:
        raise ConnectionError("not yet")
    return fw.context().n


@fw.pipeline
def retried():
    return flaky()


@fw.step(cpu=0.05)
def talk(words: str) -> str:
    print(words, flush=True)
    wait_at_gate()
    print("through the gate", flush=True)
    return words


@fw.step(cpu=0.05)
def add(x: str, y: str) -> str:
    return x + y


@fw.pipeline
def gated(words: str = "hello"):
    return add(talk(words), "!")


@fw.step(cpu=0.05)
def first() -> int:
    return 20


@fw.step(cpu=0.05)
def second(x: int) -> int:
    return x // 0  # edited by a test


@fw.pipeline
def edited():
    return second(first())


@fw.step(cpu=0.05, timeout="1s", retries=0)
def endless() -> int:
    wait_at_gate()
    return 0


@fw.pipeline
def late():
    return endless()


fail = fw.command(["sh", "-c", "echo half of it; exit 3"], name="fail", cpu=0.05)
skip = fw.command(["sh", "-c", "exit 4"], name="skip", cpu=0.05, exit_codes={4: "skip"})


@fw.pipeline
def exits():
    skip()
    fail()


@fw.step(cpu=0.05, memory="96Mi")
def hungry() -> int:
    data = [bytes([7]) * (1 << 20) for _ in range(400)]
    return len(data)


@fw.pipeline
def oom():
    return hungry()


@fw.step(cpu=0.05, disk="20Mi")
def hoarder() -> int:
    with open("heap", "wb") as file:
        for _ in range(120):
            file.write(os.urandom(1 << 20))
    wait_at_gate()
    return 0


@fw.pipeline
def evicted():
    return hoarder()
