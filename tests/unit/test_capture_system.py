"""Samples: of this machine, of one made of files, and of GPUs that a small C library pretends to have."""

from __future__ import annotations

import math
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mllab.tracking import capture_gpu, capture_system
from mllab.tracking.capture_gpu import Nvml
from mllab.tracking.capture_system import Sampler

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
DISK = "8 0 sda 1 0 {read} 0 1 0 {written} 0 0 0 0\n8 1 sda1 1 0 {read} 0 1 0 {written} 0 0 0 0\n7 0 loop0 1 0 999 0 1 0 999 0\n"
NET = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
    "    lo: 5000000 1 0 0 0 0 0 0 5000000 1 0 0 0 0 0 0\n"
    "  eth0:{received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
)


class Machine:
    """A /proc of files whose time passes when told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = 100.0
        self.seconds = 0.0
        (folder / "self/net").mkdir(parents=True)
        self.write("stat", "cpu  1000 0 0 9000 0 0 0 0 0 0\ncpu0 1 1\n")
        self.write("meminfo", "MemTotal:  1000000 kB\nMemFree:  1 kB\nMemAvailable:  250000 kB\nBuffers: 5 kB\n")
        self.write("self/statm", "9999 2000 1 1 0 1 0")
        self.write("diskstats", DISK.format(read=1000, written=2000))
        self.write("self/net/dev", NET.format(sent=3_000_000, received=4_000_000))
        monkeypatch.setattr(capture_system, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(capture_system, "_process_seconds", lambda: self.seconds)
        monkeypatch.setattr(capture_system, "_whole_disks", lambda: frozenset({b"sda"}))
        monkeypatch.setattr(Nvml, "open", classmethod(lambda cls: None))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "proc", monkeypatch)


def test_values_are_of_the_time_since_the_last_sample(machine: Machine) -> None:
    sampler = Sampler(str(machine.folder))
    machine.now += 10
    machine.seconds = 15.0
    machine.write("stat", "cpu  1100 50 50 9600 200 0 0 0 0 0\n")
    machine.write("diskstats", DISK.format(read=1000 + 4000, written=2000 + 8000))
    machine.write("self/net/dev", NET.format(sent=5_500_000, received=14_000_000))
    assert sampler.sample() == {
        "system/cpu_percent": 20.0,
        "system/process_cpu_percent": 150.0,
        "system/memory_percent": 75.0,
        "system/process_memory_mb": 2000 * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "system/disk_read_mb": 4000 * 512 / 1e6,
        "system/disk_write_mb": 8000 * 512 / 1e6,
        "system/net_sent_mb": 2.5,
        "system/net_recv_mb": 10.0,
    }
    machine.now += 10
    machine.write("stat", "cpu  1600 50 50 10100 200 0 0 0 0 0\n")
    sample = sampler.sample()
    assert sample["system/cpu_percent"] == 50.0
    assert sample["system/process_cpu_percent"] == 0.0
    assert sample["system/net_recv_mb"] == 10.0


def test_a_moment_is_too_short_for_a_percentage(machine: Machine) -> None:
    sampler = Sampler(str(machine.folder))
    machine.now += 0.01
    first = sampler.sample()
    assert "system/cpu_percent" not in first
    assert "system/process_cpu_percent" not in first
    assert first["system/disk_read_mb"] == 0.0
    machine.now += 1.0
    machine.seconds = 0.5
    assert sampler.sample()["system/process_cpu_percent"] == pytest.approx(100 * 0.5 / 1.01)


def test_counters_that_step_back_are_no_negative_values(machine: Machine) -> None:
    sampler = Sampler(str(machine.folder))
    machine.now += 10
    machine.write("stat", "cpu  900 0 0 9500 0 0 0 0 0 0\n")
    machine.write("diskstats", DISK.format(read=1, written=1))
    machine.write("self/net/dev", NET.format(sent=1, received=1))
    sample = sampler.sample()
    assert sample["system/cpu_percent"] == 0.0
    assert {sample[f"system/{name}"] for name in ("disk_read_mb", "disk_write_mb", "net_sent_mb", "net_recv_mb")} == {
        0.0
    }


def test_a_containers_limit_counts_when_it_is_nearer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(str(machine.folder))
    monkeypatch.setattr(sampler._memory_group, "limit", 1000)
    monkeypatch.setattr(sampler._memory_group, "used_bytes", lambda: 900)
    assert sampler.sample()["system/memory_percent"] == 90.0
    monkeypatch.setattr(sampler._memory_group, "used_bytes", lambda: 100)
    assert sampler.sample()["system/memory_percent"] == 75.0


def test_files_of_another_form_cost_only_their_own_values(machine: Machine) -> None:
    sampler = Sampler(str(machine.folder))
    machine.now += 10
    machine.write("meminfo", "MemTotal: many kB\n")
    machine.write("self/net/dev", "x\ny\n eth0: 1 2\n")
    assert "system/process_cpu_percent" in sampler.sample()
    machine.write("stat", "cpu x y\n")
    assert sampler.sample().keys() == {"system/process_memory_mb"}


def test_without_proc_posix_tells_a_little(machine: Machine, tmp_path: Path) -> None:
    sampler = Sampler(str(tmp_path / "missing"))
    machine.now += 10
    machine.seconds = 5.0
    sample = sampler.sample()
    assert sample.keys() == {"system/cpu_percent", "system/process_cpu_percent", "system/process_memory_mb"}
    assert sample["system/process_cpu_percent"] == 50.0
    assert 0 <= sample["system/cpu_percent"] <= 100
    factor = 1 if sys.platform == "darwin" else 1024
    assert sample["system/process_memory_mb"] >= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor / 1e6 / 2


def test_long_lists_are_read_to_their_end(machine: Machine) -> None:
    sampler = Sampler(str(machine.folder))
    lines = "".join(f" veth{n}: 1000000 0 0 0 0 0 0 0 2000000 0 0 0 0 0 0 0\n" for n in range(3000))
    machine.write("self/net/dev", "x\ny\n" + lines)
    assert sampler._net() == (3000 * 2_000_000, 3000 * 1_000_000)


@LINUX
def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_system, "MIN_INTERVAL_S", 0.0)
    sampler = Sampler()
    sum(range(200_000))
    sample = sampler.sample()
    assert sample.keys() >= {"system/process_cpu_percent", "system/memory_percent", "system/process_memory_mb"}
    assert all(math.isfinite(value) and value >= 0 for value in sample.values())
    assert sample["system/memory_percent"] <= 100
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    assert sample["system/process_memory_mb"] == pytest.approx(resident, rel=0.2)


@LINUX
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_samples_itself() -> None:
    Sampler().sample()
    ballast = b"x" * 40_000_000
    child = os.fork()
    if child == 0:
        status = 1
        try:
            more = bytearray(60_000_000)
            more[::4096] = b"x" * len(more[::4096])
            status = 0 if Sampler().sample()["system/process_memory_mb"] > 60 else 2
        finally:
            os._exit(status)
    _, result = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(result) == 0
    assert len(ballast) == 40_000_000


# -- GPUs ----------------------------------------------------------------------------------------------------------

LIBRARY = r"""
typedef void *device;
static int devices[3];
int nvmlInit_v2(void) { return INIT; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *out) { *out = &devices[index]; return index == 2 ? 15 : 0; }
static int index_of(device d) { return (int *)d - devices; }
int nvmlDeviceGetUtilizationRates(device d, unsigned *rates) { rates[0] = 90 + index_of(d); rates[1] = 7; return 0; }
int nvmlDeviceGetMemoryInfo(device d, unsigned long long *m) { m[0] = 80000000000ULL; m[1] = 1; m[2] = 12345000000ULL; return 0; }
int nvmlDeviceGetTemperature(device d, int sensor, unsigned *out) { *out = 60 + sensor; return 0; }
int nvmlDeviceGetPowerUsage(device d, unsigned *out) { *out = 250500; return index_of(d) == 1 ? 3 : 0; }
int nvmlSystemGetCudaDriverVersion(int *out) { *out = 12040; return 0; }
"""


def library(folder: Path, init: int = 0, source: str = LIBRARY) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc: not installed")
    (folder / "nvml.c").write_text(source)
    path = folder / f"libnvml{init}.so"
    subprocess.run(
        [compiler, f"-DINIT={init}", "-shared", "-fPIC", "-o", str(path), str(folder / "nvml.c")], check=True
    )
    return str(path)


def test_gpus_are_sampled_through_the_library(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(capture_gpu, "LIBRARY", "unused")
    gpus = Nvml.open(library(tmp_path))
    assert gpus is not None
    assert gpus.cuda_version() == "12.4"
    expected = {
        "system/gpu.0.utilization": 90.0,
        "system/gpu.0.memory_mb": 12345.0,
        "system/gpu.0.temperature": 60.0,
        "system/gpu.0.power_w": 250.5,
        "system/gpu.1.utilization": 91.0,
        "system/gpu.1.memory_mb": 12345.0,
        "system/gpu.1.temperature": 60.0,
    }
    assert gpus.sample() == expected
    sampler = Sampler(str(machine.folder))
    sampler._gpu, sampler._looked_for_gpu = gpus, True
    assert sampler.sample().items() >= expected.items()


def test_no_library_no_driver_no_function(tmp_path: Path) -> None:
    assert Nvml.open(str(tmp_path / "missing.so")) is None
    assert Nvml.open(library(tmp_path, init=9)) is None
    other = tmp_path / "other"
    other.mkdir()
    assert Nvml.open(library(other, source="int nvmlInit_v2(void) { return INIT; }")) is None


def test_a_sampler_looks_for_gpus_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def count(cls: type[Nvml]) -> None:
        opened.append(1)

    monkeypatch.setattr(Nvml, "open", classmethod(count))
    monkeypatch.setattr(sys, "platform", "linux")
    sampler = Sampler(str(machine.folder))
    assert opened == []
    sampler.sample()
    sampler.sample()
    assert opened == [1]
