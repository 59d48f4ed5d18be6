"""HTTP connections: non-blocking, kept alive, one request at a time on each.

A request that hangs holds its connection and nobody else's: the next one takes an idle connection or opens another, for
as long as there are file descriptors.

A kept connection may have been closed by the server just as a request was sent on it. When a *reused* connection ends
before the first byte of an answer came, the request is therefore sent once more, on a new connection, as browsers do and
whatever its method is; what happens there counts. RFC 9110, section 9.2.2, allows this for what is known to be harmless
when sent twice: a probe is. A ledger's write isn't (it could be there twice, or once though it counts as lost), so a
channel with `resend=False` looks first whether an idle connection was closed, and leaves the rest indeterminate.
"""

import errno
import os
import socket
from typing import Any, Protocol

from aftershock.probes.answer import BODY_LIMIT, Answer
from aftershock.probes.loop import READ, WRITE, Loop
from aftershock.probes.names import Name
from aftershock.probes.request import Place
from aftershock.probes.slices import UNSENT

PIECE = 64 * 1024
"""Bytes read at once: more would make the allocator map and unmap memory for each answer."""

_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})
"""Errors of this machine, not of the peer: the request is unsent."""

_KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNABORTED: "reset",
}


class Carried(Protocol):
    """A request, as far as connections care: `line` is the connection that it is on."""

    line: "Connection | None"


Outcome = Answer | str | None
"""An answer; or where there is none the reason, as far as there is one to tell."""


class Listener(Protocol):
    """Who hears what became of a request. `kind` is None when the answer is whole and sound."""

    def __call__(self, request: Any, kind: str | None, outcome: Outcome, /) -> None:
        """Take the outcome. Called once a request, unless it was abandoned."""


class Peer:
    """One scheme, host and port, with its idle connections; whoever talks to it shares them."""

    def __init__(self, loop: Loop, place: Place, resolver: str | None = None) -> None:
        self.loop = loop
        self.place = place
        self.name = Name(place.host, place.port, resolver)
        self.idle: dict[Connection, None] = {}
        self.preferred = 0
        self._make: type[Connection] = Connection
        if place.tls:
            from aftershock.probes.tls import TlsConnection  # noqa: PLC0415  # ssl costs 20 ms to import

            self._make = TlsConnection

    def open(self, tried: int) -> "Connection | int | None":
        """Begin a connection to the address that worked last, or `tried` further.

        Return None where the name has no address, an error number where the attempt failed at once.
        """
        addresses = self.name.addresses
        if self.name.failed or not addresses:
            return None
        family, address = addresses[(self.preferred + tried) % len(addresses)]
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            return error.errno or errno.EMFILE
        code = sock.connect_ex(address)
        if code not in {0, errno.EINPROGRESS}:
            sock.close()
            return code
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._make(self, sock, tried)

    def prefer(self, further: int) -> None:
        """Begin with another address from now on."""
        self.preferred += further

    @property
    def untried(self) -> int:
        """How many addresses there are besides the preferred one."""
        return len(self.name.addresses) - 1

    def close(self) -> None:
        """Close what is idle."""
        while self.idle:
            self.idle.popitem()[0].shut()


def _failure(code: int | None) -> tuple[str, str | None]:
    """Return an error number's kind, and its text where the kind doesn't tell."""
    if code in _OURS:
        advice = "; raise `ulimit -n`" if code == errno.EMFILE else ""
        return UNSENT, f"this machine could not send it: {os.strerror(code or 0)}{advice}"
    kind = _KINDS.get(code or 0, "error")
    return kind, os.strerror(code or 0) if kind == "error" else None


class Channel:
    """How one indicator talks to a peer. `new`: a connection a request. `keep`: bodies are wanted, not only counted."""

    def __init__(
        self,
        peer: Peer,
        listener: Listener,
        *,
        head_only: bool = False,
        keep: bool = False,
        new: bool = False,
        resend: bool = True,
        limit: int = BODY_LIMIT,
    ) -> None:
        self.peer = peer
        self.listener = listener
        self.head_only = head_only
        self.keep = keep
        self.new = new
        self.resend = resend
        self.limit = limit

    def send(self, request: Carried, payload: bytes) -> None:
        """Send now. The listener may hear of it before this returns."""
        idle = self.peer.idle
        while idle and not self.new:
            connection, _ = idle.popitem()  # the one used last: the others may grow old and be closed
            if connection.version != self.peer.name.version:
                connection.shut()  # the name leads elsewhere by now
                continue
            if self.resend or connection.alive():
                connection.carry(self, request, payload)
                return
            connection.shut()
        self.send_new(request, payload)

    def send_new(self, request: Carried, payload: bytes, tried: int = 0) -> None:
        """Send on a connection of its own, to the preferred address or `tried` further."""
        connection = self.peer.open(tried)
        if isinstance(connection, Connection):
            connection.carry(self, request, payload)
        elif connection is None:
            self.listener(request, "dns", None)
        else:
            self.failed(request, payload, connection, tried)

    def failed(self, request: Carried, payload: bytes, code: int, tried: int) -> None:
        """No connection came about: try the host's next address, if there is one that wasn't tried."""
        if code not in _OURS and tried < self.peer.untried:
            self.send_new(request, payload, tried + 1)
        else:
            self.listener(request, *_failure(code))

    def abandon(self, request: Carried) -> None:
        """Nobody waits for the answer any more; its connection can't be used again."""
        line = request.line
        if line is not None:
            line.abandon()


