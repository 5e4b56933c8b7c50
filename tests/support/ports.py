"""TCP ports that no other test takes, in whatever run on this machine."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

# From here to where the system begins to choose ports by itself, for connections say.
_FIRST_PORT = 20_000
_SYSTEM_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")

# What tells others that a port is taken; the system forgets it with this process.
_reserved: list[socket.socket] = []


def reserve_port() -> int:
    """Name a port for a server of a test, which may end and come back on it."""
    end = int(_SYSTEM_PORTS.read_text("ascii").split()[0])
    count = end - _FIRST_PORT
    # Runs side by side begin to look at different places.
    for number in itertools.islice(itertools.count(os.getpid() * 64), count):
        port = _FIRST_PORT + number % count
        if _reserve(port):
            return port
    raise AssertionError(f"no port is free from {_FIRST_PORT} to {end}")


def _reserve(port: int) -> bool:
    mark = socket.socket(socket.AF_UNIX)
    try:
        # A name of the machine, in no folder.
        mark.bind(f"\0callgate-test-port-{port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    return True
