"""What an operator may set: one TOML file, the environment over it, mistakes told all at once.

A setting `deadline_ms` is that name in the file and `CALLGATE_DEADLINE_MS` in the environment.
`docs/settings.md` is made from this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from policy.reasons import Reason
from server.notices.smtp import MailServer
from server.settings import kinds, mail_server, money
from server.settings.kinds import Kind, SuggestedEnding, UnixAddress
from server.transport.http.listener import Address

ENVIRONMENT_PREFIX = "CALLGATE_"
# Says where the file is, so it cannot stand in it.
FILE_VARIABLE = "CALLGATE_SETTINGS"

# From where it is started, so that it reads `data` in the tree itself.
_SAMPLE = Path(os.path.relpath(Path(__file__).parent.parent.parent / "data"))
_DEFAULT_LISTEN = Address("127.0.0.1", 50_051)
_SECONDS_A_DAY = 86_400


class Transport(StrEnum):
    """The ways to speak gRPC."""

    GRPCIO = "grpcio"
    NGHTTP2 = "nghttp2"
    AUTO = "auto"


class DirectorySource(StrEnum):
    """Where the tenants come from."""

    FILES = "files"
    ARCHIVE = "archive"


class KeepExplanations(StrEnum):
    """Of which decisions the checks are kept in their records."""

    NONE = "none"
    REFUSED = "refused"


class FailureAction(StrEnum):
    """What a gateway does when later questions about a granted call are not answered."""

    END = "end"
    CONTINUE = "continue"


class FinalAction(StrEnum):
    """What a gateway does when a final grant is used up."""

    END = "end"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set: the type, how it is read, and what it means."""

    # --- Where it listens -------------------------------------------------------------------
    listen: Annotated[
        Address | UnixAddress,
        kinds.address_or_socket(),
        "Where gRPC is spoken. Any address but a loopback one needs TLS and `identities`, or "
        "`insecure_listen`.",
    ] = _DEFAULT_LISTEN
    insecure_listen: Annotated[
        bool,
        kinds.flag(),
        "Listen where other machines can reach it, although there is no TLS or no caller is asked "
        "for an identity. Said again at every start.",
    ] = False
    http_listen: Annotated[
        Address | None,
        kinds.address_or_none(),
        "Where HTTP is spoken: questions are asked there as over gRPC (docs/http.md), and "
        'Prometheus reads the metrics at "/metrics". "127.0.0.1:9464", say. Off if empty.',
    ] = None
    http_rpc: Annotated[
        bool,
        kinds.flag(),
        "Answer questions at `http_listen`. Off: only metrics, and what payment providers post.",
    ] = True
    http_tls: Annotated[
        bool,
        kinds.flag(),
        "Speak HTTPS at `http_listen`, with `tls_certificate`; every client then shows a "
        "certificate where `tls_client_ca` is set, as over gRPC.",
    ] = False
    http_origins: Annotated[
        tuple[str, ...],
        kinds.origins(),
        'Whose pages may ask at `http_listen` (CORS): "https://desk.example.com". Empty: none but '
        "its own.",
    ] = ()
    http_token_prefix: Annotated[
        str,
        kinds.path_prefix(),
        'Where a caller that cannot set headers gives its token: with "/key/" it asks at '
        "`/key/TOKEN/ask?...`, as any path. Whoever logs paths logs tokens then. Off if empty.",
    ] = ""
    # --- Who may ask ------------------------------------------------------------------------
    tls_certificate: Annotated[
        Path | None,
        kinds.path_or_none(),
        "The server's certificate with those that lead to its authority, PEM. Read again when it "
        "changes. Without it there is no TLS.",
    ] = None
    tls_key: Annotated[
        Path | None, kinds.path_or_none(), "The key of that certificate, PEM, without a password."
    ] = None
    tls_client_ca: Annotated[
        Path | None,
        kinds.path_or_none(),
        "Who must have signed a client's certificate, PEM. With it every client has to show one, "
        "and is the identity that it names.",
    ] = None
    identities: Annotated[
        tuple[str, ...],
        kinds.identity_sources(),
        'Who may ask: files of identities, and "archive" for those made by `callgate tokens`. '
        "Empty: everybody may ask everything.",
    ] = ()
    # --- What it reads and keeps ------------------------------------------------------------
    catalogue_folder: Annotated[
        Path, kinds.path(), "Prefixes, countries, plans, rates and emergency numbers."
    ] = _SAMPLE / "catalogue"
    directory_folder: Annotated[
        Path, kinds.path(), "Tenants with their users, licences and numbers, where files keep them."
    ] = _SAMPLE / "directory"
    directory_source: Annotated[
        DirectorySource,
        kinds.choice(DirectorySource),
        "Where tenants come from: the files of `directory_folder`, or the archive, where they are "
        "changed by DirectoryService and `callgate import`.",
    ] = DirectorySource.FILES
    facts_most_lost_percent: Annotated[
        int,
        kinds.whole(0, 100),
        "How many of a tenant's users, of all tenants, of the prefixes or of a currency's rates "
        "a change of the files may take away at once. More is taken for a file that was cut short "
        "and refused, until it is asked for by name: `python -m server reload --losing NAME`.",
    ] = 20
    data_folder: Annotated[
        Path,
        kinds.path(),
        "What the engine itself writes: the files of the embedded Valkey, the key of the "
        "decision records.",
    ] = Path("var")
    redis_url: Annotated[
        str,
        kinds.redis_url(),
        "The Redis (7.0 or newer) or Valkey that holds the money. Empty: an embedded Valkey in "
        "`data_folder`, which ends with the engine and starts with what it held.",
    ] = ""
    archive_url: Annotated[
        str,
        kinds.archive_url(),
        "The database that outlives Redis: journal, accounts, usage records. Empty: a SQLite file "
        "in `data_folder`.",
    ] = ""
    clock_tolerance_seconds: Annotated[
        int,
        kinds.whole(1, _SECONDS_A_DAY),
        "How far the store's clock may be from what it should be by this machine's. A reading "
        "that is farther off is refused and an alarm raised: the time goes on as it did, and no "
        "money expires by it.",
    ] = 300
    report_tolerance_seconds: Annotated[
        int,
        kinds.whole(0, _SECONDS_A_DAY),
        "By how much the use that is reported of a call may exceed the time since it was first "
        "granted. What is beyond that is not debited but held apart, as `implausible`, until an "
        "operator settles it.",
    ] = 900
    journal_max_entries: Annotated[
        int,
        kinds.whole(1_000, 100_000_000),
        "Entries a partition's journal may hold while the archive is away; then new calls that are "
        "metered are UNAVAILABLE. An alarm is raised at 80 %.",
    ] = 2_000_000
    run_keeper: Annotated[
        bool,
        kinds.flag(),
        "Run a keeper beside the server, as a process of its own that ends with it. Off where "
        "keepers run apart, as `python -m server keeper`.",
    ] = True
    keeper_http_listen: Annotated[
        Address | None,
        kinds.address_or_none(),
        'Where the keeper speaks HTTP, without TLS: its metrics at "/metrics". Off if empty.',
    ] = None
    # --- How it answers ---------------------------------------------------------------------
    deadline_ms: Annotated[
        int,
        kinds.whole(10, 60_000),
        "An answer or an error comes within this time. A caller's own deadline counts if it is "
        "shorter; a longer one is cut to this.",
    ] = 500
    drain_seconds: Annotated[
        int,
        kinds.whole(0, 300),
        "After SIGTERM, questions under way have this long to be answered.",
    ] = 10
    drain_notice_seconds: Annotated[
        int,
        kinds.whole(0, 300),
        "After SIGTERM, and before `drain_seconds`, health says NOT_SERVING for this long while "
        "everything is served as before: a load balancer that looks at the health has sent its "
        "callers elsewhere by then. Two of its intervals will do.",
    ] = 0
    checkpoint_seconds: Annotated[
        int,
        kinds.whole(1, 60),
        "Who watches debits hears something at least this often; when nothing happens, a "
        "checkpoint to resume from.",
    ] = 5
    heartbeat_seconds: Annotated[
        int,
        kinds.whole(1, 300),
        "A bridge's stream, and a watch of the health, on which nothing happens gets an empty or "
        "repeated message this often, so that no proxy takes it for dead.",
    ] = 5
    transport: Annotated[
        Transport,
        kinds.choice(Transport),
        "Which implementation of gRPC serves: the reference, the fast one, or the fast one where "
        "it is installed in a version that was tried (else the reference, and the log says so).",
    ] = Transport.AUTO
    workers: Annotated[
        int,
        kinds.whole(1, 64),
        "Processes that share the port, one a core; clients learn how many and open connections "
        "to match. With 1 there is no parent.",
    ] = 1
    max_message_bytes: Annotated[
        int,
        kinds.whole(1_024, 4_194_304),
        "The largest question that is read; a larger one is RESOURCE_EXHAUSTED.",
    ] = 65_536
    arrival_seconds: Annotated[
        int,
        kinds.whole(1, 300),
        "How long a unary request, or a message of a stream, may take to arrive whole; what takes "
        "longer is DEADLINE_EXCEEDED. nghttp2 only.",
    ] = 10
    max_unread_mebibytes: Annotated[
        int,
        kinds.whole(1, 65_536),
        "What one process keeps of requests that arrive or wait to be read; beyond it the calls "
        "that keep most are RESOURCE_EXHAUSTED. nghttp2 only.",
    ] = 256
    max_connections: Annotated[
        int,
        kinds.whole(1, 1_000_000),
        "Connections that one process holds; further ones are closed at once. nghttp2 only.",
    ] = 10_000
    max_connections_per_peer: Annotated[
        int,
        kinds.whole(1, 1_000_000),
        "As many of them may come from one address (of IPv6 from one /64). A proxy in front of the "
        "engine is one address. nghttp2 only.",
    ] = 1_000
    max_calls: Annotated[
        int,
        kinds.whole(1, 1_000_000),
        "RPCs that one process works on at a time, open streams among them; further ones are "
        "RESOURCE_EXHAUSTED, but for 64 of each connection. nghttp2 only.",
    ] = 10_000
    default_locations: Annotated[
        tuple[str, ...],
        kinds.countries(),
        "Whose emergency numbers count where neither the user nor the tenant is known. "
        "Empty: those of every country of the catalogue.",
    ] = ()
    # --- What it grants ---------------------------------------------------------------------
    slice_seconds: Annotated[
        int,
        kinds.whole(1, _SECONDS_A_DAY),
        "The longest stretch one grant reserves, and what is granted if a question names none. "
        "Short slices hold less money back and mean more questions.",
    ] = 300
    opening_balance_days: Annotated[
        int,
        kinds.whole(0, 3_650),
        "How long the balance written in a tenant's file is good for, from its first opening. 0: "
        "as long as credits that are bought.",
    ] = 0
    charge_unknown_calls: Annotated[
        bool,
        kinds.flag(),
        "Charge a settlement of a call that nobody knows, if it says what the call was: for calls "
        "that were set up while no answer came. Off: it is refused, CALL_UNKNOWN.",
    ] = False
    call_id_days: Annotated[
        int,
        kinds.whole(1, 3_650),
        "How long after the last report on a call its call_id alone means that very call, where it "
        "is reported on again and the ledger has forgotten it. One announced with its decision_id "
        "is known for as long as the archive keeps it.",
    ] = 30
    failure_action: Annotated[
        FailureAction,
        kinds.choice(FailureAction),
        "What a gateway is told to do when later questions about a granted call get no answer.",
    ] = FailureAction.END
    failure_seconds: Annotated[
        int,
        kinds.whole(1, 3_600),
        'With "continue": how long past its granted time such a call may go on.',
    ] = 60
    final_action: Annotated[
        FinalAction,
        kinds.choice(FinalAction),
        "What a gateway is told to do when a final grant is used up.",
    ] = FinalAction.END
    redirect_to: Annotated[
        str, kinds.text(255), 'With "redirect": a SIP URI, or the name of an announcement.'
    ] = ""
    suggestions: Annotated[
        Mapping[Reason, SuggestedEnding],
        kinds.suggestions(),
        "SIP status and Q.850 cause suggested with a refusal, over the defaults below. A status "
        "is 4xx: 5xx would be tried elsewhere, 6xx ends other branches.",
    ] = field(default_factory=dict)
    # --- What it tells tenants --------------------------------------------------------------
    smtp_url: Annotated[
        MailServer | None,
        mail_server.mail_server_or_none(),
        "The mail server that notices go through. With smtp+starttls and smtps it has to prove its "
        "name; a password goes without TLS to this machine only. Empty: mails fail, and say so.",
    ] = None
    smtp_from: Annotated[
        str,
        mail_server.mail_address(),
        "The address that notices come from. Needed with `smtp_url`.",
    ] = ""
    webhook_key: Annotated[
        str,
        kinds.secret(256),
        "The secret that each tenant's key for webhooks is made of, the same for all keepers. "
        "Empty: made once and kept in `data_folder`.",
    ] = ""
    outgoing_hosts: Annotated[
        tuple[str, ...],
        kinds.hosts(),
        "Hosts that may be asked although they are in a private network, or speak http. All "
        "other URLs of tenants are https and lead outward.",
    ] = ()
    # --- Money in ---------------------------------------------------------------------------
    minimum_funding_units: Annotated[
        int,
        kinds.whole(1, 1_000_000),
        "The least that is bought at once, by hand or by auto-recharge, in whole units of the "
        "tenant's currency; but see `minimum_funding_by_currency`.",
    ] = 20
    minimum_funding_by_currency: Annotated[
        Mapping[str, int],
        money.units_by_currency(1_000_000_000),
        "The same for single currencies. Those whose unit is worth little have a minimum anyhow, "
        "of about 20 dollars (docs/credits.md), unless they stand here.",
    ] = field(default_factory=dict)
    max_balance_units: Annotated[
        int,
        kinds.whole(0, 1_000_000_000),
        "What a balance may be after a purchase, in whole units of its currency, where the tenant "
        "has no limit of its own. 0: no limit.",
    ] = 0
    lot_months: Annotated[
        int,
        kinds.whole(1, 120),
        "How long credits are good for, from their purchase: calendar months in the tenant's time "
        "zone.",
    ] = 12
    lot_days: Annotated[
        int,
        kinds.whole(0, 3_650),
        "The same in days, in place of months. 0: `lot_months` counts.",
    ] = 0
    payments: Annotated[
        money.Provider,
        kinds.choice(money.Provider),
        "Who takes money from tenants' means of payment: an operator's own billing at "
        '`payments_url`, Stripe, nobody, or "rehearsal", which moves none and is for trying things '
        "out.",
    ] = money.Provider.OFF
    payments_url: Annotated[
        str,
        kinds.text(2_048),
        'With "billing": where charges are posted, over https unless `outgoing_hosts` has the '
        'host. With "stripe": empty but in tests.',
    ] = ""
    payments_key: Annotated[
        str,
        money.key_or_none(),
        'With "billing": the key that signs charges and events.',
    ] = ""
    stripe_api_key: Annotated[str, kinds.secret(255), 'With "stripe": the secret key.'] = ""
    stripe_webhook_secret: Annotated[
        str, kinds.secret(255), 'With "stripe": the secret that signs events.'
    ] = ""
    recharge_rest_minutes: Annotated[
        int,
        kinds.whole(1, 1_440),
        "How long auto-recharge rests after a decline; doubled with each further one in a row, up "
        "to 32 times this.",
    ] = 60
    recharge_burst: Annotated[
        int,
        kinds.whole(1, 1_000),
        "So many recharges of one tenant may follow each other within `recharge_burst_minutes`; "
        "one more has to wait.",
    ] = 3
    recharge_burst_minutes: Annotated[
        int, kinds.whole(1, 10_080), "The time that `recharge_burst` counts in."
    ] = 60
    # --- What it writes down ----------------------------------------------------------------
    records_path: Annotated[
        str,
        kinds.text(4_096),
        'The file of the decision records, appended to, opened anew on SIGHUP; "-" is the '
        "standard output.",
    ] = "-"
    records_buffer: Annotated[
        int,
        kinds.whole(100, 1_000_000),
        "Records waiting to be written at the most. When full, grants are dropped first; "
        "what is dropped is counted.",
    ] = 10_000
    mask_digits: Annotated[
        int,
        kinds.whole(0, 15),
        "How many trailing digits of a telephone number a decision record hides.",
    ] = 4
    mask_accounts: Annotated[
        bool,
        kinds.flag(),
        "Hide users, organizers and resource accounts in decision records as well.",
    ] = False
    record_key: Annotated[
        str,
        kinds.secret(256),
        "The secret of the hash that stands for what is hidden, the same in every engine whose "
        "records are to be joined. Empty: made once and kept in `data_folder`.",
    ] = ""
    keep_explanations: Annotated[
        KeepExplanations,
        kinds.choice(KeepExplanations),
        'Of which decisions the record tells every check that was asked: "none", or those that '
        '"refused". The rules are asked again for it, beside the questions.',
    ] = KeepExplanations.NONE
    decision_days: Annotated[
        int,
        kinds.whole(0, 400),
        "How many days the archive keeps decision records, for `callgate decisions`. 0: none.",
    ] = 30
    decision_spool_mebibytes: Annotated[
        int,
        kinds.whole(1, 65_536),
        "What decision records may take in `data_folder` while no keeper carries them into the "
        "archive; further ones are counted and not kept there.",
    ] = 512


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as its manual tells it."""

    name: str
    kind: Kind[Any]
    about: str
    default: object

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{ENVIRONMENT_PREFIX}{self.name.upper()}"


def described_settings() -> Iterator[Described]:
    """List every setting, in the order of the class."""
    defaults = Settings()
    for name, kind, about in _annotated():
        yield Described(name, kind, about, getattr(defaults, name))


def _annotated() -> Iterator[tuple[str, Kind[Any], str]]:
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        kind, about = hint.__metadata__
        yield name, kind, about
