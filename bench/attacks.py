"""What a flood does to everybody else: `python -m bench.attacks`, which writes docs/transport.md.

Under each flood of `bench.floods`, from two connections, an emergency and an ordinary question are
asked on connections of their own, again and again; memory is looked at before, during and after.
"""

from __future__ import annotations

import itertools
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench.facts import Shape, write_directory
from bench.floods import FLOODS
from bench.http2 import Broken, Headers, Http2, Where, framed
from bench.machine import LOAD_CORE, pinned, resident_bytes
from bench.processes import Processes, Served
from bench.questions import questions
from bench.servers import AUTHORITY, CERTIFICATES, engine_settings
from callgate.v1 import authorization_pb2 as pb

PAGE = Path("docs/transport.md")
BEGIN, END = "<!-- from the attacks -->\n", "<!-- to here -->\n"
FLOODERS = 2
_METHOD = "/callgate.v1.AuthorizationService/AuthorizeCall"
_EMERGENCY = pb.AuthorizeCallRequest(called_number="911", location="US").SerializeToString()
_PAUSE_SECONDS = 0.01
_REST_SECONDS = 1.0
_PATIENCE_SECONDS = 20.0
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Suffered:
    """What one flood did: 99 of 100 answers came within so many milliseconds; memory in MiB."""

    emergency_ms: float
    caller_ms: float
    before_mib: float
    peak_mib: float
    after_mib: float

    def cells(self) -> str:
        """Write it as cells of a table."""
        memory = f"{self.before_mib:.0f} / {self.peak_mib:.0f} / {self.after_mib:.0f}"
        return f"{self.emergency_ms:.1f} | {self.caller_ms:.1f} | {memory}"


class Caller:
    """Asks one question at a time on a connection of its own, and notes how long each took."""

    def __init__(self, where: Where) -> None:
        self._http2 = Http2(where, _METHOD, ended=self._on_end, timeout_seconds=None)
        self._has_ended = False
        self.latencies_ms: list[float] = []

    def ask(self, message: bytes) -> None:
        """Ask, and wait for the answer. Raises `Broken` where none comes that is one."""
        began = time.perf_counter()
        self._has_ended = False
        self._http2.call(framed(message))
        self._http2.flush()
        while not self._has_ended:
            left = began + _PATIENCE_SECONDS - time.perf_counter()
            if left <= 0:
                raise Broken(f"no answer within {_PATIENCE_SECONDS:g} s")
            select.select([self._http2], [], [], left)
            self._http2.receive()
            self._http2.flush()
        self.latencies_ms.append((time.perf_counter() - began) * 1_000)

    def p99_ms(self) -> float:
        """Say within which time 99 of 100 answers came."""
        ordered = sorted(self.latencies_ms)
        return ordered[int(len(ordered) * 0.99)]

    def close(self) -> None:
        """Leave."""
        self._http2.close()

    def _on_end(self, _stream_id: int, _data: bytes, headers: Headers) -> None:
        if headers.get("grpc-status") != "0":
            raise Broken(headers.get("grpc-message", "the answer was no success"))
        self._has_ended = True


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="How long each flood lasts.")
@click.option("--only", multiple=True, type=click.Choice(["", *FLOODS]), help="These floods alone.")
@click.option("--write/--no-write", default=True, help="Put the table into docs/transport.md.")
def main(seconds: float, only: tuple[str, ...], *, write: bool) -> None:
    """Flood each transport, with and without TLS, and tell what everybody else saw of it."""
    names = [name for name in ("", *FLOODS) if not only or name in only]
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    shape = Shape(tenants=1, users=1_000)
    rows: dict[tuple[str, str], dict[str, Suffered | str]] = {}
    with tempfile.TemporaryDirectory(prefix="callgate-attacks-") as folder:
        directory = write_directory(Path(folder) / "directory", shape)
        with Processes(Path(folder)) as processes:
            store, _ = processes.store()
            settings = engine_settings(Path(folder), store, directory)
            for kind, transport in itertools.product(("plain", "TLS"), ("nghttp2", "grpcio")):
                served = _start(processes, settings | {"transport": transport}, kind)
                for name in names:
                    seed = f"{kind}-{transport}-{name}".replace(" ", "-")
                    suffered = _suffer(served, name, shape, seed=seed, seconds=seconds)
                    rows.setdefault((kind, name), {})[transport] = suffered
                    _say(f"{kind:5} {transport:7} {name or 'nothing':20} {suffered}")
                processes.stop(served.pid)
    table = _table(rows)
    _say(f"\n{table}")
    if write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}{table}\n{END}{after}", encoding="utf-8")


def _start(processes: Processes, settings: dict[str, object], kind: str) -> Served:
    name = f"{settings['transport']}-{kind}"
    if kind == "plain":
        return processes.engine(name, **settings)
    files = {"tls_certificate": CERTIFICATES / "server.crt", "tls_key": CERTIFICATES / "server.key"}
    served = processes.engine(name, **settings, **files)
    return replace(served, where=served.where._replace(authority_file=str(AUTHORITY)))


def _suffer(
    served: Served, name: str, shape: Shape, *, seed: str, seconds: float
) -> Suffered | str:
    """Ask beside a flood, or say why that was not possible."""
    try:
        emergency, caller = Caller(served.where), Caller(served.where)
        asked = questions(shape, seed)
        for _ in range(20):
            emergency.ask(_EMERGENCY)
            caller.ask(next(asked).message().SerializeToString())
        emergency.latencies_ms.clear()
        caller.latencies_ms.clear()
        before = peak = resident_bytes(served.pid)
        with _flooding(name, served.where):
            ends_at = time.perf_counter() + seconds
            while time.perf_counter() < ends_at:
                emergency.ask(_EMERGENCY)
                caller.ask(next(asked).message().SerializeToString())
                peak = max(peak, resident_bytes(served.pid))
                time.sleep(_PAUSE_SECONDS)
        time.sleep(_REST_SECONDS)
        after = resident_bytes(served.pid)
        emergency.close()
        caller.close()
    except (Broken, OSError) as error:
        return str(error)
    return Suffered(
        emergency.p99_ms(), caller.p99_ms(), *(one / _MEBIBYTE for one in (before, peak, after))
    )


@contextmanager
def _flooding(name: str, where: Where) -> Iterator[None]:
    if not name:
        yield
        return
    authority = [where.authority_file] if where.authority_file else []
    # The flood shares a core with who measures; it yields, or that would be what is measured.
    words = ["nice", "-n", "10", *pinned(LOAD_CORE), sys.executable, "-m", "bench.floods", name]
    command = [*words, where.host, str(where.port), *authority]
    floods = [subprocess.Popen(command) for _ in range(FLOODERS)]
    try:
        yield
    finally:
        for one in floods:
            one.kill()
            one.wait()


def _table(rows: dict[tuple[str, str], dict[str, Suffered | str]]) -> str:
    """Write what was seen as a table in Markdown."""
    lines = [
        "| flood | over | nghttp2: emergency, p99 ms | caller, p99 ms | memory, MiB "
        "| grpcio: emergency | caller | memory |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (kind, name), seen in rows.items():
        cells = [
            one.cells() if isinstance(one, Suffered) else f"{one} | |"
            for one in (seen["nghttp2"], seen["grpcio"])
        ]
        lines.append(f"| {name or '(none)'} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
