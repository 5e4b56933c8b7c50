"""The DebitService: every movement of a tenant's money, as it happens or from an old cursor on."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import debits_pb2 as pb
from server.access import find_tenant_by_id
from server.calls.messages import fields as limits
from server.calls.opening import Opening
from server.facts import FactsInUse
from server.ledger import AccountUnknown
from server.ledger.errors import AccountMissing
from server.ledger.journal import TailerStopped
from server.services.cursor import read_cursor
from server.services.debits.stream import Stream, Wanted, Watching, Wire
from server.services.registration import Codec
from server.transport import TransportServer
from server.transport.contract import Context

__all__ = ["CODECS", "AccountMissing", "Debits", "Watching"]

# What is told to many readers is written once, by the stream.
CODECS = {"WatchDebits": Codec(pb.WatchDebitsRequest.FromString, None)}


@dataclass(frozen=True, slots=True)
class Debits:
    """Answers what `debits.proto` promises."""

    watching: Watching
    facts: FactsInUse
    opening: Opening
    transport: TransportServer

    async def watch_debits(self, request: pb.WatchDebitsRequest, context: Context) -> None:
        """Stream a tenant's entries, or those of one of its calls, until somebody ends it."""
        tenant_id = limits.tenant_id(request.tenant_id)
        wanted = Wanted(tenant_id, limits.call_id(request.call_id) if request.call_id else "")
        cursor = read_cursor(request.cursor, tenant_id) if request.cursor else None
        find_tenant_by_id(tenant_id, self.facts.current.directory)
        self.transport.expect_shared(context)
        await context.send_initial_metadata(())
        await self.opening.hurry(tenant_id)
        follower = self.watching.tailer.follower(f"{tenant_id} for {context.peer()}")
        self.transport.on_move(context, lambda: follower.end(TailerStopped()))
        wire = Wire(context.write, self.transport.share)
        stream = Stream(self.watching, follower, wanted, wire=wire)
        try:
            await stream.run(cursor, from_beginning=request.from_beginning)
        except AccountUnknown as error:
            raise self.opening.missing(tenant_id) from error
        except TailerStopped:
            # All that was read has been sent: what is left to say is how far.
            await stream.send_checkpoint()
        finally:
            follower.leave()
