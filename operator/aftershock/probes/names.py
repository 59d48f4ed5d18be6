"""Host names and their addresses. Asked at the start, and again and again in a thread of its own: asking can block.

The system is asked now and then: it does not say how long its answers live. A DNS server that the stack names is asked as often
as it says itself, so that whoever is led by its answers (RFC 1035) is led elsewhere in time. A name that is none of its own it
refuses: for that the system is asked, as for all names of a stack that has no such server.
"""

import socket
import threading
import time
from collections.abc import Iterable

from aftershock.errors import TargetError

EVERY = 30.0
"""Seconds between two questions to the system for a name that answers."""

LEAST, PATIENCE = 0.2, 1.0
"""Seconds between two questions to a DNS server at least, whatever it says, and seconds that it has to answer."""

AGAIN = 1.0
"""Seconds until a name is asked for again that did not answer."""

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""Address family and socket address."""


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, IPv6 and IPv4, in the system's order of preference. OSError where there are none."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found: list[Address] = []
    for family, _, _, _, address in answers:
        if family in {socket.AF_INET, socket.AF_INET6} and (family, address) not in found:
            found.append((family, address))  # type: ignore[arg-type]  # of these two families, addresses have these forms
    if not found:
        raise OSError(f"{host} has no address")
    return found


def resolve_at(resolver: str, host: str, port: int) -> tuple[list[Address], float]:
    """Return the addresses that a DNS server has for a host, and the seconds that they live. OSError where there are none;
    RefusedError where the name is none of its own.

    `resolver`: its own address and port.
    """
    import dns.exception  # noqa: PLC0415  # 20 ms, for those stacks only that name a DNS server
    import dns.message  # noqa: PLC0415
    import dns.query  # noqa: PLC0415
    import dns.rcode  # noqa: PLC0415
    import dns.rdatatype  # noqa: PLC0415

    where, _, its_port = resolver.rpartition(":")
    found: list[Address] = []
    lives = EVERY
    for kind, family in ((dns.rdatatype.A, socket.AF_INET), (dns.rdatatype.AAAA, socket.AF_INET6)):
        question = dns.message.make_query(host, kind)
        try:
            answer = dns.query.udp(question, where.strip("[]"), PATIENCE, int(its_port))
        except dns.exception.DNSException as error:
            raise OSError(f"the DNS server {resolver} says nothing of use: {error}") from error
        if answer.rcode() == dns.rcode.REFUSED:
            raise RefusedError(f"the DNS server {resolver} refuses to answer for {host}")
        for records in answer.answer:
            lives = min(lives, float(records.ttl))
            if records.rdtype == kind:
                more = () if family == socket.AF_INET else (0, 0)
                found += [(family, (record.address, port, *more)) for record in records]
    if not found:
        raise OSError(f"{host} has no address")
    return found, lives


class RefusedError(OSError):
    """The DNS server has nothing to say of this name, whoever asks and however often: it is not one of its own."""


class Resolver:
    """A DNS server that the stack names, as `host:port`. Where that host is a name itself, as a Service's is, the system is
    asked for it: once, and again after the server has not answered, which may have moved.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        host, _, port = said.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._literal = _is_literal(self._host)
        self._at = self._host if self._literal else ""

    def ask(self, host: str, port: int) -> tuple[list[Address], float]:
        """Do as `resolve_at`."""
        if not self._at:
            self._at = resolve(self._host, self._port)[0][1][0]
        try:
            return resolve_at(f"[{self._at}]:{self._port}", host, port)
        except RefusedError:
            raise
        except OSError:
            if not self._literal:
                self._at = ""
            raise


class Name:
    """A host name with its newest `addresses`. `failed`: the newest question had no answer.

    `resolver`: the DNS server that is asked, as `host:port`; None for the system. `version` grows when the name leads
    elsewhere.
    """

    def __init__(self, host: str, port: int, resolver: str | None = None) -> None:
        self.host = host
        self.port = port
        self.failed = False
        self.addresses: list[Address] = []
        self.version = 0
        self.literal = _is_literal(host)
        self._resolver = None if self.literal or resolver is None else Resolver(resolver)
        self._answered = False
        self._due = 0.0

    def ask(self) -> None:
        """Ask for the addresses; remember whether there was an answer. May block for long."""
        lives = EVERY
        try:
            if self._resolver is not None:
                found, lives = self._asked(self._resolver)
            else:
                found = resolve(self.host, self.port)
            if set(found) != set(self.addresses):  # the order is for spreading, and changes all the time
                self.addresses = found
                self.version += 1
            self.failed = False
        except OSError:
            self.failed = True
            lives = AGAIN
        self._due = time.monotonic() + max(lives, LEAST)

    def _asked(self, resolver: Resolver) -> tuple[list[Address], float]:
        """Ask the stack's DNS server; the system, from then on, where that one refuses a name that the system has.

        One that has answered may refuse for a while, as when it loads its zones: that is no answer, and no reason to leave it.
        """
        try:
            found = resolver.ask(self.host, self.port)
        except RefusedError:
            if self._answered:
                raise
            addresses = resolve(self.host, self.port)
            self._resolver = None
            return addresses, EVERY
        self._answered = True
        return found

    def wait(self) -> float:
        """Return in how many seconds it is to be asked for again."""
        return max(0.0, self._due - time.monotonic())

    def ask_first(self) -> None:
        """Ask before anything is sent: TargetError where the name is unknown."""
        self.ask()
        if self.failed:
            asked = f"`resolver: {self._resolver.said}` of the Stack" if self._resolver else "this machine's DNS"
            raise TargetError(f"the host name {self.host} can't be resolved", f"check the URL, and {asked}")


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def keep_asking(names: Iterable[Name]) -> None:
    """Ask for `names` again now and then, for as long as the process lives."""
    wanted = [name for name in names if not name.literal]
    if wanted:
        threading.Thread(target=_ask_for_ever, args=(wanted, threading.Event()), daemon=True).start()


def _ask_for_ever(names: list[Name], never: threading.Event) -> None:
    """Setting `never` ends it; nobody does, but a wait needs something to wait on."""
    while not never.wait(min(name.wait() for name in names)):
        for name in names:
            if not name.wait():
                name.ask()
