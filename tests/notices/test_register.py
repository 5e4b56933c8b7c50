"""What facts say of notices reaches the archive, also one that was away."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from couriers import sqlite_file
from facts import a_tenant
from policy.facts import Notices, Tenant
from server.archive import Archive
from server.notices.preferences import NoticeRegister, NoticeSettings, read_settings
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable

A = replace(a_tenant(), notices=Notices(recipients=("a@contoso.example",)))
B = replace(A, notices=Notices(recipients=("b@contoso.example",)))


async def kept(archive: Archive) -> dict[str, NoticeSettings]:
    return await archive.database.read(partial(read_settings, tenant_ids=[A.tenant_id]))


async def test_an_archive_that_was_away_gets_the_newest_facts_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(Database(sqlite_file(tmp_path)))
    await archive.migrate()
    tenants: list[Tenant] = []
    register = NoticeRegister(archive.database, lambda: tenants)

    async def away(_work: Any) -> Any:
        raise ArchiveUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(archive.database, "write", away)
        register.note(A)
        await register.write()
        register.note(B)
        await register.write()
    assert await kept(archive) == {}
    await register.write()

    settings = (await kept(archive))[A.tenant_id]
    assert settings.recipients == ("b@contoso.example",)
    await archive.close()
