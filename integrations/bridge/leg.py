"""One leg of a meeting: a call of the engine's, and the line that carries it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from callgate import CallSession, Ending
from integrations.bridge.telephony import Line

MONEY_ENDS = "your-credit-ends-soon"
CALL_ENDS = "the-call-ends-now"


@dataclass(eq=False)
class Leg:
    """Somebody on the telephone in a meeting. `notices` is what the engine said of it so far."""

    number: str
    call: CallSession
    line: Line
    notices: list[str] = field(default_factory=list)
    # What would remain beyond the granted time, by the last estimate; None before there is one.
    remaining_seconds: int | None = None

    async def carry(self) -> None:
        """Let the leg last until somebody ends it: the far end, the engine, or the meeting."""
        hung_up = asyncio.create_task(self.line.hung_up())
        over = asyncio.create_task(self.call.over())
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait({hung_up, over}, return_when=asyncio.FIRST_COMPLETED)
            # Talk is over now, not when the announcement is.
            self.call.hung_up()
            if self.call.ending is not None and not hung_up.done():
                await self._announce(self.call.ending)
        finally:
            for task in (hung_up, over, listening):
                task.cancel()
            await asyncio.gather(hung_up, over, listening, return_exceptions=True)
            await self.line.hang_up()

    async def _announce(self, ending: Ending) -> None:
        self.notices.append(f"end: {ending.why}")
        await self.line.play(ending.redirect_to or CALL_ENDS)

    async def _listen(self) -> None:
        """Take what the engine says by itself. New deadlines are kept by the call."""
        async for push in self.call.pushes():
            match push.WhichOneof("item"):
                case "estimate":
                    self.remaining_seconds = push.estimate.remaining_duration.seconds
                    self.notices.append(f"remaining: {self.remaining_seconds} s")
                case "warning":
                    self.notices.append(f"warning: {push.warning.end_offset.seconds} s")
                    await self.line.play(MONEY_ENDS)
                case "deadline":
                    self.notices.append(f"deadline: {push.deadline.granted_duration.seconds} s")
