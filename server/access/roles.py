"""Which RPC needs which role: one table, and nothing is served that has no row in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an identity is for."""

    # Asks about calls and reports them.
    BRIDGE = "bridge"
    # Administers its own tenants: users, licences, numbers, recharge, their tokens.
    TENANT_ADMINISTRATOR = "tenant-administrator"
    # Runs the engine: moves money by hand, makes tenants, gives out tokens.
    OPERATOR = "operator"
    # Looks and changes nothing.
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an RPC: an identity with any of these roles.

    `open_to_all` asks for no identity. `emergencies_first` lets whoever asks as far as the
    emergency numbers, and no further.
    """

    roles: frozenset[Role]
    open_to_all: bool = False
    emergencies_first: bool = False


OPEN = Rule(frozenset(), open_to_all=True)
# Any identity.
KNOWN = Rule(frozenset(Role))
ASKING = Rule(frozenset({Role.BRIDGE}), emergencies_first=True)
REPORTING = Rule(frozenset({Role.BRIDGE}))
READING = Rule(frozenset(Role))
ADMINISTERING = Rule(frozenset({Role.TENANT_ADMINISTRATOR, Role.OPERATOR}))
# What administrators and operators, and those who look over their shoulder, may see.
OVERSEEING = Rule(frozenset({Role.TENANT_ADMINISTRATOR, Role.OPERATOR, Role.READER}))
OPERATING = Rule(frozenset({Role.OPERATOR}))

# By the full name of the service, then by the RPC. A service that is added adds its rows here.
RULES: Mapping[str, Mapping[str, Rule]] = {
    "callgate.v1.AuthorizationService": {
        "AuthorizeCall": ASKING,
        "AuthorizeCalls": ASKING,
        "ControlCalls": ASKING,
        "ExtendCall": REPORTING,
        "SettleCall": REPORTING,
        "ReleaseCall": REPORTING,
        "ListCalls": READING,
        "GetEmergencyNumbers": OPEN,
    },
    "callgate.v1.CreditService": {
        "GetBalance": READING,
        "ListLots": OVERSEEING,
        "GetFunding": OVERSEEING,
        "ListCharges": OVERSEEING,
        "GetStatement": OVERSEEING,
        # What is an operator's alone in these two, they say themselves.
        "UpdateFunding": ADMINISTERING,
        "TopUp": ADMINISTERING,
        "VoidLot": OPERATING,
        "Debit": OPERATING,
        "Refund": OPERATING,
        "Transfer": OPERATING,
        "FreezeAccount": OPERATING,
        "UnfreezeAccount": OPERATING,
        "CloseAccount": OPERATING,
        "SetCreditLimit": OPERATING,
        "ResolveCharge": OPERATING,
        "ListImplausibleUse": OPERATING,
        "ResolveImplausibleUse": OPERATING,
    },
    "callgate.v1.DebitService": {
        "WatchDebits": READING,
    },
    "callgate.v1.AccessService": {
        "CreateToken": ADMINISTERING,
        "RotateToken": ADMINISTERING,
        "RevokeToken": ADMINISTERING,
        "ListIdentities": OVERSEEING,
        "ListAuditEntries": OVERSEEING,
    },
    # What is an operator's alone in UpdateTenant and ImportDirectory, these say themselves.
    "callgate.v1.DirectoryService": {
        "GetTenant": OVERSEEING,
        "ListTenants": OVERSEEING,
        "CreateTenant": OPERATING,
        "UpdateTenant": ADMINISTERING,
        "DeleteTenant": OPERATING,
        "GetUser": OVERSEEING,
        "ListUsers": OVERSEEING,
        "CreateUser": ADMINISTERING,
        "UpdateUser": ADMINISTERING,
        "DeleteUser": ADMINISTERING,
        "GetResourceAccount": OVERSEEING,
        "ListResourceAccounts": OVERSEEING,
        "CreateResourceAccount": ADMINISTERING,
        "UpdateResourceAccount": ADMINISTERING,
        "DeleteResourceAccount": ADMINISTERING,
        "GetServiceNumber": OVERSEEING,
        "ListServiceNumbers": OVERSEEING,
        "CreateServiceNumber": ADMINISTERING,
        "UpdateServiceNumber": ADMINISTERING,
        "DeleteServiceNumber": ADMINISTERING,
        "ListLicences": OVERSEEING,
        "ListRestrictions": OVERSEEING,
        "ImportDirectory": ADMINISTERING,
        "ExportDirectory": OVERSEEING,
    },
    "callgate.v1.NoticeService": {
        "ListNotices": OVERSEEING,
        "PreviewNotice": OVERSEEING,
        "ResendNotice": ADMINISTERING,
        "GetWebhookKey": ADMINISTERING,
    },
    "callgate.v1.AdviceService": {
        "AdviseFunding": OVERSEEING,
        "AdvisePlans": OVERSEEING,
        "ApplyFundingAdvice": ADMINISTERING,
    },
    "callgate.v1.DecisionService": {
        "FindDecisions": OVERSEEING,
        "GetDecision": OVERSEEING,
    },
    # A tenant's own usage is played for its administrators; decks are of all tenants.
    "callgate.v1.RateService": {
        "ListRates": OVERSEEING,
        "LookUpRate": OVERSEEING,
        "ImportRates": OPERATING,
        "BackTestUsage": OVERSEEING,
    },
    "callgate.v1.UsageService": {
        "ListUsage": OVERSEEING,
        "SummarizeUsage": OVERSEEING,
        "ExportUsage": OVERSEEING,
        "ListAttempts": OVERSEEING,
        "GetPools": OVERSEEING,
        "CreateUsageReport": ADMINISTERING,
        "ListUsageReports": OVERSEEING,
        "DeleteUsageReport": ADMINISTERING,
        "ListClosedMonths": OVERSEEING,
    },
    "callgate.v1.ServerInfoService": {
        "GetServerInfo": KNOWN,
        "ReloadFacts": OPERATING,
    },
    "callgate.v1.HarnessService": {
        "AdvanceClock": OPERATING,
        "SetFault": OPERATING,
        "ClearFaults": OPERATING,
    },
    # Load balancers have no identity, and learn nothing of tenants.
    "grpc.health.v1.Health": {
        "Check": OPEN,
        "List": OPEN,
        "Watch": OPEN,
    },
    # The contract is public.
    "grpc.reflection.v1.ServerReflection": {
        "ServerReflectionInfo": OPEN,
    },
    "grpc.reflection.v1alpha.ServerReflection": {
        "ServerReflectionInfo": OPEN,
    },
}


def rule_of(service: str, method: str) -> Rule:
    """Find the rule of an RPC. Raises `KeyError` where the table has no row for it."""
    try:
        return RULES[service][method]
    except KeyError:
        raise KeyError(f"{service}/{method} has no row in the table of roles") from None
