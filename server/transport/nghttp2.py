"""The one module that knows ngh2, the bindings of libnghttp2: which version, and how it is set up.

ngh2 is young. Everything the transport needs of it has its name here, so that a change of its
interface is a change of this file.
"""

from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosed,
    DataReceived,
    DenialOfServiceError,
    ErrorCode,
    Event,
    GoAwayReceived,
    Header,
    NGH2Error,
    PingAcknowledged,
    PingReceived,
    RequestReceived,
    Role,
    Setting,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)

from server.transport.options import TransportOptions

__all__ = [
    "Connection",
    "ConnectionClosed",
    "DataReceived",
    "DenialOfServiceError",
    "ErrorCode",
    "Event",
    "GoAwayReceived",
    "Header",
    "NGH2Error",
    "PingAcknowledged",
    "PingReceived",
    "RequestReceived",
    "SettingsReceived",
    "StreamClosed",
    "StreamReset",
    "TrailersReceived",
    "WindowUpdated",
    "open_connection",
]

# Beyond this multiple of the metadata limit a header list is no mistake but an attack: reading on
# only to answer it politely would cost the memory that the limit is there to protect.
_HEADER_BOMB_FACTOR = 4
_MAX_HEADER_FIELDS = 512
_MAX_CONTINUATION_FRAMES = 8
_MAX_SETTINGS_IN_ONE_FRAME = 32
# Unsent acknowledgements of SETTINGS and PING: a client that floods us and does not read.
_MAX_OUTBOUND_ACKNOWLEDGEMENTS = 1_000
_MAX_WINDOW_BYTES = 2**31 - 1


def open_connection(options: TransportOptions) -> Connection:
    """Make the server's end of one HTTP/2 connection; its SETTINGS wait to be sent."""
    connection = Connection(Role.SERVER, _configuration(options))
    connection.initiate_connection(
        {
            Setting.MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
            Setting.INITIAL_WINDOW_SIZE: options.stream_window_bytes,
            Setting.MAX_HEADER_LIST_SIZE: options.max_metadata_bytes,
        }
    )
    # As wide as all streams together: a call whose reader is slow holds up nobody but itself.
    # What may really lie in memory is bounded by `max_buffered_bytes`.
    all_windows_bytes = options.max_concurrent_streams * options.stream_window_bytes
    connection.set_local_window_size(min(all_windows_bytes, _MAX_WINDOW_BYTES))
    return connection


def _configuration(options: TransportOptions) -> Configuration:
    return Configuration(
        auto_window_update=False,
        max_outbound_ack=_MAX_OUTBOUND_ACKNOWLEDGEMENTS,
        max_settings=_MAX_SETTINGS_IN_ONE_FRAME,
        max_continuations=_MAX_CONTINUATION_FRAMES,
        max_inbound_header_list_size=_HEADER_BOMB_FACTOR * options.max_metadata_bytes,
        max_inbound_header_count=_MAX_HEADER_FIELDS,
        stream_reset_rate_limit=(options.stream_resets_burst, options.stream_resets_per_second),
    )
