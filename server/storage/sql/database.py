"""The way to the database: SQLite or PostgreSQL, its migrations, and threads for what blocks.

SQL runs in threads, not in an asynchronous driver: docs/decisions/archive.md has the measurements.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.storage.private import private_file
from server.storage.sql.errors import ArchiveUnavailable, ArchiveUnusable

Result = TypeVar("Result")

SQLITE_FILE = "archive.sqlite"
# A second writer of the same database waits this long for the first.
LOCK_SECONDS = 5
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
# One for the keeper's writing, the others for who reads meanwhile.
CONNECTIONS = 4
# Any number will do that no other program of the same database locks.
_MIGRATION_LOCK = 0x63616C6C67617465
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
READ_ONLY = "callgate_read_only"
# A commit is seen by others once its bytes, which are in the file before, are on the disk.
_SETTLED_NS = 1_000_000_000


class Database:
    """One database of an archive. All methods raise `ArchiveUnavailable`."""

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self._engine = _make_engine(parsed)
        self._files = _files_of(parsed)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="archive")

    @property
    def url(self) -> str:
        """Where the database is, without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    async def migrate(self) -> None:
        """Bring the tables up to date, one process at a time.

        Raises `ArchiveUnusable` where a newer engine has changed them.
        """
        await self._in_thread(lambda: _migrate(self._engine))

    async def is_made(self) -> bool:
        """Tell whether it ever had tables; `migrate` makes them, wherever it is called first."""
        return await self.read(_revision_of) is not None

    def write_mark(self) -> object:
        """Give what changes with each write of any process; None where nothing cheap tells it.

        A file says when it was written, which is before others see what was, and two writes of one
        moment look alike: so nothing is told until the last one is a second ago.
        """
        if self._files is None:
            return None
        try:
            stats = [file.stat() for file in self._files]
        except FileNotFoundError:
            return None
        if max(stat.st_mtime_ns for stat in stats) > time.time_ns() - _SETTLED_NS:
            return None
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one transaction that is committed when it returns."""

        def transaction() -> Result:
            with self._engine.begin() as connection:
                return work(connection)

        return await self._in_thread(transaction)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one transaction that sees one state and waits for no writer."""

        def transaction() -> Result:
            with self._engine.connect() as connection:
                reading = connection.execution_options(**{READ_ONLY: True})
                with reading.begin():
                    return work(reading)

        return await self._in_thread(transaction)

    async def close(self) -> None:
        """Wait for what is under way and close all connections."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work)
        except DBAPIError as error:
            if _is_a_mistake_of_ours(error):
                raise
            raise ArchiveUnavailable(str(error.orig)) from error
        except PoolTimeout as error:
            raise ArchiveUnavailable("all connections to the archive are busy") from error


def archive_url(url: str, data_folder: Path) -> str:
    """Say where the archive is: at `url`, or in a file of the data folder where that is empty."""
    return url or f"sqlite:///{(data_folder / SQLITE_FILE).absolute()}"


def _files_of(url: URL) -> tuple[Path, Path] | None:
    """Name the files that SQLite writes to: its log of writes before the database itself."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(f"{url.database}-wal"), Path(url.database)


def _parse(text_of_url: str) -> URL:
    try:
        url = make_url(text_of_url)
    except ArgumentError as error:
        raise ArchiveUnusable("the URL of the archive cannot be read") from error
    if url.drivername in _DRIVERS:
        return url.set(drivername=_DRIVERS[url.drivername])
    if url.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise ArchiveUnusable(f"an archive is kept by SQLite or PostgreSQL, not {url.drivername}")
    return url


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        if url.database:
            private_file(Path(url.database))
        engine = create_engine(
            url, connect_args={"timeout": LOCK_SECONDS}, pool_size=CONNECTIONS, max_overflow=0
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={LOCK_SECONDS}s"
    return create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_SECONDS, "options": options},
        pool_size=CONNECTIONS,
        max_overflow=0,
        # A database that was restarted is met with fresh connections, not with an error.
        pool_pre_ping=True,
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own idea of when a transaction begins is switched off; see `_begin_sqlite`.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # Redis forgets what is archived, so what is committed has to be on the disk.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # Who will write takes the lock at once: two that first read could not both go on.
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    folder = files("server.storage.sql").joinpath("migrations")
    # 0005_reversals.py: their names begin with their revisions.
    newest = max(one.name for one in folder.joinpath("versions").iterdir() if one.is_file())[:4]
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if _revision_of(connection) != newest:
            _upgrade(connection, str(folder))


def _revision_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection, folder: str) -> None:
    # A quarter of what a start imports, and nearly always there is nothing to change.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    # It tells of each step, which is for who writes migrations.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ArchiveUnusable(f"the archive belongs to a newer engine: {error}") from error


def _is_a_mistake_of_ours(error: DBAPIError) -> bool:
    """Tell a wrong statement or a broken constraint from a database that is in trouble."""
    name = type(error).__name__
    return name in {"ProgrammingError", "IntegrityError", "DataError", "NotSupportedError"}
