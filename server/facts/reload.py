"""The asking side of the reading process: starts it, puts together what it tells, ends it."""

from __future__ import annotations

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from policy.facts import Catalogue, Tenant
from server.facts.from_files import FactsFolders
from server.facts.reload_process import LENGTH_BYTES, InUse
from server.facts.slices import Assembly, Begin, End, Failed, Message, Read, Slice

READING_SECONDS = 120
# Between two slices the loop belongs to its questions, half of the time or more.
PAUSE_SECONDS = 0.001
MAX_SHOWN_BYTES = 2_000
TREE = Path(__file__).parents[2]


class ReadingBroke(Exception):
    """The reading process ended without a result or took too long; the files may be all right."""


@dataclass(slots=True)
class Differences:
    """What the files hold other than the facts in use; `tenant_ids` are all tenants in them."""

    catalogue: Catalogue | None = None
    tenants: list[Tenant] = field(default_factory=list)
    tenant_ids: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    failed: Failed | None = None


async def read_differences(folders: FactsFolders, in_use: InUse) -> Differences:
    """Read the files in another process and put together, in slices, what differs.

    Never holds the loop for longer than one slice takes. Raises `ReadingBroke`.
    """
    try:
        async with asyncio.timeout(READING_SECONDS):
            return await _collect(folders, in_use)
    except TimeoutError as error:
        raise ReadingBroke(f"not read within {READING_SECONDS} s") from error
    except OSError as error:
        raise ReadingBroke(f"no process to read with: {error}") from error


async def _collect(folders: FactsFolders, in_use: InUse) -> Differences:
    found = Differences()
    assembly: Assembly | None = None
    async with aclosing(_messages_of_child(folders, in_use)) as messages:
        async for message in messages:
            match message:
                case Begin():
                    assembly = Assembly(message)
                case Slice():
                    assert assembly is not None, "a slice belongs to what began"
                    assembly.add(message)
                case End():
                    assert assembly is not None, "only what began can end"
                    _keep(found, assembly.finish())
                case Read():
                    found.tenant_ids = message.tenant_ids
                    found.warnings = message.warnings
                case Failed():
                    found.failed = message
            await asyncio.sleep(PAUSE_SECONDS)
    return found


def _keep(found: Differences, whole: Catalogue | Tenant) -> None:
    if isinstance(whole, Catalogue):
        found.catalogue = whole
    else:
        found.tenants.append(whole)


async def _messages_of_child(folders: FactsFolders, in_use: InUse) -> AsyncGenerator[Message, None]:
    paths = [folder for folder in (folders.catalogue, folders.directory) if folder is not None]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.facts.reload_process"),
        *(str(path.absolute()) for path in paths),
        cwd=TREE,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(in_use))
        child.stdin.close()
        async for message in _messages(child):
            yield message
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _messages(child: Process) -> AsyncGenerator[Message, None]:
    assert child.stdout is not None
    assert child.stderr is not None
    while True:
        try:
            length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "big")
            content = await child.stdout.readexactly(length)
        except asyncio.IncompleteReadError as error:
            told = (await child.stderr.read()).decode("utf-8", "replace").strip()
            if await child.wait() == 0 and not error.partial:
                return
            raise ReadingBroke(f"the reading process broke: {told[-MAX_SHOWN_BYTES:]}") from error
        yield pickle.loads(content)  # noqa: S301 - Our own child wrote it, to a pipe only we hold.
