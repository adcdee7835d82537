"""`python -m benchmarks.seed FOLDER [--runs 100000]`: a project that has seen so many runs of twelve pipelines, to measure lists and pages.

A few runs are really made there, one for each pipeline and way to end. Then their journals are copied, with other ids, times, parameters,
metrics, users and tags, in large transactions. Of 100,000 runs ten million metric points are written: some runs have 100,000.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.spec.attempt import attempt_id
from fairway.spec.event import AttemptPlanned, RunLabelled, address
from fairway.spec.layout import DATABASE, STREAMS
from fairway.spec.ports import run_now
from fairway.spec.record import Record, record, replace
from fairway.spec.summary import RunSummary
from fairway.store import wire
from fairway.store.runs import new_run_id
from fairway.store.sqlite import SqliteJournal, pause
from fairway.store.sqlite_listing import write_listing

SOURCE = Path(__file__).parent / "pipelines/seeded.py"
PIPELINES = (
    *("churn", "fraud", "housing", "credit_risk", "ranking", "forecast"),
    *("segments", "speech", "vision", "spam", "pricing", "recommend"),
)
FAULTS = ("column", "memory", "nan", "service")
USERS = ("ann", "bob", "chen", "dora", "nightly")
TAGS = ("baseline", "nightly", "release", "sweep", "wide", "draft")
MODELS = ("forest", "boosting", "linear", "mlp", "transformer")
NOTES = (
    "more trees than last time",
    "after the new labels came in",
    "for the Friday review",
    "do not use: leaked target",
    "as in the paper",
)
DAYS = 400
_TRANSACTION = 2000
_SENTINEL = re.compile(r'"@([A-Z]+):([^"]*)@"')


@record
class Template(Record):
    """A run that really was: `batches` of (first event, last event, text in parts), each part as it is or (kind, argument)."""

    run: str
    summary: RunSummary
    took_s: float
    batches: tuple[tuple[int, int, tuple[Any, ...]], ...]
    attempts: dict[str, tuple[str, int]]  # id -> (name within the run, number)
    scored: tuple[str, ...]  # attempts whose metrics are the run's


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=0, help="metric points in all; 100 for each run unless given")
    options = parser.parse_args(argv)
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(SOURCE, folder / SOURCE.name)
    began = time.monotonic()
    templates = make_templates(folder)
    print(f"{len(templates)} runs were made in {time.monotonic() - began:.0f} s; they are copied now", flush=True)
    multiply(folder / ".fairway", templates, options.runs, options.points or 100 * options.runs)
    print(f"{folder}: {options.runs:,} runs in {time.monotonic() - began:.0f} s")
    return 0


def make_templates(folder: Path) -> list[Template]:
    """Run each pipeline to each of its ends, and read the journals."""
    for n, name in enumerate(PIPELINES):
        faults = ["", FAULTS[n % 4], FAULTS[(n + 1) % 4]]
        for fault in faults:
            _run(folder, name, "--fault", fault)
        _run(folder, name, "--fault", "slow", "--timeout", "1s")
        if n % 4 == 0:
            _run_and_cancel(folder, name)
    journal = SqliteJournal(folder / ".fairway" / DATABASE)
    found = [_read_template(journal, summary) for summary in run_now(journal.summaries(limit=0))]
    run_now(journal.close())
    return found


def _run(folder: Path, pipeline: str, *options: str) -> None:
    words = [sys.executable, "-m", "fairway", "run", f"{SOURCE.name}:{pipeline}", "--no-cache", *options]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{pipeline} cannot be run: {done.stderr}")


def _run_and_cancel(folder: Path, pipeline: str) -> None:
    words = [sys.executable, "-m", "fairway", "run", f"{SOURCE.name}:{pipeline}", "--no-cache", "--fault", "slow"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = SqliteJournal(folder / ".fairway" / DATABASE)
    while not (found := run_now(journal.summaries(status="running", limit=1))) or found[0].counts.get("running", 0) < 1:
        if process.poll() is not None:
            raise SystemExit(f"{pipeline} ended before it could be cancelled")
        run_now(pause(0.05))
    run_now(journal.close())
    process.send_signal(signal.SIGINT)
    process.wait(30)


def _read_template(journal: SqliteJournal, summary: RunSummary) -> Template:
    run, attempts, scored = summary.run, dict[str, tuple[str, int]](), list[str]()
    for _, event in run_now(journal.read(run)):
        if isinstance(event, AttemptPlanned):
            attempts[event.attempt] = (_spell(event), event.n)
            if event.node == "evaluate":
                scored.append(event.attempt)
    batches: list[tuple[int, int, tuple[Any, ...]]] = []
    for first, text in run_now(journal.read_text(run)):
        events = wire.parse_json(text)
        marked = [[name, _mark(fields, summary.started_at, name, scored)] for name, fields in events]
        batches.append((first, first + len(events) - 1, tuple(_split(wire.render_json(marked), run, attempts))))
    return Template(run, summary, summary.ended_at - summary.started_at, tuple(batches), attempts, tuple(scored))


def _spell(event: AttemptPlanned) -> str:
    """What the attempt's id is made of: see `engine.plan.name_attempt`."""
    first = address(event.scope, event.node, event.items[0])
    if len(event.items) == 1:
        return first
    return f"{first}+{len(event.items) - 1}:{hashlib.sha256(repr(tuple(event.items)).encode()).hexdigest()[:12]}"


