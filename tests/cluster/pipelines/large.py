"""Data that does not fit into a message."""

import fairway as fw


@fw.step(cpu=0.05)
def make(megabytes: int) -> fw.File:
    with open("heap.bin", "wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    return fw.File("heap.bin")


@fw.step(cpu=0.05)
def measure(heap: fw.File) -> int:
    return len(heap.read_bytes())


@fw.pipeline
def large(megabytes: int = 160):
    heap = make(megabytes)
    return {"heap": heap, "size": measure(heap)}