class Connection:
    """One TCP connection. What it does next is which handler the loop calls."""

    __slots__ = (
        "_answer", "_channel", "_left", "_open", "_payload", "_peer", "_request", "_served", "_tried", "_writing", "sock",
        "version",
    )  # fmt: skip

    def __init__(self, peer: Peer, sock: socket.socket, tried: int) -> None:
        self.sock = sock
        self.version = peer.name.version
        self._peer = peer
        self._tried = tried
        self._open = False
        self._writing = False
        self._served = 0
        self._left = b""
        self._payload = b""
        self._channel: Channel | None = None
        self._request: Carried | None = None
        self._answer: Answer | None = None
        peer.loop.watch(sock.fileno(), WRITE, self._on_connected)

    def carry(self, channel: Channel, request: Carried, payload: bytes) -> None:
        """Take a request: send it as soon as the connection stands."""
        self._channel = channel
        self._request = request
        self._payload = payload
        self._answer = Answer(head_only=channel.head_only, keep=channel.keep, limit=channel.limit)
        request.line = self
        if self._open:
            self._left = payload
            self._transmit()

    def alive(self) -> bool:
        """Look whether the peer has closed an idle connection, or said something that nobody asked for."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def abandon(self) -> None:
        """Let go of the request and close."""
        if not self._open and self._peer.untried:
            self._peer.prefer(1)  # this address swallows what it gets; the next request tries another
        self.shut()

    def shut(self) -> None:
        """Close. A request that is still carried hears nothing."""
        self._peer.idle.pop(self, None)
        self._channel = self._request = self._answer = None
        self._peer.loop.drop(self.sock)

    # What the loop calls. A call for nothing does nothing.

    def _on_connected(self, _mask: int) -> None:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._refused(code)
            return
        if self._tried:
            self._peer.prefer(self._tried)
        self._established()

    def _established(self) -> None:
        """The connection stands, and can be written to."""
        self._open = True
        self._left = self._payload
        self._peer.loop.rewatch(self.sock.fileno(), READ, self._on_readable)
        self._transmit()

    def _on_writable(self, mask: int) -> None:
        if mask & ~WRITE:
            self._on_readable(mask)  # an answer that came early, or the end of the connection
        if self._left and self._request is not None:
            self._transmit()

    def _on_readable(self, _mask: int) -> None:
        try:
            data = self.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(*_failure(error.errno))
            return
        self._received(data)

    # What follows from it.

    def _send(self, data: bytes) -> int:
        """Send what goes; OSError where the connection is gone."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def _transmit(self) -> None:
        try:
            sent = self._send(self._left)
        except OSError as error:
            self._lost(*_failure(error.errno))
            return
        self._left = self._left[sent:]
        if bool(self._left) != self._writing:
            self._watch_room()

    def _watch_room(self) -> None:
        """Wait for room to send while something is left, and only then."""
        self._writing = bool(self._left)
        mask, handler = (READ | WRITE, self._on_writable) if self._writing else (READ, self._on_readable)
        self._peer.loop.rewatch(self.sock.fileno(), mask, handler)

    def _received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.shut()  # idle: the server closed it, or talks out of turn
        elif not data:
            if answer.close():
                self._complete(answer)
            else:
                self._lost("reset", None)
        elif answer.feed(data):
            self._complete(answer)

    def _complete(self, answer: Answer) -> None:
        channel, request = self._channel, self._request
        if channel is None or request is None:
            return
        request.line = None
        self._served += 1
        if answer.reusable and not channel.new and not self._left:
            self._channel = self._request = self._answer = None
            self._peer.idle[self] = None
        else:
            self.shut()
        channel.listener(request, "error" if answer.problem else None, answer)

    def _refused(self, code: int) -> None:
        channel, request, payload = self._channel, self._request, self._payload
        self.shut()
        if channel is None or request is None:
            return
        request.line = None
        channel.failed(request, payload, code, self._tried)

    def _lost(self, kind: str, problem: str | None) -> None:
        """The connection ended before the answer did."""
        channel, request, payload, answer = self._channel, self._request, self._payload, self._answer
        stale = self._served > 0 and answer is not None and not answer.begun
        self.shut()
        if channel is None or request is None:
            return
        request.line = None
        if stale and channel.resend:
            channel.send_new(request, payload)
        else:
            channel.listener(request, kind, problem)
