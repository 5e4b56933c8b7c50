"""Kamailio with its sidecar, and SIPp on both sides of it."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from engines import ROOT, wait_until

KAMAILIO = ROOT / "integrations" / "kamailio"
SCENARIOS = ROOT / "tests" / "sip" / "scenarios"
SIPP_SECONDS = 60
_STOP_SECONDS = 15
_FIRST_LINE = re.compile(r"^(SIP/2\.0 (?P<status>\d+)|(?P<method>[A-Z]+) )", re.MULTILINE)
_REQUEST_URI = re.compile(r"INVITE sip:(?P<user>[^@ ]*)@")
_MESSAGE = re.compile(
    r"^-+ (?P<date>\S+)\s+(?P<time>\S+)\n"
    r"UDP message (?P<way>sent|received)[^\n]*\n\n(?P<text>.*?)(?=^-{10,}|\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP message as SIPp saw it."""

    at: float
    is_sent: bool
    kind: str
    call_id: str
    cseq: str
    text: str


@dataclass(frozen=True, slots=True)
class Calls:
    """What became of the calls of one run of SIPp."""

    status: int
    messages: tuple[Message, ...]

    def kinds(self, *, is_sent: bool) -> Counter[str]:
        return Counter(one.kind for one in self.messages if one.is_sent is is_sent)

    @property
    def retransmissions(self) -> int:
        """Count the messages that were seen twice."""
        seen = Counter(
            (one.is_sent, one.kind, one.call_id, one.cseq, one.text) for one in self.messages
        )
        return sum(count - 1 for count in seen.values())

    def talks(self) -> dict[str, float]:
        """Say how long each call was talked: from the ACK to whoever's BYE."""
        began = {one.call_id: one.at for one in self.messages if one.kind == "ACK"}
        ended = {one.call_id: one.at for one in self.messages if one.kind == "BYE"}
        return {call_id: ended[call_id] - began[call_id] for call_id in began if call_id in ended}

    def refusal(self) -> Message:
        """Return the one final reply of a run that was refused."""
        [found] = [one for one in self.messages if one.kind.isdigit() and int(one.kind) >= 300]
        return found


@dataclass(frozen=True, slots=True)
class Callees:
    """Who is called, and by which request URIs."""

    path: Path

    def called(self) -> list[str]:
        """Tell what is before the host in the request URI of each call that came here, in order."""
        first = {
            one.call_id: one.text
            for one in reversed(_read(self.path))
            if one.kind == "INVITE" and not one.is_sent
        }
        uris = [_REQUEST_URI.match(text) for text in reversed(first.values())]
        return [found["user"] if found else "" for found in uris]


