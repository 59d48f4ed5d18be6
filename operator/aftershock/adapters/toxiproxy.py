"""Toxiproxy, through toxiproxy-python.

Its object model is used as it is. Its transport is not: that keeps host and port in class state, knows no timeouts, takes
a 5xx for success and opens a connection a call. Here each Server has keep-alive connections of its own, which a call
borrows, so that several servers can be used at once from several threads; each call has one deadline; every failure is a
TargetError, and a server that answers `/version` but not to the call at hand is a WedgedError. Synchronous: asynchronous
callers use adapters/threads.py.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, IncompleteRead
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote, urlsplit

import msgspec

from aftershock.adapters.lazily import lazily
from aftershock.errors import InputError, TargetError, WedgedError

if TYPE_CHECKING:
    from aftershock.adapters import toxiproxy_python as library
else:
    library = lazily("aftershock.adapters.toxiproxy_python")

DEADLINE = 1.5
"""Seconds for one call. With PROBE, a wedged server is known as one within 2 s."""

PROBE = 0.4
"""Seconds for asking a server that let a call hang whether it answers at all."""

Stream = Literal["upstream", "downstream"]
_RESTART = "restart that Toxiproxy; the Stack's `restart:` lets aftershock do it"

_NO_LISTENING = re.compile(r'listen tcp[46]? (\S+): (?:bind: )?([^"]+)')
"""How a Toxiproxy says that it can't open a proxy's entrance."""


class Toxic(msgspec.Struct, frozen=True):
    """One toxic, as the server tells it. `toxicity` is a share, 0 to 1."""

    name: str
    type: str
    stream: Stream = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, int] = {}


class Proxy(msgspec.Struct, frozen=True):
    """One proxy with its toxics, as the server tells it. `listen` and `upstream` are `host:port`."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    toxics: tuple[Toxic, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """A response, as toxiproxy-python expects one. `date` is the raw header: the server's clock."""

    status_code: int
    content: bytes
    date: str

    def json(self) -> Any:
        """Return the decoded body."""
        try:
            return msgspec.json.decode(self.content)
        except msgspec.DecodeError:
            raise _stranger(self) from None


