"""The pipeline of the crash suite: a chain, a batch map, a dynamic step, a retry, an exit handler, a blob, a child process.

`bomb` (JSON beside this file) says who dies, in which task, and when; it goes off once. Every step writes to `log` that it began.
"""

import contextlib
import json
import os
import signal
import subprocess

import fairway as fw

HERE = os.environ["FAIRWAY_CRASH_DIR"]
AGAIN = fw.retry(6, backoff=0)


def begin():
    """Write down that this task begins, and whether it had succeeded before; then let the bomb know of every write of this attempt."""
    from fairway.step.folder import FolderArtifactStore

    now = fw.context()
    stem, n = now.attempt.rsplit("-", 1)
    store = FolderArtifactStore(f"{HERE}/home/blobs")
    ended = [key for i in range(1, int(n) + 1) if store.stat(key := f"outcome/{now.run}/{stem}-{i}") is not None]
    with open(f"{HERE}/log", "ab", buffering=0) as log:
        log.write(json.dumps({"attempt": now.attempt, "task": now.task, "ended": ended}).encode() + b"\n")
    put, task = FolderArtifactStore.put, now.task

    def watched_put(self, key, *args, **options):
        what = "outcome" if key.startswith("outcome/") else "output"
        strike(task, f"before {what}")
        new = put(self, key, *args, **options)
        strike(task, f"after {what}")
        return new

    if not hasattr(put, "watched"):
        watched_put.watched = True
        FolderArtifactStore.put = watched_put
    strike(task, "begin")


def end():
    strike(fw.context().task, "end")


def strike(task, when):
    with open(f"{HERE}/bomb") as file:
        bomb = json.load(file)
    if bomb.get("task") != task or bomb.get("when") != when:
        return
    try:
        os.close(os.open(f"{HERE}/fuse", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    victim = os.getpid()
    for _ in range(["attempt", "zygote", "worker", "driver"].index(bomb["who"])):
        with open(f"/proc/{victim}/stat") as file:
            victim = int(file.read().rpartition(")")[2].split()[1])
    os.kill(victim, signal.SIGKILL)
    while True:  # until our turn comes
        signal.pause()


@contextlib.contextmanager
def child():
    """A process that nobody ends but us, or whoever ends us."""
    process = subprocess.Popen(["sleep", "1000"])
    yield
    process.kill()
    process.wait()


@fw.step(retry=AGAIN)
def first(x: int) -> int:
    begin()
    end()
    return x + 1


@fw.step(retry=AGAIN)
def wide(x: int) -> str:
    begin()
    with child():
        end()
    return f"{x:_>2000}"


@fw.step(retry=AGAIN)
def times(i: int, text: str) -> int:
    begin()
    end()
    return i * len(text)


@fw.step(retry=AGAIN)
def flaky(x: int) -> int:
    begin()
    if fw.context().n == 1:
        raise ConnectionError("the first try never works")
    end()
    return x * 10


@fw.dynamic(retry=AGAIN)
def grow(x: int) -> int:
    begin()
    end()
    return flaky(first(x))


@fw.step(retry=AGAIN)
def total(xs: list[int], grown: int) -> int:
    begin()
    end()
    return sum(xs) + grown


@fw.step(retry=AGAIN)
def finish(status: str) -> None:
    begin()
    end()


@fw.pipeline(on_exit=finish)
def crash():
    a = first(2)
    text = wide(a)
    parts = times(fw.each([1, 2, 3, 4], batch=2), text)
    return total(parts, grow(a))
