"""Tenants that the archive keeps say whom to tell through the DirectoryService."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from callgate.v1 import directory_pb2 as pb
from callgate.v1.directory_pb2_grpc import DirectoryServiceStub
from callgate.v1.money_pb2 import Money
from engines import Engine, failure_of, running_engine, wait_until
from server.storage.sql.database import SQLITE_FILE


def written(engine: Engine) -> list[str]:
    """Read what the keeper goes by."""
    with sqlite3.connect(engine.folder / "data" / SQLITE_FILE) as archive:
        rows = archive.execute("SELECT body FROM notice_settings WHERE tenant_id = 'acme'")
        return [row[0] for row in rows]


def test_a_change_of_whom_to_tell_reaches_the_keeper(tmp_path: Path) -> None:
    with (
        running_engine(tmp_path, directory_source="archive") as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        directory = DirectoryServiceStub(channel)
        made = pb.Tenant(
            tenant_id="acme",
            country="US",
            currency_code="USD",
            funding_model=pb.FUNDING_MODEL_PREPAID,
            notices=pb.Notices(recipients=["a@acme.example"], low_balance=Money(micros=5_000_000)),
        )
        directory.CreateTenant(pb.CreateTenantRequest(tenant=made), timeout=10)
        wait_until(lambda: "5000000" in "".join(written(engine)))

        def change(notices: pb.Notices) -> pb.Tenant:
            question = pb.UpdateTenantRequest(
                tenant=pb.Tenant(tenant_id="acme", notices=notices),
                update_mask=FieldMask(paths=["notices"]),
            )
            return directory.UpdateTenant(question, timeout=10).tenant

        changed = change(pb.Notices(recipients=["b@acme.example"], language="it"))
        wait_until(lambda: "b@acme.example" in "".join(written(engine)))
        wrong = failure_of(lambda: change(pb.Notices(recipients=["b@acme.example\nBcc: c"])))

        assert changed.notices == pb.Notices(recipients=["b@acme.example"], language="it")
        body = '{"recipients":["b@acme.example"],"language":"it","country":"US"}'
        assert written(engine) == [body]
        assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "notices.recipients" in wrong.text