class Server:
    """One Toxiproxy. Safe to use from several threads; `close` when done."""

    def __init__(self, name: str, url: str, deadline: float = DEADLINE) -> None:
        parts = _address(url)
        self.name, self.url, self.deadline = name, url, deadline
        self.host, self.port = parts
        self._idle: list[HTTPConnection] = []
        self._closed = False
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection: what is idle now; from here on a call's own when it is over.

        A call may be under way in a thread whose caller has stopped waiting, and others may follow it there.
        """
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed = True
        for connection in idle:
            connection.close()

    def proxies(self) -> dict[str, Proxy]:
        """Return every proxy with its toxics, in one call."""
        answer = self.call("GET", "/proxies")
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Proxy])
        except msgspec.DecodeError:
            raise _stranger(answer) from None

    def now(self) -> float:
        """Return the server's clock in whole seconds since the epoch, rounded down, as its `Date` header says."""
        return epoch(self.call("GET", "/version"))

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add the toxic, unless one of its name is there already. One call. TargetError if there is no such proxy."""
        with self._routed(f"add a {toxic.type} toxic to the proxy {proxy}"):
            try:
                _handle(proxy).add_toxic(**msgspec.to_builtins(toxic))
            except library.ProxyExists:
                return

    def change_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Give a toxic that is there other attributes. One call. TargetError if it is not there."""
        with self._routed(f"change the toxic {toxic.name} of the proxy {proxy}"):
            path = f"/proxies/{quote(_safe(proxy), safe='')}/toxics/{quote(_safe(toxic.name), safe='')}"
            answer = self.call("POST", path, {"attributes": toxic.attributes})
            if answer.status_code != 200:
                raise TargetError(f"the toxic {toxic.name} of the proxy {proxy} is gone", "somebody else removed it")

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove the toxic, unless it or its proxy is gone already. One call; WedgedError if it hangs."""
        with self._routed(f"remove the toxic {name} of the proxy {proxy}"):
            try:
                _handle(proxy).destroy_toxic(quote(_safe(name), safe=""))
            except library.NotFound:
                return

    def toxics(self, proxy: str) -> dict[str, Toxic]:
        """Return the proxy's toxics by name; none where there is no such proxy."""
        with self._routed(f"read the toxics of the proxy {proxy}"):
            try:
                found = _handle(proxy).toxics()
            except library.NotFound:
                return {}
            return {name: msgspec.convert(vars(toxic), Toxic) for name, toxic in found.items()}

    def enable(self, proxy: str) -> None:
        """Let the proxy listen again. TargetError if its port was taken meanwhile."""
        with self._routed(f"enable the proxy {proxy}"):
            _handle(proxy).enable()

    def disable(self, proxy: str) -> None:
        """Close the proxy's port and its connections. Its toxics stay."""
        with self._routed(f"disable the proxy {proxy}"):
            _handle(proxy).disable()

    def create(self, proxy: Proxy) -> None:
        """Create the proxy, unless one of its name is there already."""
        _safe(proxy.name)
        with self._routed(f"create the proxy {proxy.name}"):
            try:
                library.Toxiproxy().create(proxy.upstream, proxy.name, proxy.listen, proxy.enabled)
            except library.ProxyExists:
                return

    def delete(self, proxy: str) -> None:
        """Delete the proxy, unless it is gone already."""
        with self._routed(f"delete the proxy {proxy}"):
            try:
                _handle(proxy).destroy()
            except library.NotFound:
                return

    def populate(self, proxies: list[Proxy]) -> None:
        """Create what is missing of `proxies`, and replace what listens or leads elsewhere. Toxics are not its concern."""
        wanted = [
            {"name": each.name, "listen": each.listen, "upstream": each.upstream, "enabled": each.enabled}
            for each in proxies
        ]
        with self._routed("populate it"):
            library.Consumer.post("/populate", json=wanted)

    def call(self, method: str, path: str, payload: object = None) -> Answer:
        """Do one HTTP call within the deadline. TargetError or WedgedError; any status under 500 is an answer."""
        end = time.monotonic() + self.deadline
        body = None if payload is None else msgspec.json.encode(payload)
        try:
            answer = self._converse(method, path, body, end)
        except TimeoutError:
            raise self._hung(method, path) from None
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        if answer.status_code >= 500 or answer.status_code == 403:
            said = answer.content.decode(errors="replace").strip()[:200]
            if no := _NO_LISTENING.search(said):
                raise TargetError(
                    f"Toxiproxy {self.name} can't listen at {no[1]}: {no[2]}",
                    "free that address, or give the link another `listen:` (its clients enter there)",
                )
            raise TargetError(
                f"Toxiproxy {self.name} at {self.url} answered {answer.status_code} to {method} {path}: {said}",
                "its log says more; if it goes on, " + _RESTART,
            )
        return answer

    def _converse(self, method: str, path: str, body: bytes | None, end: float) -> Answer:
        """Use an idle connection; if the server has closed that meanwhile, a fresh one."""
        connection, answer = self._borrow(), None
        if connection is not None:
            # Keep-alive ended while idle. Every call here may be said twice: a second add is a 409
            with suppress(ConnectionError, HTTPException):
                answer = self._exchange(connection, method, path, body, end)
        if connection is None or answer is None:
            connection = HTTPConnection(self.host, self.port)
            answer = self._exchange(connection, method, path, body, end)
        self._give_back(connection)
        return answer

    def _borrow(self) -> HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _exchange(self, connection: HTTPConnection, method: str, path: str, body: bytes | None, end: float) -> Answer:
        """Do the call on this connection, which is closed if that fails."""
        try:
            _limit(connection, end)
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            content = bytearray()
            while chunk := response.read1():
                content += chunk
                _limit(connection, end)
            if response.length:
                raise IncompleteRead(bytes(content), response.length)
            response.close()
            return Answer(response.status, bytes(content), response.headers["Date"] or "")
        except BaseException:
            connection.close()
            raise

    def _give_back(self, connection: HTTPConnection) -> None:
        """Keep the connection for the next call, unless nobody would close it."""
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _hung(self, method: str, path: str) -> TargetError:
        problem = f"Toxiproxy {self.name} at {self.url} let {method} {path} hang for {self.deadline:g} s"
        if self.alive():
            return WedgedError(f"{problem}, though it answers otherwise: it is wedged", _RESTART)
        return TargetError(f"{problem}, and answers nothing else", "see whether it is stopped, or overloaded")

    def alive(self) -> bool:
        """Tell whether the server answers at all, on a connection of its own, within PROBE seconds."""
        end = time.monotonic() + PROBE
        connection = HTTPConnection(self.host, self.port)
        try:
            _limit(connection, end)
            connection.request("GET", "/version")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _unreachable(self, error: Exception) -> TargetError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return TargetError(
            f"Toxiproxy {self.name} at {self.url} can't be reached: {why}",
            "start it, or correct `url:` in the Stack (its API's address, not a proxy's)",
        )

    @contextmanager
    def _routed(self, doing: str) -> Iterator[None]:
        """Let toxiproxy-python speak to this server, in this thread, and turn its errors into ours."""
        token = library.speaking.set(self)
        try:
            yield
        except library.NotFound:
            raise TargetError(
                f"can't {doing}: Toxiproxy {self.name} at {self.url} has no such proxy",
                f"see what it has: curl {self.url}/proxies; and compare with `links:` in the Stack",
            ) from None
        except library.InvalidToxic as error:
            raise TargetError(
                f"can't {doing}: Toxiproxy {self.name} refuses: {_said(error)}", "correct the fault's `with:`"
            ) from None
        finally:
            library.speaking.reset(token)


