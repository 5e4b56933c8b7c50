"""The audit trail stands or falls with the change it tells of."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Connection

from archives import Rows
from server.archive import Archive
from server.storage.sql.audit import AUDIT_TRAIL, Audited, AuditTrail
from server.storage.sql.database import Database

NOW_MS = 1_800_000_000_000
TRAIL = AuditTrail(lambda: NOW_MS)
WHAT = Audited("UpdateUser", "tenants/contoso/users/adele", "contoso")


async def test_a_change_is_kept_with_who_when_what_before_and_after(
    archive: Archive, database: Database, rows: Rows
) -> None:
    before, after = {"display_name": "Adèle", "frozen": False}, {"frozen": True}

    await database.write(lambda on: TRAIL.record(on, "anna", WHAT, before=before, after=after))

    (row,) = await rows(AUDIT_TRAIL)
    assert (row["identity_id"], row["time_ms"]) == ("anna", NOW_MS)
    assert (row["action"], row["resource"], row["tenant_id"]) == (
        "UpdateUser",
        "tenants/contoso/users/adele",
        "contoso",
    )
    assert (json.loads(row["before"]), json.loads(row["after"])) == (before, after)


async def test_a_creation_has_no_before_and_a_removal_no_after(
    archive: Archive, database: Database, rows: Rows
) -> None:
    changes = [(WHAT, None, {"frozen": False}), (WHAT, {"frozen": False}, None)]

    await database.write(lambda on: TRAIL.record_many(on, "anna", changes))

    created, removed = await rows(AUDIT_TRAIL)
    assert (created["before"], removed["after"]) == (None, None)
    assert created["audit_id"] < removed["audit_id"]


async def test_a_change_that_does_not_come_to_pass_leaves_no_trace(
    archive: Archive, database: Database, rows: Rows
) -> None:
    def fail(connection: Connection) -> None:
        TRAIL.record(connection, "anna", WHAT, before=None, after={})
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(fail)

    assert await rows(AUDIT_TRAIL) == []


async def test_no_changes_leave_no_trace(archive: Archive, database: Database, rows: Rows) -> None:
    await database.write(lambda on: TRAIL.record_many(on, "anna", []))

    assert await rows(AUDIT_TRAIL) == []
