"""From zero to the first answer: an endpoint that has gone to sleep is asked once, with its libraries warm in a process without any model.

All is as a user has it: `fairway deploy --min 0` on the local server, boosted trees, a request to the gateway on a new connection.
"""

from __future__ import annotations

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bad import send
from benchmarks.serving.bench import models, rows
from benchmarks.serving.contenders import plain
from benchmarks.serving.place import Place, await_true
from benchmarks.session import Benchmark, Session

WARM = Bar("serving-zero", "nothing runs, libraries warm: from connecting to the whole answer", 60, "ms")
FAILED = Bar("serving-zero-failed", "first requests that were not answered with 200", 0, "errors")


def measure(session: Session) -> None:
    folder = models(session)
    place = Place(session.work / "zero", "risk", (str(session.fairway),))
    body = plain(rows(folder)[:1])
    try:
        place.run("deploy", str(folder / "fairway-hgb"), "--name", place.name, "--min", "0", "--idle", "1s", "--open")
        _measure(session, place, body)
    except (AssertionError, TimeoutError, OSError) as error:
        raise CommandError(str(error)[:300]) from error
    finally:
        place.close()


def _measure(session: Session, place: Place, body: bytes) -> None:
    times, processes, sizes = list[float](), list[float](), list[float]()
    failed = 0
    count = 5 if session.quick else 15
    for number in range(count + 1):
        session.talk(f"asleep {number} of {count}")
        await_true(lambda: _is_asleep(place), "an endpoint that sleeps with its libraries warm")
        sizes.append(place.view()["zygote_bytes"] / 1e6)
        answer = send(place.port, f"/{place.name}/predict", body)
        failed += answer.status != 200
        if number:  # the first is not counted: files are read from disk
            times.append(answer.seconds * 1000)
            processes += [(one["ready_at"] - one["began_at"]) * 1000 for one in place.replicas() if one.get("ready_at")]
    session.record(WARM.name, OURS, "ms", list(times), "" if len(times) == count else f"{count - len(times)} missing")
    session.record(FAILED.name, OURS, "errors", [float(failed)])
    session.record("zero: the replica's own start", OURS, "ms", list(processes))
    session.record("zero: the process that keeps the libraries warm", OURS, "MB", list(sizes))


def _is_asleep(place: Place) -> bool:
    view = place.view()
    return view["state"] == "idle" and not place.replicas() and view["zygote_bytes"] > 0


BENCHMARK = Benchmark("serving-zero", "from zero to the first answer", (WARM, FAILED), measure)
