"""From nothing to the first right answer: a fresh server, beside a bare script that imports, loads and predicts."""

from __future__ import annotations

import subprocess
import time

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import contenders, models, started
from benchmarks.serving.contenders import CONTENDERS, find_python
from benchmarks.session import Benchmark, Session

FRESH = Bar("serving-start", "nothing warm: to the first answer, of a bare script's time", 1.2, "of bare")
_SAME_FILE = "import sys, numpy as np, fairway as fw; m = fw.Model.load(sys.argv[1] + '/fairway-hgb').estimator; "
_JOBLIB = "import sys, joblib, numpy as np; m = joblib.load(sys.argv[1] + '/hgb.joblib'); "
_PREDICT = "m.predict_proba(np.load(sys.argv[1] + '/rows.npy')[:1]); sys.stdout.write('x'); sys.stdout.flush()"


def measure(session: Session) -> None:
    folder = models(session)
    ours = find_python(session.peers.environments, CONTENDERS[0])
    if ours is None:
        raise CommandError("our own environment is not installed: python -m benchmarks peers install serving-fairway")

    def bare(load: str) -> float:
        began = time.perf_counter()
        with subprocess.Popen([str(ours), "-W", "ignore", "-c", load + _PREDICT, str(folder)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.read(1)
            return time.perf_counter() - began

    bare(_SAME_FILE)
    found: dict[str, list[float]] = {}
    shares = list[float]()
    for _ in range(3 if session.quick else 9):
        found.setdefault("bare script, same file", []).append(bare(_SAME_FILE))
        found.setdefault("bare script, joblib", []).append(bare(_JOBLIB))
        for contender, python in contenders(session):
            session.talk(contender.name)
            try:
                with started(session, contender, python, "hgb", core="0,1") as server:
                    found.setdefault(contender.name, []).append(server.first_answer_s)
            except CommandError as error:
                session.record("first-answer", contender.name, "s", [], str(error)[:200])
        shares.append(found[OURS][-1] / found["bare script, same file"][-1])
    for name, values in sorted(found.items(), key=lambda item: item[0] != OURS):
        session.record("first-answer", name, "s", list(values))
    session.record(FRESH.name, OURS, "of bare", list(shares))


BENCHMARK = Benchmark("serving-start", "a model server from nothing", (FRESH,), measure)