class House:
    """A proxy and its sidecar before an engine; SIPp calls, and is called."""

    def __init__(self, folder: Path, engine: str, **settings: str | int) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self._engine = engine
        self._settings = settings
        self._runs = 0
        # Its own: what the house before used may not be free yet.
        self._proxy_port, self._callee_port, self._caller_port = _free_ports(socket.SOCK_DGRAM, 3)
        [self._evapi_port] = _free_ports(socket.SOCK_STREAM, 1)
        self._proxy: subprocess.Popen[bytes] | None = None
        self.sidecar: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start_proxy()
            self.start_sidecar()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self.stop_sidecar()
        if self._proxy is not None:
            self._proxy.terminate()
            self._proxy.wait(_STOP_SECONDS)

    def start_sidecar(self) -> None:
        """Start the sidecar, and wait until the proxy has it and it has the emergency numbers."""
        path = self.folder / "sidecar.toml"
        lines = [
            f'engine = "{self._engine}"',
            f'evapi = "127.0.0.1:{self._evapi_port}"',
            f'state_folder = "{self.state}"',
            'location = "US"',
            *(f"{name} = {value!r}" for name, value in self._settings.items()),
            "[tenants]",
            *(f'"{name}.example" = "{name.lower()}"' for name in ("Acme", "busy", "poor", "broke")),
            "[numbers]",
            '"+12065550123" = "adele@acme.example"',
        ]
        path.write_text("\n".join(lines) + "\n")
        before = self._log("sidecar").count("Connected to the proxy")
        self.sidecar = self._spawn("sidecar", "-m", "integrations.kamailio.sidecar", str(path))
        wait_until(lambda: self._log("sidecar").count("Connected to the proxy") > before)
        wait_until((self.state / "emergency.json").exists)

    def stop_sidecar(self, number: int = signal.SIGTERM) -> None:
        """End the sidecar."""
        sidecar, self.sidecar = self.sidecar, None
        if sidecar is not None:
            sidecar.send_signal(number)
            sidecar.wait(_STOP_SECONDS)

    @contextlib.contextmanager
    def callees(self, scenario: str = "callee") -> Iterator[Callees]:
        """Let somebody answer while the block lasts."""
        self._runs += 1
        log = (self.folder / f"callee-{self._runs}.log").open("wb")
        messages = self.folder / f"callee-{self._runs}-messages.log"
        callee = subprocess.Popen(
            [
                *("sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-i", "127.0.0.1"),
                *("-p", str(self._callee_port), "-nostdin", "-trace_msg"),
                *("-message_file", messages.name, f"127.0.0.1:{self._proxy_port}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        time.sleep(0.3)  # SIPp does not say when it listens.
        try:
            yield Callees(messages)
        finally:
            callee.kill()
            callee.wait()
            log.close()

    def call(
        self,
        scenario: str,
        *calls: tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, str],
        talk_ms: int = 1_000,
        rate: int = 10,
        count: int = 1,
        expect: str = "",
    ) -> Calls:
        """Call: `calls` are (who, number, a header line, another one), taken in turn.

        `number` may be a whole request URI, and `who` a whole one of From.
        """
        self._runs += 1
        run = self.folder / f"caller-{self._runs}"
        run.mkdir()
        nothing = ("X-Nothing: 1", "X-Nothing: 2")
        rows = [
            (
                who if ":" in who else f"sip:{who}",
                number if ":" in number else f"sip:{number}@127.0.0.1:{self._proxy_port}",
                *(*headers, *nothing[len(headers) :]),
            )
            for who, number, *headers in calls
        ]
        with (run / "calls.csv").open("w", newline="") as file:
            file.write("SEQUENTIAL\n")
            csv.writer(file, delimiter=";").writerows(rows)
        text = (SCENARIOS / f"{scenario}.xml").read_text().replace("[[status]]", expect)
        if len(rows) == 1:
            # SIPp's file cannot hold a semicolon.
            for at, field in enumerate(rows[0]):
                text = text.replace(f"[field{at}]", field)
        (run / "scenario.xml").write_text(text)
        done = subprocess.run(
            [
                *("sipp", "-sf", "scenario.xml", "-inf", "calls.csv", "-i", "127.0.0.1"),
                *(
                    "-p",
                    str(self._caller_port),
                    "-d",
                    str(talk_ms),
                    "-m",
                    str(count),
                    "-r",
                    str(rate),
                ),
                *("-l", "5000", "-nostdin", "-timeout", str(SIPP_SECONDS), "-trace_msg"),
                *("-message_file", "messages.log", f"127.0.0.1:{self._proxy_port}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=run,
            check=False,
        )
        return Calls(done.returncode, tuple(_read(run / "messages.log")))

    def _start_proxy(self) -> None:
        (self.folder / "kamailio.cfg").write_text((KAMAILIO / "kamailio.cfg").read_text())
        (self.folder / "local.cfg").write_text(
            f"#!define CALLGATE_LISTEN udp:127.0.0.1:{self._proxy_port}\n"
            f'#!define CALLGATE_EVAPI "127.0.0.1:{self._evapi_port}"\n'
            f'#!define CALLGATE_ROUTE "{KAMAILIO / "callgate_route.py"}"\n'
        )
        environment = os.environ | {
            "CALLGATE_SIDECAR_STATE": str(self.state),
            "CALLGATE_NEXT_HOP": f"sip:127.0.0.1:{self._callee_port}",
        }
        with (self.folder / "kamailio.log").open("wb") as log:
            self._proxy = subprocess.Popen(
                ["kamailio", "-DD", "-E", "-f", "kamailio.cfg", "-Y", ".", "-m", "64", "-M", "8"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "Listening on" in self._log("kamailio"))

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


def _free_ports(kind: socket.SocketKind, count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _read(path: Path) -> Sequence[Message]:
    text = path.read_text(errors="replace") if path.exists() else ""
    return [_message(found) for found in _MESSAGE.finditer(text)]


def _message(found: re.Match[str]) -> Message:
    text = found["text"].strip()
    first = _FIRST_LINE.search(text)
    assert first is not None, text
    hours, minutes, seconds = found["time"].split(":")
    at = int(hours) * 3_600 + int(minutes) * 60 + float(seconds)
    kind = first["status"] or first["method"]
    return Message(
        at,
        found["way"] == "sent",
        kind,
        _header(text, "Call-ID"),
        _header(text, "CSeq"),
        text,
    )


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(.*?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""
