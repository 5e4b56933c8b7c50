"""What an engine, its keeper and its store cost while nobody asks anything.

    python -m bench.idle [--seconds 30]

The CPU time is that of all threads of each process, by the kernel's scheduler, which counts finer
than ticks; the commands are those that the store counted, its listener's own left out.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from bench.processes import Processes
from server.storage.redis import EmbeddedServer, Store

# Then the keeper works, and what a start leaves to do is done.
_SETTLING_SECONDS = 10.0
_NS, _PERCENT = 1e9, 100
_CALLS = re.compile(r"cmdstat_(\w+):calls=(\d+)")


@click.command()
@click.option("--seconds", default=30.0, show_default=True, help="How long to watch.")
def main(seconds: float) -> None:
    """Start an engine of the sample tenants, wait until it is quiet, and watch."""
    with (
        tempfile.TemporaryDirectory(prefix="callgate-idle-") as name,
        Processes(Path(name)) as all_,
    ):
        folder = Path(name) / "data"
        engine = all_.engine("engine", listen="127.0.0.1:0", data_folder=folder, http_listen="")
        time.sleep(_SETTLING_SECONDS)
        pids = _family(engine.pid)
        asked, began = asyncio.run(_asked(folder)), time.perf_counter()
        before = {pid: _cpu_seconds(pid) for pid in pids}
        time.sleep(seconds)
        used = {pid: _cpu_seconds(pid) - before[pid] for pid in pids}
        took = time.perf_counter() - began
        asked = asyncio.run(_asked(folder)) - asked
    for pid, name in pids.items():
        sys.stdout.write(f"{used[pid] / took * _PERCENT:6.2f} % of a core  {name}\n")
    for command, count in asked.most_common():
        sys.stdout.write(f"{count / took:6.1f} a second  {command}\n")


def _family(pid: int) -> dict[int, str]:
    """List a process and all that it started, with what they are."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    found = {pid: Path(words[0]).name + " " + " ".join(words[1:4])}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found |= _family(int(child))
    return found


def _cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    spent = ((task / "schedstat").read_text(encoding="ascii").split()[0] for task in tasks)
    return sum(map(int, spent)) / _NS


async def _asked(folder: Path) -> Counter[str]:
    store = Store(EmbeddedServer(folder / "store").url)
    text: bytes = await store.command("INFO", "commandstats")
    await store.close()
    return Counter({name: int(count) for name, count in _CALLS.findall(text.decode())})


if __name__ == "__main__":
    main()