def _mark(value: Any, began_at: float, name: str, scored: list[str], key: str = "") -> Any:
    """The same data with marks for what is to be another in each copy."""
    if isinstance(value, dict):
        out = {inner: _mark(item, began_at, name, scored, inner) for inner, item in value.items()}
        if name == "RunStarted" and not key and "params" in value:
            return {
                **out,
                **{
                    field: f"@{field.replace('_', '').upper()}:@" for field in ("params", "created_by", "tags", "name", "project", "target")
                },
            }
        if name == "AttemptEnded" and value.get("attempt") in scored and "metrics" in value:
            out["metrics"] = f"@METRICS:{value['attempt']}@"
        return out
    if isinstance(value, list):
        return [_mark(item, began_at, name, scored, "[]") for item in value]
    if isinstance(value, float) and (key == "at" or key.endswith("_at")) and value > 1e9:
        return f"@T:{value - began_at!r}@"
    if isinstance(value, float) and key in ("wall_s", "cpu_s"):
        return f"@S:{value!r}@"
    return value


def _split(text: str, run: str, attempts: dict[str, Any]) -> Iterator[Any]:
    pattern = re.compile("|".join([_SENTINEL.pattern, re.escape(run), *map(re.escape, attempts)]))
    at = 0
    for found in pattern.finditer(text):
        yield text[at : found.start()]
        yield (found[1], found[2]) if found[1] else ("RUN", "") if found[0] == run else ("ATTEMPT", found[0])
        at = found.end()
    yield text[at:]


