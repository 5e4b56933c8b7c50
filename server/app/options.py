"""The limits of the transport, as the settings have them."""

from __future__ import annotations

from server.settings import Settings
from server.transport import TransportOptions


def transport_options(settings: Settings) -> TransportOptions:
    """Say what the transport of this engine allows, and whether others share its port."""
    return TransportOptions(
        max_receive_message_bytes=settings.max_message_bytes,
        reuse_port=settings.workers > 1,
    )
