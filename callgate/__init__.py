"""The public client of callgate: typed stubs, a client and a command line.

Importing it costs nothing: each name is loaded where it is first used. `callgate.blocking` holds
the same client for programs without asyncio.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callgate.client.client import Client, ClientOptions
    from callgate.client.clock import Clock, FastClock, SystemClock
    from callgate.client.control import CallLost, Control
    from callgate.client.endings import Ending, Why
    from callgate.client.fallback import FailClosed, FailOpen
    from callgate.client.session import CallSession
    from callgate.client.watching import NewEpoch
    from callgate.credentials import Credentials
    from callgate.errors import (
        AddressWrong,
        CallEnded,
        CallgateError,
        CallRefused,
        CallUnknown,
        ClientMisused,
        Forbidden,
        Mistake,
        NoAnswer,
        Overloaded,
        SpoolTrouble,
        StreamReplaced,
    )
    from callgate.v1.authorization_pb2 import (
        AddedPartyCall,
        AttendantTransfer,
        AuthorizeCallRequest,
        AuthorizeCallResponse,
        AuthorizeCallsRequest,
        AuthorizeCallsResponse,
        CallMe,
        ForwardedCall,
        InboundCall,
        MeetingDialOut,
        QueueTransfer,
        ServiceNumberCall,
        TransferredCall,
        UserCall,
    )
    from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
    from callgate.v1.debits_pb2 import WatchDebitsRequest, WatchDebitsResponse
    from callgate.v1.money_pb2 import Money

__all__ = [
    "AddedPartyCall",
    "AddressWrong",
    "AttendantTransfer",
    "AuthorizeCallRequest",
    "AuthorizeCallResponse",
    "AuthorizeCallsRequest",
    "AuthorizeCallsResponse",
    "CallEnded",
    "CallLost",
    "CallMe",
    "CallRefused",
    "CallSession",
    "CallUnknown",
    "CallgateError",
    "Client",
    "ClientMisused",
    "ClientOptions",
    "Clock",
    "Control",
    "Credentials",
    "Ending",
    "FailClosed",
    "FailOpen",
    "FastClock",
    "Forbidden",
    "ForwardedCall",
    "GetBalanceRequest",
    "GetBalanceResponse",
    "InboundCall",
    "MeetingDialOut",
    "Mistake",
    "Money",
    "NewEpoch",
    "NoAnswer",
    "Overloaded",
    "QueueTransfer",
    "ServiceNumberCall",
    "SpoolTrouble",
    "StreamReplaced",
    "SystemClock",
    "TransferredCall",
    "UserCall",
    "WatchDebitsRequest",
    "WatchDebitsResponse",
    "Why",
]

_HOMES = {
    "callgate.client.client": (
        "Client",
        "ClientOptions",
    ),
    "callgate.client.clock": (
        "Clock",
        "FastClock",
        "SystemClock",
    ),
    "callgate.client.control": (
        "CallLost",
        "Control",
        "Credentials",
    ),
    "callgate.client.endings": (
        "Ending",
        "Why",
    ),
    "callgate.client.fallback": (
        "FailClosed",
        "FailOpen",
    ),
    "callgate.client.session": ("CallSession",),
    "callgate.client.watching": ("NewEpoch",),
    "callgate.credentials": ("Credentials",),
    "callgate.errors": (
        "AddressWrong",
        "CallEnded",
        "CallRefused",
        "CallUnknown",
        "CallgateError",
        "ClientMisused",
        "Forbidden",
        "Mistake",
        "NoAnswer",
        "Overloaded",
        "SpoolTrouble",
        "StreamReplaced",
    ),
    "callgate.v1.authorization_pb2": (
        "AddedPartyCall",
        "AttendantTransfer",
        "AuthorizeCallRequest",
        "AuthorizeCallResponse",
        "AuthorizeCallsRequest",
        "AuthorizeCallsResponse",
        "CallMe",
        "ForwardedCall",
        "InboundCall",
        "MeetingDialOut",
        "QueueTransfer",
        "ServiceNumberCall",
        "TransferredCall",
        "UserCall",
    ),
    "callgate.v1.credits_pb2": (
        "GetBalanceRequest",
        "GetBalanceResponse",
    ),
    "callgate.v1.debits_pb2": (
        "WatchDebitsRequest",
        "WatchDebitsResponse",
    ),
    "callgate.v1.money_pb2": ("Money",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'callgate' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
