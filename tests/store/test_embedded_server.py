"""The server of our own: it keeps what it was told, and never outlives who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines import ROOT
from server.storage.redis import EmbeddedServer, EmbeddedServerError, Store, StoreRefused, embedded

# Starts a server, tells its process, and waits to be killed.
PARENT = """
import asyncio, sys, time
from pathlib import Path
from server.storage.redis import EmbeddedServer, Store

async def main():
    server = EmbeddedServer(Path(sys.argv[1]), Path(sys.argv[2]))
    await server.start()
    store = Store(server.url)
    await store.command("SET", "told", "before")
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
GONE_SECONDS = 10.0


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def has_gone(pid: int) -> bool:
    """Wait for a process to go; False where it stays."""
    deadline = time.monotonic() + GONE_SECONDS
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


def start_and_kill_the_parent(folder: Path, binary: Path) -> int:
    """Let another process start a server, and kill that process; name the server's."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), str(binary)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    return pid


async def test_what_was_told_survives_a_restart(tmp_path: Path, binary: Path) -> None:
    for told in (None, b"before"):
        server = EmbeddedServer(tmp_path, binary)
        await server.start()
        store = Store(server.url)

        assert await store.command("GET", "told") == told

        await store.command("SET", "told", "before")
        await store.close()
        await server.stop()


async def test_it_dies_with_a_parent_that_is_killed_and_keeps_what_was_told(
    tmp_path: Path, binary: Path
) -> None:
    pid = start_and_kill_the_parent(tmp_path, binary)

    assert has_gone(pid)
    server = EmbeddedServer(tmp_path, binary)
    await server.start()
    store = Store(server.url)
    assert await store.command("GET", "told") == b"before"
    await store.close()
    await server.stop()


async def test_a_folder_has_one_server_at_a_time(
    tmp_path: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(tmp_path, binary)
    await server.start()
    monkeypatch.setattr(embedded, "START_SECONDS", 0.1)

    with pytest.raises(EmbeddedServerError, match="another server"):
        await EmbeddedServer(tmp_path, binary).start()

    await server.stop()


async def test_a_folder_with_a_long_name_will_do(tmp_path: Path, binary: Path) -> None:
    """A unix socket's path has room for a hundred bytes only."""
    server = EmbeddedServer(tmp_path / ("long" * 40), binary)
    await server.start()
    store = Store(server.url)

    assert await store.command("PING") in {b"PONG", True}

    await store.close()
    await server.stop()


async def test_a_program_that_is_no_server_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="the server ended"):
        await EmbeddedServer(tmp_path, Path("/bin/false")).start()


async def test_a_store_that_may_drop_keys_is_refused(tmp_path: Path, binary: Path) -> None:
    server = EmbeddedServer(tmp_path, binary)
    await server.start()
    store = Store(server.url)
    await store.check()
    await store.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    with pytest.raises(StoreRefused, match="allkeys-lru"):
        await store.check()

    await store.close()
    await server.stop()
