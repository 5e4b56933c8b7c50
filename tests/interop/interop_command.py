"""Run grpc-go's interoperability client and h2spec against both transports: `make interop`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from interop import InteropServicer, stubs
from server.transport import TlsFiles, TransportName, TransportOptions, make_server

CLIENT = "google.golang.org/grpc/interop/client"
H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec"
PROGRAMS = Path("var/interop")
CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"
TRANSPORTS: tuple[TransportName, ...] = ("nghttp2", "grpcio")
CASE_SECONDS = 120
BUILD_SECONDS = 900
H2SPEC_SECONDS = 600
CASES = (
    *("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong"),
    *("empty_stream", "cancel_after_begin", "cancel_after_first_response"),
    *("timeout_on_sleeping_server", "status_code_and_message", "special_status_message"),
    *("custom_metadata", "unimplemented_method", "unimplemented_service"),
    *("rpc_soak", "channel_soak"),
)


@asynccontextmanager
async def serving(transport: TransportName, *, secured: bool) -> AsyncIterator[int]:
    """Serve the interoperability service, and give the port."""
    server = make_server(transport, TransportOptions(), lambda _why: None)
    stubs.add_TestServiceServicer_to_server(InteropServicer(), server)
    if secured:
        files = TlsFiles(
            certificate_file=CERTIFICATES / "server.crt", key_file=CERTIFICATES / "server.key"
        )
        port = server.add_secure_port("localhost:0", files)
    else:
        port = server.add_insecure_port("localhost:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def run(*words: str, seconds: float) -> tuple[bool, str]:
    """Run a program; tells whether it went well, and all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False, f"no end within {seconds} s"
    return process.returncode == 0, said.decode(errors="replace")


def program(package: str) -> str:
    """The path of a Go program, which is built when it is not there."""
    name = package.rsplit("/", 1)[1]
    built = PROGRAMS / "bin" / name
    if not built.exists():
        if shutil.which("go") is None:
            sys.exit("make interop needs Go to build the clients of others: install Go first")
        print(f"building {package}", flush=True)
        subprocess.run(
            ["go", "install", f"{package}@latest"],
            env={**os.environ, "GOBIN": str(built.parent.absolute()), "GOFLAGS": "-mod=mod"},
            check=True,
            timeout=BUILD_SECONDS,
        )
    return str(built)


async def play(transport: TransportName, *, secured: bool) -> list[str]:
    """Play every case, and return what failed."""
    way = f"{transport}, {'TLS' if secured else 'plain'}"
    failed = []
    async with serving(transport, secured=secured) as port:
        words = [program(CLIENT), "-server_host=localhost", f"-server_port={port}"]
        if secured:
            words += ["-use_tls", f"-ca_file={CERTIFICATES / 'authority.crt'}", "-use_test_ca"]
        for case in CASES:
            passed, said = await run(*words, f"-test_case={case}", seconds=CASE_SECONDS)
            print(f"{way:<16} {case:<28} {'pass' if passed else 'FAIL'}", flush=True)
            if not passed:
                failed.append(f"{way}: {case}\n{said[-1_000:]}")
    return failed


async def h2spec() -> str:
    """The last lines of h2spec against nghttp2: how many passed, were skipped and failed."""
    async with serving("nghttp2", secured=False) as port:
        _, said = await run(program(H2SPEC), "-p", str(port), "-o", "2", seconds=H2SPEC_SECONDS)
    (PROGRAMS / "h2spec.txt").write_text(said, encoding="utf-8")
    return f"{said.strip().splitlines()[-1]} (all of it in {PROGRAMS / 'h2spec.txt'})"


async def main() -> int:
    """Play everything, and fail when a case of grpc-go's failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.parse_args()
    failed = []
    for transport in TRANSPORTS:
        for secured in (False, True):
            failed += await play(transport, secured=secured)
    print("h2spec, nghttp2:", await h2spec())
    print("\n".join(failed) or f"{len(CASES)} cases pass on both transports, plain and with TLS")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
