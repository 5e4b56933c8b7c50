"""Messages that nobody would send: `python -m bench.fuzz`, two million of them by default.

Each is made by chance for one RPC of the contract, most are damaged. No answer may be UNKNOWN or
INTERNAL, no traceback may be logged, and memory may not grow with their number.
"""

from __future__ import annotations

import random
import select
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from bench.facts import Shape, tenant_id, user_id, write_directory
from bench.http2 import Headers, Http2, Where, framed
from bench.machine import resident_bytes
from bench.processes import Processes
from bench.servers import engine_settings
from callgate.v1 import access_pb2, authorization_pb2, credits_pb2, directory_pb2, notices_pb2

_FILES = (access_pb2, authorization_pb2, credits_pb2, directory_pb2, notices_pb2)
_IN_FLIGHT = 200
_TURN = 2_000
_MOST_BYTES = 16_000
_DEEPEST = 4
_FORBIDDEN = {"2": "UNKNOWN", "13": "INTERNAL"}
# What a million messages may leave behind, for whatever reason.
_MOST_GROWN_MIB = 64
_MEBIBYTE = 2**20
_TEXTS = (
    *("", "911", "+14255550123", "EUR", "US", tenant_id(0), user_id(0, 0), "a" * 300, "\u202e"),
    *("\x00", "\U0001f4de", "-1", "..", "%s", "tenant_id"),
)


@click.command()
@click.option("--messages", default=2_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--transport", default="nghttp2", show_default=True)
def main(messages: int, seed: int, transport: str) -> None:
    """Send messages made by chance, and count what they are answered."""
    chance = random.Random(seed)
    shape = Shape(tenants=1, users=1_000)
    with tempfile.TemporaryDirectory(prefix="callgate-fuzz-") as folder:
        directory = write_directory(Path(folder) / "directory", shape)
        with Processes(Path(folder)) as processes:
            store, _ = processes.store()
            settings = engine_settings(Path(folder), store, directory)
            served = processes.engine("fuzzed", **settings, transport=transport)
            codes: Counter[str] = Counter()
            sent, settled_bytes, grown_mib = 0, 0, 0.0
            methods = _methods()
            while sent < messages:
                for method in methods:
                    count = min(_TURN, max(1, messages // len(methods)))
                    bodies = [_made(method, chance) for _ in range(count)]
                    codes += _send(served.where, method, bodies)
                    sent += count
                # The first round fills what is kept for good.
                settled_bytes = settled_bytes or resident_bytes(served.pid)
                grown_mib = (resident_bytes(served.pid) - settled_bytes) / _MEBIBYTE
                _say(f"{sent} sent, {grown_mib:.1f} MiB grown, {dict(codes)}")
            log = (Path(folder) / "fuzzed.log").read_text(errors="replace")
    wrong = [name for code, name in _FORBIDDEN.items() if codes[code]]
    if "Traceback" in log:
        wrong.append(f"a traceback: {log[log.index('Traceback') :][:2_000]}")
    if grown_mib > _MOST_GROWN_MIB:
        wrong.append(f"memory grew by {grown_mib:.0f} MiB")
    sys.exit("; ".join(wrong) or 0)


def _methods() -> list[MethodDescriptor]:
    services = [one for file in _FILES for one in file.DESCRIPTOR.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    return [one for one in methods if not (one.client_streaming or one.server_streaming)]


def _send(where: Where, method: MethodDescriptor, bodies: list[bytes]) -> Counter[str]:
    """Send bodies to one method, some at a time, and count their statuses."""
    codes: Counter[str] = Counter()
    left = 0

    def ended(_stream_id: int, _data: bytes, headers: Headers) -> None:
        nonlocal left
        left -= 1
        codes[headers.get("grpc-status", "none")] += 1

    path = f"/{method.containing_service.full_name}/{method.name}"
    connection = Http2(where, path, ended=ended)
    while bodies or left:
        while bodies and left < _IN_FLIGHT:
            connection.call(framed(bodies.pop()))
            left += 1
        connection.flush()
        select.select([connection], [], [], 30)
        connection.receive()
    connection.close()
    return codes


def _made(method: MethodDescriptor, chance: random.Random) -> bytes:
    """Make a message of a method, damaged more often than not."""
    message = GetMessageClass(method.input_type)()
    _fill(message, chance, depth=0)
    body = bytearray(message.SerializeToString()[:_MOST_BYTES])
    for _ in range(chance.choice((0, 0, 1, 2, 8))):
        if body:
            body[chance.randrange(len(body))] = chance.randrange(256)
    if chance.random() < 0.1:
        del body[chance.randrange(len(body) + 1) :]
    if chance.random() < 0.1:
        body += chance.randbytes(chance.randrange(40))
    return bytes(body)


def _fill(message: Message, chance: random.Random, *, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.4 or depth > _DEEPEST:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        count = chance.randrange(3) if field.is_repeated else 1
        for _ in range(count):
            _set(message, field, chance, depth=depth)


def _set(message: Message, field: Any, chance: random.Random, *, depth: int) -> None:
    if field.message_type is not None:
        held = getattr(message, field.name)
        _fill(held.add() if field.is_repeated else held, chance, depth=depth + 1)
        return
    value = _VALUES.get(field.cpp_type, partial(_whole, 31))(chance)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _whole(bits: int, chance: random.Random) -> int:
    return chance.choice((0, 1, 2, 60, 2**bits - 1, chance.getrandbits(bits)))


_VALUES: dict[int, Callable[[random.Random], object]] = {
    FieldDescriptor.CPPTYPE_INT64: partial(_whole, 63),
    FieldDescriptor.CPPTYPE_UINT64: partial(_whole, 64),
    FieldDescriptor.CPPTYPE_BOOL: lambda chance: chance.random() < 0.5,
    FieldDescriptor.CPPTYPE_DOUBLE: lambda chance: chance.choice((0.0, -1.0, 1e308, float("nan"))),
    FieldDescriptor.CPPTYPE_FLOAT: lambda chance: chance.choice((0.0, -1.0, float("inf"))),
    FieldDescriptor.CPPTYPE_STRING: lambda chance: chance.choice(_TEXTS),
}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
