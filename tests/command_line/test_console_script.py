"""The program as it is installed: a script, a pipe, and what it says without click."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import grpc

from answers import minutes_then_credits
from scripted_engine import Failure, Script

SCRIPT = Path(sysconfig.get_path("scripts"), "callgate")
ADELE_TO_ROME = ("authorize", "--tenant", "contoso", "--user", "adele", "--to", "+390612345678")

# Hides click from the import system, as in an environment where the extra was not installed.
WITHOUT_CLICK = """
import sys
sys.modules["click"] = None
from callgate.command import main
main()
"""
CLIENT_ALONE = """
import sys
for name in ("google.rpc", "grpc_status", "policy", "server"):
    sys.modules[name] = None
from callgate.command import main
main()
"""


def test_the_installed_script_answers_in_a_pipe_without_colour(engine: Script) -> None:
    engine.answer = minutes_then_credits()

    done = subprocess.run(
        [SCRIPT, *ADELE_TO_ROME, "--address", engine.address],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("GRANTED   10 min to +390612345678")
    assert "\x1b[" not in done.stdout
    assert done.stderr == ""


def test_the_script_finds_the_engine_by_the_environment_and_passes_a_proxy_by(
    engine: Script,
) -> None:
    engine.answer = minutes_then_credits()
    nowhere = "http://127.0.0.1:1"

    done = subprocess.run(
        [SCRIPT, *ADELE_TO_ROME, "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CALLGATE_ADDRESS": engine.address, "http_proxy": nowhere},
    )

    assert json.loads(done.stdout)["grant"]["grantedDuration"] == "600s"


def test_without_click_the_message_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CLICK, "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "callgate[cli]" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_errors_reason_is_read_without_the_packages_only_the_engine_has(
    engine: Script,
) -> None:
    engine.answer = Failure(
        grpc.StatusCode.UNAVAILABLE, "the ledger is away", reason="LEDGER_UNAVAILABLE"
    )

    done = subprocess.run(
        [sys.executable, "-c", CLIENT_ALONE, *ADELE_TO_ROME, "--address", engine.address],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 4
    assert "UNAVAILABLE (LEDGER_UNAVAILABLE): the ledger is away" in done.stderr
