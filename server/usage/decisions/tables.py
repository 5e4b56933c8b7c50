"""The table of decision records, and the tables of its days: each is dropped whole.

On PostgreSQL those are the partitions of `decisions`. On SQLite they stand for themselves, and
`decisions` is empty: the pattern that they are made by.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.elements import quoted_name

from server.storage.sql.metadata import METADATA

DECISIONS = Table(
    "decisions",
    METADATA,
    # The day of its time in UTC, as 20261201.
    Column("day", Integer, primary_key=True, autoincrement=False),
    # The file it was carried from, and where it stood there: carried twice, it is written once.
    Column("source", String(64), primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("tenant_id", String(128), nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("gateway_id", String(128), nullable=False),
    Column("call_id", String(255), nullable=False),
    Column("outcome", String(16), nullable=False),
    # Empty where nothing was refused.
    Column("reason", String(32), nullable=False),
    # Whom it is of, as the record shows it; and who pays where that is somebody else.
    Column("account_id", String(128), nullable=False),
    Column("payer_id", String(128), nullable=False),
    # The hashes of numbers; of the dialled one where the rules read it differently.
    Column("far_hash", String(32), nullable=False),
    Column("dialled_hash", String(32), nullable=False),
    Column("calling_hash", String(32), nullable=False),
    # The record, as it was written.
    Column("body", Text, nullable=False),
    Index("ix_decisions_time", "tenant_id", "time_ms"),
    Index("ix_decisions_far", "tenant_id", "far_hash", "time_ms"),
    Index("ix_decisions_account", "tenant_id", "account_id", "time_ms"),
    Index("ix_decisions_reason", "tenant_id", "reason", "time_ms"),
    Index("ix_decisions_call", "tenant_id", "call_id", "time_ms"),
    Index("ix_decisions_decision", "tenant_id", "decision_id", "time_ms"),
    Index("ix_decisions_payer", "tenant_id", "payer_id", "time_ms"),
    Index("ix_decisions_dialled", "tenant_id", "dialled_hash", "time_ms"),
    Index("ix_decisions_calling", "tenant_id", "calling_hash", "time_ms"),
    postgresql_partition_by="RANGE (day)",
)

_NAME = re.compile(r"decisions_(\d{8})")
# Any number will do that no other program of the same database locks.
_DAYS_LOCK = 0x6465636973696F6E
# Rows that one transaction takes out of a day of SQLite: nobody waits long behind it.
_PIECE = 5_000
_MS = 1_000


def day_of(time_ms: int) -> int:
    """Name the day of a time, in UTC."""
    moment = datetime.fromtimestamp(time_ms // _MS, UTC)
    return (moment.year * 100 + moment.month) * 100 + moment.day


@lru_cache(maxsize=512)
def table_of(day: int) -> Table:
    """Name the table of a day."""
    table = DECISIONS.to_metadata(MetaData(), name=f"{DECISIONS.name}_{day}")
    for index in table.indexes:
        index.name = quoted_name(f"{index.name}_{day}", quote=None)
    return table


def list_days(connection: Connection) -> list[int]:
    """List the days there are, the newest first."""
    names = map(_NAME.fullmatch, inspect(connection).get_table_names())
    return sorted((int(name[1]) for name in names if name), reverse=True)


def make_day(connection: Connection, day: int) -> None:
    """Make the table of a day where it is not there yet."""
    table = table_of(day)
    if not _is_partitioned(connection):
        table.create(connection, checkfirst=True)
        return
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _DAYS_LOCK})
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {table.name} PARTITION OF {DECISIONS.name} "
        f"FOR VALUES FROM ({day}) TO ({day + 1})"
    )


def drop_day(connection: Connection, day: int) -> bool:
    """Drop a day, or a piece of it; say whether all of it is gone."""
    table = table_of(day)
    if _is_partitioned(connection):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.name}")
        return True
    # SQLite has one writer: to drop a full table at once would keep the ledger's archive waiting.
    known = inspect(connection)
    if not known.has_table(table.name):
        return True
    for index in known.get_indexes(table.name):
        connection.exec_driver_sql(f"DROP INDEX {index['name']}")
        return False
    rowid: ColumnElement[int] = literal_column("rowid")
    some = select(rowid).select_from(table).limit(_PIECE)
    gone = connection.execute(delete(table).where(rowid.in_(some)))
    if gone.rowcount == _PIECE:
        return False
    connection.exec_driver_sql(f"DROP TABLE {table.name}")
    return True


def _is_partitioned(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
