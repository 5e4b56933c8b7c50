"""The CreditService: the money of a tenant."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import credits_pb2 as pb
from server.accounts import Accounts
from server.errors import Context
from server.observation.metrics import Metrics
from server.translation import limits
from server.translation.balance import balance_response
from server.transport import TransportServer
from server.unary import Unary, serve_unary

SERVICE = pb.DESCRIPTOR.services_by_name["CreditService"].full_name


@dataclass(frozen=True, slots=True)
class Credits:
    """Answers what `credits.proto` promises."""

    accounts: Accounts
    metrics: Metrics

    async def get_balance(
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        """Read the balance of one tenant."""
        tenant_id = limits.tenant_id(request.tenant_id)
        return balance_response(await self.accounts.balance(tenant_id, context.time_remaining()))

    def register(self, target: TransportServer) -> None:
        """Serve all of it."""
        methods = {
            "GetBalance": Unary(
                self.get_balance,
                pb.GetBalanceRequest.FromString,
                pb.GetBalanceResponse.SerializeToString,
            )
        }
        serve_unary(target, SERVICE, methods, count_failure=self.metrics.count_failure)
