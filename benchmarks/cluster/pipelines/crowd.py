"""Tasks that are there until a given time."""

import threading
import time

import fairway as fw


@fw.step(cpu=0.01)
def numbers(count: int) -> list[int]:
    return list(range(count))


@fw.step(cpu=0.01)
def linger(x: int, until_s: float) -> int:
    threading.Event().wait(max(0.0, until_s - time.time()))
    return x


@fw.step(cpu=0.01)
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.pipeline
def crowd(until_s: float, count: int = 50):
    return total(fw.collect(linger(fw.each(numbers(count), batch=5), until_s)))
