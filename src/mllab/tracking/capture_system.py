"""Samples of what the machine and this process do: CPU, memory, disk, network, GPU.

All names begin with ``system/``. Percentages are of the time since the sample before (or since the sampler was made);
``process_cpu_percent`` is 100 for one busy core and counts this process alone. Megabytes are 10^6 bytes; those of disk
and network count from the moment the sampler was made, for the whole machine (or network namespace).
``memory_percent`` is of the machine or of the container's limit, whichever is nearer to killing the process.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Optional

from mllab.tracking.capture_cgroup import MemoryGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.tracking.capture_gpu import Nvml

# The kernel counts CPU time in hundredths of a second: over a shorter time a percentage means nothing.
MIN_INTERVAL_S = 0.05
_SECTOR = 512
_MB = 1e6
_LISTS = ("diskstats", "self/net/dev")
_NOT_A_DISK = re.compile(rb"(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d")


class Sampler:
    """Takes samples; make one a process, and another one in a forked child.

    Args:
        proc: where the kernel's files are; without them, as on macOS, fewer values come from elsewhere.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._disks = _whole_disks()
        self._memory_group = MemoryGroup(proc=os.path.join(proc, "self"))
        self._gpu: Optional[Nvml] = None
        self._looked_for_gpu = False
        self._time = time.monotonic()
        self._busy, self._total = self._cpu()
        self._process_s = _process_seconds()
        self._disk_start = self._disk()
        self._net_start = self._net()

    def sample(self) -> dict[str, float]:
        """Return the present values; what this machine does not tell is left out. Takes about 0.1 ms; never raises."""
        values: dict[str, float] = {}
        for part in (self._sample_cpu, self._sample_memory, self._sample_counters, self._sample_gpu):
            try:
                part(values)
            except (OSError, ValueError, IndexError, KeyError):
                continue  # a file of another form than the kernel documents
        return values

    def _sample_cpu(self, values: dict[str, float]) -> None:
        now = time.monotonic()
        elapsed = now - self._time
        if elapsed < MIN_INTERVAL_S:
            return
        seconds = _process_seconds()
        values["system/process_cpu_percent"] = 100.0 * max(0.0, seconds - self._process_s) / elapsed
        self._time, self._process_s = now, seconds
        busy, total = self._cpu()
        if total > self._total:
            # Idle time may step back a little between CPUs going to sleep.
            share = 100.0 * (busy - self._busy) / (total - self._total)
            values["system/cpu_percent"] = min(100.0, max(0.0, share))
        elif not total:
            values["system/cpu_percent"] = min(100.0, 100.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
        self._busy, self._total = busy, total

    def _sample_memory(self, values: dict[str, float]) -> None:
        resident = self._read("self/statm").split()
        if resident:
            values["system/process_memory_mb"] = int(resident[1]) * self._page / _MB
        else:
            values["system/process_memory_mb"] = _peak_memory() / _MB
        shares = []
        used = self._memory_group.used_bytes()
        if used is not None and self._memory_group.limit:
            shares.append(min(100.0, 100.0 * used / self._memory_group.limit))
        total = available = 0
        for line in self._read("meminfo").split(b"\n", 4):
            if line.startswith(b"MemTotal:"):
                total = int(line.split()[1])
            elif line.startswith(b"MemAvailable:"):
                available = int(line.split()[1])
        if total:
            shares.append(100.0 * (total - available) / total)
        if shares:
            values["system/memory_percent"] = max(shares)

    def _sample_counters(self, values: dict[str, float]) -> None:
        names = ("disk_read_mb", "disk_write_mb", "net_sent_mb", "net_recv_mb")
        start = (*self._disk_start, *self._net_start)
        now = (*self._disk(), *self._net())
        if any(now):
            # A counter that was reset, or a device that went away, must not count backwards.
            for name, first, last in zip(names, start, now):  # noqa: B905  # strict= came with Python 3.10
                values[f"system/{name}"] = max(0, last - first) / _MB

    def _sample_gpu(self, values: dict[str, float]) -> None:
        if not self._looked_for_gpu:
            # Starting the library may take a second: that is for the first sample, not for start_run.
            self._looked_for_gpu = True
            if sys.platform == "linux":
                from mllab.tracking.capture_gpu import Nvml

                self._gpu = Nvml.open()
        if self._gpu is not None:
            values.update(self._gpu.sample())

    def _read(self, name: str) -> bytes:
        """Return a file of /proc, empty when there is none."""
        try:
            descriptor = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            data = os.read(descriptor, 1 << 16)
            if name in _LISTS:
                # The kernel hands out long lists a page at a time, whatever one asks for.
                while True:
                    more = os.read(descriptor, 1 << 16)
                    if not more:
                        break
                    data += more
            return data
        finally:
            os.close(descriptor)

    def _cpu(self) -> tuple[int, int]:
        """Return the ticks that all CPUs were busy, and all ticks; zeros when unknown."""
        fields = [int(field) for field in self._read("stat").split(b"\n", 1)[0].split()[1:9]]
        if len(fields) < 5:
            return 0, 0
        total = sum(fields)
        return total - fields[3] - fields[4], total  # idle and waiting for a disk are not busy

    def _disk(self) -> tuple[int, int]:
        """Return the bytes read from and written to all disks."""
        read = written = 0
        for line in self._read("diskstats").splitlines():
            fields = line.split(None, 10)
            if len(fields) > 9 and (fields[2] in self._disks or (not self._disks and not _NOT_A_DISK.match(fields[2]))):
                read += int(fields[5])
                written += int(fields[9])
        return read * _SECTOR, written * _SECTOR

    def _net(self) -> tuple[int, int]:
        """Return the bytes sent and received by all interfaces but the loopback."""
        sent = received = 0
        for line in self._read("self/net/dev").splitlines()[2:]:
            name, _, rest = line.partition(b":")
            if name.strip() != b"lo":
                fields = rest.split()
                received += int(fields[0])
                sent += int(fields[8])
        return sent, received


def _whole_disks() -> frozenset[bytes]:
    """Return the devices that are whole disks: counting their partitions, or what lies on top, would count twice."""
    try:
        names: Sequence[str] = os.listdir("/sys/block")
    except OSError:
        return frozenset()
    return frozenset(name.encode() for name in names if not _NOT_A_DISK.match(name.encode()))


def _process_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _peak_memory() -> int:
    """Return the most memory the process ever had, in bytes: all that POSIX offers."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
