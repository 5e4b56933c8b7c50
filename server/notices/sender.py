"""The courier: finds whom notices are for, sends them, and notes what became of each.

A mail is noted as `sending` once the mail server takes its recipient, before its text goes out. So
one that was interrupted before is sent by whoever comes next, and one that was interrupted later is
left alone: nothing is sent twice because a process died. docs/notices.md tells what this promises.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from server.notices.deliveries import (
    Channel,
    Claim,
    Delivery,
    claim_deliveries,
    count_deliveries,
    give_up_uncertain,
    has_due,
    has_lapsed,
    hurry_waiting,
    let_claims_go,
    mark_failed,
    mark_sending,
    mark_sent,
    mark_waiting,
)
from server.notices.expiring import find_expiring, tell_expiring
from server.notices.figures import NoticeFigures
from server.notices.outbox import forget_events, forget_files, read_file
from server.notices.recipients import address_notices, has_new
from server.notices.rendering import Told, event_body, tenant_key
from server.notices.smtp import (
    MailPostponed,
    MailRefused,
    MailServerAway,
    Round,
    SmtpClient,
    mail_of,
)
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.http import OutgoingFailed, OutgoingHttp, UrlRefused

# A claim holds this long; longer than one mail or webhook can take.
LEASE_MS = 180_000
# Of one round, on one connection to the mail server, or at once to webhooks.
MAILS_A_ROUND = 50
WEBHOOKS_AT_ONCE = 16
# Pauses between attempts double from the first to the longest.
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = {Channel.MAIL: 60_000, Channel.WEBHOOK: 900_000}
# Then it is given up: after about three days.
MOST_ATTEMPTS = {Channel.MAIL: 4_300, Channel.WEBHOOK: 300}
# A courier that is stopped has this long to finish the mail that is going out.
FINISH_SECONDS = 5.0
_TOKEN_BYTES = 16
_LONGEST_EXPONENT = 20
_GONE = 410
# Providers repeat events for days; what an event does is done once all the same.
EVENTS_KEPT_MS = 30 * 24 * 60 * 60 * 1_000
# Files are sent once more for so long.
FILES_KEPT_MS = EVENTS_KEPT_MS

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sender:
    """Sends what is in the outbox. Several may work at once. All raise `ArchiveUnavailable`.

    Without a `postman` mails fail, and say so. `webhook_key` is what tenants' keys are made of.
    """

    database: Database
    now_ms: Callable[[], int]
    postman: SmtpClient | None
    outgoing: OutgoingHttp
    webhook_key: bytes
    figures: NoticeFigures = field(default_factory=NoticeFigures)
    # Whether the mail server did not answer when it was asked last.
    _mail_is_away: bool = True
    # Whether claims of a courier that died were let go.
    _begun: bool = False

    async def address(self) -> None:
        """Find whom new notices are for, and give up what may have gone out long ago."""
        now_ms = self.now_ms()
        if not self._begun:
            await self.database.write(lambda c: let_claims_go(c, now_ms))
            self._begun = True
        while await self.database.read(lambda c: has_new(c, now_ms)):
            if not await self.database.write(lambda c: address_notices(c, now_ms)):
                # Somebody else is at them.
                break
        if await self.database.read(lambda c: has_lapsed(c, now_ms)):
            lost = await self.database.write(lambda c: give_up_uncertain(c, now_ms))
            _log.error("%d mails may have gone out or not: their sender died.", lost)

    async def tidy(self) -> None:
        """Write notices of credits that expire soon; forget events and files that are old."""
        now_ms = self.now_ms()
        found = await self.database.read(lambda c: find_expiring(c, now_ms))
        await self.database.write(lambda c: tell_expiring(c, found))
        await self.database.write(lambda c: forget_events(c, now_ms - EVENTS_KEPT_MS))
        await self.database.write(lambda c: forget_files(c, now_ms - FILES_KEPT_MS))

    async def count(self) -> None:
        """Count what waits."""
        self.figures.counts = await self.database.read(count_deliveries)

    async def send_mails(self) -> None:
        """Hand over the mails that are due, round after round, until none is left."""
        while claimed := await self._claim(Channel.MAIL, MAILS_A_ROUND):
            token, deliveries = claimed
            if self.postman is None:
                for delivery in deliveries:
                    await self._fail(delivery, token, "no mail server is set: smtp_url")
                continue
            left = list(deliveries)
            try:
                async with self.postman.round() as round_:
                    while left:
                        sending = self._send_mail(round_, left[0], token)
                        await _to_its_end(self._for_itself(left[0], token, sending))
                        left.pop(0)
            except MailServerAway as away:
                if not self._mail_is_away:
                    _log.warning("The mail server takes nothing: %s", away)
                self._mail_is_away = True
                for delivery in left:
                    await self._postpone(delivery, token, str(away))
                return

    async def send_webhooks(self) -> None:
        """Post the webhooks that are due, several at once, until none is left."""
        while claimed := await self._claim(Channel.WEBHOOK, WEBHOOKS_AT_ONCE):
            token, deliveries = claimed
            posts = [
                self._for_itself(delivery, token, self._send_webhook(delivery, token))
                for delivery in deliveries
            ]
            for trouble in await asyncio.gather(*posts, return_exceptions=True):
                if trouble is not None:
                    raise trouble

    async def _for_itself(
        self, delivery: Delivery, token: str, sending: Coroutine[None, None, None]
    ) -> None:
        """Send one; what nobody foresaw about it is told, and keeps no other one waiting."""
        try:
            await sending
        except (ArchiveUnavailable, MailServerAway):
            raise
        except Exception as error:  # noqa: BLE001 -- It is told, and others go on.
            _log.exception("Notice %s of %s broke.", delivery.notice_id, delivery.tenant_id)
            await self._postpone(delivery, token, repr(error))

    async def _claim(self, channel: Channel, limit: int) -> tuple[str, list[Delivery]] | None:
        now_ms = self.now_ms()
        if not await self.database.read(lambda c: has_due(c, channel, now_ms)):
            return None
        token = secrets.token_hex(_TOKEN_BYTES)
        claim = Claim(token, now_ms, now_ms + LEASE_MS, limit)
        found = await self.database.write(lambda c: claim_deliveries(c, channel, claim))
        return (token, found) if found else None

    async def _send_mail(self, round_: Round, delivery: Delivery, token: str) -> None:
        assert self.postman is not None
        file = await self.database.read(lambda c: read_file(c, delivery.notice_id))
        sender = self.postman.sender
        mail = mail_of(told_of(delivery), sender=sender, number=delivery.round, file=file)

        async def goes_out() -> bool:
            until_ms = self.now_ms() + LEASE_MS
            return await self.database.write(
                lambda c: mark_sending(c, delivery, token, until_ms=until_ms)
            )

        try:
            if not await round_.hand_over(mail, delivery.target, goes_out):
                # Somebody else has it: we were too slow.
                return
        except MailRefused as refused:
            await self._mail_is_back()
            await self._fail(delivery, token, str(refused))
        except MailPostponed as postponed:
            await self._mail_is_back()
            await self._postpone(delivery, token, str(postponed))
        else:
            await self._sent(delivery, token)
            await self._mail_is_back()

    async def _mail_is_back(self) -> None:
        if self._mail_is_away:
            self._mail_is_away = False
            await self.database.write(lambda c: hurry_waiting(c, Channel.MAIL, self.now_ms()))

    async def _send_webhook(self, delivery: Delivery, token: str) -> None:
        told = told_of(delivery)
        body = event_body(told)
        # A round of its own is an event of its own; the same one always has the same id.
        event_id = f"{delivery.notice_id}.{delivery.round}"
        key = tenant_key(self.webhook_key, delivery.tenant_id)
        headers = key.sign(event_id, body, now_ms=self.now_ms())
        headers["Content-Type"] = "application/json"
        try:
            reply = await self.outgoing.post(delivery.settings.webhook_url, body, headers)
        except UrlRefused as refused:
            await self._fail(delivery, token, f"the URL {refused}")
        except OutgoingFailed as failed:
            await self._postpone(delivery, token, str(failed))
        else:
            if reply.taken:
                await self._sent(delivery, token)
            elif reply.status == _GONE:
                await self._fail(delivery, token, "it is gone: status 410")
            else:
                await self._postpone(delivery, token, f"status {reply.status}")

    async def _sent(self, delivery: Delivery, token: str) -> None:
        now_ms = self.now_ms()
        await self.database.write(lambda c: mark_sent(c, delivery, token, now_ms=now_ms))
        self.figures.sent[delivery.channel.value] += 1

    async def _postpone(self, delivery: Delivery, token: str, trouble: str) -> None:
        if delivery.attempts >= MOST_ATTEMPTS[delivery.channel]:
            await self._fail(delivery, token, trouble)
            return
        due_ms = self.now_ms() + pause_ms(delivery.channel, delivery.attempts)
        await self.database.write(
            lambda c: mark_waiting(c, delivery, token, due_ms=due_ms, trouble=trouble)
        )
        self.figures.postponed[delivery.channel.value] += 1

    async def _fail(self, delivery: Delivery, token: str, trouble: str) -> None:
        now_ms = self.now_ms()
        await self.database.write(
            lambda c: mark_failed(c, delivery, token, now_ms=now_ms, trouble=trouble)
        )
        self.figures.failed[delivery.channel.value] += 1
        _log.error(
            "Notice %s (%s) to %s of %s was given up: %s",
            delivery.notice_id,
            delivery.channel.value,
            delivery.target or "its webhook",
            delivery.tenant_id,
            trouble,
        )


async def _to_its_end(sending: Coroutine[None, None, None]) -> None:
    """Send one mail, to its end even if the courier is stopped: of half a mail nobody knows."""
    task = asyncio.create_task(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_SECONDS)
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def pause_ms(channel: Channel, attempts: int) -> int:
    """Say how long to wait after so many attempts."""
    return min(FIRST_PAUSE_MS << min(attempts - 1, _LONGEST_EXPONENT), LONGEST_PAUSE_MS[channel])


def told_of(delivery: Delivery) -> Told:
    """Say what a delivery tells, and for whom."""
    return Told(
        notice_id=delivery.notice_id,
        kind=delivery.kind,
        tenant_id=delivery.tenant_id,
        time_ms=delivery.time_ms,
        facts=delivery.facts,
        language=delivery.settings.language,
        time_zone=delivery.settings.time_zone,
        target=delivery.target,
    )
