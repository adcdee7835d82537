"""From nothing to the first right answer: a fresh server, beside a bare script that imports, loads and predicts."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import contenders, models, ours, started
from benchmarks.session import Benchmark, Session

FRESH = Bar("serving-start", "nothing warm: to the first answer, of a bare script's time", 1.2, "of bare")
_SAME_FILE = "import sys, numpy as np, fairway as fw; m = fw.Model.load(sys.argv[1] + '/fairway-hgb').estimator; "
_JOBLIB = "import sys, joblib, numpy as np; m = joblib.load(sys.argv[1] + '/hgb.joblib'); "
_PREDICT = "m.predict_proba(np.load(sys.argv[1] + '/rows.npy')[:1]); sys.stdout.write('x'); sys.stdout.flush()"


def measure(session: Session) -> None:
    folder = models(session)
    _, python = ours(session)
    found: dict[str, list[float]] = {}
    shares = list[float]()
    for number in range(4 if session.quick else 8):
        now = {"bare script, same file": _bare(python, _SAME_FILE, folder), "bare script, joblib": _bare(python, _JOBLIB, folder)}
        for contender, own in contenders(session):
            session.talk(contender.name)
            try:
                with started(session, contender, own, "hgb", core="0,1") as server:
                    now[contender.name] = server.first_answer_s
            except CommandError as error:
                session.record("first-answer", contender.name, "s", [], str(error)[:200])
        if not number:  # files are read from disk, sources compiled
            continue
        for name, value in now.items():
            found.setdefault(name, []).append(value)
        if OURS in now:
            shares.append(now[OURS] / now["bare script, same file"])
    for name, values in sorted(found.items(), key=lambda item: item[0] != OURS):
        session.record("first-answer", name, "s", list(values))
    session.record(FRESH.name, OURS, "of bare", list(shares))


def _bare(python: Path, load: str, folder: Path) -> float:
    """Seconds until a script that does nothing else has predicted; on the same cores, with the same variables."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = ["taskset", "-c", "0,1", str(python), "-W", "ignore", "-c", load + _PREDICT, str(folder)]
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}) as child:
        assert child.stdout is not None
        if not child.stdout.read(1):
            raise CommandError("the bare script does not predict")
        return time.perf_counter() - began


BENCHMARK = Benchmark("serving-start", "a model server from nothing", (FRESH,), measure)
