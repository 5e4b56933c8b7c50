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

from sqlalchemy import Table

from policy.rate import Rate
from server.archive import (
    AccountDescribed,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    Change,
    Entry,
    LotAdded,
    PurseUse,
)

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


@contextmanager
def running_postgresql(programs: Path) -> Iterator[str]:
    """Run a PostgreSQL that is thrown away; give the URL of its first database."""
    # Its socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="cg-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and comes with a user of its own.
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = str(folder / "data")

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, str(programs / program), *arguments],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "-D", data, "-U", "callgate", "--auth=trust", "--no-sync", "--encoding=UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    try:
        run("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
        yield f"postgresql://callgate@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


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
        uses=tuple(PurseUse(*use) for use in uses),
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
