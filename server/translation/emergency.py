"""Emergency grants and the table of emergency numbers, for the wire."""

from __future__ import annotations

from callgate.v1 import authorization_pb2 as pb
from policy.decision import EmergencyGrant
from policy.facts import Catalogue


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
