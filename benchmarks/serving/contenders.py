"""Who serves the models, how each is started, what it is sent and how its answer is read.

Each has an environment of its own, `serving-NAME`, made by `python -m benchmarks peers install serving-NAME`; ours too, so that nothing is
in it but the serving extra and scikit-learn. The peers' own programs are found in `../serving` beside the pipelines of `--peer-files`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import OURS
from benchmarks.peers import QUIET, ROOT

SKLEARN = ("scikit-learn", "joblib", "pandas", "numpy")
Argv = Callable[["Setting"], Sequence[str]]


@dataclass(frozen=True)
class Setting:
    """One start: `model` is "hgb", "identity" or "heavy"; `models` the folder of `models.py`; `work` one of its own."""

    model: str
    port: int
    workers: int
    batching: bool
    python: Path
    files: Path
    models: Path
    work: Path

    def tool(self, name: str) -> str:
        return str(self.python.with_name(name))


def plain(rows: list[list[float]]) -> bytes:
    return json.dumps({"data": rows}).encode()


def v2(rows: list[list[float]]) -> bytes:
    data = [value for row in rows for value in row]
    return json.dumps({"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": data}]}).encode()


def v2_probabilities(rows: list[list[float]]) -> bytes:
    return json.dumps({**json.loads(v2(rows)), "outputs": [{"name": "predict_proba"}]}).encode()


def _first_plain(answer: Any) -> float:
    value = answer["predictions"][0] if isinstance(answer, dict) else answer[0]
    return float(value[-1] if isinstance(value, list) else value)


def _first_v2(answer: Any) -> float:
    output = answer["outputs"][0]
    return float(output["data"][(output["shape"][1] if len(output["shape"]) > 1 else 1) - 1])


@dataclass(frozen=True)
class Contender:
    """`argv` starts it; `path`, `body` and `first` (the last column of the first answer) are its protocol; `installs`: what its environment
    takes; `batches`: it can join requests, and does where the setting says so."""

    name: str
    argv: Argv
    installs: tuple[str, ...]
    path: str = "/predict"
    body: Callable[[list[list[float]]], bytes] = plain
    first: Callable[[Any], float] = _first_plain
    batches: bool = False

    @property
    def environment(self) -> str:
        return "serving-fairway" if self.name == OURS else f"serving-{self.name}"


def _ours(setting: Setting) -> Sequence[str]:
    folder = setting.models / f"fairway-{setting.model}"
    options = {"method": "predict_proba"} if setting.model == "hgb" else {"batch": True}
    return (
        str(setting.python), "-m", "fairway.serve.replica", str(folder), "--port", str(setting.port), "--name", "m",
        "--workers", str(setting.workers), "--options", json.dumps(options),
    )  # fmt: skip


def _fastapi(setting: Setting) -> Sequence[str]:
    return (
        setting.tool("uvicorn"), "--app-dir", str(setting.files), "--host", "127.0.0.1", "--port", str(setting.port), "--workers",
        str(setting.workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "fastapi_app:app",
    )  # fmt: skip


def _mlserver(setting: Setting) -> Sequence[str]:
    folder = setting.work / "mlserver"
    (folder / "m").mkdir(parents=True, exist_ok=True)
    parallel = setting.workers if setting.workers > 1 else 0
    settings = {"host": "127.0.0.1", "http_port": setting.port, "grpc_port": setting.port + 1, "metrics_port": setting.port + 2}
    settings |= {"debug": False, "parallel_workers": parallel, "metrics_endpoint": None}
    (folder / "settings.json").write_text(json.dumps(settings))
    model: dict[str, Any] = {"name": "m", "implementation": "identity_runtime.Identity"}
    if setting.model != "identity":
        uri = str(setting.models / f"{setting.model}.joblib")
        model = {"name": "m", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": uri}}
    if setting.batching:
        model |= {"max_batch_size": 64, "max_batch_time": 0.002}
    (folder / "m/model-settings.json").write_text(json.dumps(model))
    return (setting.tool("mlserver"), "start", str(folder))


def _kserve(setting: Setting) -> Sequence[str]:
    script = str(setting.files / "kserve_app.py")
    return (str(setting.python), script, "--http_port", str(setting.port), "--workers", str(setting.workers), "--enable_grpc", "false")


def _bentoml(setting: Setting) -> Sequence[str]:
    return (setting.tool("bentoml"), "serve", "bentoml_svc:Scorer", "--host", "127.0.0.1", "--port", str(setting.port))


def _litserve(setting: Setting) -> Sequence[str]:
    return (str(setting.python), str(setting.files / "litserve_app.py"), str(setting.port), str(setting.workers))


CHECKS = ("{fairway}[serve]", "pydantic", "fastjsonschema", "jsonschema-rs", "orjson")
"""What `serving-checks` takes: ways to check a row."""
CONTENDERS = (
    Contender(OURS, _ours, ("{fairway}[serve]", "scikit-learn", "skops"), batches=True),
    Contender("fastapi", _fastapi, ("fastapi", "uvicorn", "uvloop", "httptools", "orjson", *SKLEARN)),
    Contender("mlserver", _mlserver, ("mlserver", "mlserver-sklearn", *SKLEARN), "/v2/models/m/infer", v2_probabilities, _first_v2, True),
    Contender("kserve", _kserve, ("kserve", *SKLEARN), "/v2/models/m/infer", v2, _first_v2),
    Contender("bentoml", _bentoml, ("bentoml", *SKLEARN), batches=True),
    Contender("litserve", _litserve, ("litserve", *SKLEARN), batches=True),
)


def variables(setting: Setting) -> Mapping[str, str]:
    """The environment of a start: quiet, one thread for each numeric library, the peers' models where they look for them."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and name != "PYTHONPATH"}
    return kept | QUIET | {
        "PEER_MODEL": setting.model, "PEER_FILE": str(setting.models / f"{setting.model}.joblib"), "PEER_WORKERS": str(setting.workers),
        "PEER_BATCHING": "1" if setting.batching else "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": "" if "fairway" in setting.python.parts[-3] else str(setting.files), "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_CONFIG": str(setting.files / "bentoml.yaml"), "BENTOML_HOME": str(setting.work / "bentoml"),
        "UVICORN_ACCESS_LOG": "false",
    }  # fmt: skip


