"""A thousand rows of 23 floats as a binary tensor of the Open Inference Protocol, sent by the real tritonclient."""

from __future__ import annotations

import json
import subprocess

from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.serving.bench import contenders, models, started
from benchmarks.session import Benchmark, Session

TREES = Bar("serving-tensors-trees", "boosted trees: time for a row, of KServe's", 1 / 3, "of kserve")
IDENTITY = Bar("serving-tensors-identity", "identity: time for a row, of KServe's", 0.1, "of kserve")
_ASKING = ROOT / "benchmarks/serving/tensors.py"  # run by an environment that has tritonclient; nothing here imports it
_FIGURES = {"hgb": "binary tensors, boosted trees: rows", "identity": "binary tensors, identity: rows"}
_SPEAK = ("fairway", "kserve", "mlserver")


def measure(session: Session) -> None:
    client = session.peers.environments / "serving-triton/bin/python"
    if not client.exists():
        raise CommandError("the client is not installed: python -m benchmarks peers install serving-triton")
    seconds = 2.0 if session.quick else 6.0
    folder = models(session)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(1 if session.quick else 3):
        for model in ("identity", "hgb"):
            for contender, python in contenders(session):
                if contender.name not in _SPEAK:
                    continue
                output = ["predict_proba"] if contender.name == "mlserver" and model == "hgb" else []
                try:
                    with started(session, contender, python, model) as server:
                        port = str(server.setting.port)
                        words = ["taskset", "-c", "1", str(client), str(_ASKING), port, str(seconds), model]
                        done = subprocess.run([*words, str(folder), *output], capture_output=True, text=True, timeout=120, check=False)
                        said = json.loads(done.stdout) if done.returncode == 0 else {}
                        if not said.get("right"):
                            raise CommandError(f"no right answer: {(done.stderr.strip().splitlines() or ['wrong numbers'])[-1][:200]}")
                        found.setdefault((model, contender.name), []).append(said["rows_s"])
                except CommandError as error:
                    session.record(_FIGURES[model], contender.name, "rows/s", [], str(error))
    for (model, name), values in sorted(found.items(), key=lambda item: item[0][1] != OURS):
        session.record(_FIGURES[model], name, "rows/s", list(values))
    for bar, model in ((TREES, "hgb"), (IDENTITY, "identity")):
        for name in _SPEAK:
            pairs = list(zip(found.get((model, name), []), found.get((model, "kserve"), []), strict=False))
            if pairs:
                session.record(bar.name, name, "of kserve", [theirs / mine for mine, theirs in pairs])


BENCHMARK = Benchmark("serving-tensors", "binary tensors", (TREES, IDENTITY), measure)
