"""Emergency numbers, kept for when the engine does not answer: such a call always passes."""

from __future__ import annotations

import contextlib
from pathlib import Path

from google.protobuf.message import DecodeError

from callgate.client.emergency_spelling import NUMBER_ANYWHERE, main_number, read_emergency
from callgate.v1 import authorization_pb2 as pb


class EmergencyNumbers:
    """The numbers of the last GetEmergencyNumbers; with a path, kept across restarts."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known = pb.GetEmergencyNumbersResponse()
        if path is not None:
            # A file that is missing or cut short is as good as none: the engine is asked at once.
            with contextlib.suppress(FileNotFoundError, DecodeError):
                self._known = pb.GetEmergencyNumbersResponse.FromString(path.read_bytes())

    @property
    def is_empty(self) -> bool:
        """Whether none was ever got."""
        return not self._known.locations

    def keep(self, told: pb.GetEmergencyNumbersResponse) -> None:
        """Take over what the engine lists. Raises `OSError` where it cannot be written."""
        if not told.locations or told == self._known:
            return
        self._known = told
        if self._path is not None:
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(told.SerializeToString())
            fresh.replace(self._path)

    def dial_as(self, dialled: str, location: str = "") -> str | None:
        """Return the digits to route where an emergency number was dialled, else None.

        The numbers of `location` come first; those of every other country pass too, for here it is
        not known where the caller is at home, and a call let through costs less than one held up.
        """
        wanted = read_emergency(dialled)
        if not wanted:
            return None
        if not wanted.isdecimal():
            return self._route_service(wanted, location)
        place = location.strip().upper()
        for one in sorted(self._known.locations, key=lambda one: one.location != place):
            if wanted in one.numbers:
                return wanted
            if wanted in one.dial_masks:
                return one.dial_masks[wanted]
        return None

    def _route_service(self, service: str, location: str) -> str:
        """Return what the place dials for "sos.police", else for "sos"."""
        place = location.strip().upper()
        for one in self._known.locations:
            if one.location == place:
                while service and service not in one.dial_masks:
                    service = service.rpartition(".")[0]
                # An engine of before lists no services.
                return (
                    one.dial_masks[service]
                    if service
                    else main_number(one.numbers) or NUMBER_ANYWHERE
                )
        return NUMBER_ANYWHERE


def emergency_answer(dial_as: str) -> pb.AuthorizeCallResponse:
    """Build the answer that the engine would have given."""
    grant = pb.Grant(emergency=True, dial_as=dial_as)
    return pb.AuthorizeCallResponse(grant=grant, dial=dial_as)
