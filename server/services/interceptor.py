"""What stands before every method: who asks, what they may, and what becomes of a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import override

from server.access.authenticator import Authenticator
from server.access.errors import IdentityEnded, IdentityUnknown, RoleMissing
from server.access.open_streams import OpenStreams
from server.access.principal import admitted, set_current
from server.access.roles import Rule, rule_of
from server.services.errors import abort, answering_failures, ending_of, reading
from server.transport import Early, OfferedCall, TransportServer
from server.transport.contract import Context, Ending
from server.transport.wrapping import (
    Handler,
    WrappedServer,
    behaviour_of,
    with_behaviour,
    with_codec,
)

# Those of other packages, health and reflection, tell their callers themselves what failed.
_OURS = "callgate."

_Serving = Callable[[Any, Context], Any]


class Interceptor(WrappedServer):
    """Serves on another transport, each method behind the door.

    A method without a row in the table of roles is refused when it is added: `KeyError`. Without a
    door (`None`) nobody is asked for anything. What a method of ours raises becomes the status of
    the table of errors, and is counted.
    """

    def __init__(
        self,
        inner: TransportServer,
        door: Authenticator | None,
        streams: OpenStreams,
        *,
        count_failure: Callable[[str], None],
    ) -> None:
        super().__init__(inner)
        self._door = door
        self._streams = streams
        self._count_failure = count_failure
        # The full names of what was added.
        self.services: list[str] = []

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add the methods of a service."""
        super().add_registered_method_handlers(service_name, method_handlers)
        for name in method_handlers:
            self._check_head(service_name, name)
        self.services.append(service_name)

    @override
    def wrap(self, handler: Handler, service: str, method: str) -> Handler:
        """Put the door before a method. Raises `KeyError` where it has no rule."""
        rule = rule_of(service, method)
        behaviour = behaviour_of(handler)
        if service.startswith(_OURS):
            behaviour = answering_failures(behaviour, self._count_failure)
            parse = reading(handler.request_deserializer or bytes)
            handler = with_codec(
                with_behaviour(handler, behaviour), parse, handler.response_serializer
            )
        if self._door is None or rule.open_to_all:
            return handler
        if handler.request_streaming or handler.response_streaming:
            return with_behaviour(handler, self._stream(self._door, rule, behaviour))
        return with_behaviour(handler, self._unary(self._door, rule, behaviour))

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer each call to *early*, as who asks; whom the door stops goes on to the servicer.

        Where emergencies come first, so they do here: a stranger's call is offered as a stranger's.
        """
        rule, door = rule_of(service, name), self._door
        if door is None or rule.open_to_all:
            self._inner.offer_first(service, name, early)
            return

        def guarded(offered: OfferedCall) -> bool:
            try:
                access = door.admit(offered.context(), rule)
            except (IdentityUnknown, RoleMissing):
                return False
            with admitted(access):
                return early(offered)

        self._inner.offer_first(service, name, guarded)

    def _check_head(self, service: str, method: str) -> None:
        """Let nobody send a request who may not ask at all."""
        rule, door, count = rule_of(service, method), self._door, self._count_failure
        if door is None or rule.open_to_all or rule.emergencies_first:
            return

        def check(context: Context) -> Ending | None:
            try:
                door.admit(context, rule)
            except (IdentityUnknown, RoleMissing) as error:
                return ending_of(error, count)
            return None

        self._inner.check_head(service, method, check)

    def _unary(self, door: Authenticator, rule: Rule, serve: _Serving) -> _Serving:
        count = self._count_failure

        async def guarded(request: Any, context: Context) -> Any:
            try:
                access = door.admit(context, rule)
            except (IdentityUnknown, RoleMissing) as error:
                await abort(error, context, count)
            set_current(access)
            return await serve(request, context)

        return guarded

    def _stream(self, door: Authenticator, rule: Rule, serve: _Serving) -> _Serving:
        count, streams = self._count_failure, self._streams

        async def guarded(request: Any, context: Context) -> None:
            try:
                access = door.admit(context, rule)
                set_current(access)
                if access.refused is not None:
                    # It asks about an emergency at once, or is told at once that it may not.
                    await serve(request, context)
                    return
                await streams.serve(
                    serve(request, context), lambda: door.may_go_on(context, rule, access)
                )
            except (IdentityUnknown, RoleMissing, IdentityEnded) as error:
                await abort(error, context, count)

        return guarded
