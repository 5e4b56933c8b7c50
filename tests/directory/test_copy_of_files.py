"""The copy of the directory's files, made in a process of its own when somebody looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.services.directory.files_copy import CopyOfFiles
from server.storage.sql.database import Database

FOLDER = Path(__file__).parents[2] / "data" / "directory"


class SlowCopy(CopyOfFiles):
    """Makes copies that end when they are told to, and counts them."""

    def __init__(self) -> None:
        super().__init__(FOLDER)
        self.begun_count = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def _run_child(self, url: str) -> None:
        self.begun_count += 1
        self.begun.set()
        await self.may_end.wait()


async def test_a_copy_goes_on_for_who_asks_next_when_the_first_one_gives_up() -> None:
    copy = SlowCopy()
    gives_up = asyncio.create_task(copy.database())
    await copy.begun.wait()

    gives_up.cancel()
    next_one = asyncio.create_task(copy.database())
    copy.may_end.set()

    assert isinstance(await next_one, Database)
    assert copy.begun_count == 1
    await copy.close()


async def test_a_copy_that_is_being_made_ends_with_the_engine() -> None:
    copy = SlowCopy()
    asked = asyncio.create_task(copy.database())
    await copy.begun.wait()

    await copy.close()

    with pytest.raises(asyncio.CancelledError):
        await asked
