"""Who may ask an engine: the identities of the settings, and the door before its services."""

from __future__ import annotations

import logging
import socket

from server.access.authenticator import Authenticator, TokensFrom
from server.app.engine import Engine
from server.services.interceptor import Interceptor
from server.settings import Settings
from server.transport import TlsFiles, TransportServer

_log = logging.getLogger("callgate")


def guard(engine: Engine, transport: TransportServer) -> Interceptor:
    """Put the door before everything that is registered on the result."""
    settings, identities = engine.settings, engine.identities
    door = None
    if settings.identities:
        door = Authenticator(
            identities=lambda: identities.current,
            now_ms=engine.now_ms,
            header=transport.header,
            tokens_from=_tokens_from(settings),
            by_certificate=settings.tls_client_ca is not None,
        )
    return Interceptor(
        transport,
        door,
        engine.open_streams,
        count_failure=engine.metrics.count_failure,
    )


def bind(
    settings: Settings, transport: TransportServer, inherited: socket.socket | None = None
) -> int:
    """Bind where the settings say, with TLS where they say so; returns the port.

    A socket that a parent listens on already is taken instead.

    Raises `AddressUnusable`, and `OSError` where the certificates cannot be used.
    """
    address, files = str(settings.listen), tls_files(settings)
    if files is None and inherited is None:
        return transport.add_insecure_port(address)
    try:
        if inherited is not None:
            transport.add_listener(inherited, files)
            return 1
        assert files is not None, "without TLS and without a socket it was bound above"
        return transport.add_secure_port(address, files)
    except OSError as error:
        raise OSError(f"tls_certificate, tls_key or tls_client_ca: {error}") from error


def answers_over_http(settings: Settings) -> bool:
    """Say whether questions are answered at `http_listen`: wherever that asks as much as gRPC does.

    It asks less where nothing but a client's certificate lets callers in, and HTTP sees none.
    """
    by_certificate_alone = settings.tls_client_ca is not None and not settings.identities
    return settings.http_rpc and (settings.http_tls or not by_certificate_alone)


def tls_files(settings: Settings) -> TlsFiles | None:
    """Name the certificate of the settings, None without one."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(
        certificate_file=settings.tls_certificate,
        key_file=settings.tls_key,
        client_ca_file=settings.tls_client_ca,
    )


def tell_who_may_ask(settings: Settings) -> None:
    """Tell the log who reaches this engine, and what is asked of them."""
    has_tls, asks = settings.tls_certificate is not None, bool(settings.identities)
    if settings.listen.is_loopback:
        if not asks:
            _log.info("Only this machine reaches it; nobody is asked for an identity.")
    elif not asks:
        _log.warning(
            "insecure_listen: anybody who reaches this address may ask, and spend, as any tenant."
        )
    elif not has_tls:
        _log.warning(
            "insecure_listen: what callers ask can be read on the way. "
            "Tokens are taken from this machine alone."
        )


def _tokens_from(settings: Settings) -> TokensFrom:
    is_private = settings.tls_certificate is not None
    return TokensFrom.ANYWHERE if is_private else TokensFrom.THIS_MACHINE
