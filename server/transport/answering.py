"""Running a servicer: the four kinds of methods, and what becomes of their exceptions."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio
from typing_extensions import override

from server.transport.methods import Method
from server.transport.seldom import Seldom
from server.transport.servicer_context import ServicerContext
from server.transport.status import CallFailure

if TYPE_CHECKING:
    from server.transport.http_context import HttpContext

# A call over HTTP/2, or over HTTP/1.1.
_Call: TypeAlias = "ServicerContext | HttpContext"

_SELDOM = Seldom(logging.getLogger(__name__))


async def serve(method: Method, context: _Call) -> None:
    """Let the servicer answer one call; whatever it does, the call ends."""
    try:
        request = _Requests(context) if method.request_streaming else context.take_request()
        if method.response_streaming:
            await _stream_answers(method.behaviour(request, context), context)
        else:
            context.answer(await method.behaviour(request, context))
    except grpc.aio.AbortError:
        context.finish()  # Usually over already: `abort` sends the status at once.
    except CallFailure as failure:
        context.fail(failure.code, failure.text)
    except asyncio.CancelledError:
        context.fail(grpc.StatusCode.CANCELLED, "the servicer was cancelled")
        raise
    except Exception as error:  # noqa: BLE001 - a servicer may raise anything; it must not end the server.
        # Generated code sets UNIMPLEMENTED before it raises: that is a status, not a surprise.
        if context.code() is grpc.StatusCode.OK:
            _SELDOM.tell(logging.ERROR, "a servicer raised", error=error)
            context.set_code(grpc.StatusCode.UNKNOWN)
            # What it raised may tell what is nobody's business: that stays in the log.
            context.set_details("an unexpected error")
        context.finish()
    finally:
        context.run_done_callbacks()


async def _stream_answers(answers: Any, context: _Call) -> None:
    if hasattr(answers, "__aiter__"):
        await _write_all(answers, context)
    else:
        await answers  # A coroutine that writes by itself.
    context.finish()


async def _write_all(answers: AsyncIterator[Any], context: _Call) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(answers, "aclose"):
            # Else a generator that is left early would run its `finally` some time later.
            stack.push_async_callback(answers.aclose)
        async for message in answers:
            await context.write(message)


class _Requests(AsyncIterator[Any]):
    """The messages of a streaming request, one after the other."""

    def __init__(self, context: _Call) -> None:
        self._context = context

    @override
    async def __anext__(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message
