"""A gang that stands still: every rank's stack, and which of them stopped first.

A rank answers a signal with the stacks of its threads from C, so that native code (a collective that waits) is no obstacle; where `py-spy`
is installed and allowed to look, what it sees is kept below, native frames and child processes among it.
"""

from __future__ import annotations

import linecache
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from fairway.spec.gang import Place
from fairway.spec.outcome import ErrorInfo, Frame
from fairway.step import processes
from fairway.step.errors_report import Origin, locate
from fairway.step.gangrank import STACK_SIGNAL
from fairway.step.gangreport import Folder
from fairway.step.gangverdict import name_rank

_DUMP_S = 1.0
_QUIET_S = 0.05
_SPY_S = 1.2
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_SHOWN, _DEEPEST = 8, 24
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+.*$", re.MULTILINE)
_FRAME = re.compile(r'  File "(.+?)", line (\d+) in (.+)')
_OUTERMOST = ("in <module>\n", "in _bootstrap\n", "  ...\n", "  <no Python frame>\n")
_COLLECTIVE = re.compile(
    r"torch/distributed|torch/cuda/nccl|horovod|mpi4py|deepspeed/comm|accelerate/utils/operations|jax/_src/(distributed|interpreters/pxla)|"
    r"tensorflow/python/(distribute|eager/context)|xgboost/(collective|rabit|tracker)|lightgbm/basic|distributed/(client|comm)|ray/_private|"
    r"in (all_?reduce|barrier|all_?gather|broadcast|bcast|reduce_scatter|monitored_barrier)$"
)

_RECEIVING = re.compile(r"\.(recv|recv_into|recvfrom|accept|connect)\(")


def collect_stacks(pids: Mapping[int, int], folder: Folder) -> dict[int, str]:
    """What each rank (its number -> its pid) answers within a second; "" from one that does not."""
    spies = _start_spies(pids)
    for pid in pids.values():
        processes.signal_quietly(pid, STACK_SIGNAL)
    end, sizes, quiet_since = time.monotonic() + _DUMP_S, dict.fromkeys(pids, 0), 0.0
    while (now := time.monotonic()) < end:
        seen = {rank: _size(folder.stack(rank)) for rank in pids}
        if seen != sizes:
            sizes, quiet_since = seen, now
        elif all(seen.values()) and now - quiet_since > _QUIET_S and all(_is_whole(_read(folder.stack(rank))) for rank in pids):
            break
        time.sleep(0.005)
    found = {rank: _read(folder.stack(rank)) for rank in pids}
    for rank, spy in spies.items():
        found[rank] += _hear(spy)
    return found


def _is_whole(text: str) -> bool:
    """Does it end with the outermost frame of a thread? Who waits for a core in the middle of its answer is waited for. Pure."""
    return text.endswith(_OUTERMOST)


def find_straggler(stacks: Mapping[int, str], beat_at: Mapping[int, float]) -> int:
    """The rank that stopped first: one that does not wait for the others, and of those the one that was heard of least recently. Pure."""
    return min(stacks, key=lambda rank: (weigh_wait(stacks[rank]), beat_at.get(rank, 0.0), rank))


def weigh_wait(stack: str) -> int:
    """How likely its main thread waits for other ranks: 2 in a collective call, 1 where it receives from a socket, else 0."""
    frames = main_frames(stack)
    if any(_COLLECTIVE.search(f"{file} in {function}") for file, _, function in frames[:6]):
        return 2
    return int(any(_RECEIVING.search(linecache.getline(file, int(line))) for file, line, _ in frames[:2]))


def main_frames(stack: str) -> list[tuple[str, str, str]]:
    """(file, line, function) of the main thread, innermost first. faulthandler writes the oldest thread last."""
    dump = stack.partition(_SPY_TITLE)[0]
    starts = [found.end() for found in _THREAD.finditer(dump)]
    return _FRAME.findall(dump[starts[-1] :]) if starts else []


def own_frames(stack: str, origin: Origin) -> tuple[Frame, ...]:
    """The user's own frames of the main thread, outermost first, as errors show them."""
    found = [locate(Frame(file, int(line), function), origin) for file, line, function in main_frames(stack)]
    return tuple(reversed([frame for frame in found if frame.own]))


def explain_stall(straggler: Place, places: Sequence[Place], stacks: Mapping[int, str], origin: Origin, waited_s: float) -> ErrorInfo:
    """The error of a gang that stood still."""
    frames = own_frames(stacks.get(straggler.rank, ""), origin)
    where = f" in {frames[-1].function} ({frames[-1].file}:{frames[-1].line})" if frames else ""
    return ErrorInfo(
        "stall",
        "FW-TASK-STALLED",
        f"no rank has reported progress for {waited_s:g} s; {name_rank(straggler)} stopped first{where}",
        hint="what every rank was doing stands in the task's log; fw.log, fw.progress, fw.shard and fw.checkpoint.save report progress",
        frames=frames,
        traceback=show_stacks([straggler, *(place for place in places if place is not straggler)], stacks, origin),
    )


def explain_absence(absent: Sequence[Place], stacks: Mapping[int, str], origin: Origin, waited_s: float) -> ErrorInfo:
    """The error of a gang of which some have not come."""
    frames = own_frames(stacks.get(absent[0].rank, ""), origin)
    where = f"; it is in {frames[-1].function} ({frames[-1].file}:{frames[-1].line})" if frames else ""
    more = f", and {len(absent) - 1} more have not" if len(absent) > 1 else ""
    return ErrorInfo(
        "stall",
        "FW-TASK-STALLED",
        f"{name_rank(absent[0])} has not reached the step's function within {waited_s:g} s{more}{where}",
        hint='what takes long at a module\'s top level belongs into the step; or allow more: fw.gang(start_timeout="…")',
        frames=frames,
        traceback=show_stacks(absent, stacks, origin),
    )


def show_stacks(places: Sequence[Place], stacks: Mapping[int, str], origin: Origin) -> str:
    """The main thread of each, as people read it: the user's frames marked. All of it, with other threads, is in the streams "stacks.R"."""
    parts: list[str] = []
    for place in places[:_SHOWN]:
        frames = [frame for frame in main_frames(stacks.get(place.rank, "")) if not frame[0].startswith((_OURS, "<"))]
        lines = [f'  File "{file}", line {line}, in {function}' for file, line, function in frames[:_DEEPEST]]
        parts.append("\n".join([f"{name_rank(place)}, innermost first:", *(lines or ["  nothing of the step's own"])]))
    if len(places) > _SHOWN:
        parts.append(f"and {len(places) - _SHOWN} more")
    return origin.mask(origin.show_all("\n\n".join(parts) + "\n"))


_SPY_TITLE = "\n--- py-spy ---\n"


def _start_spies(pids: Mapping[int, int]) -> dict[int, subprocess.Popen[bytes]]:
    spy = shutil.which("py-spy")
    if spy is None:
        return {}
    argv = [spy, "dump", "--subprocesses", "--nonblocking", "--pid"]
    return {
        rank: subprocess.Popen([*argv, str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for rank, pid in pids.items()
    }


def _hear(spy: subprocess.Popen[bytes]) -> str:
    try:
        text = spy.communicate(timeout=_SPY_S)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        spy.kill()
        spy.communicate()
        return ""
    return _SPY_TITLE + text if text.strip() else ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
