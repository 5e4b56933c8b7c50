"""The DecisionService: decision records of a tenant, found again in the archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import decisions_pb2 as pb
from policy.facts import Tenant
from policy.numbering import read_number
from server.access import find_tenant_by_id
from server.calls.messages import fields as limits
from server.calls.messages.advice import Advice
from server.calls.messages.fields import InvalidRequest
from server.facts import FactsInUse
from server.observability.masks import Masks
from server.services.decisions import messages as wire
from server.services.paging import read_page
from server.storage.sql.database import Database
from server.transport.contract import Context
from server.usage.decisions.finding import DecisionUnknown, FoundDecision, Sought, find_decisions

_HASH = re.compile(r"[0-9a-f]{16}")
_MS_PER_DAY = 86_400_000
# A decision has one record, and one more for each time that it was told again.
_MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Decisions:
    """Answers what `decisions.proto` promises.

    `masks` are those of the records; `days` is how long these are kept.
    """

    database: Database
    facts: FactsInUse
    masks: Masks
    advice: Advice
    days: int
    now_ms: Callable[[], int]

    async def find_decisions(
        self, request: pb.FindDecisionsRequest, _context: Context
    ) -> pb.FindDecisionsResponse:
        """Find records of a tenant, the newest first."""
        tenant = self._tenant(request.tenant_id)
        sought = self._sought(request, tenant)
        asked = pb.FindDecisionsRequest()
        asked.CopyFrom(request)
        asked.ClearField("page_token")
        asked.ClearField("page_size")
        page = read_page(
            (asked.SerializeToString(deterministic=True).hex(),),
            request.page_size,
            request.page_token,
        )
        after = wire.read_place(page.after)
        found = await self.database.read(
            lambda c: find_decisions(c, sought, after=after, limit=page.size + 1)
        )
        response = pb.FindDecisionsResponse()
        for each in found[: page.size]:
            wire.set_decision(response.decisions.add(), each)
        if len(found) > page.size:
            last = found[page.size - 1].place
            response.next_page_token = page.token_after(wire.place_text(last))
        return response

    async def get_decision(
        self, request: pb.GetDecisionRequest, _context: Context
    ) -> pb.GetDecisionResponse:
        """Tell one decision, and why."""
        tenant = self._tenant(request.tenant_id)
        decision_id = limits.an_id("decision_id", request.decision_id)
        sought = Sought(tenant.tenant_id, *self._kept(), decision_id=decision_id)
        found = await self.database.read(
            lambda c: find_decisions(c, sought, after=None, limit=_MOST_TOLD)
        )
        if not found:
            raise DecisionUnknown
        first = min(found, key=_told_first)
        response = pb.GetDecisionResponse(record=first.text)
        wire.set_decision(response.decision, first)
        wire.set_why(response, first.record, self.advice)
        return response

    def _tenant(self, asked: str) -> Tenant:
        """Find a tenant that the caller may ask about. Raises `TenantForbidden`."""
        return find_tenant_by_id(limits.tenant_id(asked), self.facts.current.directory)

    def _sought(self, request: pb.FindDecisionsRequest, tenant: Tenant) -> Sought:
        from_ms, to_ms = self._kept()
        if request.HasField("start_time"):
            from_ms = max(from_ms, _time("start_time", request.start_time))
        if request.HasField("end_time"):
            to_ms = min(to_ms, _time("end_time", request.end_time))
        account = request.account_id
        return Sought(
            tenant.tenant_id,
            from_ms,
            to_ms,
            hashes=tuple(self._hashes(request, tenant)) if request.number else (),
            accounts=self._accounts(account) if account else (),
            call_id=limits.call_id(request.call_id) if request.call_id else "",
            gateway_id=limits.an_id("gateway_id", request.gateway_id) if request.gateway_id else "",
            decision_id=limits.decision_id("decision_id", request.decision_id),
            reason=wire.reason(request.reason),
            outcome=wire.outcome(request.outcome),
        )

    def _kept(self) -> tuple[int, int]:
        """Say from when records are kept, and until when: clocks of engines differ a little."""
        now_ms = self.now_ms()
        return now_ms - self.days * _MS_PER_DAY, now_ms + _MS_PER_DAY

    def _hashes(self, request: pb.FindDecisionsRequest, tenant: Tenant) -> Iterator[str]:
        """Hash a number as it is typed, and as it is read where it may have been dialled."""
        number = limits.a_number("number", request.number)
        if _HASH.fullmatch(number):
            yield number
            return
        yield self.masks.hash(number)
        user = tenant.users.get(request.account_id)
        for country in {tenant.country, user.usage_location if user else tenant.country}:
            e164 = read_number(number, country, tenant.dial_plan)
            if e164 is not None:
                yield self.masks.hash(e164)

    def _accounts(self, account: str) -> tuple[str, ...]:
        limits.account_id("account_id", account)
        return account, self.masks.hash(account)


def _told_first(found: FoundDecision) -> tuple[bool, int]:
    return found.record.get("repeated", False), found.place.time_ms


def _time(field: str, value: Timestamp) -> int:
    try:
        return value.ToMilliseconds()
    except ValueError:
        raise InvalidRequest(field, "a time since 1970") from None
