"""What the bridge needs of whatever carries its audio: put your own signalling in this place."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """One telephone connection, dialled by the bridge or arriving at it."""

    async def ring(self) -> bool:
        """Let the far end ring; say whether it answered."""
        ...

    async def pick_up(self) -> None:
        """Answer an arriving call."""
        ...

    async def pin(self) -> str:
        """Ask the caller for a PIN and return it."""
        ...

    async def play(self, announcement: str) -> None:
        """Play an announcement to the far end."""
        ...

    async def hung_up(self) -> None:
        """Wait until the far end hangs up."""
        ...

    async def refuse(self, sip_status: int, q850_cause: int) -> None:
        """End an arriving call that was not answered."""
        ...

    async def hang_up(self) -> None:
        """End the connection; nothing happens if it has ended."""
        ...


class Telephony(Protocol):
    """The way out to the telephone network."""

    def line_to(self, number: str) -> Line:
        """Make a line to a number; it does not ring yet."""
        ...
