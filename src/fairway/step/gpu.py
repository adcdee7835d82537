"""What NVIDIA devices of this machine do now, by the driver's own library (NVML), which is there wherever the driver is.

Nothing is installed or linked: `libnvidia-ml.so.1` is opened when first asked. Where it is not, there are no devices to tell of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ctypes

LIBRARY = "libnvidia-ml.so.1"
_NAME_BYTES = 96

Sample = tuple[int, int, int, int]
"""Number of the device, how busy it was (percent), bytes of its memory in use, bytes it has."""


class Devices:
    """The devices that NVML knows. Raises OSError where there is no driver. `close` lets them go."""

    def __init__(self, library: str = "") -> None:
        import ctypes

        self._c = ctypes
        self._nvml = ctypes.CDLL(library or LIBRARY)
        self._check(self._nvml.nvmlInit_v2())
        count = ctypes.c_uint()
        self._check(self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)))
        self._handles = [self._find(number) for number in range(count.value)]

    def __len__(self) -> int:
        return len(self._handles)

    def name(self, number: int) -> str:
        """Such as "NVIDIA H100 80GB HBM3"."""
        return self._text("nvmlDeviceGetName", number)

    def uuid(self, number: int) -> str:
        """Such as "GPU-8a1c…"."""
        return self._text("nvmlDeviceGetUUID", number)

    def sample(self, numbers: Sequence[int] | None = None) -> list[Sample]:
        """These devices as they are now, all if left out. One that does not answer (it fell off the bus, it is a slice) is left out."""
        found: list[Sample] = []
        for number in range(len(self)) if numbers is None else numbers:
            if not 0 <= number < len(self):
                continue
            memory = (self._c.c_ulonglong * 3)()  # total, free, used
            if self._nvml.nvmlDeviceGetMemoryInfo(self._handles[number], memory):
                continue
            rates = (self._c.c_uint * 2)()  # share of the last moments with work, share with memory traffic
            busy = 0 if self._nvml.nvmlDeviceGetUtilizationRates(self._handles[number], rates) else int(rates[0])
            found.append((number, busy, int(memory[2]), int(memory[0])))
        return found

    def close(self) -> None:
        """Let the library go."""
        self._nvml.nvmlShutdown()

    def _find(self, number: int) -> ctypes.c_void_p:
        handle = self._c.c_void_p()
        self._check(self._nvml.nvmlDeviceGetHandleByIndex_v2(self._c.c_uint(number), self._c.byref(handle)))
        return handle

    def _text(self, call: str, number: int) -> str:
        text = self._c.create_string_buffer(_NAME_BYTES)
        self._check(getattr(self._nvml, call)(self._handles[number], text, self._c.c_uint(_NAME_BYTES)))
        return text.value.decode("utf-8", "replace")

    def _check(self, status: int) -> None:
        if status:
            raise OSError(f"NVML answers {status}")


_known: list[Devices | None] = []


def find_devices() -> Devices | None:
    """The machine's devices, looked for once; None where there is no driver."""
    if not _known:
        try:
            _known.append(Devices())
        except (OSError, AttributeError):
            _known.append(None)
    return _known[0]


def forget_devices() -> None:
    """Look anew the next time: for a process that was forked, and for tests."""
    _known.clear()


def visible(environment: Mapping[str, str], devices: Devices) -> list[int]:
    """Numbers of the devices that a process with this environment may use, by CUDA_VISIBLE_DEVICES (numbers or the beginnings of UUIDs)."""
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return list(range(len(devices)))
    found: list[int] = []
    for word in (part.strip() for part in said.split(",")):
        named = (n for n in range(len(devices)) if word and devices.uuid(n).startswith(word))
        number = int(word) if word.isdecimal() else next(named, -1)
        if not 0 <= number < len(devices):
            break  # CUDA sees nothing behind one that is not there, either
        found.append(number)
    return found


def sample_devices(environment: Mapping[str, str] | None = None) -> list[Sample]:
    """What the devices that this process (or one with `environment`) may use do now; [] where there are none."""
    devices: Any = find_devices()
    return devices.sample(visible(os.environ if environment is None else environment, devices)) if devices is not None else []
