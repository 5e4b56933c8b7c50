"""Emergency numbers, kept for when the engine does not answer: such a call always passes."""

from __future__ import annotations

import contextlib
import unicodedata
from pathlib import Path

from google.protobuf.message import DecodeError

from callgate.v1 import authorization_pb2 as pb

_LONGEST_NUMBER = 8
_SEPARATORS = frozenset(" -.()/")


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
        digits = _digits(dialled)
        if not digits:
            return None
        wanted = location.strip().upper()
        for place in sorted(self._known.locations, key=lambda one: one.location != wanted):
            if digits in place.numbers:
                return digits
            if digits in place.dial_masks:
                return place.dial_masks[digits]
        return None


def emergency_answer(dial_as: str) -> pb.AuthorizeCallResponse:
    """Build the answer that the engine would have given."""
    return pb.AuthorizeCallResponse(grant=pb.Grant(emergency=True, dial_as=dial_as))


def _digits(dialled: str) -> str:
    """Read the digits of what was dialled: whole, for a prefix of a number is no emergency."""
    text = dialled.strip().removeprefix("tel:").partition(";")[0]
    text = "".join(sign for sign in text if sign not in _SEPARATORS).removeprefix("+")
    if not text.isdecimal() or len(text) > _LONGEST_NUMBER:
        return ""
    return "".join(str(unicodedata.decimal(sign)) for sign in text)
