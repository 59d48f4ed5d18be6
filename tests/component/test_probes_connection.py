"""Connections in this process, where names and addresses can be planted."""

import select
import socket
import time
from collections.abc import Iterator

import pytest

from aftershock.errors import TargetError
from aftershock.probes import names
from aftershock.probes.connection import Channel, Connection, Outcome, Peer
from aftershock.probes.loop import Loop
from aftershock.probes.names import Name
from aftershock.probes.request import Place, head, parse_url, whole
from planted import HANG, Asked, free_port, response, serving

GET = whole(head("GET", parse_url("http://h/"), {}), None)


class Request:
    def __init__(self) -> None:
        self.line: Connection | None = None


class Desk:
    """A peer at planted addresses, and what was heard from it."""

    def __init__(self, *ports: int) -> None:
        self.loop = Loop(time.monotonic_ns())
        self.peer = Peer(self.loop, Place(tls=False, host="planted", port=80))
        self.peer.name.addresses = [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
        self.heard: list[str | None] = []
        self.channel = Channel(self.peer, self._hear)

        self.careful = Channel(self.peer, self._hear, resend=False)

    def _hear(self, _request: Request, kind: str | None, _outcome: Outcome) -> None:
        self.heard.append(kind)

    def ask(self, channel: Channel | None = None) -> str | None:
        """Send one request and wait for its outcome."""
        before = len(self.heard)
        (channel or self.channel).send(Request(), GET)
        while len(self.heard) == before:
            self.turn()
        return self.heard[-1]

    def turn(self) -> None:
        self.loop.handle(self.loop.wait(self.loop.now() + 50_000_000), self.loop.now())


@pytest.fixture
def closing() -> Iterator[list[Desk]]:
    desks: list[Desk] = []
    yield desks
    for desk in desks:
        desk.peer.close()
        desk.loop.close()


def test_the_next_address_is_tried_and_remembered(closing: list[Desk]) -> None:
    with serving(lambda _: response(headers=b"Connection: close\r\n")) as server:
        desk = Desk(free_port(), free_port(), server.port)
        closing.append(desk)
        assert [desk.ask() for _ in range(3)] == [None] * 3
        assert server.accepted == 3
        assert desk.peer.name.addresses[desk.peer.preferred % 3][1][1] == server.port


def test_every_address_refuses(closing: list[Desk]) -> None:
    desk = Desk(free_port(), free_port())
    closing.append(desk)
    assert desk.ask() == "refused"
    assert len(desk.heard) == 1


def test_an_address_that_swallows_everything_is_left(closing: list[Desk]) -> None:
    with serving(lambda _: response()) as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # its queue is full: nothing more connects
            desk = Desk(port, server.port)
            closing.append(desk)
            request = Request()
            desk.channel.send(request, GET)
            desk.channel.abandon(request)
            assert desk.ask() is None


def test_a_name_without_an_answer(closing: list[Desk]) -> None:
    with serving(lambda _: response()) as server:
        desk = Desk(server.port)
        closing.append(desk)
        desk.peer.name.failed = True
        assert desk.ask() == "dns"
        desk.peer.name.failed = False
        assert desk.ask() is None
        desk.peer.name.failed = True
        assert desk.ask() is None, "the kept connection needs no name"


def test_a_reused_connection_that_breaks_is_tried_once_more_unless_that_could_do_harm(closing: list[Desk]) -> None:
    def answer(asked: Asked) -> bytes | None:
        return response() if sum(each.peer == asked.peer for each in server.asked) == 1 else None

    with serving(answer) as server:
        desk = Desk(server.port)
        closing.append(desk)
        assert desk.ask() is None
        assert desk.ask() is None, "the second one broke, the third one, on a new connection, was answered"
        assert (len(server.asked), server.accepted) == (3, 2)
        assert desk.ask(desk.careful) == "reset"
        assert (len(server.asked), server.accepted) == (4, 2)


def test_a_careful_channel_looks_before_it_sends(closing: list[Desk]) -> None:
    """The server closed the idle connection, and the loop hasn't seen it yet."""
    with serving(lambda _: response()) as server:
        desk = Desk(server.port)
        closing.append(desk)
        assert desk.ask(desk.careful) is None
        assert desk.ask(desk.careful) is None
        assert server.accepted == 1
        (line,) = server.lines
        server.loop.call_soon_threadsafe(line.close)
        (idle,) = desk.peer.idle
        select.select([idle.sock], [], [])
        assert desk.ask(desk.careful) is None
        assert (len(server.asked), server.accepted) == (3, 2)


def test_an_abandoned_request_is_never_heard_of(closing: list[Desk]) -> None:
    def answer(asked: Asked) -> bytes:
        return HANG if len(server.asked) == 1 else response()

    with serving(answer) as server:
        desk = Desk(server.port)
        closing.append(desk)
        request = Request()
        desk.channel.send(request, GET)
        while not server.asked:
            desk.turn()
        desk.channel.abandon(request)
        assert desk.ask() is None
        assert len(desk.heard) == 1
        assert server.accepted == 2


def test_an_idle_connection_that_talks_out_of_turn_is_dropped(closing: list[Desk]) -> None:
    with serving(lambda _: response()) as server:
        desk = Desk(server.port)
        closing.append(desk)
        assert desk.ask() is None
        (line,) = server.lines
        server.loop.call_soon_threadsafe(line.write, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        while desk.peer.idle:
            desk.turn()
        assert desk.ask() is None
        assert server.accepted == 2


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Name("127.0.0.1", 1).literal
    assert Name("::1", 1).literal
    assert not Name("localhost", 1).literal
    name = Name("localhost", 80)
    name.ask_first()
    assert name.addresses
    known = name.addresses

    def nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    name.ask()
    assert name.failed
    assert name.addresses == known
    with pytest.raises(TargetError, match="localhost"):
        name.ask_first()


def test_names_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "AGAIN", 0.01)
    monkeypatch.setattr(names, "EVERY", 3600.0)
    name = Name("localhost", 80)
    name.failed = True
    names.keep_asking([name, Name("127.0.0.1", 1)])
    end = time.monotonic() + 10
    while name.failed:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert name.addresses
