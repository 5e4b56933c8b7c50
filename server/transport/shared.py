"""A message that many calls are sent: sealed once, and compressed once for all who read gzip."""

from server.transport.framing import seal_message

# Smaller ones gain little.
_LEAST_COMPRESSED_BYTES = 1_024


class SharedMessage:
    """What `TransportServer.share` makes of a message; it may be written to any number of calls."""

    __slots__ = ("_compressed", "_message", "_plain")

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._plain: bytes | None = None
        self._compressed: bytes | None = None

    def sealed(self, *, gzip: bool) -> bytes:
        """Return it with its prefix, compressed if it may be and that is worth while."""
        if gzip and len(self._message) >= _LEAST_COMPRESSED_BYTES:
            if self._compressed is None:
                self._compressed = seal_message(self._message, compressed=True)
            return self._compressed
        if self._plain is None:
            self._plain = seal_message(self._message)
        return self._plain
