"""Builds the reference in Go, where Go is: `bench/reference`, compiled in `build/`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.facts import SAMPLE_CATALOGUE, Shape, country_of, profile_of, user_id
from bench.learned import Learned

SOURCES = Path("bench/reference")
BUILD = Path("build/bench")
_PACKAGE = "callgate.example/reference/callgatev1"
_PROTOS = ("callgate/v1/authorization.proto", "callgate/v1/money.proto")
_TOOLS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
}
_OLDEST_GRPC_GO = (1, 60)
_BUILD_SECONDS = 300.0


class NoReference(Exception):
    """There is no reference to measure; the text says why."""


def build() -> tuple[Path, dict[str, str]]:
    """Build it; return the program and the versions of what is in it. Raises `NoReference`."""
    if shutil.which("go") is None:
        raise NoReference("Go is not installed")
    versions = _versions()
    grpc_go = tuple(int(part) for part in versions["grpc-go"].split(".")[:2])
    if grpc_go < _OLDEST_GRPC_GO:
        raise NoReference(f"grpc-go {versions['grpc-go']} is too old to compare with")
    folder = BUILD / "reference"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCES, folder)
    program = (BUILD / "callgate-reference").absolute()
    for name, package in _TOOLS.items():
        _go(folder, "build", "-o", str((BUILD / name).absolute()), package)
    _generate(folder)
    _go(folder, "build", "-o", str(program), ".")
    # The gateway's side is not measured; it is built with the rest, so that it goes on to build.
    _go(folder, "build", "-o", str((BUILD / "callgate-client").absolute()), "./client")
    return program, versions


def write_facts(path: Path, learned: Learned, shape: Shape) -> Path:
    """Write what it is to know: what was learned, and who holds what."""
    users = {
        user_id(tenant, user): f"{profile_of(user)}-{country_of(tenant)}"
        for tenant in range(shape.tenants)
        for user in range(shape.users_per_tenant)
    }
    path.write_text(json.dumps(json.loads(learned.as_json()) | {"users": users}))
    return path


def command(program: Path, facts: Path, store: Path, *, pipelined: bool) -> list[str]:
    """Give the words that start it."""
    prefixes = SAMPLE_CATALOGUE / "prefixes.csv"
    words = [str(program), "-facts", str(facts), "-prefixes", str(prefixes), "-store", str(store)]
    return [*words, "-pipelined"] if pipelined else words


def _generate(folder: Path) -> None:
    options = ",".join(["paths=source_relative", *(f"M{proto}={_PACKAGE}" for proto in _PROTOS)])
    into = folder / "generated"
    into.mkdir()
    _run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "--proto_path=proto"),
            *(f"--plugin={name}={BUILD / name}" for name in _TOOLS),
            *(f"--go_out={into}", f"--go_opt={options}"),
            *(f"--go-grpc_out={into}", f"--go-grpc_opt={options}"),
            *_PROTOS,
        ],
        Path.cwd(),
    )
    (into / "callgate" / "v1").rename(folder / "callgatev1")


def _versions() -> dict[str, str]:
    required = (SOURCES / "go.mod").read_text(encoding="utf-8")

    def version_of(module: str) -> str:
        found = re.search(rf"{re.escape(module)} v(\S+)", required)
        assert found is not None, module
        return found[1]

    return {
        "go": _go(SOURCES, "env", "GOVERSION").removeprefix("go"),
        "grpc-go": version_of("google.golang.org/grpc"),
        "go-redis": version_of("github.com/redis/go-redis/v9"),
    }


def _go(folder: Path, *words: str) -> str:
    return _run(["go", *words], folder)


def _run(words: list[str], folder: Path) -> str:
    # Nothing is installed: no other Go, and no module that go.sum does not name.
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoReference(f"{' '.join(words[:2])} failed: {error.stderr[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoReference(f"{' '.join(words[:2])} took too long") from error
    return done.stdout.strip()
