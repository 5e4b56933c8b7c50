"""Databases to keep an archive in, and builders of what it is told."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Table

from policy.facts import Rate
from server.archive import (
    AccountDescribed,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    Change,
    Entry,
    LotAdded,
)
from server.ledger.requests import Use

# Reads all rows of a table, as they are.
Rows = Callable[[Table], Awaitable[list[dict[str, Any]]]]

TENANT = "contoso"
TIME_MS = 1_800_000_000_000
YEAR_MS = 365 * 24 * 60 * 60 * 1_000
RATE = Rate("rate-1", "USD", 60_000, 0, 60, 60)


def postgresql_folder() -> Path | None:
    """Find where the newest PostgreSQL's programs are; None where it is not installed."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgresql:
    """A PostgreSQL that is thrown away; it listens on a socket only."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # The path of its socket has to be short.
        self._folder = Path(tempfile.mkdtemp(prefix="cg-pg-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and comes with a user of its own.
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run("initdb", "-U", "callgate", "--auth=trust", "--no-sync", "--encoding=UTF8")

    @property
    def url(self) -> str:
        """Where the database is that it begins with."""
        return f"postgresql://callgate@/postgres?host={self._folder}"

    def create(self, name: str, like: str = "template0") -> str:
        """Create a database in the place of the one of that name; return where it is."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            old, new = sql.Identifier(name), sql.Identifier(like)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} (FORCE)").format(old))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(old, new))
        return f"postgresql://callgate@/{name}?host={self._folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """Stop it as a crash does."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def throw_away(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        data = str(self._folder / "data")
        subprocess.run(
            [*self._as_user, str(self._programs / program), "-D", data, *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def running_postgresql(programs: Path) -> Iterator[Postgresql]:
    """Run a PostgreSQL while the block lasts."""
    server = Postgresql(programs)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.throw_away()


class Journal:
    """Numbers entries and joins them into a chain, as a partition of the ledger does."""

    def __init__(self, n: int = 0, nonce: str = "-") -> None:
        self.n, self.nonce, self.time_ms = n, nonce, TIME_MS

    def add(self, kind: str, change: Change, *, tenant: str = TENANT, nonce: str = "") -> Entry:
        self.n += 1
        previous, self.nonce = self.nonce, nonce or f"nonce{self.n}"
        self.time_ms += 1_000
        return Entry(
            self.n, self.nonce, previous, self.time_ms, kind, tenant, f"body {self.n}", change
        )

    def opened(self, *, funded: int | None = None) -> list[Entry]:
        """Open the account, with a first lot where it is funded."""
        entries = [self.add("opened", AccountDescribed("USD", True, "facts-1"))]
        if funded is not None:
            entries.append(self.add("topped_up", a_lot("lot-1", funded)))
        return entries


def a_lot(lot_id: str, micros: int, *, expire_ms: int = TIME_MS + YEAR_MS) -> LotAdded:
    return LotAdded(lot_id, micros, expire_ms)


def credits_purse(rate: Rate = RATE) -> ArchivedPurse:
    return ArchivedPurse("credits", capability="MCOPSTNPP", rate=rate)


def pool_purse() -> ArchivedPurse:
    return ArchivedPurse(
        "pool", "pool/2027-01/domestic/plan-1", "MCOPSTN1", pool_id="plan-1", period="2027-01"
    )


def a_change(
    *uses: tuple[int, int, int],
    state: CallState = CallState.LIVE,
    purses: tuple[ArchivedPurse, ...] = (),
    **more: Any,
) -> CallChange:
    """Tell of a call paid by credits, where no purse is given; uses are purse, seconds, micros."""
    purses = purses or (credits_purse(),)
    change = CallChange(
        opened_id="decision-1",
        gateway_id="sbc-1",
        call_id="call-1",
        state=state,
        purses_text=repr(purses),
        purses=purses,
        uses=tuple(Use(*use) for use in uses),
        before=(),
        used_seconds=sum(seconds for _, seconds, _ in uses),
        overrun_seconds=0,
        unpaid_seconds=0,
        unpaid_micros=0,
        unfunded=False,
        lots=(),
        description=CallDescription(account_id="adele", call_type="user_out"),
    )
    return dataclasses.replace(change, **more)
