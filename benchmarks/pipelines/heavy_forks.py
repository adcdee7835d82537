"""The least that the steps of heavy.py can cost in processes of their own: fork, compute, wait. `heavy_forks.py chain|fan|fits N`"""

import gc
import os
import sys

from heavy import fit, predict


def in_child(function, x: int) -> int:
    """Start `function(x)` in a fork; returns its pid. The result goes nowhere."""
    pid = os.fork()
    if pid == 0:
        function(x)
        os._exit(0)
    return pid


def main(mode: str, count: int) -> None:
    gc.collect()
    gc.freeze()
    running = 0
    for number in range(count):
        in_child(fit if mode == "fits" else predict, number)
        running += 1
        if running == (1 if mode == "chain" else 2):
            os.wait()
            running -= 1
    for _ in range(running):
        os.wait()
    print("done", count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
