"""What an empty call costs on either transport: `python bench/transport.py` prints a table.

Needs h2load (Debian: nghttp2-client). The server is pinned to one core and the load to another
where there are two; the bytes that came back are checked, for h2load counts any HTTP answer.
"""

import asyncio
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
import uvloop

from server.transport import TransportName, TransportOptions, make_server

CALLS = 40_000
PASSES = 3
REQUEST = b"x" * 124
IN_FLIGHT = 32
TRANSPORTS: tuple[TransportName, ...] = ("grpcio", "nghttp2")
METHOD = "/callgate.bench.Echo/Call"
FRAMED_BYTES = 5 + len(REQUEST)
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


async def serve(transport: TransportName, path: str) -> None:
    """Answer each call with its own request, until killed."""
    echo_server = make_server(transport, TransportOptions())
    handlers: dict[str, Any] = {"Call": grpc.unary_unary_rpc_method_handler(echo)}
    echo_server.add_registered_method_handlers("callgate.bench.Echo", handlers)
    if transport == "grpcio":
        generic = grpc.method_handlers_generic_handler("callgate.bench.Echo", handlers)
        echo_server.add_generic_rpc_handlers((generic,))
    port = echo_server.add_insecure_port("127.0.0.1:0")
    await echo_server.start()
    await asyncio.to_thread(Path(path).write_text, str(port), encoding="ascii")
    await echo_server.wait_for_termination()


async def echo(request: bytes, _context: Any) -> bytes:
    """Do nothing, so that only the transport costs."""
    return request


def cpu_us_per_call(transport: TransportName, folder: Path) -> float:
    """Serve in a process of its own, load it, and return its CPU microseconds per call."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command = [*pinned(0), sys.executable, __file__, transport, str(port_file)]
    with subprocess.Popen(command) as process:
        try:
            port = wait_for_port(port_file)
            load(port, folder, CALLS // 10)  # Warms up caches and connections.
            before = cpu_seconds(process.pid)
            load(port, folder, CALLS)
            return (cpu_seconds(process.pid) - before) / CALLS * 1e6
        finally:
            process.kill()


def wait_for_port(port_file: Path) -> str:
    """Wait until the server has written where it listens."""
    while not (port_file.exists() and port_file.read_text(encoding="ascii")):
        subprocess.run(["sleep", "0.05"], check=True)
    return port_file.read_text(encoding="ascii")


def load(port: str, folder: Path, calls: int) -> None:
    """Make *calls* calls, *IN_FLIGHT* at a time, and check that each was answered whole."""
    body = folder / "request"
    body.write_bytes(struct.pack(">BI", 0, len(REQUEST)) + REQUEST)
    report = subprocess.run(
        [
            *pinned(1), "h2load", "-n", str(calls), "-c", "4", "-m", str(IN_FLIGHT // 4),
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            "-d", str(body), f"http://127.0.0.1:{port}{METHOD}",
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    received = re.search(r"\((\d+)\) data", report)
    assert received is not None
    assert int(received[1]) == calls * FRAMED_BYTES, report


def pinned(core: int) -> list[str]:
    """Return the words that pin a command to a core, where there are two."""
    return ["taskset", "-c", str(core)] if (os.cpu_count() or 1) > 1 else []


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_SECOND


def main() -> None:
    """Print the CPU per call of each transport and their ratio."""
    if shutil.which("h2load") is None:
        sys.exit("bench/transport.py needs h2load (Debian: nghttp2-client)")
    costs_us: dict[str, list[float]] = {name: [] for name in TRANSPORTS}
    with tempfile.TemporaryDirectory() as folder:
        for _pass in range(PASSES):
            for name in TRANSPORTS:
                costs_us[name].append(cpu_us_per_call(name, Path(folder)))
    medians = {name: statistics.median(values) for name, values in costs_us.items()}
    for served_by, median in medians.items():
        sys.stdout.write(f"{served_by:8}  {median:6.1f} us of CPU per empty call\n")
    sys.stdout.write(f"ratio     {medians['nghttp2'] / medians['grpcio']:6.3f}\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        uvloop.run(serve(sys.argv[1], sys.argv[2]))  # type: ignore[arg-type] # Our own word.
    else:
        main()
