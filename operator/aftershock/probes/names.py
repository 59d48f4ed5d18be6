"""Host names and their addresses. Asked at the start, and now and then again in a thread of its own: asking can block."""

import socket
import threading
from collections.abc import Iterable

from aftershock.errors import TargetError

EVERY = 30.0
"""Seconds between two questions for a name that answers."""

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


class Name:
    """A host name with its newest `addresses`. `failed`: the newest question had no answer."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.failed = False
        self.addresses: list[Address] = []
        self.literal = _is_literal(host)

    def ask(self) -> None:
        """Ask for the addresses; remember whether there was an answer. May block for long."""
        try:
            self.addresses = resolve(self.host, self.port)
            self.failed = False
        except OSError:
            self.failed = True

    def ask_first(self) -> None:
        """Ask before anything is sent: TargetError where the name is unknown."""
        self.ask()
        if self.failed:
            raise TargetError(f"the host name {self.host} can't be resolved", "check the URL, and this machine's DNS")


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
    while not never.wait(AGAIN if any(name.failed for name in names) else EVERY):
        for name in names:
            name.ask()
