"""Other tools, each with its natural way to write the same pipelines: where their side is found, how it is started, how they are installed.

Their files aren't part of this project: a folder with `PEER/hello.py`, `PEER/pipe.py`, … is found through `--peer-files` or the variable
FAIRWAY_BENCH_PEERS. Each peer has an environment of its own below `--peer-environments`, made by `python -m benchmarks peers install`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process import Command

ROOT = Path(__file__).parents[1]
FILES = Path(os.environ.get("FAIRWAY_BENCH_PEERS", "") or ROOT.parent / "shared/bench/pipelines")
ENVIRONMENTS = Path(__file__).parent / ".peers"

QUIET = {
    "DO_NOT_TRACK": "1",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "METAFLOW_USER": "benchmark",
    "USER": "benchmark",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
}
"""No peer calls home from a benchmark."""


@dataclass(frozen=True)
class Peer:
    """One way to run one tool. `distribution` and `module`: what is installed and imported; "" for the physical limits, which need none.

    `words(python, mode, count)`: what is started, or () if it has no such mode. `variables(mode, count)`: its variables, with "{home}" for
    its folder. `fresh`: files in its folder that are removed before each run, so that nothing is found done; `folder`: where its files are.
    """

    name: str
    distribution: str = ""
    module: str = ""
    folder: str = ""
    words: Callable[[str, str, int], Sequence[str]] = field(default=lambda _python, _mode, _count: ())
    variables: Callable[[str, int], Mapping[str, str]] = field(default=lambda _mode, _count: {})
    needs: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    prepare: Callable[[str, str, int], Sequence[str]] = field(default=lambda _python, _mode, _count: ())

    @property
    def environment(self) -> str:
        """The name of its environment: one tool may be run in two ways."""
        return self.folder or self.name


def _script(modes: str, *more: str, hello: bool = True) -> Callable[[str, str, int], Sequence[str]]:
    """`hello.py` for hello, `pipe.py MODE N` for the modes named."""

    def words(python: str, mode: str, count: int) -> Sequence[str]:
        if mode == "hello":
            return (python, "hello.py") if hello else (python, "pipe.py", "chain", "2", *more)
        return (python, "pipe.py", mode, str(count), *more) if mode in modes.split() else ()

    return words


def _metaflow(python: str, mode: str, count: int) -> Sequence[str]:
    fan = (python, "fan.py", "run", "--n", str(count), "--max-num-splits", str(count), "--max-workers", "2")
    return {
        "hello": (python, "hello.py", "run"),
        "chain": (python, f"chain{count}.py", "run"),
        "fan": fan,
        "big": (python, "big.py", "run"),
        "bigint": (python, "big.py", "run", "--kind", "int"),
        "fail": (python, "fail.py", "run"),
    }.get(mode, ())


def _dagster(python: str, mode: str, _count: int) -> Sequence[str]:
    job = "chain" if mode == "bigint" else mode
    file = ("hello.py",) if mode == "hello" else ("pipe.py", "-a", job)
    known = mode in ("hello", "chain", "fan", "big", "bigint", "fail")
    return (str(Path(python).parent / "dagster"), "job", "execute", "-f", *file) if known else ()


def _flytekit(python: str, mode: str, _count: int) -> Sequence[str]:
    file = ("hello.py", "hello") if mode == "hello" else ("pipe.py", {"cache": "chain", "bigint": "chain"}.get(mode, mode))
    return (
        (str(Path(python).parent / "pyflyte"), "run", *file) if mode in ("hello", "chain", "fan", "big", "bigint", "cache", "fail") else ()
    )


def _flyte(python: str, mode: str, count: int) -> Sequence[str]:
    if mode == "hello":
        return (str(Path(python).parent / "flyte"), "run", "--local", "hello.py", "hello")
    job = {"cache": "chain", "bigint": "chain"}.get(mode, mode)
    return (python, "pipe.py", job, str(count)) if mode in ("chain", "fan", "big", "bigint", "cache", "fail") else ()


def _count(mode: str, count: int) -> Mapping[str, str]:
    return {"N": str(count), **({"CACHE": "1"} if mode == "cache" else {})}


PEERS = (
    Peer("bare pool", folder="bare", words=_script("chain fan big bigint", "pool", hello=False)),
    Peer("bare fresh", folder="bare", words=_script("chain fan", "fresh", hello=False)),
    Peer(
        "luigi",
        "luigi",
        "luigi",
        words=_script("chain fan big bigint cache fail", "out"),
        needs=("numpy",),
        fresh=("out", "a.txt", "b.txt"),
    ),
    Peer("joblib", "joblib", "joblib", words=_script("chain fan cache big", hello=False), needs=("numpy",)),
    Peer("hamilton", "sf-hamilton", "hamilton", words=_script("chain fan cache big bigint fail resume"), needs=("numpy",)),
    Peer(
        "metaflow",
        "metaflow",
        "metaflow",
        words=_metaflow,
        needs=("numpy",),
        prepare=lambda python, mode, count: (python, "gen_chain.py", str(count)) if mode == "chain" else (),
    ),
    Peer("kfp", "kfp", "kfp", words=_script("chain fan big bigint cache fail"), needs=("numpy",)),
    Peer("dask", "distributed", "distributed", words=_script("chain fan big bigint fail"), needs=("numpy", "dask")),
    Peer("prefect", "prefect", "prefect", words=_script("chain fan big bigint cache fail"), needs=("numpy",)),
    Peer(
        "dagster", "dagster", "dagster", words=_dagster, variables=lambda _m, n: {"N": str(n), "DAGSTER_HOME": "{home}"}, needs=("numpy",)
    ),
    Peer(
        "dagster in process",
        "dagster",
        "dagster",
        folder="dagster",
        words=lambda python, mode, count: () if mode == "hello" else _dagster(python, mode, count),
        variables=lambda _mode, count: {"N": str(count), "DAGSTER_HOME": "{home}", "EX": "in"},
        needs=("numpy",),
    ),
    Peer("flytekit", "flytekit", "flytekit", words=_flytekit, variables=_count, needs=("pandas", "pyarrow")),
    Peer("flyte", "flyte", "flyte", words=_flyte, variables=_count, needs=("pandas", "pyarrow")),
    Peer(
        "zenml",
        "zenml",
        "zenml",
        words=_script("chain fan big bigint cache fail"),
        variables=lambda _mode, _count: {"ZENML_CONFIG_PATH": "{home}/config"},
        needs=("zenml[local]", "pandas", "numpy"),
    ),
    Peer("ray", "ray", "ray", words=_script("chain fan big bigint fail"), needs=("numpy",)),
)


@dataclass
class Peers:
    """The peers that take part: `wanted` names, or None for all of them."""

    files: Path = FILES
    environments: Path = ENVIRONMENTS
    wanted: Sequence[str] | None = None

    def find_python(self, peer: Peer) -> Path | None:
        """Its interpreter; None if it isn't installed. The physical limits take ours."""
        python = self.environments / peer.environment / "bin/python" if peer.distribution else Path(sys.executable)
        return python if python.exists() and (self.files / peer.environment).is_dir() else None

    def present(self) -> list[Peer]:
        """Those wanted that can run here."""
        return [peer for peer in PEERS if self._is_wanted(peer) and self.find_python(peer)]

    def absent(self) -> list[str]:
        """Those wanted that cannot."""
        return [peer.name for peer in PEERS if self._is_wanted(peer) and not self.find_python(peer)]

    def _is_wanted(self, peer: Peer) -> bool:
        return self.wanted is None or peer.name in self.wanted or peer.environment in self.wanted

    def command(self, peer: Peer, mode: str, count: int, work: Path, *, again: bool = False) -> Command | None:
        """Its pipeline of that mode, in its own copy of its files below `work`; None if it has none. `again`: what is done stays done."""
        python = self.find_python(peer)
        words = peer.words(str(python), mode, count) if python else ()
        if not words:
            return None
        folder = work / peer.name.replace(" ", "-")
        if not folder.exists():
            shutil.copytree(self.files / peer.environment, folder)
        variables = {k: v.replace("{home}", str(folder)) for k, v in peer.variables(mode, count).items()}
        first = peer.prepare(str(python), mode, count)
        if first:
            subprocess.run(first, cwd=folder, check=True)

        def clean() -> None:
            for name in peer.fresh:
                path = folder / name
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            if "out" in peer.fresh:
                (folder / "out").mkdir()

        clean()
        return Command(words, folder, {**QUIET, **variables}, before=None if again else clean, timeout_s=240.0)


def install(names: Sequence[str], environments: Path) -> int:
    """Make the environments of the peers named; returns how many could not be made."""
    known = {peer.environment: peer for peer in PEERS if peer.distribution}
    failed = 0
    for name in names or known:
        if name not in known:
            print(f"there is no peer {name!r}; there are {', '.join(known)}", file=sys.stderr)
            failed += 1
            continue
        peer, folder = known[name], environments / name
        print(f"installing {name} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        done = subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", peer.distribution, *peer.needs], check=False)
        if done.returncode:
            shutil.rmtree(folder)
            print(f"{name} could not be installed", file=sys.stderr)
            failed += 1
    return failed
