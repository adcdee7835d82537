"""Requests a second and how long each takes: one row alone, one row from 64 callers, a hundred rows; boosted trees and a model that does
nothing; one worker on one core, beside others' servers in the same run."""

from __future__ import annotations

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import Server, contenders, models, ours, rows, started
from benchmarks.session import Benchmark, Session

ALONE = Bar("serving-identity-1", "identity, one JSON row, one caller: median", 250, "µs")
MANY = Bar("serving-identity-64", "identity, 64 callers: time for a request, of FastAPI's", 0.5, "of fastapi")
TREES = Bar("serving-trees-1", "boosted trees, one caller, batching on: median, of FastAPI's", 1.15, "of fastapi")
TREES_MANY = Bar("serving-trees-64", "boosted trees, 64 callers: time for a request, of FastAPI's", 0.125, "of fastapi")
TREES_P99 = Bar("serving-trees-64-p99", "boosted trees, 64 callers: p99", 15, "ms")
HUNDRED = Bar("serving-trees-100", "boosted trees, 100 rows, 8 callers: time for a row, of FastAPI's", 0.5, "of fastapi")
FAILED = Bar("serving-failed", "requests that were not answered with 200", 0, "errors")
MEMORY = Bar("serving-memory", "memory of the server with one worker and scikit-learn, after the load", 170, "MB")
SECOND = Bar("serving-memory-2", "private memory of a second worker", 20, "MB")


_COMPARED = (OURS, "fastapi")
"""Measured in each round: bars are shares of one by the other. The rest stand beside them, and are measured in the first round only."""


def measure(session: Session) -> None:
    models(session)
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(1 if session.quick else 3):
        for model in ("identity", "hgb"):
            for contender, python in contenders(session):
                if number and contender.name not in _COMPARED:
                    continue
                session.talk(f"{contender.name} {model}")
                seconds = 4.0 if contender.name in _COMPARED and not session.quick else 2.0
                try:
                    with started(session, contender, python, model) as server:
                        for key, value in _figures(server, seconds, model).items():
                            found.setdefault((key, contender.name), []).append(value)
                except CommandError as error:
                    session.record(f"serving-{model}", contender.name, "", [], str(error)[:200])
    for (figure, name), values in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != OURS)):
        if figure != "failed":
            session.record(describe(figure), name, _UNITS[figure.rpartition("/")[2]], list(values))
    _judge(session, found)


def describe(figure: str) -> str:
    """ "boosted trees, 100 rows, 8 callers: p50" of "hgb-100x8/p50"."""
    shape, _, what = figure.partition("/")
    model, _, sizes = shape.partition("-")
    title = {"hgb": "boosted trees"}.get(model, model)
    if sizes:
        rows_, _, callers = sizes.partition("x")
        title += f", {rows_} row{'s' * (rows_ != '1')}, {callers} caller{'s' * (callers != '1')}"
    return f"{title}: {_SAID.get(what, what)}"


_UNITS = {"p50": "µs", "p99": "µs", "cpu": "µs", "per_s": "rows/s", "memory": "MB"}
_SAID = {"cpu": "CPU for a request", "per_s": "rows"}


def _figures(server: Server, seconds: float, model: str) -> dict[str, float]:
    data = rows(server.setting.models)
    made: dict[str, float] = {}
    shapes = ((1, 1), (1, 64), (100, 8)) if model == "hgb" else ((1, 1), (1, 64))
    failed = 0
    for count, connections in shapes:
        body = server.contender.body(data[:count])
        server.load(body, connections, 1)
        load = server.load(body, connections, seconds)
        name = f"{model}-{count}x{connections}"
        made |= {f"{name}/per_s": load.per_s * count, f"{name}/p50": load.p50_us, f"{name}/p99": load.p99_us, f"{name}/cpu": load.cpu_us}
        failed += load.failed
    made["failed"] = float(failed)
    if model == "hgb":
        made["hgb/memory"] = server.memory_mb
    return made


def _judge(session: Session, found: dict[tuple[str, str], list[float]]) -> None:
    """Everybody's as a share of FastAPI's, round by round."""
    names = dict.fromkeys([OURS, *(name for _, name in found)])

    def share(figure: str, name: str, *, per_s: bool) -> list[float | None]:
        pairs = zip(found.get((figure, name), []), found.get((figure, "fastapi"), []), strict=False)
        return [theirs / mine if per_s else mine / theirs for mine, theirs in pairs]

    for name in names:
        session.record(ALONE.name, name, "µs", list(found.get(("identity-1x1/p50", name), [])))
        session.record(MANY.name, name, "of fastapi", share("identity-1x64/per_s", name, per_s=True))
        session.record(TREES.name, name, "of fastapi", share("hgb-1x1/p50", name, per_s=False))
        session.record(TREES_MANY.name, name, "of fastapi", share("hgb-1x64/per_s", name, per_s=True))
        session.record(TREES_P99.name, name, "ms", [value / 1000 for value in found.get(("hgb-1x64/p99", name), [])])
        session.record(HUNDRED.name, name, "of fastapi", share("hgb-100x8/per_s", name, per_s=True))
        session.record(FAILED.name, name, "errors", list(found.get(("failed", name), [])))
        session.record(MEMORY.name, name, "MB", list(found.get(("hgb/memory", name), [])))
    _second_worker(session)


def _second_worker(session: Session) -> None:
    """How much more memory of its own two workers take than one."""
    contender, python = ours(session)
    sizes = list[float]()
    for workers in (1, 2):
        with started(session, contender, python, "hgb", workers=workers, core="0,1") as server:
            server.load(server.contender.body(rows(server.setting.models)[:1]), 64, 3)
            sizes.append(server.memory_mb)
    session.record(SECOND.name, OURS, "MB", [sizes[1] - sizes[0]])


BENCHMARK = Benchmark(
    "serving-requests",
    "a model server under load, beside others",
    (ALONE, MANY, TREES, TREES_MANY, TREES_P99, HUNDRED, FAILED, MEMORY, SECOND),
    measure,
)
