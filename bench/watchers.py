"""What readers of debits cost a decision: `python -m bench.watchers`.

Prints the server's CPU time a decision with no reader and with 50, one of which never reads, each
the median of five passes, and their ratio; once for each transport.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import grpc

from bench.facts import Shape, tenant_id, write_directory
from bench.load import Job
from bench.machine import LOAD_CORE, resident_bytes
from bench.processes import LoadProcess, Processes, Served
from bench.servers import engine_settings, patiently
from callgate.v1.debits_pb2 import WatchDebitsRequest
from callgate.v1.debits_pb2_grpc import DebitServiceStub

PASSES = 5
READERS = 50
IN_FLIGHT = 32
# Small windows, so that the reader that never reads is soon noticed.
_UNREAD = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]


@click.command()
@click.option("--calls", default=5_000, show_default=True, help="Decisions of one measurement.")
@click.option("--tenants", default=1, show_default=True, help="Tenants that are asked and read.")
def main(calls: int, tenants: int) -> None:
    """Measure decisions with and without readers."""
    shape = Shape(tenants=tenants, users=1_000 * tenants)
    if (os.cpu_count() or 1) > 1:
        # Readers shall not sit on the core of the server.
        os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        directory = write_directory(Path(folder) / "directory", shape)
        with Processes(Path(folder)) as processes:
            store, _ = processes.store()
            settings = engine_settings(Path(folder), store, directory)
            load = processes.load()
            for transport in ("grpcio", "nghttp2"):
                served = processes.engine(transport, **settings, transport=transport)
                _compare(transport, served, load, shape=shape, calls=calls)
                processes.stop(served.pid)


def _compare(name: str, served: Served, load: LoadProcess, *, shape: Shape, calls: int) -> None:
    alone, watched = [], []
    _measure(load, served, shape, seed=f"{name}-warm", calls=calls)
    memory_bytes = resident_bytes(served.pid)
    for number in range(PASSES):
        alone.append(_measure(load, served, shape, seed=f"{name}-{number}-alone", calls=calls))
        with _readers(served, shape):
            watched.append(
                _measure(load, served, shape, seed=f"{name}-{number}-watched", calls=calls)
            )
    grown_bytes = resident_bytes(served.pid) - memory_bytes
    without, with_readers = statistics.median(alone), statistics.median(watched)
    sys.stdout.write(
        f"{name}: {without:.0f} us of CPU a decision alone, {with_readers:.0f} us with {READERS}"
        f" readers, one of which never reads: ratio {with_readers / without:.2f};"
        f" {grown_bytes / 2**20:.1f} MiB more memory afterwards\n"
    )
    sys.stdout.flush()


def _measure(load: LoadProcess, served: Served, shape: Shape, *, seed: str, calls: int) -> float:
    job = Job(served.where, served.pid, shape, seed=seed, calls=calls, in_flight=IN_FLIGHT)
    return patiently(load, job).cpu_us_per_call


@contextmanager
def _readers(served: Served, shape: Shape) -> Iterator[None]:
    """Watch debits while the block lasts; the first reader reads one response and no more."""
    address = f"{served.where.host}:{served.where.port}"
    streams, threads, channels = [], [], []
    for number in range(READERS):
        channel = grpc.insecure_channel(address, options=_UNREAD if number == 0 else None)
        question = WatchDebitsRequest(tenant_id=tenant_id(number % shape.tenants))
        stream = DebitServiceStub(channel).WatchDebits(question)
        next(stream)
        streams.append(stream)
        channels.append(channel)
        if number > 0:
            threads.append(threading.Thread(target=_read, args=(stream,)))
            threads[-1].start()
    try:
        yield
    finally:
        for stream in streams:
            stream.cancel()
        for thread in threads:
            thread.join()
        for channel in channels:
            channel.close()


def _read(stream: Iterator[object]) -> None:
    with contextlib.suppress(grpc.RpcError):
        for _ in stream:
            continue


if __name__ == "__main__":
    main()