def find_python(environments: Path, contender: Contender) -> Path | None:
    """The interpreter of its environment, None if it is not installed."""
    python = environments / contender.environment / "bin/python"
    return python if python.exists() else None


def install(names: Sequence[str], environments: Path, known: Mapping[str, Sequence[str]] | None = None) -> int:
    """Make the environments named, of those `known` (all `serving-…`) with what each takes; returns how many could not be made."""
    if known is None:
        known = {contender.environment: contender.installs for contender in CONTENDERS}
        known = known | {"serving-triton": ("tritonclient[http]", "numpy"), "serving-checks": CHECKS}
    failed = 0
    for name in names:
        if name not in known:
            print(f"there is no {name!r}; there are {', '.join(known)}", file=sys.stderr)
            failed += 1
            continue
        folder = environments / name
        print(f"installing {name} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        wanted = [text.replace("{fairway}", str(ROOT)) for text in known[name]]
        failed += _pip(folder / "bin/python", *wanted)
    return failed


def refresh(python: Path) -> bool:
    """Put this checkout's code into an environment that holds an older copy of it; False if that fails."""
    return not _pip(python, "--force-reinstall", "--no-deps", str(ROOT))


def _pip(python: Path, *words: str) -> bool:
    """True if it failed. What building our wheel leaves in the checkout goes again: the next wheel would have files that are no more."""
    before = set((ROOT / "build").glob("*"))
    failed = bool(subprocess.run([python, "-m", "pip", "install", "--quiet", *words], stdout=subprocess.DEVNULL, check=False).returncode)
    for path in set((ROOT / "build").glob("*")) - before:
        if path.name == "lib" or path.name.startswith("bdist."):
            shutil.rmtree(path, ignore_errors=True)
    return failed
