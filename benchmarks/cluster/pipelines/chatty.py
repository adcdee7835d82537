"""Says a line five times a second, with the time in it."""

import threading
import time

import fairway as fw


@fw.step(cpu=0.05)
def chat(lines: int) -> int:
    for _ in range(lines):
        threading.Event().wait(0.2)
        print(f"said at {time.time():.6f}", flush=True)
    return lines


@fw.pipeline
def chatty(lines: int = 20):
    return chat(lines)
