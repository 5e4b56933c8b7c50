"""The routing of the proxy (KEMI): the sidecar decides every INVITE, and no worker waits for it.

An INVITE is suspended and put to the sidecar over evapi; its answer resumes it. Without a sidecar,
or without its answer in time, emergency numbers pass by the table that the sidecar left on disk,
and all other calls are refused with 503. It runs in Kamailio's own Python: the standard library
alone, and callgate_spelling.py beside this file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import KSR
from callgate_spelling import NUMBER_ANYWHERE, read_emergency

# How long the sidecar may take. It has its own, shorter, deadline for the engine.
DECISION_MS = 1_500
RING_MS, NO_REPLY_MS = 120_000, 5_000
# Where the sidecar keeps what this proxy needs without it.
STATE = Path(os.environ.get("CALLGATE_SIDECAR_STATE", "/var/lib/callgate-sidecar"))
EMERGENCY_FILE = STATE / "emergency.json"
LOST_FILE = STATE / "lost-events.jsonl"
# The next hop of calls that may be placed, such as "sip:carrier.example:5060"; empty: none but
# where they are addressed to.
NEXT_HOP = os.environ.get("CALLGATE_NEXT_HOP", "")
_TABLE, _SIDECARS = "callgate", "sidecars"


def mod_init() -> Route:
    """Make the object whose methods Kamailio calls."""
    return Route()


class Route:
    """What Kamailio calls. All state is in transactions and dialogs, none in a worker."""

    def __init__(self) -> None:
        # The sidecar's answer, while the transaction it is about is resumed.
        self._answer: dict[str, Any] = {}

    def child_init(self, rank: int) -> int:
        """Start a worker."""
        return 0

    # --- Requests ---------------------------------------------------------------------------

    def ksr_request_route(self, msg: Any) -> int:
        """Route a request."""
        if KSR.maxfwd.process_maxfwd(10) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.siputils.has_totag() > 0:
            return self._within_dialog()
        if KSR.is_CANCEL():
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
            return 1
        if not KSR.is_INVITE():
            KSR.sl.sl_send_reply(200, "OK") if KSR.is_OPTIONS() else KSR.sl.sl_send_reply(
                405, "Method Not Allowed"
            )
            return 1
        return self._invite()

    def _within_dialog(self) -> int:
        if KSR.rr.loose_route() > 0:
            KSR.tm.t_relay()
        elif KSR.is_ACK():
            # An ACK of a refusal belongs to the transaction, and ends here.
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
        else:
            KSR.sl.sl_send_reply(404, "Not Here")
        return 1

    def _invite(self) -> int:
        # A retransmission gets the reply that there is, and never a second decision.
        if KSR.tmx.t_precheck_trans() > 0:
            KSR.tm.t_check_trans()
            return 1
        if KSR.tm.t_check_trans() == 0:
            return 1
        KSR.tm.t_newtran()
        KSR.tm.t_reply(100, "Trying")
        KSR.rr.record_route()
        KSR.tm.t_set_fr(DECISION_MS, DECISION_MS)
        KSR.tm.t_on_failure("ksr_undecided")
        question = json.dumps({"event": "invite", **_asked()})
        if not _has_sidecar() or KSR.evapi.async_relay(question) < 0:
            self._without_sidecar()
        return 1

    def ksr_undecided(self, msg: Any) -> int:
        """Decide alone: the sidecar did not in time."""
        if KSR.tm.t_is_canceled() > 0:
            return 1
        self._without_sidecar()
        return 1

    def _without_sidecar(self) -> None:
        dial_as = _emergency(KSR.pv.get("$ru") or "")
        if dial_as:
            KSR.info(f"callgate: emergency call to {dial_as} without a sidecar\n")
            _dial(dial_as)
            self._relay()
        else:
            KSR.hdr.append_to_reply("Retry-After: 5\r\n")
            KSR.tm.t_reply(503, "Calls Cannot Be Authorised")

    # --- The sidecar's words ----------------------------------------------------------------

    def ksr_evapi_event(self, msg: Any, name: str) -> int:
        """Hear the sidecar, and that it came or went."""
        if name == "evapi:connection-new":
            KSR.htable.sht_inc(_TABLE, _SIDECARS)
        if name == "evapi:connection-closed":
            KSR.htable.sht_dec(_TABLE, _SIDECARS)
        if name != "evapi:message-received":
            return 1
        try:
            told = json.loads(KSR.pv.get("$evapi(msg)"))
        except ValueError:
            KSR.err("callgate: the sidecar sent no JSON\n")
            return 1
        if "transaction" in told:
            self._answer = told
            index, label = told["transaction"]
            KSR.tmx.t_continue(index, label, "ksr_decided")
        elif "limit" in told:
            KSR.dialog.dlg_set_timeout_id(told["limit"], *told["dialog"])
        elif "end" in told:
            order = {"jsonrpc": "2.0", "id": 1, "method": "dlg.end_dlg", "params": told["end"]}
            KSR.jsonrpcs.exec(json.dumps(order))
        return 1

    def ksr_decided(self, msg: Any) -> int:
        """Do with an INVITE what the sidecar decided."""
        told = self._answer
        if "refuse" in told:
            if told.get("q850"):
                KSR.hdr.append_to_reply(f"Reason: Q.850;cause={told['q850']}\r\n")
            KSR.tm.t_reply(told["refuse"], told["text"])
            return 1
        if "announce" in told:
            KSR.pv.sets("$ru", told["announce"])
            self._relay(next_hop="")
            return 1
        if told["dial"]:
            _dial(told["dial"])
        if "seconds" in told:
            # Before dlg_manage: BYE to both sides when the time is over. After it: when that is.
            KSR.pv.sets("$dlg_ctx(timeout_bye)", "1")
            KSR.dialog.dlg_manage()
            KSR.dialog.dlg_set_timeout(told["seconds"])
            KSR.pv.sets("$dlg_var(tenant)", told["tenant"])
            KSR.pv.sets("$dlg_var(session)", told["session"])
        self._relay()
        return 1

    def _relay(self, next_hop: str = NEXT_HOP) -> None:
        if next_hop:
            KSR.pv.sets("$du", next_hop)
        KSR.tm.t_on_failure("ksr_failed")
        KSR.tm.t_set_fr(RING_MS, NO_REPLY_MS)
        if KSR.tm.t_relay() < 0:
            KSR.sl.sl_reply_error()

    def ksr_failed(self, msg: Any) -> int:
        """Let the reply of the called side through as it is."""
        return 1

    # --- Dialogs ----------------------------------------------------------------------------

    def ksr_dialog_event(self, msg: Any, name: str) -> int:
        """Tell the sidecar that a call was answered, ended or failed."""
        event = {"dialog:start": "answered", "dialog:end": "ended", "dialog:failed": "failed"}.get(
            name
        )
        tenant = KSR.pv.get("$dlg_var(tenant)")
        if event is None or not tenant:
            return 1
        told = {
            "event": event,
            "call_id": KSR.pv.get("$dlg(callid)"),
            "session": KSR.pv.get("$dlg_var(session)"),
            "tenant": tenant,
            "dialog": [KSR.pv.get("$dlg(h_entry)"), KSR.pv.get("$dlg(h_id)")],
            "at": time.time(),
        }
        if event == "ended":
            told["began"] = int(KSR.pv.get("$dlg(start_ts)") or 0)
        text = json.dumps(told)
        if not _has_sidecar() or KSR.evapi.relay(text) < 0:
            _keep(text)
        return 1

    # --- Kamailio asks for these, whether they do anything or not ---------------------------

    def ksr_reply_route(self, msg: Any) -> int:
        """Let replies through."""
        return 1

    def ksr_onsend_route(self, msg: Any) -> int:
        """Let messages out."""
        return 1


def _has_sidecar() -> bool:
    """Say whether one is connected: evapi takes messages that nobody hears, too."""
    return bool((KSR.htable.sht_get(_TABLE, _SIDECARS) or 0) > 0)


def _asked() -> dict[str, Any]:
    """Say what an INVITE asks for."""
    return {
        "transaction": [KSR.pv.get("$T(id_index)"), KSR.pv.get("$T(id_label)")],
        "call_id": KSR.pv.get("$ci"),
        "uri": KSR.pv.get("$ru") or "",
        "from": KSR.hdr.get("From") or "",
        "asserted": _values("P-Asserted-Identity"),
        "diversion": _values("Diversion"),
        "history": _values("History-Info"),
        "location": KSR.hdr.get("X-Location") or "",
        "source": KSR.pv.get("$si") or "",
    }


def _values(header: str) -> str:
    """Join the values of all headers of a name, as one header lists them."""
    count = int(KSR.pv.get(f"$hdrc({header})") or 0)
    return ",".join(KSR.pv.get(f"$(hdr({header})[{at}])") or "" for at in range(count))


def _dial(number: str) -> None:
    """Put a number into the request URI: into its user part, or in the place of a URI without."""
    if (KSR.pv.get("$ru") or "").lower().startswith(("sip:", "sips:")):
        KSR.pv.sets("$rU", number)
        return
    host = NEXT_HOP.partition(":")[2] or f"{KSR.pv.get('$Ri')}:{KSR.pv.get('$Rp')}"
    KSR.pv.sets("$ru", f"sip:{number}@{host}")


def _emergency(uri: str) -> str:
    """Return the digits to dial where a URI is exactly an emergency, else nothing."""
    wanted = read_emergency(uri)
    try:
        table = json.loads(EMERGENCY_FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        table = {}
    if not wanted or wanted.isdecimal():
        return str(table.get(wanted, ""))
    while wanted and wanted not in table:
        wanted = wanted.rpartition(".")[0]
    return str(table.get(wanted, NUMBER_ANYWHERE))


def _keep(text: str) -> None:
    """Keep an event that nobody heard, for the sidecar to read when it is back."""
    try:
        file = os.open(LOST_FILE, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)
        try:
            os.write(file, (text + "\n").encode())
        finally:
            os.close(file)
    except OSError as error:
        KSR.err(f"callgate: an event is lost: {text}: {error}\n")
