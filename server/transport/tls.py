"""Certificates: read from files, and read again when the files change."""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from server.transport.seldom import Seldom

_LOG = logging.getLogger(__name__)
_SELDOM = Seldom(_LOG)

# What tells a file from its replacement.
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the server's certificate is; all files are PEM.

    Attributes:
        certificate_file: The certificate chain.
        key_file: Its private key, without a password.
        client_ca_file: Who must have signed a client's certificate; None asks for none.
    """

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None


class Certificates:
    """The certificates that are in force: those in the files, or the last ones that were whole.

    Safe to use from several threads.
    """

    def __init__(self, files: TlsFiles, protocol: str = "h2") -> None:
        """Read the files; raises OSError or ssl.SSLError if that fails the first time.

        *protocol* is what is spoken over TLS, as ALPN names it.
        """
        self._files = files
        self._protocol = protocol
        self._lock = threading.Lock()
        self._stamp = self._read_stamp()
        self._context = self._load()

    @property
    def files(self) -> TlsFiles:
        """Where they are read from."""
        return self._files

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection, made anew if the files have changed."""
        self.refresh()
        return self._context

    def following(self) -> ssl.SSLContext:
        """Return one context for a listener, each of whose connections gets the current one."""

        def follow(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
            connection.context = self.current()

        listening = self._load()
        listening.sni_callback = follow
        return listening

    def refresh(self) -> bool:
        """Read the files if they have changed; tell whether new certificates are in force.

        Files that cannot be used, such as a key that does not fit yet, change nothing: they are
        tried again at the next connection.
        """
        with self._lock:
            try:
                stamp = self._read_stamp()
                if stamp == self._stamp:
                    return False
                self._context = self._load()
            except (OSError, ssl.SSLError) as error:
                text = "the new certificates cannot be used yet: %s"
                _SELDOM.tell(logging.WARNING, text, error)
                return False
            self._stamp = stamp
            _LOG.info("new certificates are in force")
            return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([self._protocol])
        context.load_cert_chain(self._files.certificate_file, self._files.key_file)
        if self._files.client_ca_file is not None:
            context.load_verify_locations(self._files.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _read_stamp(self) -> _Stamp:
        paths = (self._files.certificate_file, self._files.key_file, self._files.client_ca_file)
        facts = [path.stat() for path in paths if path is not None]
        return tuple((fact.st_mtime_ns, fact.st_size, fact.st_ino) for fact in facts)
