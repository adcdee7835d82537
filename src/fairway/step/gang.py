"""A gang on this machine: one leader, the attempt's own process, and a process for each rank that this machine runs.

The leader imports nothing of the user's and computes nothing, so that ranks can be forked from it whatever their libraries bear. It pumps
what ranks print into a stream of each ("RUN/ATTEMPT/log.RANK"), waits, and when the first of them fails ends the others: that one says why.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from fairway.spec.gang import Gang, Place, World, here, mean_of
from fairway.spec.layout import CHECKPOINTS, task_folder
from fairway.spec.outcome import ErrorInfo, ItemOutcome
from fairway.step import processes
from fairway.step.gangcrew import LAUNCHER, RANK, SERVICE, Child, execute, fork, with_paths
from fairway.step.gangrank import RANK_FILE, be_rank, get_framework, rank_argv
from fairway.step.gangreport import AGREED, STILL, Folder, Report, find_report
from fairway.step.gangsamples import Ended, Sampler
from fairway.step.gangverdict import End, explain, explain_shortly, first_of, settle_s
from fairway.step.gangwires import Wires
from fairway.step.gangworld import places_for, variables_of, with_ports
from fairway.step.pulse import ALONE, COMING, RUNNING, Pulses
from fairway.step.saved import find_saved, find_unfinished, spell_ranks

if TYPE_CHECKING:
    from fairway.spec.gang import Service
    from fairway.spec.ports import Framework
    from fairway.step.attempt import Attempt
    from fairway.step.gangtags import Sorter
    from fairway.step.pump import LogPump

_GRACE_S = 1.0  # between SIGTERM and SIGKILL for those that a failed rank leaves behind
_PATIENT_S = 10.0  # between them where nothing is said about it
_SKIP_S = 2.0  # how long the others may take to skip as well
_CONNECT_S = 0.02
_TICK_S = 0.2
_BELL_BYTES = 1 << 16  # all that the FIFO holds: what is cut is no rank's number
LAUNCHED = -1  # in place of a rank: what a launcher says itself
_FORKS = sys.platform == "linux"

Work = Callable[[Place], Report]


class GangRun:
    """One item of a gang's attempt. `run` once. Afterwards `metrics` and `used` are the gang's."""

    def __init__(self, attempt: Attempt, world: World) -> None:
        self._attempt, self._spec = attempt, attempt.spec
        self._gang: Gang = attempt.spec.step.gang
        self._world = with_ports(world, self._gang)
        self._prefix = f"{attempt.spec.run}/{attempt.spec.id}"
        self._folder = Folder(attempt.scratch)
        self._places = places_for(attempt.spec, self._world, self._folder)
        self._here = here(self._places, self._world)
        self._row: Framework = get_framework(self._gang.framework)
        self._style: str = getattr(self._row, "style", "ranks")
        self._prints = self._spec.step.kind in ("command", "container")  # a program reports progress by printing
        self._children: list[Child] = []
        self._wires = Wires(attempt.streams, tuple(attempt.secrets.values()))
        self._ends: list[End] = []
        self._settle_at = self._kill_at = self._stopped_at = 0.0
        self._stalled: ErrorInfo | None = None
        self._has_said_why = self._is_still = False
        self._oom_kills = processes.OomKills()
        self.metrics: dict[str, float] = {}
        self.used = processes.Use(0, 0.0)

    def run(self, work: Work) -> ItemOutcome:
        """Until all have ended: the outcome of this machine's first rank, or that of the rank that failed first."""
        self._begin()
        try:
            self._open()
            if self._style == "launcher" and not self._prints:
                self._await_launched()
            self._lay_out()
            self._start_services()
            self._start_ranks(work)
            while self._is_busy():
                self._turn(self._patience_s())
                self._look_at_clock()
            self._say_why()
        except BaseException:
            self._give_up()
            raise
        finally:
            self._close()
        return self._conclude()

    # Beginning

    def _begin(self) -> None:
        """What a full disk may refuse before there is anything to end."""
        os.makedirs(self._folder.path, exist_ok=True)
        self._pulses = Pulses(self._folder.pulses, len(self._places))
        self._sampler = Sampler(self._prefix, self._attempt.streams, self._pulses, self._environment_of)
        self._began = time.monotonic()
        self._oom_before = self._oom_kills.read(0.0)

    def _open(self) -> None:
        for place in self._here:
            if self._prints and self._style == "launcher" and place.rank == 0:
                self._open_launcher_log(0, all_ranks=True)
            else:
                self._wires.open_log(place.rank, f"{self._prefix}/log.{place.rank}", self._folder.log(place.rank))
            os.makedirs(place.folder, exist_ok=True)
            files: Mapping[str, str] = self._row.files(place, self._gang) if hasattr(self._row, "files") else {}  # type: ignore[attr-defined]
            for name, text in files.items():
                with open(f"{place.folder}/{name}", "w", encoding="utf-8", opener=_private) as file:
                    file.write(text)
        if len(self._world.hosts) < self._gang.replicas:
            count = len(self._world.hosts)
            self._say(f"starts with {count} of {self._gang.replicas} replicas, which is what can be had (min_replicas={self._gang.fewest})")

    def _open_launcher_log(self, rank: int, *, all_ranks: bool) -> None:
        """A launcher that tags its ranks' lines has them sorted."""
        tag, fifo = getattr(self._row, "tag", ""), self._folder.log(rank)
        if tag:
            self._wires.open_sorted(rank, self._prefix, fifo, tag, all_ranks=all_ranks)
        else:
            self._wires.open_log(rank, f"{self._prefix}/log" + (f".{rank}" if rank >= 0 else ""), fifo)

    def _lay_out(self) -> None:
        """The files of a program that the launcher of another machine starts here too: it knows only the folder that it has there itself.
        What cannot be loaded is said there."""
        first = self._here[0]
        is_launched = self._prints and self._style == "launcher" and first.rank > 0
        if not is_launched or self._row.command(first, self._gang, self._spec.step.argv):
            return

        def become() -> NoReturn:
            with suppress(Exception):
                self._attempt.lay_out(self._folder.work(first.rank))
            os._exit(0)

        os.waitpid(fork(become, self._wires.writers[first.rank], self._wires.descriptors()), 0)

    def _start_services(self) -> None:
        """One after the other, each once what it needs is there."""
        row: Any = self._row
        started: list[Service] = []
        for place in self._here if hasattr(row, "services") else ():
            for service in row.services(place, self._gang):
                self._await_listener(service.after)
                self._start_service(place, service)
                started.append(service)
        for service in started:
            self._await_listener(service.ready)

    def _start_service(self, place: Place, service: Service) -> None:
        argv = [sys.executable if service.argv[0] == "python" else service.argv[0], *service.argv[1:]]
        # its children may be ranks, started by the launcher of another machine
        inherited = self._told_environment() if self._style == "launcher" else os.environ
        environ = {**inherited, RANK_FILE: self._folder.told, **self._variables(place), **service.environment}
        environ = with_paths(environ, self._attempt.root)
        folder = self._folder.work(place.rank) if self._style == "launcher" else ""
        pid = fork(lambda: execute(argv, environ, folder), self._wires.writers[place.rank], self._wires.descriptors())
        self._add(Child(SERVICE, place, pid, name=service.name))

    def _start_ranks(self, work: Work) -> None:
        if self._settle_at:
            return  # a service has failed already
        first = self._here[0]
        if self._style == "launcher" and not self._prints:
            if first.rank == 0:
                self._start_launcher(first)
            return
        for place in self._here:
            if place.rank and self._style != "ranks":
                continue
            if self._prints and not self._row.command(place, self._gang, self._spec.step.argv):
                continue
            self._start_rank(place, work)

    def _start_rank(self, place: Place, work: Work) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        variables = self._variables(place)
        if _FORKS:
            pid = fork(lambda: be_rank(work, place, self._folder, variables), self._wires.writers[place.rank], self._wires.descriptors())
        else:
            self._tell()
            environ = self._told_environment()
            argv = [*rank_argv(self._folder), str(place.rank)]
            pid = fork(lambda: execute(argv, environ), self._wires.writers[place.rank], self._wires.descriptors())
        self._add(Child(RANK, place, pid))

    def _await_launched(self) -> None:
        """Ranks that a launcher starts, from this machine or from another, find out what to do and tell us by the bell who they are."""
        self._tell()
        os.mkfifo(self._folder.bell, 0o600)
        self._bell = os.open(self._folder.bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wires.watch(self._bell, None)

    def _start_launcher(self, place: Place) -> None:
        self._open_launcher_log(LAUNCHED, all_ranks=False)
        argv = list(self._row.command(place, self._gang, rank_argv(self._folder)))
        environ = {**self._told_environment(), **self._variables(place)}
        pid = fork(lambda: execute(argv, environ), self._wires.writers[LAUNCHED], self._wires.descriptors())
        self._add(Child(LAUNCHER, place, pid, name=argv[0].rpartition("/")[2]))

    def _environment_of(self, rank: int) -> dict[str, str]:
        place = next(one for one in self._places if one.rank == rank)
        return {**os.environ, **self._variables(place)}

    def _tell(self) -> None:
        from fairway.step.gangtold import Told, write_told

        attempt = self._attempt
        scratch, began_at = attempt.scratch.rpartition("/")[2], attempt.usage.started_at
        told = Told(self._spec, self._world, attempt.home, attempt.source, scratch, began_at)
        write_told(told, self._folder.told)

    def _told_environment(self) -> dict[str, str]:
        import json

        from fairway.step.gangrank import SECRETS

        return {**os.environ, SECRETS: json.dumps(self._attempt.secrets)} if self._attempt.secrets else dict(os.environ)

    def _await_listener(self, address: str) -> None:
        """Until something accepts connections there, or the gang has failed already."""
        from fairway.step.freeports import answers

        while address and not self._settle_at:
            if answers(address):
                return
            self._turn(_CONNECT_S)
            if time.monotonic() - self._began > self._gang.start_timeout_s:
                self._stalled = ErrorInfo(
                    "stall", "FW-TASK-STALLED", f"nothing answered at {address} within {self._gang.start_timeout_s:g} s",
                    hint="the log of the rank beside it says what it is doing",
                )  # fmt: skip
                self._settle_at = time.monotonic()

    # Waiting

    def _is_busy(self) -> bool:
        if any(child.running and not self._serves(child) for child in self._children):
            return True
        if any(not self._serves(child) for child in self._children) or self._settle_at:
            return False
        return any(child.running for child in self._children)  # this machine only serves others, until it is told to stop

    def _turn(self, patience_s: float | None) -> None:
        """Wait for one thing or more to happen, and see to it."""
        for what in self._wires.wait(patience_s):
            if isinstance(what, int):
                if self._prints and what >= 0:
                    self._pulses.beat(what)
            elif isinstance(what, Child):
                self._see_end(what)
            else:
                self._hear_bell()
        for child in self._children:
            if child.pidfd < 0 and child.running:
                self._see_end(child)

    def _hear_bell(self) -> None:
        for line in os.read(self._bell, _BELL_BYTES).decode().splitlines():
            rank, pid = map(int, line.split())
            child = Child(RANK, self._places[rank], pid, ours=False)
            self._add(child)
            if not child.running:
                self._see_end(child)

    def _see_end(self, child: Child) -> None:
        was_running = child.running
        if not child.reap():
            return
        self._wires.forget(child.pidfd)
        log = self._wires.logs[LAUNCHED if child.kind == LAUNCHER else child.place.rank]
        log.drain()
        if child.kind == SERVICE and (self._stopped_at or child.status == 0):
            return
        if child.kind == LAUNCHER:
            self._see_launcher_end(child, log)
            return
        report = find_report(self._folder.report(child.place.rank)) if child.kind == RANK else None
        end = End(child.place, child.status, report, child.ended_at, log.tail)
        end.service = child.name if child.kind == SERVICE else ""
        end.whole = self._prints and self._style == "launcher" and not end.service  # whose rank it was only the launcher knows
        self._note(end)
        assert was_running or not child.ours

    def _see_launcher_end(self, child: Child, log: LogPump | Sorter) -> None:
        """Those of its ranks that have not told of themselves are gone with it."""
        for each in [each for each in self._children if each.kind == RANK and each.running]:
            each.signal(processes.SIGKILL)
            each.running, each.ended_at = False, time.time()
            report, tail = find_report(self._folder.report(each.place.rank)), self._wires.logs[each.place.rank].tail
            self._note(End(each.place, None, report, each.ended_at, tail))
        reported = find_report(self._folder.report(0)) is not None
        if (child.status or not reported) and not any(end.is_bad for end in self._ends):
            end = End(child.place, child.status or 1 << 8, None, child.ended_at, log.tail)
            end.service = child.name
            self._note(end)

    def _note(self, end: End) -> None:
        end.stopped = bool(self._stopped_at) and (end.report is None or end.at > self._stopped_at)
        if end.status is not None and end.status & 0x7F == processes.SIGKILL and self._oom_before >= 0 and end.is_bad:
            end.oom_kills = self._oom_kills.read(0.0) - self._oom_before
        self._ends.append(end)
        if end.stopped or not (end.is_bad or end.is_skip):
            return
        patience = settle_s(end) if end.is_bad else _SKIP_S
        due = time.monotonic() + patience
        self._settle_at = min(self._settle_at, due) if self._settle_at else due

    def _patience_s(self) -> float | None:
        now = time.monotonic()
        moments = [moment for moment in (self._settle_at if not self._stopped_at else 0.0, self._kill_at, self._sampler.due_at) if moment]
        if self._gang.stall_timeout_s or self._is_anyone_coming():
            moments.append(now + min(_TICK_S, self._gang.stall_timeout_s or _TICK_S))
        if any(child.running and child.pidfd < 0 for child in self._children):
            moments.append(now + _CONNECT_S)
        return min(moments) - now if moments else None

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._settle_at and now >= self._settle_at and not self._stopped_at:
            self._stop_others()
        if self._kill_at and now >= self._kill_at:
            self._kill_at = 0.0
            self._signal_all(processes.SIGKILL)
        if self._sampler.due_at <= now:
            self._sampler.sample({c.place.rank: c.pid for c in self._children if c.running and c.kind == RANK})
        if not self._settle_at:
            self._look_for_stall(now)

    # Standing still

    def _is_anyone_coming(self) -> bool:
        return any(child.running and self._pulses.phase(child.place.rank) == COMING for child in self._children if child.kind != SERVICE)

    def _look_for_stall(self, now: float) -> None:
        ranks = [child for child in self._children if child.kind == RANK and child.running]
        expected = (
            self._places if self._style == "launcher" and any(c.kind == LAUNCHER for c in self._children) else [c.place for c in ranks]
        )
        absent = [place for place in expected if self._pulses.phase(place.rank) == COMING]
        if absent:
            if now - self._began > self._gang.start_timeout_s:
                self._stop_for_stall(absent, self._gang.start_timeout_s)
            return
        active = [child for child in ranks if self._pulses.phase(child.place.rank) == RUNNING]
        timeout = self._gang.stall_timeout_s
        if not timeout:
            return
        still = not active or now - max(self._pulses.beat_at(child.place.rank) for child in active) > timeout
        if len(self._here) < len(self._places):
            still = self._agree(still)
        if still and active:
            self._stop_for_stall([], timeout)

    def _agree(self, still: bool) -> bool:
        """Do the ranks of the other machines stand still as well? The pod's agent asks the server."""
        if still != self._is_still:
            self._is_still = still
            self._append(STILL, "1" if still else "0")
        return still and self._attempt.streams.size(f"{self._prefix}/{AGREED}") > 0

    def _stop_for_stall(self, absent: list[Place], waited_s: float) -> None:
        from fairway.step.gangstall import collect_stacks, explain_absence, explain_stall, find_straggler

        pids = {child.place.rank: child.pid for child in self._children if child.kind == RANK and child.running}
        stacks = collect_stacks(pids, self._folder)
        for rank, text in stacks.items():
            self._append(f"stacks.{rank}", text)
        origin = self._attempt.origin
        if absent:
            self._stalled = explain_absence(absent, stacks, origin, waited_s)
        else:
            active = {rank: text for rank, text in stacks.items() if self._pulses.phase(rank) == RUNNING} or stacks
            straggler = find_straggler(active, {rank: self._pulses.beat_at(rank) for rank in active})
            self._stalled = explain_stall(self._places[straggler], [self._places[rank] for rank in stacks], stacks, origin, waited_s)
        self._say(f"{self._stalled.message}, ending all\n{self._stalled.traceback.rstrip()}")
        self._has_said_why = True
        self._stop_others()

    # Ending

    def _stop_others(self) -> None:
        self._say_why()
        self._stopped_at = time.time()
        self._settle_at = self._settle_at or time.monotonic()
        self._kill_at = time.monotonic() + _GRACE_S
        self._signal_all(processes.SIGTERM)

    def _say_why(self) -> None:
        """Once: who failed first, and what becomes of the others."""
        first = first_of(self._ends)
        if first is None or self._has_said_why:
            return
        self._has_said_why = True
        running = [child for child in self._children if child.running and child.kind != SERVICE]
        others = f", ending the other{'s' if len(running) > 1 else ''}" if running else ""
        self._say(explain_shortly(first) + others)

    def _signal_all(self, number: int) -> None:
        for child in self._children:
            if child.kind != SERVICE:
                child.signal(number)

    def _give_up(self) -> None:
        """We were told to stop: they may clean up for as long as whoever told us lets us live. If that is nobody of ours, who would kill us
        then, for as long as an attempt may; `_close` kills those that do not listen."""
        self._stopped_at = self._stopped_at or time.time()
        self._signal_all(processes.SIGTERM)
        end = time.monotonic() + float(self._spec.context.get("grace_s", _PATIENT_S)) + _TICK_S
        while any(child.running and child.kind != SERVICE for child in self._children) and time.monotonic() < end:
            self._turn(_TICK_S)

    def _close(self) -> None:
        self._stopped_at = self._stopped_at or time.time()
        services = [child for child in self._children if self._serves(child)]
        for child in self._children:
            child.signal(processes.SIGTERM if child in services else processes.SIGKILL)
        end = time.monotonic() + _GRACE_S
        while any(child.running for child in self._children) and time.monotonic() < end + _GRACE_S:
            self._turn(_CONNECT_S)
            if time.monotonic() > end:
                for child in services:
                    child.signal(processes.SIGKILL)
        for child in self._children:
            child.close()
            self.used = processes.Use(self.used.rss_bytes + max(child.used.rss_bytes, self._peak_of(child)), 0.0)
        self._sampler.end(
            {child.place.rank: Ended(child.ended_at, child.used, child.pid) for child in self._children if child.kind == RANK}
        )
        left = processes.kill_children()
        reaches_out = self._style == "launcher" and len(set(self._world.hosts)) > 1  # by programs that end after it
        if left and not reaches_out and not any(end.is_bad for end in self._ends):
            self._say(f"ended {left} process{'es' if left > 1 else ''} that the ranks had left behind")
        self._wires.close()

    def _peak_of(self, child: Child) -> int:
        return self._sampler.peak_bytes.get(child.place.rank, 0) if child.kind == RANK else 0

    def _conclude(self) -> ItemOutcome:
        if self._stalled is not None:
            return ItemOutcome("failed", error=self._stalled)
        first = first_of(self._ends)
        if first is not None:
            return ItemOutcome("failed", error=explain(first, self._attempt.origin, self._ends))
        skipped = sorted((end for end in self._ends if end.is_skip), key=lambda end: end.place.rank)
        if skipped:
            assert skipped[0].report is not None
            return skipped[0].report.outcome
        reports = {end.place.rank: end.report for end in self._ends if end.report is not None}
        if not reports:
            return ItemOutcome("succeeded")  # this machine has lent itself, and nothing more
        self._say_if_alone(reports)
        if len(self._here) == len(self._places):
            self._say_what_is_unfinished()
        report = reports[min(reports)]
        self.metrics = mean_of(reports[rank].metrics for rank in sorted(reports))
        usage = self._attempt.usage
        usage.running_at = usage.running_at or report.running_at
        usage.writing_at = max(each.writing_at for each in reports.values())  # it trains until the last rank has ended its part
        return report.outcome

    def _say_if_alone(self, ranks: Collection[int]) -> None:
        """Once in the gang: that its ranks have trained apart. Nothing else would show it; the losses look well."""
        alone: str = getattr(self._row, "alone", "")
        if alone and len(self._places) > 1 and 0 in ranks and all(self._pulses.company(rank) == ALONE for rank in ranks):
            self._say(f"none of the {len(self._places)} ranks {alone}")

    def _say_what_is_unfinished(self) -> None:
        """Checkpoints in parts that some ranks never saved theirs of: the next try would begin before them, without a word."""
        spec, attempt = self._spec, self._attempt
        root = f"{attempt.home}/{CHECKPOINTS}/{spec.run}/{task_folder(spec.items[0].task)}"
        left = find_unfinished(find_saved(root), spec.n, attempt.usage.started_at) if os.path.isdir(root) else []
        if left:
            first, more = left[0], f"; nor are {len(left) - 1} later ones" if len(left) > 1 else ""
            self._say(
                f"the checkpoint of step {first.step} is not whole: {spell_ranks(first.lacking)} never saved their part of it{more}; "
                "with sharded=True every rank calls fw.checkpoint.save"
            )

    # Small things

    def _variables(self, place: Place) -> dict[str, str]:
        return variables_of(place, self._spec, self._world, self._row)

    def _serves(self, child: Child) -> bool:
        """It runs for others, and for as long as they do."""
        if child.kind != RANK:
            return child.kind == SERVICE
        serves = getattr(self._row, "serves", None)
        return serves is not None and serves(child.place, self._gang)

    def _add(self, child: Child) -> None:
        self._children.append(child)
        if child.pidfd >= 0:
            self._wires.watch(child.pidfd, child)

    def _append(self, stream: str, text: str) -> None:
        from fairway.step.attempt import append_quietly

        append_quietly(self._attempt.streams, f"{self._prefix}/{stream}", self._attempt.origin.mask(text).encode("utf-8", "replace"))

    def _say(self, text: str) -> None:
        """The leader's own words, into the attempt's own log."""
        os.write(1, f"fairway: {self._attempt.origin.mask(text)}\n".encode("utf-8", "replace"))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
