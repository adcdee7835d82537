"""What code runs in here: interpreter, machine, C library, processor, installed packages; and which variables the user's code reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from fairway.engine.machine import distributions
from fairway.engine.parity import Side, Variable
from fairway.engine.release import find_version
from fairway.spec.record import from_plain

_LEVELS = (
    (2, {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}),
    (3, {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}),
    (4, {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)
_LONGEST_SOURCE = 2_000_000


def describe_here() -> dict[str, Any]:
    """The fields of a `Side` for this process, as JSON. Its packages are those of the interpreter: what `fairway up` brought lies apart."""
    return {
        "fairway": find_version(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "machine": {"arm64": "aarch64", "AMD64": "x86_64"}.get(os.uname().machine, os.uname().machine),
        "libc": _libc(),
        "cpu_level": _cpu_level(),
        "packages": distributions(),
    }


def side_of(plain: Mapping[str, Any]) -> Side:
    """The side that `describe_here` described elsewhere; what is missing is not known."""
    return from_plain(Side, {"fairway": "", "python": "", **plain})


def find_variables(folder: str) -> list[Variable]:
    """Environment variables that the Python files below `folder` read by name, the required ones first."""
    found: dict[str, Variable] = {}
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(parent, name)
            if name.endswith(".py") and os.path.getsize(path) <= _LONGEST_SOURCE:
                for one in _read_variables(path, os.path.relpath(path, folder)):
                    if one.name not in found or (one.required and not found[one.name].required):
                        found[one.name] = one
    return sorted(found.values(), key=lambda one: (not one.required, one.name))


def _read_variables(path: str, shown: str) -> Iterator[Variable]:
    import ast

    with open(path, "rb") as file:
        source = file.read()
    if b"environ" not in source and b"getenv" not in source:
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a file that is taken along, and that nobody imports
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load):
            name, required = node.slice, True
        elif isinstance(node, ast.Call) and node.args and _reads_environ(node.func):
            name, required = node.args[0], False
        else:
            continue
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield Variable(name.value, f"{shown}:{node.lineno}", required)


def _is_environ(node: Any) -> bool:
    """`os.environ`, or `environ` as it was imported."""
    return getattr(node, "attr", getattr(node, "id", "")) == "environ"


def _reads_environ(function: Any) -> bool:
    """`os.getenv`, `getenv`, `os.environ.get`."""
    name = getattr(function, "attr", getattr(function, "id", ""))
    return name == "getenv" or (name == "get" and _is_environ(getattr(function, "value", None)))


def _libc() -> str:
    try:
        found = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        found = ""
    if found or sys.platform != "linux":
        return found
    import sysconfig

    return "musl 1.2" if "musl" in (sysconfig.get_config_var("SOABI") or "") else ""


def _cpu_level() -> int:
    """Which level of x86-64 the processor is, 0 if it is another."""
    if os.uname().machine not in ("x86_64", "AMD64"):
        return 0
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return 0
    flags, level = set(line.split()), 1
    if "abm" in flags:
        flags.add("lzcnt")
    for number, needed in _LEVELS:
        if not needed <= flags:
            break
        level = number
    return level if line else 0
