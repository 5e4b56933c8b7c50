"""HTTP, in and out: one small listener, a client that goes nowhere it must not, signed events.

aiohttp is imported when one of them starts, so an engine without them does not pay for it.
"""

from server.transport.http.listener import HttpListener, Posted, PostRoute, Reply
from server.transport.http.outgoing import OutgoingFailed, OutgoingHttp, OutgoingReply
from server.transport.http.signature import SignatureWrong, WebhookKey
from server.transport.http.url import UrlRefused

__all__ = [
    "HttpListener",
    "OutgoingFailed",
    "OutgoingHttp",
    "OutgoingReply",
    "PostRoute",
    "Posted",
    "Reply",
    "SignatureWrong",
    "UrlRefused",
    "WebhookKey",
]
