"""How many Python frames one call takes inside the engine, and through how many files.

    python -m bench.frames

A frame is one call of a Python function of ours, between the bytes that arrive and the bytes that
leave, the way to the store and back included. What is printed is the least of several calls of the
same kind, after some that warmed up what is kept.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import grpc.aio

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from server.app.running import running_engine
from server.settings import Settings
from server.settings.loading import load_settings

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(f"{ROOT}/{folder}/" for folder in ("server", "policy"))
WARM_UP, MEASURED = 5, 20


class Frames:
    """Counts frames of this thread while it is entered."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()

    def __enter__(self) -> Counter[str]:
        self.files = Counter()
        sys.setprofile(self._count)
        return self.files

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self.files[frame.f_code.co_filename] += 1


def questions(number: int) -> tuple[pb.AuthorizeCallRequest, pb.SettleCallRequest]:
    """Make a usual call of the sample tenant, and its end."""
    call_id = f"call-{number}@bench"
    question = pb.AuthorizeCallRequest(
        tenant_id="contoso",
        called_number="+390612345678",
        gateway_id="bench",
        call_id=call_id,
        sequence=1,
        user_call=pb.UserCall(user_id="adele"),
    )
    end = pb.SettleCallRequest(tenant_id="contoso", gateway_id="bench", call_id=call_id, sequence=2)
    end.used_duration.FromSeconds(60)
    return question, end


async def least(ask: Callable[[int], Awaitable[Any]]) -> Counter[str]:
    """Ask several times; return the frames of the call that took the fewest."""
    found: list[Counter[str]] = []
    for number in range(WARM_UP + MEASURED):
        with Frames() as files:
            await ask(number)
        if number >= WARM_UP:
            found.append(files)
    return min(found, key=lambda files: files.total())


async def measure(settings: Settings) -> dict[str, Counter[str]]:
    """Count both, on an engine of its own."""
    async with (
        running_engine(settings) as (_, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = AuthorizationServiceStub(channel)
        asked = await least(lambda number: stub.AuthorizeCall(questions(number)[0]))
        ended = await least(lambda number: stub.SettleCall(questions(number)[1]))
    return {"AuthorizeCall": asked, "SettleCall": ended}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="cg") as folder:
        told = {"CALLGATE_DATA_FOLDER": folder, "CALLGATE_LISTEN": "127.0.0.1:0"}
        told["CALLGATE_RECORDS_PATH"] = f"{folder}/records"
        settings = load_settings(None, told | {"CALLGATE_RUN_KEEPER": "false"})
        measured = asyncio.run(measure(settings))
    for name, files in measured.items():
        sys.stdout.write(f"{name}: {files.total()} frames in {len(files)} files\n")
        for path, count in files.most_common():
            sys.stdout.write(f"  {count:4}  {Path(path).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
