"""Which rank of a gang failed first, and why: the words, from how each of them ended. Pure.

When one rank dies the others fail a moment later, of connections that it has closed. What they say of that is no cause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairway.spec.gang import Place
from fairway.spec.outcome import ErrorInfo
from fairway.step import processes
from fairway.step.defeat import TERMINATED
from fairway.step.errors_report import Origin, locate
from fairway.step.gangreport import Report
from fairway.step.verdict import Evidence, explain_death, name_signal

WINDOW_S = 1.0
"""Ends so near to the earliest may have one cause."""

CRASH, RAISED, AVALANCHE = 0, 1, 2
_LAST_LINES = 20
_TAKEN = re.compile(
    r"EADDRINUSE|address already in use|port \S+ is (already )?in use|"
    r"could not start grpc server|failed to start rpc server|no address added out of total|"  # TensorFlow, JAX, gRPC: they do not say why
    r"binding port \d+ failed",  # LightGBM
    re.IGNORECASE,
)
_CONNECTION_CLASSES = {"ConnectionError", "EOFError", "BrokenPipeError", "DistNetworkError", "DistStoreError"}
_CONNECTION = re.compile(
    r"connection (was |is )?(reset|closed|refused|aborted|lost|timed out)|closed (the connection )?by (the )?(remote )?peer|broken pipe|"
    r"connection closed|(failed|unable|could not|cannot) to? ?connect|socket (error|timeout|closed)|recvvalue failed|"
    r"nccl|gloo|ucc error|heartbeat|coordination service|rabit|tracker|remote (rank|process|worker)|peer (is |has )?(gone|dead|died|lost)|"
    r"timed out (waiting|after)|wait timeout|econnreset|epipe|econnrefused",
    re.IGNORECASE,
)


class End:
    """How one rank ended. `status` is `waitpid`'s (None: not known), `at` when (epoch seconds), `stopped`: after we had told it to;
    `service`: the program beside the rank that ended, in place of it. `whole`: a launcher that stands for all ranks."""

    def __init__(self, place: Place, status: int | None, report: Report | None, at: float, tail: bytes = b"") -> None:
        self.place, self.status, self.report, self.tail = place, status, report, tail
        self.at = report.at if report is not None and report.at else at
        self.stopped = False
        self.service = ""
        self.whole = False
        self.oom_kills = 0

    @property
    def is_bad(self) -> bool:
        """It has failed, or died without a word. What happens to a process after its report is no matter."""
        return self.report is None or self.report.outcome.status == "failed"

    @property
    def is_skip(self) -> bool:
        """It called `fw.skip`."""
        return self.report is not None and self.report.outcome.status == "skipped"


def weigh(end: End) -> int:
    """CRASH before RAISED before AVALANCHE: which of several ends at one moment is the cause of the others."""
    error = end.report.outcome.error if end.report is not None else None
    if error is not None:
        if error.kind == "crash" and not is_connection(error.message):
            return CRASH
        return AVALANCHE if is_avalanche(error) or _speaks_of_connections(end, error) else RAISED
    said = _text(end.tail)
    gave_up = (end.status or 0) & 0x7F in (6, 15)  # a library's own thread did: abort
    return AVALANCHE if gave_up and is_connection(said) and not is_taken(said) else CRASH


def is_avalanche(error: ErrorInfo) -> bool:
    """Does the error only tell that another process has gone?"""
    if is_taken(error.message):  # PyTorch has one class for both
        return False
    return bool(_CONNECTION_CLASSES & {error.kind, *error.mro}) or is_connection(error.message)


def is_connection(text: str) -> bool:
    """Does the text speak of a connection that was lost?"""
    return _CONNECTION.search(text) is not None


def is_taken(text: str) -> bool:
    """Does the text say that a port could not be had?"""
    return _TAKEN.search(text) is not None


def _speaks_of_connections(end: End, error: ErrorInfo) -> bool:
    """A program that ended with an exit code says why in its last lines."""
    return error.kind.startswith("exit:") and is_connection(_text(end.tail)) and not is_taken(_text(end.tail))


def first_of(ends: Sequence[End]) -> End | None:
    """The end that the others follow from; None if none is bad, or only for want of a rank that has skipped the task."""
    bad = [end for end in ends if end.is_bad and not end.stopped]
    if not bad:
        return None
    earliest = min(end.at for end in bad)
    near = [end for end in bad if end.at - earliest <= WINDOW_S]
    first = min(near, key=lambda end: (weigh(end), end.at, end.place.rank))
    has_skipped = any(end.is_skip and end.at < first.at + WINDOW_S for end in ends)
    return None if has_skipped and weigh(first) == AVALANCHE else first


def settle_s(end: End) -> float:
    """How long to wait after this end for one that explains it better. The cause of a lost connection has been seen by then."""
    return (0.0, 0.1, 0.5)[weigh(end)]


def explain(end: End, origin: Origin, others: Sequence[End] = ()) -> ErrorInfo:
    """The gang's error: that of the rank that failed first, with its name and its last log lines."""
    error = end.report.outcome.error if end.report is not None else None
    if error is None:
        error = _explain_death(end, origin)
    said = error.message + error.traceback + (_text(end.tail) if end.report is None or error.kind.startswith("exit:") else "")
    taken = is_taken(said)
    if taken:
        error.kind, error.code = "port", "FW-PORT-TAKEN"
        error.hint = "another program has taken a port of the gang in the meantime: it is started again with others"
    # what it held was closed as it returned, a moment before it could look at the clock
    done = [other for other in others if not other.is_bad and other.at < end.at + WINDOW_S]
    early = [other.place.rank for other in done if other.place.rank != end.place.rank]
    if early and weigh(end) == AVALANCHE and not taken:
        ranks = ", ".join(map(str, early))
        error.hint = f"rank {ranks} had returned before: every rank must take part in each collective call, as often as the others"
    who = f"{end.service} beside {name_rank(end.place)}" if end.service else name_rank(end.place)
    error.message = error.message if end.whole else f"{who} failed first: {error.message}".removesuffix(": ")
    error.traceback = add_last_lines(error.traceback, "the ranks" if end.whole else name_rank(end.place), end.tail)
    return error