def _stranger(answer: Answer) -> TargetError:
    return TargetError(
        f"what should be a Toxiproxy answered {answer.status_code} with {bytes(answer.content[:60])!r}",
        "correct `url:` in the Stack: the address of Toxiproxy's API, not of a proxy",
    )


def epoch(answer: Answer) -> float:
    """Return the server's clock at its answer, whole seconds since the epoch, rounded down."""
    try:
        return parsedate_to_datetime(answer.date).timestamp()
    except (TypeError, ValueError):
        raise _stranger(answer) from None


def address(server: Server, proxy: Proxy) -> tuple[str, int]:
    """Return host and port at which a client reaches the proxy. One that listens everywhere is reached where its API is.

    >>> address(Server("main", "http://127.0.0.1:8474"), Proxy("p", "[::]:5000", "db:5432"))
    ('127.0.0.1', 5000)
    """
    host, _, port = proxy.listen.rpartition(":")
    host = host.strip("[]")
    return (server.host if host in {"", "::", "0.0.0.0"} else host), int(port)  # noqa: S104 - compared, not bound


def clock(told: float, local: float) -> float:
    """Return the best guess of a clock that told `told`, rounded down, when ours was at `local`. Seconds.

    >>> clock(100.0, 100.7), clock(100.0, 130.0), clock(100.0, 90.0)
    (100.7, 101.0, 100.0)
    """
    return min(max(local, told), told + 1)


def names(proxies: Mapping[str, Proxy]) -> str:
    """Return the proxies' names for a message."""
    return ", ".join(sorted(proxies)) or "none"


def _handle(proxy: str) -> Any:
    """Return toxiproxy-python's object for a proxy without asking the server for it."""
    return library.Proxy(name=quote(_safe(proxy), safe=""), upstream="", listen="", enabled=True)


def _safe(name: str) -> str:
    """Refuse a name that would lead elsewhere: Toxiproxy decodes a path before it takes it apart."""
    if not name or "/" in name or name in {".", ".."}:
        raise InputError(f"{name!r} can't be the name of a proxy here", "rename the proxy: no slashes, not empty")
    return name


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname and parts.path in {"", "/"}:
            return parts.hostname, parts.port or 8474
    except ValueError:
        pass
    raise InputError(f"{url!r} is not the address of a Toxiproxy API", "write it like http://127.0.0.1:8474")


def _limit(connection: HTTPConnection, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _said(error: Exception) -> str:
    content = error.args[0] if error.args else b""
    return content.decode(errors="replace").strip() if isinstance(content, bytes) else str(content)
