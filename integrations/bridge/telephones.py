"""Telephones that are none: for the demonstration and the tests, in the place of signalling."""

from __future__ import annotations

import asyncio


class Telephone:
    """Somebody's telephone, and the line to it.

    It answers at once unless it is told not to; `log` tells what happened to it.
    """

    def __init__(self, number: str, *, answers: bool = True, pin: str = "") -> None:
        self.number = number
        self.log: list[str] = []
        self._answers = answers
        self._pin = pin
        self._down = asyncio.Event()

    # --- What its owner does ------------------------------------------------------------------

    def put_down(self) -> None:
        """Hang up at the far end."""
        self._down.set()

    # --- What the bridge does -----------------------------------------------------------------

    async def ring(self) -> bool:
        """Ring, and answer or not."""
        self.log.append("rang")
        return self._answers

    async def pick_up(self) -> None:
        """Be answered by the bridge."""
        self.log.append("picked up")

    async def pin(self) -> str:
        """Type the PIN."""
        return self._pin

    async def play(self, announcement: str) -> None:
        """Hear an announcement."""
        self.log.append(f"heard {announcement}")

    async def hung_up(self) -> None:
        """Wait until it is put down."""
        await self._down.wait()

    async def refuse(self, sip_status: int, q850_cause: int) -> None:
        """Be refused."""
        self.log.append(f"refused {sip_status}/{q850_cause}")

    async def hang_up(self) -> None:
        """Be hung up on; the second time nothing happens."""
        if "ended" not in self.log:
            self.log.append("ended")
        self._down.set()


class Telephones:
    """A telephone network of telephones that are none."""

    def __init__(self) -> None:
        self.by_number: dict[str, Telephone] = {}

    def add(self, telephone: Telephone) -> Telephone:
        """Connect a telephone."""
        self.by_number[telephone.number] = telephone
        return telephone

    def line_to(self, number: str) -> Telephone:
        """Make a line to a number; one that nobody has does not answer."""
        return self.by_number.get(number) or self.add(Telephone(number, answers=False))