def explain_shortly(end: End) -> str:
    """One line on the end that ended the gang."""
    error = end.report.outcome.error if end.report is not None else None
    if error is not None:
        said = f"{error.kind}: {error.message.splitlines()[0] if error.message else ''}".rstrip(": ")
        who = "" if end.whole else f"{name_rank(end.place)} {'raised ' if error.kind in error.mro else 'failed first: '}"
        return who + said
    number = processes.SIGTERM if (end.status or 0) >> 8 == TERMINATED else (end.status or 0) & 0x7F
    how = f"was ended by {name_signal(number)}" if number else f"ended with exit code {(end.status or 0) >> 8}" if end.status else "ended"
    return f"{end.service + ' beside ' if end.service else ''}{name_rank(end.place)} {how}"


def _explain_death(end: End, origin: Origin) -> ErrorInfo:
    if end.status is None:
        return ErrorInfo("crash", "FW-TASK-CRASHED", "its process ended without a word", hint="its launcher may say how, in the task's log")
    seen = Evidence(end.status, end.tail)
    seen.oom_kills = end.oom_kills
    error = explain_death(seen)
    error.frames = tuple(locate(frame, origin) for frame in error.frames)
    error.traceback = origin.show_all(error.traceback)
    error.message = origin.mask(error.message)
    return error


def name_rank(place: Place) -> str:
    """ "rank 3 of 8", with its machine if there are several."""
    where = f" on {place.hosts[place.rank]}" if len(set(place.hosts)) > 1 else ""
    return f"rank {place.rank} of {place.world_size}{where}"


def add_last_lines(text: str, who: str, tail: bytes) -> str:
    """`text` and below it what was printed last; the dump of where it crashed is in `text` already."""
    lines = _text(tail).partition("Fatal Python error: ")[0].rstrip().splitlines()[-_LAST_LINES:]
    if not lines:
        return text
    told = f"{who} printed last:\n" + "\n".join(f"  {line}" for line in lines) + "\n"
    return f"{text.rstrip()}\n\n{told}" if text else told


def _text(tail: bytes) -> str:
    return tail.decode("utf-8", "replace")
