"""The calls of the proxy, each a session with callgate from INVITE to BYE."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from callgate import CallgateError, CallRefused, CallSession, Control, Mistake
from callgate.v1 import authorization_pb2 as pb
from integrations.kamailio.sidecar.questions import Invite, question_of
from integrations.kamailio.sidecar.settings import Settings

# The proxy's own timer is the safety net below the sidecar's, which is exact.
NET_SECONDS = 2
# A call that rings longer than the proxy lets it ring.
MAX_RING_SECONDS = 180.0
# A call whose session is gone: above every sequence that it may have used.
LATE_SEQUENCE = 1 << 40

_log = logging.getLogger("callgate.sidecar")
Send = Callable[[Any], bool]


@dataclass(slots=True)
class Running:
    """One call: what the proxy told of it so far."""

    session_id: str
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    dialog: list[int] | None = None


class Calls:
    """Decides about INVITEs and looks after what was granted."""

    def __init__(self, settings: Settings, control: Control, send: Send) -> None:
        self._settings = settings
        self._control = control
        self._send = send
        self._running: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """How many calls are looked after."""
        return len(self._running)

    def hear(self, told: Mapping[str, Any]) -> None:
        """Hear one event of the proxy."""
        if told["event"] == "invite":
            self._begin(self._invite(Invite.read(told)))
            return
        running = self._running.get(told["session"])
        if running is None:
            if told["event"] == "ended":
                self._begin(self._settle_late(told))
            return
        running.dialog = told["dialog"]
        if told["event"] == "answered":
            running.answered.set()
        else:
            running.ended.set()

    async def close(self) -> None:
        """Look after no call any more; the proxy ends each in time, and tells who comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _invite(self, invite: Invite) -> None:
        question = question_of(invite, self._settings)
        session = self._control.call(question)
        try:
            call = await session.__aenter__()
        except CallRefused as refused:
            self._refuse(invite, refused.answer.refusal)
        except Mistake as mistake:
            _log.info("%s is not accepted: %s %s", invite.call_id, mistake.reason, mistake)
            self._reply(invite, refuse=403, text="Not Accepted", q850=21)
        except CallgateError as trouble:
            _log.warning("%s could not be decided: %s", invite.call_id, trouble)
            self._reply(invite, refuse=503, text="Calls Cannot Be Authorised", q850=41)
        else:
            await self._look_after(call, invite)

    async def _look_after(self, call: CallSession, invite: Invite) -> None:
        try:
            await self._live(call, invite)
        except asyncio.CancelledError:
            # The sidecar ends, the call does not: its end is heard by the one that comes next.
            await call.leave()
            raise
        try:
            await call.__aexit__(None, None, None)
        except CallgateError as trouble:
            _log.warning("%s: %s %s", invite.call_id, trouble.reason, trouble)

    async def _live(self, call: CallSession, invite: Invite) -> None:
        if call.is_emergency:
            self._reply(invite, dial=call.dial_as)
            return
        running = Running(secrets.token_hex(8))
        self._running[running.session_id] = running
        try:
            self._reply(
                invite,
                # Empty for what arrives: it goes where it is addressed to.
                dial=call.answer.dial,
                seconds=(call.granted_seconds or 0) + NET_SECONDS,
                tenant=call.tenant_id,
                session=running.session_id,
            )
            if not await self._answered(running):
                return
            call.answered()
            await self._talk(call, running)
        finally:
            del self._running[running.session_id]

    async def _answered(self, running: Running) -> bool:
        """Wait for the answer; say whether there was one."""
        waits = [
            asyncio.ensure_future(running.answered.wait()),
            asyncio.ensure_future(running.ended.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=MAX_RING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return running.answered.is_set()

    async def _talk(self, call: CallSession, running: Running) -> None:
        """Let the proxy know for how long, until one side hangs up or the time is over."""
        ended = asyncio.ensure_future(running.ended.wait())
        over = asyncio.ensure_future(call.over())
        limits = asyncio.ensure_future(self._tell_limits(call, running))
        try:
            await asyncio.wait({ended, over}, return_when=asyncio.FIRST_COMPLETED)
            call.hung_up()
            if not ended.done():
                self._send({"end": running.dialog})
        finally:
            for task in (ended, over, limits):
                task.cancel()

    async def _tell_limits(self, call: CallSession, running: Running) -> None:
        async for left_seconds in call.limits():
            if math.isfinite(left_seconds):
                limit = math.ceil(left_seconds) + NET_SECONDS
                self._send({"limit": limit, "dialog": running.dialog})

    def _refuse(self, invite: Invite, refusal: pb.Refusal) -> None:
        reason = pb.Reason.Name(refusal.reason).removeprefix("REASON_")
        announcement = self._settings.announcements.get(reason)
        if announcement:
            self._reply(invite, announce=announcement)
            return
        text = reason.replace("_", " ").title()
        self._reply(invite, refuse=refusal.sip_status, text=text, q850=refusal.q850_cause)

    def _reply(self, invite: Invite, **told: Any) -> None:
        self._send({"transaction": invite.transaction, **told})

    async def _settle_late(self, told: Mapping[str, Any]) -> None:
        """Settle a call whose session ended with the sidecar before."""
        report = pb.SettleCallRequest(
            tenant_id=told["tenant"],
            gateway_id=self._settings.gateway_id,
            call_id=told["call_id"],
            sequence=LATE_SEQUENCE,
        )
        if not told.get("began"):
            return
        report.used_duration.seconds = max(1, math.ceil(told["at"] - told["began"]))
        try:
            await self._control.settle_call(report)
        except CallgateError as trouble:
            _log.warning("%s could not be settled late: %s", told["call_id"], trouble)
