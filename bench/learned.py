"""The one FCALL of an AuthorizeCall, learned from an engine at work rather than written down here.

For each kind of question the engine is asked once while the store tells what it is sent. What
belongs to the question becomes a place to fill, so that the same FCALL can be sent for others:
straight at the store, and by the reference in another language.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from bench.facts import Shape, tenant_id, user_id
from bench.http2 import Where
from bench.questions import Asked, check_answers, one_of_each_kind
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from server.ledger import keys
from server.storage.redis.references import call_reference

FUNCTION = "callgate_v1_reserve_first"
_DEADLINE_SECONDS = 10.0
_RECEIVE_BYTES = 65_536
# What MONITOR prints of a command: words in double quotes, other bytes escaped.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|.)")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}
# What a question is asked with: its sequence and fingerprint.
_ASKED = re.compile(r"1 [0-9a-f]{32}")
# "FCALL", function, number of keys.
_KEY_COUNT_AT = 2


@dataclass(frozen=True, slots=True)
class Template:
    """The arguments of the FCALL for one kind of question, with places in braces."""

    arguments: tuple[str, ...]
    answer: pb.AuthorizeCallResponse


@dataclass(frozen=True, slots=True)
class Learned:
    """All kinds of question, and the version of each tenant's facts."""

    templates: dict[str, Template]
    digests: dict[str, str]

    def command(self, asked: Asked, now_ms: int) -> tuple[str, ...]:
        """Write the FCALL of a question, as the engine would."""
        tenant, call_id = asked.tenant_id, asked.call_id
        # The ledger only compares a fingerprint, and only stores a decision's name.
        fingerprint = hashlib.sha256(call_id.encode()).hexdigest()[:32]
        places = {
            "{now_ms}": str(now_ms),
            "{tenant}": tenant,
            "{user}": asked.user_id,
            "{call}": call_id,
            "{number}": asked.called_number,
            "{digest}": self.digests[tenant],
            "{fingerprint}": fingerprint,
            "{decision}": fingerprint[:20],
        }
        reference = call_reference(tenant, call_id)
        names = (
            *keys.keys_of(tenant),
            keys.call_key(tenant, reference),
        )
        filled = [_fill(text, places) for text in self.templates[asked.kind].arguments]
        return ("FCALL", FUNCTION, str(len(names)), *names, *filled)

    def as_json(self) -> str:
        """Write all of it for the reference in another language."""
        written: dict[str, Any] = {
            kind: {
                "arguments": template.arguments,
                "answer": base64.b64encode(template.answer.SerializeToString()).decode(),
            }
            for kind, template in self.templates.items()
        }
        return json.dumps({"templates": written, "digests": self.digests})


def learn(where: Where, store: Path, shape: Shape) -> Learned:
    """Ask an engine one question of each kind and of each tenant; read what it sent its store."""
    with grpc.insecure_channel(f"{where.host}:{where.port}") as channel:
        stub = AuthorizationServiceStub(channel)
        samples = one_of_each_kind(shape, "learn")
        with _Monitor(store) as monitor:
            answers = [
                stub.AuthorizeCall(one.message(), timeout=_DEADLINE_SECONDS) for one in samples
            ]
            sent = [monitor.command_about(one.call_id) for one in samples]
        check_answers(samples, answers)
        templates = {
            one.kind: _template(one, words, answer)
            for one, words, answer in zip(samples, sent, answers, strict=True)
        }
        digests = {tenant_id(at): _digest(stub, at) for at in range(shape.tenants)}
    return Learned(templates, digests)


class _Monitor:
    """Reads what a store is sent while the block lasts."""

    def __init__(self, store: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_DEADLINE_SECONDS)
        self._socket.connect(str(store))
        self._socket.sendall(b"MONITOR\r\n")
        self._text = self._socket.recv(_RECEIVE_BYTES).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def command_about(self, call_id: str) -> list[str]:
        """Return the words of the FCALL that names this call."""
        while True:
            for line in self._text.splitlines()[:-1]:
                if f'"{FUNCTION}"' in line and call_id in line:
                    return [_ESCAPED.sub(_unescaped, word) for word in _WORD.findall(line)]
            self._text += self._socket.recv(_RECEIVE_BYTES).decode()


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code.startswith("x") and len(code) > 1:
        return chr(int(code[1:], 16))
    return _PLAIN.get(code, code)


def _template(asked: Asked, words: Sequence[str], answer: pb.AuthorizeCallResponse) -> Template:
    first = _KEY_COUNT_AT + 1 + int(words[_KEY_COUNT_AT])
    now_ms, *others = words[first:]
    assert now_ms.isdecimal(), words
    places = {
        asked.tenant_id: "{tenant}",
        asked.user_id: "{user}",
        asked.call_id: "{call}",
        asked.called_number: "{number}",
        answer.directory_version: "{digest}",
        answer.decision_id: "{decision}",
    }
    arguments = ["{now_ms}"]
    for word in others:
        text = "1 {fingerprint}" if _ASKED.fullmatch(word) else word
        for value, place in places.items():
            text = text.replace(value, place)
        arguments.append(text)
    return Template(tuple(arguments), answer)


def _digest(stub: AuthorizationServiceStub, tenant: int) -> str:
    question = pb.AuthorizeCallRequest(
        tenant_id=tenant_id(tenant),
        called_number="+14252345678",
        user_call=pb.UserCall(user_id=user_id(tenant, 0)),
        dry_run=True,
    )
    return stub.AuthorizeCall(question, timeout=_DEADLINE_SECONDS).directory_version


def _fill(text: str, places: dict[str, str]) -> str:
    if "{" not in text:
        return text
    for place, value in places.items():
        text = text.replace(place, value)
    return text
