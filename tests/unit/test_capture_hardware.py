"""What the machine is: the real one, and others by their files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from mllab.tracking import capture_cgroup, capture_hardware
from mllab.tracking.capture_cgroup import MemoryGroup, cpu_limit, find

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def files(root: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@LINUX
def test_this_machine(tmp_path: Path) -> None:
    facts = capture_hardware.snapshot(str(tmp_path))
    assert facts["cpu_logical"] == os.cpu_count()
    assert 1 <= facts["cpu_available"] <= facts["cpu_logical"]
    assert facts["memory_bytes"] > 1 << 28
    assert facts["disk"]["total_bytes"] == shutil.disk_usage(tmp_path).total
    assert facts["architecture"] == os.uname().machine
    assert json.loads(json.dumps(facts)) == facts


def test_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "sysconf", broken)
    monkeypatch.setattr(capture_hardware, "read_text", lambda path, limit=0: None)
    monkeypatch.setattr(capture_cgroup, "find", lambda controller, **where: None)
    facts = capture_hardware.snapshot(str(tmp_path / "missing"))
    for name in ("cpu", "cpu_physical", "cpu_limit", "memory_bytes", "memory_limit_bytes", "disk", "cuda"):
        assert facts[name] is None, name
    assert facts["gpus"] == []


def test_cpu_info_counts_cores_of_all_packages() -> None:
    text = "".join(
        f"processor\t: {n}\nmodel name\t: Some CPU @ 2 GHz\nphysical id\t: {n % 2}\ncore id\t\t: {n // 4}\n\n"
        for n in range(16)
    )
    assert capture_hardware.cpu_info(text) == ("Some CPU @ 2 GHz", 8)
    assert capture_hardware.cpu_info("processor : 0\nBogoMIPS : 50\nModel : Raspberry Pi 4\n") == (
        "Raspberry Pi 4",
        None,
    )
    assert capture_hardware.cpu_info("") == (None, None)


def test_sysctl_tells_on_macos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "sysctl"
    tool.write_text("#!/bin/sh\necho 'Apple M2'\necho 8\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert capture_hardware._cpu() == ("Apple M2", 8)


def smi(folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write({output!r})\nsys.exit({status})\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_gpus_by_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(
        tmp_path,
        "0, NVIDIA A100, GPU-1, 81920, 550.54.15\n1, Tesla T4, GPU-2, [N/A], 550.54.15\nnonsense\n",
        monkeypatch,
    )
    gpus = capture_hardware.snapshot(str(tmp_path))["gpus"]
    assert gpus == [
        {"index": 0, "name": "NVIDIA A100", "uuid": "GPU-1", "memory_bytes": 80 << 30, "driver": "550.54.15"},
        {"index": 1, "name": "Tesla T4", "uuid": "GPU-2", "memory_bytes": None, "driver": "550.54.15"},
    ]


def test_a_broken_driver_means_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(tmp_path, "NVIDIA-SMI has failed\n", monkeypatch, status=9)
    facts = capture_hardware.snapshot(str(tmp_path))
    assert facts["gpus"] == []


def test_a_hung_driver_costs_the_timeout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(capture_hardware, "TIMEOUT_S", 0.1)
    assert capture_hardware._gpus() == []


# -- control groups ------------------------------------------------------------------------------------------------


def place(tmp_path: Path) -> dict[str, str]:
    return {"proc": str(tmp_path / "proc"), "root": str(tmp_path / "sys")}


def test_version_2_takes_the_tightest_of_the_groups_above(tmp_path: Path) -> None:
    files(
        tmp_path,
        {
            "proc/cgroup": "0::/a/b\n",
            "sys/cgroup.procs": "",
            "sys/a/cpu.max": "150000 100000\n",
            "sys/a/b/cpu.max": "max 100000\n",
            "sys/a/memory.max": "1000000\n",
            "sys/a/memory.current": "700000\n",
            "sys/a/memory.stat": "anon 5\ninactive_file 200000\nactive_file 9\n",
            "sys/a/b/memory.max": "max\n",
        },
    )
    assert cpu_limit(**place(tmp_path)) == 1.5
    group = MemoryGroup(**place(tmp_path))
    assert group.limit == 1_000_000
    assert group.used_bytes() == 500_000


def test_version_1(tmp_path: Path) -> None:
    files(
        tmp_path,
        {
            "proc/cgroup": "5:memory:/job/1\n3:cpu,cpuacct:/job/1\n1:name=systemd:/x\n0::/\n",
            "sys/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/cpu,cpuacct/job/1/cpu.cfs_quota_us": "50000\n",
            "sys/cpu,cpuacct/job/1/cpu.cfs_period_us": "100000\n",
            "sys/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/memory/job/1/memory.limit_in_bytes": "4096000\n",
            "sys/memory/job/1/memory.usage_in_bytes": "1000\n",
            "sys/memory/job/1/memory.stat": "inactive_file 1\ntotal_inactive_file 5000\n",
        },
    )
    assert cpu_limit(**place(tmp_path)) == 0.5
    group = MemoryGroup(**place(tmp_path))
    assert group.limit == 4_096_000
    assert group.used_bytes() == 0


def test_a_container_that_sees_only_its_own_mount(tmp_path: Path) -> None:
    files(tmp_path, {"proc/cgroup": "0::/docker/1f/../..\n", "sys/memory.max": "77\n", "sys/memory.current": "7\n"})
    group = MemoryGroup(**place(tmp_path))
    assert (group.limit, group.used_bytes()) == (77, 7)


def test_a_hybrid_host_keeps_version_2_aside(tmp_path: Path) -> None:
    files(tmp_path, {"proc/cgroup": "0::/x\n", "sys/x/memory.max": "5\n"})
    found = find("memory", **place(tmp_path))
    assert found == capture_cgroup.Place(2, (str(tmp_path / "sys/x"), str(tmp_path / "sys")))


@pytest.mark.parametrize("text", ["", "garbage", "0::", "::::", "x:memory", "5:memory:\n"])
def test_groups_that_limit_nothing(tmp_path: Path, text: str) -> None:
    files(tmp_path, {"proc/cgroup": text, "sys/cpu.max": "nonsense", "sys/memory.max": "-3"})
    assert cpu_limit(**place(tmp_path)) is None
    group = MemoryGroup(**place(tmp_path))
    assert (group.limit, group.used_bytes()) == (None, None)


def test_a_limit_whose_usage_is_gone(tmp_path: Path) -> None:
    files(tmp_path, {"proc/cgroup": "0::/", "sys/memory.max": "100"})
    assert MemoryGroup(**place(tmp_path)).used_bytes() is None
