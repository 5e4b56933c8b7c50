"""Emergency calls at the door: granted from digits and a place alone, before anything can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from policy.decision import EmergencyGrant
from policy.emergency import match_emergency
from policy.facts import Tenant
from server.access import may_touch
from server.facts import FactsKeeper
from server.observation.decided import DecidedEmergency
from server.observation.metrics import Metrics
from server.observation.records import Records
from server.translation.emergency import emergency_numbers_response, emergency_response
from server.translation.fingerprint import home_country
from server.translation.question import account_of


@dataclass(frozen=True, slots=True)
class EmergencyDoor:
    """Stands before field limits, access, load and the ledger; needs memory only."""

    facts: FactsKeeper
    records: Records
    metrics: Metrics
    now_ms: Callable[[], int]
    default_locations: tuple[str, ...]

    def grant(self, request: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse | None:
        """Grant an emergency number, whatever else the question holds; None for all others."""
        snapshot = self.facts.current
        tenant = snapshot.directory.tenants.get(request.tenant_id)
        if tenant is not None and not may_touch(request.tenant_id):
            # A stranger is asked for nothing here, and learns of no tenant where it is at home.
            tenant = None
        numbers = snapshot.catalogue.emergency
        locations = (request.location, *self._home(request, tenant))
        found = match_emergency(request.called_number, locations, numbers)
        if found is None and len(locations) == 1:
            # Where the caller may be is not known: it may be anywhere.
            found = match_emergency(request.called_number, tuple(sorted(numbers)), numbers)
        if found is None:
            return None
        now_ms = self.now_ms()
        self.metrics.count_emergency()
        self.records.keep_emergency(_decided(request, found, now_ms))
        return emergency_response(found, snapshot.catalogue.version, now_ms)

    def list_numbers(self, location: str) -> pb.GetEmergencyNumbersResponse:
        """List the numbers to let pass when no answer comes; of all countries if none is named."""
        return emergency_numbers_response(self.facts.current.catalogue, location)

    def _home(self, request: pb.AuthorizeCallRequest, tenant: Tenant | None) -> tuple[str, ...]:
        """Say where the caller belongs to: the usage location, else the tenant's, else nowhere."""
        if tenant is not None:
            return (home_country((account_of(request),), tenant),)
        return self.default_locations


def _decided(
    request: pb.AuthorizeCallRequest, grant: EmergencyGrant, now_ms: int
) -> DecidedEmergency:
    return DecidedEmergency(
        now_ms,
        request.tenant_id,
        account_of(request),
        request.gateway_id,
        request.call_id,
        request.calling_number,
        grant,
    )
