"""Verdicts that serve many calls: kept under all that they depend on, for as long as they hold.

`policy.likeness` says what that is. A verdict is kept with all that follows from it and is the same
for each call: the purses as the ledger reads them, the context of the answer, the answer's bytes.
"""

from __future__ import annotations

from collections.abc import Hashable

from policy.admission import admit
from policy.decision import Admission, FreePurse, PayerKind
from policy.destination import Destination, find_destination
from policy.equivalence import Zone, likeness, listed_prefixes, zone_of
from policy.facts import Call, CallKind, Catalogue, Facts, Tenant, User
from server.calls.cached_record import CachedDecisionRecord
from server.calls.messages.advice import Advice
from server.calls.messages.cached_answer import KeptAnswer
from server.ledger.decision_context import KeptContext, call_context
from server.ledger.prepared_reserve import PreparedReserve

# A few kilobytes each.
MOST_VERDICTS = 20_000
MOST_ZONES = 50_000


class Verdict:
    """What the rules say of calls that are alike, and all that is made of it once.

    Attributes:
        context: The context of the first of these calls; another's differs by person and numbers.
        is_callers: Whether the caller's own account pays.
        is_metered: Whether a call needs room in its tenant's journal.
        reason: Why the rules refuse; None where they do not.
        reserve: The question to the ledger.
        answer: What is answered.
        usual_state, usual_figures: The state of a new call, and whether it is final, the reason and
            the shortfall, as the ledger answers where nothing is out of the ordinary.
    """

    __slots__ = (
        "_context",
        "answer",
        "context",
        "is_callers",
        "is_metered",
        "reason",
        "reserve",
        "usual_figures",
        "usual_state",
    )

    def __init__(self, call: Call, facts: Facts, *, now_ms: int, advice: Advice) -> None:
        said = admit(call, facts, now_ms)
        # Who calls is a user of the tenant, so that somebody is known to pay.
        assert said.payer is not None
        self.is_callers = said.payer.kind is not PayerKind.RESOURCE_ACCOUNT
        self.reason = None if isinstance(said, Admission) else said.reason
        purses = said.purses if isinstance(said, Admission) else ()
        self.is_metered = any(not isinstance(purse, FreePurse) for purse in purses)
        self.usual_state = b"live" if self.reason is None else b"refused"
        self.usual_figures = [b"0", b"%d" % (self.reason or 0), b"0"]
        self.context = call_context(call, said, facts)
        self._context = KeptContext(self.context)
        self.reserve = PreparedReserve(
            call.tenant_id,
            facts.tenant.digest,
            said,
            context_end=self._context.paying,
        )
        self.answer = KeptAnswer(self.context, call.tenant_id, advice=advice)
        if self.reason is not None:
            self.answer.keep_refusal(self.reason, advice=advice)

    @property
    def paying(self) -> str:
        """The end of the context, which is the same for all of them."""
        return self._context.paying

    def context_of(self, call: CachedDecisionRecord, user: User) -> str | None:
        """Pack the context of a call, less what the reserve has of it; None as `of_call` says."""
        if self.is_callers:
            own_number, accounts = user.number, ""
        else:
            own_number, accounts = self.context.own_number, user.user_id
        dialled = "" if call.dialled == call.called_number else call.dialled
        asked = (call.kind, dialled, call.calling_number, accounts, call.location)
        return self._context.of_call(call.account_id, call.called_number, own_number, asked=asked)


class DecisionCache:
    """Finds the verdict about a call; asks the rules where none is kept, or none that still holds.

    What is kept hangs on the catalogue and on each tenant's facts: others begin anew.
    """

    def __init__(self, advice: Advice) -> None:
        self._advice = advice
        self._catalogue: Catalogue | None = None
        self._listed: tuple[str, ...] = ()
        # By currency, then by the prefix of a destination and what rates add to it.
        # By currency, and by as many digits as matter: from when, until when, and the zone.
        self._zones: dict[tuple[str, str], tuple[int, int, Zone]] = {}
        self._same_zones: dict[Zone, Zone] = {}
        # A tenant's facts are kept with its verdicts, which stand on their identity.
        self._tenants: dict[str, tuple[Tenant, dict[Hashable, Verdict]]] = {}
        self._count = 0

    def find(
        self, facts: Facts, user: User, *, kind: CallKind, e164: str, now_ms: int
    ) -> Verdict | None:
        """Find what the rules say of a call to a number that a user of the facts' tenant places.

        None where the number leads nowhere: that is not kept.
        """
        catalogue, tenant = facts.catalogue, facts.tenant
        if catalogue is not self._catalogue:
            self._begin(catalogue)
        destination = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
        if destination is None:
            return None
        zone = self._zone(tenant.currency, e164, destination, now_ms=now_ms)
        known = self._tenants.get(tenant.tenant_id)
        if known is None or known[0] is not tenant:
            known = self._tenants[tenant.tenant_id] = tenant, {}
        # Zones are kept as long as verdicts are, so that their identity stands for them.
        key = id(kind), id(zone), likeness(user), self._begins_as(tenant, e164)
        verdict = known[1].get(key)
        if verdict is None:
            call = Call(kind, tenant.tenant_id, e164, account_ids=(user.user_id,))
            verdict = Verdict(call, facts, now_ms=now_ms, advice=self._advice)
            known[1][key] = verdict
            self._count += 1
        return verdict

    def _zone(self, currency: str, e164: str, destination: Destination, *, now_ms: int) -> Zone:
        catalogue = self._catalogue
        assert catalogue is not None
        # Rates may tell apart what destinations do not.
        finest, prefix = catalogue.finest_rate_prefix, destination.prefix
        key = currency, prefix if finest <= len(prefix) else e164[1 : finest + 1]
        kept = self._zones.get(key)
        if kept is not None and kept[0] <= now_ms < kept[1]:
            return kept[2]
        if kept is not None or self._count >= MOST_VERDICTS or len(self._zones) >= MOST_ZONES:
            # What holds no longer has company: months and rates turn for all at once.
            self._begin(catalogue)
        zone = zone_of(catalogue, currency, e164, destination=destination, now_ms=now_ms)
        zone = self._same_zones.setdefault(zone, zone)
        self._zones[key] = zone.from_ms, zone.until_ms, zone
        return zone

    def _begins_as(self, tenant: Tenant, e164: str) -> Hashable:
        """Say which prefixes a number begins with, of those that rules or the tenant list."""
        blocked = tenant.blocked_prefixes
        if not blocked and not e164.startswith(self._listed, 1):
            return None
        prefixes = [prefix for prefix in self._listed if e164.startswith(prefix, 1)]
        return bool(blocked) and e164.startswith(blocked, 1), len(e164), *prefixes

    def _begin(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._listed = listed_prefixes(catalogue)
        self._zones.clear()
        self._same_zones.clear()
        self._tenants.clear()
        self._count = 0
