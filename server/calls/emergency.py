"""Emergency calls at the door: granted from digits and a place alone, before anything can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from callgate.v1 import authorization_pb2 as pb
from policy.decision import EmergencyGrant
from policy.emergency import match_emergency
from policy.facts import Catalogue, Tenant
from server.access import may_touch
from server.calls.decision_record import DecidedEmergency
from server.calls.fingerprint import home_country
from server.calls.messages.question import account_of
from server.facts import FactsInUse
from server.observability.metrics import Metrics
from server.observability.records import Records


class KeptLists:
    """The lists of emergency numbers as they are sent, of the newest catalogue."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._kept: dict[str, bytes] = {}

    def of(self, catalogue: Catalogue, location: str) -> bytes:
        """Return the list of one country, or of all if `location` is empty."""
        if catalogue is not self._catalogue:
            self._catalogue, self._kept = catalogue, {}
        kept = self._kept.get(location)
        if kept is None:
            kept = emergency_numbers_response(catalogue, location).SerializeToString()
            if not location or location in catalogue.emergency:
                self._kept[location] = kept
        return kept


@dataclass(frozen=True, slots=True)
class EmergencyDoor:
    """Stands before field limits, access, load and the ledger; needs memory only."""

    facts: FactsInUse
    records: Records
    metrics: Metrics
    now_ms: Callable[[], int]
    default_locations: tuple[str, ...]
    _lists: KeptLists = field(default_factory=KeptLists)

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
        self.records.keep(_decided(request, found, now_ms))
        return emergency_response(found, snapshot.catalogue.version, now_ms)

    def list_numbers(self, location: str) -> bytes:
        """List the numbers to let pass when no answer comes; of all countries if none is named.

        The answer is written once for each catalogue and country: strangers may ask for it.
        """
        catalogue = self.facts.current.catalogue
        return self._lists.of(catalogue, location)

    def _home(self, request: pb.AuthorizeCallRequest, tenant: Tenant | None) -> tuple[str, ...]:
        """Say where the caller belongs to: the usage location, else the tenant's, else nowhere."""
        if tenant is not None:
            return (home_country((tenant.name_of(account_of(request)),), tenant),)
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


def emergency_response(
    grant: EmergencyGrant, catalogue_version: str, now_ms: int
) -> pb.AuthorizeCallResponse:
    """Build the answer: no end, no payer, nothing stored, only the digits to route."""
    response = pb.AuthorizeCallResponse(
        grant=pb.Grant(emergency=True, dial_as=grant.dial_as),
        catalogue_version=catalogue_version,
        dial=grant.dial_as,
    )
    response.decide_time.FromMilliseconds(now_ms)
    return response


def emergency_numbers_response(
    catalogue: Catalogue, location: str
) -> pb.GetEmergencyNumbersResponse:
    """List the numbers of one country, or of all in alphabetical order."""
    wanted = (location,) if location else sorted(catalogue.emergency)
    rows = [catalogue.emergency[one] for one in wanted if one in catalogue.emergency]
    return pb.GetEmergencyNumbersResponse(
        catalogue_version=catalogue.version,
        locations=[
            pb.EmergencyNumbers(
                location=row.country,
                numbers=sorted(row.numbers),
                dial_masks=dict(row.dial_masks),
            )
            for row in rows
        ],
    )
