"""What a benchmark says of the machine it ran on: cores, CPU time of a process, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
_CORES_FOR_WORKERS = 4
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_US_PER_SECOND = 1e6
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PACKAGES = ("grpcio", "protobuf", "ngh2", "uvloop", "redis", "hiredis")


def pinned(core: int | None) -> list[str]:
    """Give the words that pin a command to a core, where there are two; None for any core."""
    return ["taskset", "-c", str(core)] if core is not None and (os.cpu_count() or 1) > 1 else []


def cpu_us(pid: int) -> float:
    """Return the CPU time of a process and its children, in microseconds (a tick is 10,000).

    The children are the workers of an engine that has several.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ticks = 0
    for one in (pid, *map(int, children)):
        fields = _stat_fields(one)
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND * _US_PER_SECOND


def has_cores_for_workers() -> bool:
    """Tell whether two workers, the store and the load each have a core of their own."""
    return (os.cpu_count() or 1) >= _CORES_FOR_WORKERS


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds."""
    return int(_stat_fields(pid)[21]) * _PAGE_BYTES


def described() -> dict[str, str]:
    """Describe machine and versions, for whoever compares figures."""
    return {
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
    }


def commit() -> str:
    """Name the commit that is measured; a tree with changes says so."""
    try:
        words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _stat_fields(pid: int) -> list[str]:
    # The name of a process stands in parentheses and may hold anything.
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
