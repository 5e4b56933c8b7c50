"""Serving the CreditService: which method answers which RPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory

from callgate.v1 import credits_pb2 as pb
from server.observability.metrics import Metrics
from server.services.credits.movements import Movements
from server.services.credits.purchases import Purchases
from server.services.credits.reads import Looking
from server.services.credits.recharge_settings import FundingSettings
from server.services.credits.shared import CreditParts
from server.services.errors import Method
from server.services.methods import Unary, serve_unary
from server.transport import TransportServer

_SERVICE = pb.DESCRIPTOR.services_by_name["CreditService"]
SERVICE = _SERVICE.full_name


@dataclass(frozen=True, slots=True)
class Credits:
    """Answers what `credits.proto` promises."""

    parts: CreditParts
    metrics: Metrics

    def methods(self) -> Mapping[str, Method[Any, Any]]:
        """Name what answers each RPC."""
        looking, movements = Looking(self.parts), Movements(self.parts)
        purchases, settings = Purchases(self.parts), FundingSettings(self.parts)
        return {
            "GetBalance": looking.get_balance,
            "TopUp": purchases.top_up,
            "ListLots": looking.list_lots,
            "VoidLot": movements.void_lot,
            "Debit": movements.debit,
            "Refund": movements.refund,
            "Transfer": purchases.transfer,
            "FreezeAccount": movements.freeze,
            "UnfreezeAccount": movements.unfreeze,
            "CloseAccount": movements.close,
            "SetCreditLimit": movements.set_credit_limit,
            "GetFunding": settings.get_funding,
            "UpdateFunding": settings.update_funding,
            "ListCharges": settings.list_charges,
            "ResolveCharge": settings.resolve_charge,
            "GetStatement": looking.get_statement,
        }

    def register(self, target: TransportServer) -> None:
        """Serve all of it."""
        unary = {}
        for name, method in self.methods().items():
            described = _SERVICE.methods_by_name[name]
            question = message_factory.GetMessageClass(described.input_type)
            answer = message_factory.GetMessageClass(described.output_type)
            unary[name] = Unary(method, question.FromString, answer.SerializeToString)
        serve_unary(target, SERVICE, unary, count_failure=self.metrics.count_failure)