def multiply(home: Path, templates: list[Template], runs: int, points: int) -> None:
    """Write copies of the templates, and take the templates themselves away."""
    rng = random.Random(4)
    journal = SqliteJournal(home / DATABASE)
    for template in templates:
        run_now(journal.delete_run(template.run))
    run_now(journal.close())
    by_end: dict[tuple[str, str], list[Template]] = {}
    for template in templates:
        by_end.setdefault((template.summary.pipeline, template.summary.status), []).append(template)
    db = sqlite3.connect(home / DATABASE, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    curves = _share_points(runs, points)
    now = time.time()
    ids = set[str]()
    for n in range(runs):
        if n % _TRANSACTION == 0:
            db.execute("COMMIT" if n else "SELECT 1")
            db.execute("BEGIN IMMEDIATE")
            if sys.stderr.isatty():
                print(f"\r{n:,}", end="", file=sys.stderr)
        started_at = now - 1800 - (runs - n) * DAYS * 86400 / runs + rng.random() * 60
        pipeline, end = rng.choices(PIPELINES, range(20, 8, -1))[0], _choose_end(rng)
        copy = Copy(rng, rng.choice(by_end.get((pipeline, end)) or by_end[pipeline, "timeout"]), started_at, ids)
        copy.write(db)
        copy.write_streams(home / STREAMS, curves.get(n, 0), logs=n >= runs - 500)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _choose_end(rng: random.Random) -> str:
    return rng.choices(("succeeded", "failed", "timeout", "cancelled"), (87, 9, 2, 2))[0]


def _share_points(runs: int, points: int) -> dict[int, int]:
    """Number of a run -> its points: sixty hundredths in runs of 100,000, the rest in runs of 5,000; the newest run has the most."""
    long = max(1, points * 6 // 10 // 100_000)
    short = max(1, points * 4 // 10 // 5_000)
    out = {int(runs - 2 - i * (runs - 2) / short) % runs: 5_000 for i in range(short)}
    return out | {int(runs - 1 - i * (runs - 1) / long): 100_000 for i in range(long)}


class Copy:
    """One copy of a template, with its own id, times and values."""

    def __init__(self, rng: random.Random, template: Template, started_at: float, ids: set[str]) -> None:
        self.rng, self.template = rng, template
        self.run = new_run_id(started_at)
        while self.run in ids:
            self.run = new_run_id(started_at)
        ids.add(self.run)
        pace = 30 * (1 + PIPELINES.index(template.summary.pipeline)) * rng.lognormvariate(0, 0.25)
        self.pace = pace / template.took_s
        self.attempts = {old: attempt_id(self.run, name, n) for old, (name, n) in template.attempts.items()}
        old = template.summary
        project = rng.choices(("shop", "bank", "lab"), (8, 1, 1))[0]
        user = rng.choice(USERS)
        score = min(0.999, max(0.5, rng.gauss(0.8, 0.07)))
        values = {
            "auc": score,
            "accuracy": score - rng.random() / 20,
            "f1": score - rng.random() / 10,
            "loss": 1.2 - score + rng.random() / 50,
        }
        tags = tuple(rng.sample(TAGS, rng.choices((0, 1, 2), (6, 3, 1))[0]))
        self.summary = replace(
            old,
            run=self.run,
            project=project,
            target=rng.choices(("local", "campus"), (8, 2))[0],
            created_by=user,
            name=f"{old.pipeline}-{int(started_at) % 10000:04}" if rng.random() < 0.1 else "",
            tags=(*tags, f"sweep-{rng.randrange(50)}") if rng.random() < 0.1 else tags,
            note=rng.choice(NOTES) if rng.random() < 0.05 else "",
            archived=rng.random() < 0.02,
            started_at=started_at,
            ended_at=started_at + pace,
            params={
                **old.params,
                "rows": rng.choice((1000, 10_000, 50_000)),
                "learning_rate": round(10 ** rng.uniform(-4, 0), 5),
                "model": rng.choice(MODELS),
            },
            metrics={name: round(value, 6) for name, value in values.items()} if template.scored and old.metrics else {},
        )

    def write(self, db: sqlite3.Connection) -> None:
        """All rows of the run's journal."""
        summary = self.summary
        label = None
        if summary.note or summary.archived:
            label = RunLabelled(summary.ended_at + 60, summary.created_by, note=summary.note or None, archived=summary.archived or None)
        head = self.template.batches[-1][1]
        sql = "INSERT INTO runs (run, head, summary) VALUES (?, ?, ?)"
        no = db.execute(sql, (self.run, head + (label is not None), wire.render_summary(summary))).lastrowid or 0
        rows = [(no << 32 | last, first, f"{self.run}-{first}", self._text(parts)) for first, last, parts in self.template.batches]
        if label:
            rows.append((no << 32 | head + 1, head + 1, f"{self.run}-label", wire.render_events([label])))
        db.executemany("INSERT INTO batches (id, first, batch, events) VALUES (?, ?, ?, ?)", rows)
        write_listing(db, no, summary, None)

    def _text(self, parts: tuple[Any, ...]) -> str:
        return "".join(part if isinstance(part, str) else self._fill(*part) for part in parts)

    def _fill(self, kind: str, about: str) -> str:
        if kind == "T":
            return repr(self.summary.started_at + float(about) * self.pace)
        if kind == "S":
            return repr(float(about) * self.pace)
        if kind == "RUN":
            return self.run
        if kind == "ATTEMPT":
            return self.attempts[about]
        if kind == "METRICS":
            return json.dumps(self.summary.metrics)
        if kind == "PARAMS":
            return json.dumps({name: _inline(value) for name, value in self.summary.params.items()})
        fields = {"CREATEDBY": "created_by", "TAGS": "tags", "NAME": "name", "PROJECT": "project", "TARGET": "target"}
        return json.dumps(getattr(self.summary, fields[kind]))

    def write_streams(self, streams: Path, points: int, *, logs: bool) -> None:
        """What the attempts have printed, if `logs`, and so many points of the training that ran longest."""
        folder = streams / self.run
        old = streams / self.template.run
        if logs:
            for path in old.glob("*/*"):
                if path.parent.name in self.attempts:
                    to = folder / self.attempts[path.parent.name] / path.name
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)
        if points:
            to = folder / (self.attempts[self.template.scored[-1]] if self.template.scored else next(iter(self.attempts.values())))
            to.mkdir(parents=True, exist_ok=True)
            with open(to / "metrics", "w") as file:
                file.writelines(self._points(points))

    def _points(self, count: int) -> Iterator[str]:
        at, step_s, noise = self.summary.started_at, (self.summary.ended_at - self.summary.started_at) / count, self.rng.random
        for n in range(count):
            loss = 1 / (1 + n * 40 / count) + noise() / 20
            yield f'[{at + n * step_s:.3f},{n},{{"loss":{loss:.5f},"auc":{1 - loss / 2:.5f}}}]\n'


def _inline(value: Any) -> dict[str, Any]:
    """A small artifact that travels inside its reference."""
    text = json.dumps(value, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"digest": digest, "size_bytes": len(text), "format": "json", "type": type(value).__name__, "inline": text}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
