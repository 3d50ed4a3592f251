"""NVIDIA's management library, called directly: a sample takes microseconds and no process.

Source: docs.nvidia.com/deploy/nvml-api. Only functions that every driver since 2013 has are called.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional

LIBRARY = "libnvidia-ml.so.1"
MAX_DEVICES = 64
_SUCCESS = 0
_TEMPERATURE_GPU = 0


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Nvml:
    """The GPUs that the driver shows to this process. Not for a forked child: it opens its own."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._devices: list[ctypes.c_void_p] = []
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) == _SUCCESS:
            for index in range(min(count.value, MAX_DEVICES)):
                device = ctypes.c_void_p()
                if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) == _SUCCESS:
                    self._devices.append(device)

    @classmethod
    def open(cls, name: str = LIBRARY) -> Optional[Nvml]:
        """Return the library, ready, or None on a machine without it, without a driver or with a broken one."""
        try:
            library = ctypes.CDLL(name)
            if library.nvmlInit_v2() != _SUCCESS:
                return None
            return cls(library)
        except (OSError, AttributeError):
            return None

    def sample(self) -> dict[str, float]:
        """Return what each GPU does at this moment; a value that a GPU does not tell is left out."""
        values: dict[str, float] = {}
        for index, device in enumerate(self._devices):
            prefix = f"system/gpu.{index}."
            utilization, memory, number = _Utilization(), _Memory(), ctypes.c_uint()
            if self._ask("nvmlDeviceGetUtilizationRates", device, utilization):
                values[prefix + "utilization"] = float(utilization.gpu)
            if self._ask("nvmlDeviceGetMemoryInfo", device, memory):
                values[prefix + "memory_mb"] = memory.used / 1e6
            if self._library.nvmlDeviceGetTemperature(device, _TEMPERATURE_GPU, ctypes.byref(number)) == _SUCCESS:
                values[prefix + "temperature"] = float(number.value)
            if self._ask("nvmlDeviceGetPowerUsage", device, number):
                values[prefix + "power_w"] = number.value / 1000
        return values

    def cuda_version(self) -> Optional[str]:
        """Return the newest CUDA version that the driver takes, such as ``12.4``."""
        number = ctypes.c_int()
        try:
            if self._library.nvmlSystemGetCudaDriverVersion(ctypes.byref(number)) != _SUCCESS:
                return None
        except AttributeError:  # a driver from before 2018
            return None
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def _ask(self, function: str, device: ctypes.c_void_p, answer: Any) -> bool:
        return bool(getattr(self._library, function)(device, ctypes.byref(answer)) == _SUCCESS)
