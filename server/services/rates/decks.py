"""Decks imported and usage played, in a process of its own each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc.aio
import msgspec

from callgate.v1 import rates_pb2 as pb
from server.access import check_tenant, current
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.facts.decks import DeckOptions
from server.facts.decks.columns import NAMES
from server.facts.decks.deck import DEFAULT_INCREMENTS
from server.facts.decks.values import CellWrong, read_currency, read_increments
from server.facts.errors import CatalogueChanged, CatalogueReadOnly, FileInvalid, ImportRunning
from server.facts.files.figures import to_milliseconds
from server.facts.files.telling import Invalid, Stopped
from server.facts.reloads import ask_for_reload, wait_for_reload
from server.services.file_work import FileWork, work_on_file
from server.services.rates import messages as wire
from server.storage.redis import Store, StoreUnavailable
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.contract import Context
from server.usage import back_test_process, rates_process
from server.usage.reading import Span

MAX_NAME: Final = 255
MAX_COLUMN: Final = 255
# Usage of more than two years is none that a rate of today says anything of.
MAX_SPAN_MS: Final = 800 * 86_400_000
TAKING_OVER_SECONDS: Final = 60.0
_MS: Final = 1_000

_IMPORTED: msgspec.json.Decoder[rates_process.Message] = msgspec.json.Decoder(rates_process.Message)
_PLAYED: msgspec.json.Decoder[back_test_process.Message] = msgspec.json.Decoder(
    back_test_process.Message
)


@dataclass(frozen=True, slots=True)
class RateDecks:
    """Answers what `rates.proto` promises of files; `store` is where all processes are asked."""

    archive_url: str
    catalogue_folder: Path
    store: Store
    now_ms: Callable[[], int]
    _working: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def import_rates(self, _: object, context: Context) -> None:
        """Import the deck of a stream, and tell on it what becomes of it."""
        first: Any = await context.read()
        work = self._import_work(_options(first))
        asked = FileWork("server.usage.rates_process", msgspec.json.encode(work), _IMPORTED.decode)
        shrunk: list[str] = []
        async with self._alone(asked, context) as messages:
            async for message in messages:
                self._raise_if_stopped(message)
                if isinstance(message, rates_process.Summary) and message.counts.get("gone"):
                    shrunk.append(f"rates/{message.currency}")
                response = wire.import_response(message)
                if isinstance(message, rates_process.Finished) and message.applied:
                    await context.write(wire.progress("taking_over", 0, 0))
                    response.result.taken_over_count = await self._take_over(message, shrunk)
                await context.write(response)

    async def back_test_usage(self, _: object, context: Context) -> None:
        """Play usage with the tenant of a stream, and tell on it what came of it."""
        first: Any = await context.read()
        work = self._back_test_work(_options(first))
        asked = FileWork(
            "server.usage.back_test_process", msgspec.json.encode(work), _PLAYED.decode
        )
        async with self._alone(asked, context) as messages:
            async for message in messages:
                self._raise_if_stopped(message)
                await context.write(wire.back_test_response(message))

    def _alone(self, asked: FileWork[Any], context: Context) -> aclosing[AsyncGenerator[Any, None]]:
        """Start a child unless one works already. Raises `ImportRunning`."""
        if self._working.locked():
            raise ImportRunning
        return aclosing(self._work(asked, context))

    async def _work(self, asked: FileWork[Any], context: Context) -> AsyncGenerator[Any, None]:
        async with self._working, aclosing(work_on_file(asked, context)) as messages:
            async for message in messages:
                yield message

    def _raise_if_stopped(self, message: object) -> None:
        if isinstance(message, Invalid):
            raise FileInvalid(message.first, message.count)
        if not isinstance(message, Stopped):
            return
        if message.why in {"changed", "running"}:
            raise CatalogueChanged
        if message.why.startswith("read-only"):
            raise CatalogueReadOnly(str(self.catalogue_folder))
        raise ArchiveUnavailable(message.why)

    async def _take_over(self, finished: rates_process.Finished, losing: list[str]) -> int:
        """Have every process read the tables; count those that serve by them in time."""
        with suppress(StoreUnavailable, TimeoutError):
            number = await ask_for_reload(self.store, losing)
            async with asyncio.timeout(TAKING_OVER_SECONDS):
                found = await wait_for_reload(self.store, number)
            return sum(each.catalogue_version == finished.new_version for each in found)
        return 0

    def _import_work(self, options: pb.ImportRatesOptions) -> rates_process.Work:
        """Read what is to be done. Raises `InvalidRequest`."""
        for name, column in options.columns.items():
            if name not in NAMES:
                raise InvalidRequest("options.columns", f"fields among {', '.join(NAMES)}")
            if not 0 < len(column) <= MAX_COLUMN:
                raise InvalidRequest("options.columns", f"titles of 1 to {MAX_COLUMN} characters")
        read = DeckOptions(
            now_ms=self.now_ms(),
            columns=dict(options.columns),
            currency=_cell("currency_code", read_currency, options.currency_code),
            increments=_cell("increments", read_increments, options.increments)
            or DEFAULT_INCREMENTS,
            valid_from=_instant(options.valid_from),
            date_order=_one_of("date_order", options.date_order, ("", "dmy", "mdy")),
            decimal=_one_of("decimal", options.decimal, ("", ".", ",")),
            sheet=_name("sheet", options.sheet),
        )
        span = None if options.without_cost else self._span(options, read.now_ms, None)
        return rates_process.Work(
            archive_url=self.archive_url,
            catalogue_folder=str(self.catalogue_folder.absolute()),
            file_name=_name("file_name", options.file_name) or "deck",
            who=current().identity_id,
            keep_others=options.keep_others,
            with_tables=options.with_tables,
            expected_version=_name("expected_version", options.expected_version),
            span=span,
            options=read,
        )

    def _back_test_work(self, options: pb.BackTestUsageOptions) -> back_test_process.Work:
        """Read what is to be played. Raises `InvalidRequest`, `TenantForbidden`."""
        check_tenant(limits.tenant_id(options.tenant_id))
        at_ms = self.now_ms()
        if options.HasField("rates_time"):
            at_ms = options.rates_time.ToMilliseconds()
        return back_test_process.Work(
            archive_url=self.archive_url,
            catalogue_folder=str(self.catalogue_folder.absolute()),
            file_name=_name("file_name", options.file_name) or "tenant.toml",
            tenant_id=options.tenant_id,
            span=self._span(options, at_ms, [options.tenant_id]),
        )

    def _span(
        self,
        options: pb.ImportRatesOptions | pb.BackTestUsageOptions,
        at_ms: int,
        tenants: list[str] | None,
    ) -> Span:
        from_ms, until_ms = last_month(self.now_ms())
        if options.HasField("from_time") or options.HasField("until_time"):
            from_ms = options.from_time.ToMilliseconds()
            until_ms = self.now_ms()
            if options.HasField("until_time"):
                until_ms = options.until_time.ToMilliseconds()
        if not 0 < until_ms - from_ms <= MAX_SPAN_MS:
            raise InvalidRequest("options.until_time", "after from_time, by at most 800 days")
        return Span(from_ms, until_ms, at_ms, tenants)


def last_month(now_ms: int) -> tuple[int, int]:
    """Say when the last complete month began and ended, in UTC."""
    now = datetime.fromtimestamp(now_ms / _MS, UTC)
    until = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (until - timedelta(days=1)).replace(day=1)
    return int(begin.timestamp()) * _MS, int(until.timestamp()) * _MS


def _options(first: Any) -> Any:
    if first is grpc.aio.EOF or not first.HasField("options"):
        raise InvalidRequest("options", "in the first message")
    return first.options


def _name(name: str, text: str) -> str:
    if len(text) > MAX_NAME or not text.isprintable():
        raise InvalidRequest(f"options.{name}", f"at most {MAX_NAME} characters to be printed")
    return text


def _one_of(name: str, text: str, choice: tuple[str, ...]) -> str:
    if text not in choice:
        raise InvalidRequest(f"options.{name}", f"one of {', '.join(map(repr, choice))}")
    return text


def _cell(name: str, read: Callable[[str], str], text: str) -> str:
    try:
        return read(text) if text else ""
    except CellWrong as error:
        raise InvalidRequest(f"options.{name}", str(error)) from error


def _instant(text: str) -> str:
    try:
        return text if not text or to_milliseconds(text) > 0 else ""
    except ValueError as error:
        raise InvalidRequest("options.valid_from", str(error)) from error
