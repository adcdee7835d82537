"""A gigabyte from pod to pod, through the server's store."""

import os

import fairway as fw


@fw.step(cpu=0.1)
def make(megabytes: int) -> fw.File:
    block = os.urandom(1 << 20)
    with open("data.bin", "wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8, "big") + block[8:])
    return fw.File("data.bin")


@fw.step(cpu=0.1)
def take(data: fw.File) -> int:
    return os.path.getsize(data)


@fw.pipeline
def gigabyte(megabytes: int = 1000):
    return take(make(megabytes))
