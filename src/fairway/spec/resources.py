"""What places a task: resources asked for, retry policy; and the parsers of their human spellings."""

from __future__ import annotations

import re

from fairway.errors import DefinitionError
from fairway.spec.record import Record, field, record

_MEMORY = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kKMGTP]i?|)B?\s*$")
_ENDLESS = float("inf")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@record
class Resources(Record):
    """cpu in cores; memory, disk and shared memory in bytes (0: not asked); accelerators by resource name -> count. `model` (a GPU's, as
    its node is labelled: "NVIDIA-H100-80GB-HBM3", or a part of it: "H100") and `topology` (a TPU slice's: "2x4") say which accelerator."""

    cpu: float = 1.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    accelerators: dict[str, int] = field(default_factory=dict)
    model: str = ""
    topology: str = ""
    shared_memory_bytes: int = 0


@record
class Retry(Record):
    """How often and when a failed item is tried again.

    `attempts` counts all tries (1 = no retry). The wait before try n+1 is
    `min(cap_s, backoff_s * factor ** (n - 1))`, less up to `jitter` of itself, drawn from the attempt's id.
    `kinds`: retry only these error kinds: exception class names ("ConnectionError"), or "timeout", "oom",
    "crash", "lost", "exit:75"; empty means all but definition errors and cancellation. Infrastructure losses are
    retried apart from this count, up to `lost_attempts`.
    """

    attempts: int = 1
    backoff_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.5
    kinds: tuple[str, ...] = ()
    lost_attempts: int = 3


def parse_memory(value: str | int | float) -> int:
    """Bytes from "512Mi", "1.5G", "2GiB" or a number of bytes. Raises DefinitionError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < _ENDLESS:
            raise DefinitionError(f"memory cannot be negative or endless: {value}", hint='write "512Mi" or "2Gi"')
        return int(value)
    match = _MEMORY.match(value) if isinstance(value, str) else None
    if match is None:
        raise DefinitionError(f"not an amount of memory: {value!r}", hint='write "512Mi", "2Gi" or a number of bytes')
    number, unit = float(match[1]), match[2]
    base = 1024 if unit.endswith("i") else 1000
    power = " kMGTP".index(unit[0].replace("K", "k")) if unit else 0
    if number * base**power == _ENDLESS:
        raise DefinitionError(f"not an amount of memory: {value!r}", hint='write "512Mi", "2Gi" or a number of bytes')
    return int(number * base**power)


def parse_duration(value: str | int | float) -> float:
    """Seconds from "90s", "10m", "1h30m", "250ms" or a number of seconds. Raises DefinitionError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = value.strip() if isinstance(value, str) else ""
        parts = _DURATION.findall(text)
        if not parts or "".join(f"{n}{u}" for n, u in parts) != text.replace(" ", ""):
            raise DefinitionError(f"not a duration: {value!r}", hint='write "90s", "10m", "1h30m" or a number of seconds')
        seconds = sum(float(n) * _SECONDS[u] for n, u in parts)
    if not 0 < seconds < _ENDLESS:
        raise DefinitionError(f"a duration must be above zero, and end: {value!r}", hint='write "90s", "10m" or "1h30m"')
    return seconds
