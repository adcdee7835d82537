"""What NVIDIA devices of this machine do now, by the driver's own library (NVML), which is there wherever the driver is.

Nothing is installed or linked: `libnvidia-ml.so.1` is opened when first asked. Where it is not, there are no devices to tell of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ctypes

LIBRARY = "libnvidia-ml.so.1"
_NAME_BYTES = 96

_NOT_AVAILABLE = (1 << 64) - 1
_PROCESSES = 64

Sample = tuple[int, int, int, int]
"""Number of the device, how busy it was (percent; -1: it does not tell), bytes of its memory in use, bytes it has. Of a device whose
processes are known by number the bytes in use are those of the one that is asked for."""


class Devices:
    """The devices that NVML knows; instead of one that is cut into slices (MIG) these. Raises OSError where there is no driver. `close`
    lets them go."""

    def __init__(self, library: str = "") -> None:
        import ctypes

        self._c = ctypes
        self._nvml = ctypes.CDLL(library or LIBRARY)
        self._check(self._nvml.nvmlInit_v2())
        count = ctypes.c_uint()
        self._check(self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)))
        self._handles: list[Any] = []
        for number in range(count.value):
            handle = ctypes.c_void_p()
            if self._nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)):
                handle = None  # it is lost, or this user may not use it
            slices = self._slices(handle) if handle is not None else []
            self._handles += slices or [handle]

    def __len__(self) -> int:
        return len(self._handles)

    def name(self, number: int) -> str:
        """Such as "NVIDIA H100 80GB HBM3"."""
        return self._text("nvmlDeviceGetName", number)

    def uuid(self, number: int) -> str:
        """Such as "GPU-8a1c…"."""
        return self._text("nvmlDeviceGetUUID", number)

    def sample(self, numbers: Sequence[int] | None = None, pid: int = 0) -> list[Sample]:
        """These devices as they are now, all if left out. One that does not answer (it fell off the bus, it may not be seen) is left out.
        `pid`: whose memory on them is asked for; where the driver does not tell (other containers), it is all that is in use."""
        found: list[Sample] = []
        for number in range(len(self)) if numbers is None else numbers:
            if not 0 <= number < len(self) or self._handles[number] is None:
                continue
            memory = (self._c.c_ulonglong * 3)()  # total, free, used
            if self._nvml.nvmlDeviceGetMemoryInfo(self._handles[number], memory):
                continue
            rates = (self._c.c_uint * 2)()  # share of the last moments with work, share with memory traffic
            busy = -1 if self._nvml.nvmlDeviceGetUtilizationRates(self._handles[number], rates) else int(rates[0])
            own = self._memory_of(self._handles[number], pid) if pid else 0
            found.append((number, busy, own or int(memory[2]), int(memory[0])))
        return found

    def close(self) -> None:
        """Let the library go."""
        self._nvml.nvmlShutdown()

    def _slices(self, handle: ctypes.c_void_p) -> list[ctypes.c_void_p]:
        """The slices (MIG) into which the device is cut; [] if it is whole. A device that is cut is used only by its slices."""
        count, found = self._c.c_uint(), []
        ask = getattr(self._nvml, "nvmlDeviceGetMaxMigDeviceCount", None)  # not in drivers before 450
        if ask is None or ask(handle, self._c.byref(count)):
            return []
        for index in range(count.value):
            piece = self._c.c_void_p()
            if not self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, self._c.c_uint(index), self._c.byref(piece)):
                found.append(piece)
        return found

    def _memory_of(self, handle: ctypes.c_void_p, pid: int) -> int:
        """Bytes that the process uses there; 0 if that is not known."""
        ask = getattr(self._nvml, "nvmlDeviceGetComputeRunningProcesses_v3", None)  # not in drivers before 510
        count, size = self._c.c_uint(_PROCESSES), 24
        data = self._c.create_string_buffer(_PROCESSES * size)
        if ask is None or ask(handle, self._c.byref(count), data):
            return 0
        for at in range(0, min(count.value, _PROCESSES) * size, size):
            if int.from_bytes(data.raw[at : at + 4], sys.byteorder) == pid:
                used = int.from_bytes(data.raw[at + 8 : at + 16], sys.byteorder)
                return 0 if used == _NOT_AVAILABLE else used
        return 0

    def _text(self, call: str, number: int) -> str:
        if self._handles[number] is None:
            return ""
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
