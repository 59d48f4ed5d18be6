"""HTTPS: the same connections, encrypted. Certificates are verified against the system's store, always."""

import socket
import ssl
from functools import cache

from aftershock.probes.connection import PIECE, Connection, Peer
from aftershock.probes.loop import READ, WRITE


@cache
def _context() -> ssl.SSLContext:
    """Verify chains and names; `SSL_CERT_FILE` and `SSL_CERT_DIR` name another store, as OpenSSL has it."""
    return ssl.create_default_context()


class TlsConnection(Connection):
    """A TCP connection with TLS on it."""

    __slots__ = ("_host", "_tls")
    _tls: ssl.SSLSocket

    def __init__(self, peer: Peer, sock: socket.socket, tried: int) -> None:
        super().__init__(peer, sock, tried)
        self._host = peer.place.host

    def alive(self) -> bool:
        """Tell that nothing is known: TLS can't look ahead, and session tickets come at any time."""
        return True

    def _established(self) -> None:
        self._tls = _context().wrap_socket(self.sock, server_hostname=self._host, do_handshake_on_connect=False)
        self.sock = self._tls  # it has taken the descriptor over
        self._on_handshake(0)

    def _on_handshake(self, _mask: int) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._peer.loop.rewatch(self.sock.fileno(), READ, self._on_handshake)
        except ssl.SSLWantWriteError:
            self._peer.loop.rewatch(self.sock.fileno(), WRITE, self._on_handshake)
        except OSError as error:
            self._lost(*_failure(error))
        else:
            super()._established()

    def _on_readable(self, _mask: int) -> None:
        while self.sock.fileno() >= 0:
            try:
                data = self._tls.recv(PIECE)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._lost(*_failure(error))
                return
            self._received(data)
            if not data or not self._tls.pending():
                return

    def _send(self, data: bytes) -> int:
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0


def _failure(error: OSError) -> tuple[str, str | None]:
    """Tell a broken connection from a refused certificate or a peer that doesn't speak TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "error", f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, (ConnectionError, ssl.SSLEOFError)):
        return "reset", None
    return "error", f"TLS failed: {getattr(error, 'reason', None) or error.strerror}"
