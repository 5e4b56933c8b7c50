"""The limits of the transport, each with its name, its unit and its reason."""

from dataclasses import dataclass

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """What either transport allows a caller; the defaults suit a server inside one's own network.

    Attributes:
        max_receive_message_bytes: The largest request message, after decompression. A larger one
            ends its call with RESOURCE_EXHAUSTED.
        max_metadata_bytes: The largest header list, counted as RFC 9113 counts it (names and
            values plus 32 bytes a field). A larger one ends its call with RESOURCE_EXHAUSTED; one
            four times as large ends its connection.
        max_status_text_bytes: Where the text of a status is cut, in bytes of UTF-8.
        max_concurrent_streams: Calls that may be open on one connection; more wait at the client.
        stream_window_bytes: What a client may send on one call ahead of its reader.
        max_unsent_bytes: What one call may have waiting to be sent before `write` waits.
        max_buffered_bytes: Request bytes that one connection may keep in memory. The call that
            goes beyond it ends with RESOURCE_EXHAUSTED.
        max_buffered_bytes_in_all: The same for all connections of a process together. Beyond it
            the calls that keep most end with RESOURCE_EXHAUSTED.
        arrival_timeout_seconds: Time for a unary request, and for each message of a stream that
            was begun, to arrive whole. A call that takes longer, by up to a quarter, ends with
            DEADLINE_EXCEEDED.
        handshake_timeout_seconds: Time for the TLS handshake and the first frame of HTTP/2.
        keepalive_time_seconds: Silence after which the server pings.
        keepalive_timeout_seconds: How long the answer to that ping may take.
        min_ping_interval_seconds: How fast pings are forgiven again that came with nothing sent
            between them. Half of the ten seconds that are the commonest setting there is.
        max_ping_strikes: Such pings that may come at once beside the first; the next one ends the
            connection.
        young_stream_resets: Calls that a client may reset at once before it was answered any; each
            answer allows one more, up to the next limit.
        stream_resets_burst: Calls that a client may ever reset at once (rapid reset).
        stream_resets_per_second: How fast that allowance grows back. Generous, because callers
            whose deadlines pass while we are overloaded reset each of their calls.
        max_connection_age_seconds: Age at which a connection is asked to move, give or take a
            tenth; None for never. Its calls are waited for, however long they last.
        max_connections: Connections that one process holds; further ones are closed at once.
        max_connections_per_peer: As many of them may come from one address.
        max_calls: Calls that one process answers at a time; further ones end with
            RESOURCE_EXHAUSTED, but for a few of each connection.
        reuse_port: Whether several processes may listen on one TCP port (SO_REUSEPORT).
    """

    max_receive_message_bytes: int = 4 * MEBIBYTE
    max_metadata_bytes: int = 16 * KIBIBYTE
    max_status_text_bytes: int = 4 * KIBIBYTE
    max_concurrent_streams: int = 4_000
    stream_window_bytes: int = 64 * KIBIBYTE
    max_unsent_bytes: int = 64 * KIBIBYTE
    max_buffered_bytes: int = 64 * MEBIBYTE
    max_buffered_bytes_in_all: int = 256 * MEBIBYTE
    arrival_timeout_seconds: float = 10.0
    handshake_timeout_seconds: float = 10.0
    keepalive_time_seconds: float = 60.0
    keepalive_timeout_seconds: float = 20.0
    min_ping_interval_seconds: float = 5.0
    max_ping_strikes: int = 2
    young_stream_resets: int = 1_000
    stream_resets_burst: int = 10_000
    stream_resets_per_second: int = 1_000
    max_connection_age_seconds: float | None = None
    max_connections: int = 10_000
    max_connections_per_peer: int = 1_000
    max_calls: int = 10_000
    reuse_port: bool = False
