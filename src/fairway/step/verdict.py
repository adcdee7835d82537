"""What killed a process that left no outcome: the words, from the evidence."""

from __future__ import annotations

import re

from fairway.spec.outcome import ErrorInfo, Frame
from fairway.step.defeat import TERMINATED

_FATAL = re.compile(rb"Fatal Python error: (.+)")
_FRAME = re.compile(rb'  File "(.+?)", line (\d+) in (.+)')
_SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
    13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_NEAR_LIMIT = 0.9


def name_signal(number: int) -> str:
    """ "SIGSEGV" for 11."""
    return _SIGNALS.get(number, f"signal {number}")


class Evidence:
    """What is known of a dead attempt. `status` is `waitpid`'s; `stopped`: "timeout" or "cancelled" if we ended it, `forced` if it took
    SIGKILL.

    `peak_bytes` is the most memory it was seen with, `limit_bytes` what the machine or control group has (0 = unknown), `oom_kills`
    how many processes the kernel killed for memory meanwhile.
    """

    def __init__(self, status: int, tail: bytes = b"") -> None:
        self.status = status
        self.tail = tail
        self.stopped = ""
        self.forced = False
        self.grace_s = 0.0
        self.timeout_s = 0.0
        self.peak_bytes = 0
        self.limit_bytes = 0
        self.oom_kills = 0


def explain_death(seen: Evidence) -> ErrorInfo:
    """The error of an attempt that was ended, crashed or left without a word."""
    number, code = seen.status & 0x7F, seen.status >> 8
    if seen.stopped:
        return _explain_stop(seen)
    if number == 9:
        near = seen.limit_bytes and seen.peak_bytes >= _NEAR_LIMIT * seen.limit_bytes
        if seen.oom_kills > 0 or near:
            return _explain_oom(seen)
        return ErrorInfo(
            "crash",
            "FW-TASK-CRASHED",
            "the step's process was killed by SIGKILL, from outside",
            hint="somebody or the system ended it; look at `dmesg`",
        )
    if number:
        frames = _find_frames(seen.tail)
        where = f" in {frames[-1].function}" if frames else ""
        return ErrorInfo(
            "crash",
            "FW-TASK-CRASHED",
            f"native code crashed the step's process ({name_signal(number)}){where}"
            if number in (4, 6, 7, 8, 11)
            else f"the step's process was ended by {name_signal(number)}",
            hint="the fault is in the compiled library that this line called" if frames else "look at the task's log",
            frames=frames,
            traceback=_find_fatal(seen.tail),
        )
    if code == TERMINATED:
        return ErrorInfo(
            "crash",
            "FW-TASK-CRASHED",
            "the step's process was ended by SIGTERM, from outside",
            hint="somebody or the system asked it to end; what ends a run is Ctrl-C, or `fairway cancel`",
        )
    if code == 75:
        return ErrorInfo(
            "lost", "FW-STORE-UNAVAILABLE", _last_line(seen.tail) or "the attempt could not write its outcome", hint="is the disk full?"
        )
    if code == 70:
        return ErrorInfo(
            "lost", "FW-INTERNAL", _last_line(seen.tail) or "the attempt ended without an outcome", hint="its log has the whole story"
        )
    last = _last_line(seen.tail)
    return ErrorInfo(
        f"exit:{code}",
        "FW-TASK-FAILED",
        f"the step ended its process with exit code {code} before it returned" + (f": {last}" if last else ""),
        hint="something called os._exit or a library did; a step ends by returning",
    )


def _explain_stop(seen: Evidence) -> ErrorInfo:
    ignored = f"; it ignored SIGTERM and was killed after {seen.grace_s:g} s" if seen.forced else ""
    if seen.stopped == "timeout":
        return ErrorInfo(
            "timeout",
            "FW-TASK-TIMEOUT",
            f"took longer than its timeout of {seen.timeout_s:g} s{ignored}",
            hint='allow more: @fw.step(timeout="…")',
        )
    return ErrorInfo("cancelled", "FW-TASK-CANCELLED", f"cancelled{ignored}", retryable=False)


def _explain_oom(seen: Evidence) -> ErrorInfo:
    used = f" at {_size(seen.peak_bytes)}" if seen.peak_bytes else ""
    limit = f" of {_size(seen.limit_bytes)}" if seen.limit_bytes else ""
    return ErrorInfo(
        "oom",
        "FW-TASK-OOM",
        f"killed by the system for memory{used}{limit}",
        hint='ask for what the step needs, as @fw.step(memory="8Gi"), so that fewer run at once; or work in smaller pieces',
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _find_fatal(tail: bytes) -> str:
    """What faulthandler printed, without our own frames."""
    found = _FATAL.search(tail)
    lines = tail[found.start() :].decode("utf-8", "replace").splitlines() if found else []
    return "\n".join(line for line in lines if "/fairway/step/" not in line and not line.startswith('  File "<'))


def _find_frames(tail: bytes) -> tuple[Frame, ...]:
    """Python frames that faulthandler printed, outermost first; ours left out."""
    found = _FATAL.search(tail)
    if not found:
        return ()
    frames = [
        Frame(_unescape(file), int(line), _unescape(name))
        for file, line, name in _FRAME.findall(tail[found.start() :])
        if b"/fairway/step/" not in file and not file.startswith(b"<")
    ]
    return tuple(reversed(frames))


def _unescape(text: bytes) -> str:
    """faulthandler writes ASCII only, what else there is as \\xe9, \\u20ac or \\U0001f6a2."""
    return _ESCAPE.sub(lambda found: chr(int(found[1][1:], 16)), text.decode("ascii", "replace"))


def _last_line(tail: bytes) -> str:
    lines = tail.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:500] if lines else ""
