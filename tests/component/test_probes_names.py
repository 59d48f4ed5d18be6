"""A name that a DNS server of the stack answers is followed: to where it leads now, by every request from then on."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from aftershock.errors import TargetError
from aftershock.probes import names
from aftershock.probes.names import Name
from planted import free_port, http, measure, order, response, serving

EAST, WEST = "127.0.1.1", "127.0.2.1"


@dataclass
class Resolver:
    """Answers every question for the address of meetings.test with `leads`, or not at all; refuses to speak of others, and, if
    it is `deaf`, of any.
    """

    leads: str | None
    lives: int = 0
    port: int = 0
    asked: int = 0
    deaf: bool = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, question: bytes) -> bytes | None:
        self.asked += 1
        message = dns.message.from_wire(question)
        reply = dns.message.make_response(message)
        if self.deaf or message.question[0].name.to_text() != "meetings.test.":
            reply.set_rcode(dns.rcode.REFUSED)
            return reply.to_wire()
        if self.leads is None:
            return None
        if message.question[0].rdtype == dns.rdatatype.A:
            name = message.question[0].name
            reply.answer.append(dns.rrset.from_text(name, self.lives, "IN", "CNAME", "near.test."))
            reply.answer.append(dns.rrset.from_text("near.test.", self.lives, "IN", "A", self.leads))
        return reply.to_wire()


@contextmanager
def resolving(leads: str | None, lives: int = 0) -> Iterator[Resolver]:
    made = Resolver(leads, lives)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        made.port = sock.getsockname()[1]
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                question, whose = sock.recvfrom(4096)
                if not over.is_set() and (text := made.answer(question)) is not None:
                    sock.sendto(text, whose)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield made
        finally:
            over.set()
            sock.sendto(b"", sock.getsockname())
            thread.join()


def test_who_is_led_elsewhere_goes_there() -> None:
    port = free_port()
    with (
        resolving(EAST) as dns_,
        serving(lambda _: response(), host=EAST, port=port) as east,
        serving(lambda _: response(), host=WEST, port=port) as west,
    ):
        turned: list[float] = []

        def turn() -> None:
            dns_.leads = WEST
            turned.append(time.monotonic())

        timer = threading.Timer(1.0, turn)
        timer.start()
        wanted = http("a", f"http://meetings.test:{port}/", every=0.01)
        planned, unsent, good, bad = measure(order([wanted], resolver=dns_.address), 2.5).total()
        timer.join()
    assert (good, unsent, bad) == (planned, 0, {})
    assert east.asked
    assert west.asked
    assert max(each.at for each in east.asked) < turned[0] + 0.7
    assert min(each.at for each in west.asked) > turned[0]


def test_an_answer_is_asked_for_again_when_it_has_lived() -> None:
    with resolving(EAST, lives=60) as dns_, serving(lambda _: response(), host=EAST) as east:
        wanted = http("a", f"http://meetings.test:{east.port}/", every=0.05)
        measure(order([wanted], resolver=dns_.address), 1.5)
        assert dns_.asked == 2, "for both kinds of address, once"


def test_where_nobody_answers_nobody_is_led() -> None:
    """A connection that stands goes on, as in a browser; a new one does not come about."""
    with resolving(EAST) as dns_, serving(lambda _: response(), host=EAST) as east:
        timer = threading.Timer(0.5, lambda: setattr(dns_, "leads", None))
        timer.start()
        wanted = http("a", f"http://meetings.test:{east.port}/", every=0.05, connection="new")
        _, _, good, bad = measure(order([wanted], resolver=dns_.address), 3.0).total()
        timer.join()
    assert good
    assert set(bad) == {"dns"}


def test_an_unknown_name_is_told_before_anything_is_sent() -> None:
    with resolving(None) as dns_, pytest.raises(TargetError, match=r"meetings\.test can't be resolved"):
        Name("meetings.test", 80, dns_.address).ask_first()


def test_a_dns_server_that_has_a_name_itself_is_looked_for_anew_when_it_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a Service in a cluster, which has another address when it was made again."""
    with resolving(EAST) as dns_:
        asked: list[str] = []

        def system(host: str, port: int) -> list[names.Address]:
            asked.append(host)
            return [(socket.AF_INET, ("127.0.0.1", port))]

        monkeypatch.setattr(names, "resolve", system)
        name = Name("meetings.test", 80, f"dns.shop.svc:{dns_.port}")
        for _ in range(3):
            name.ask()
        assert name.addresses == [(socket.AF_INET, (EAST, 80))]
        assert asked == ["dns.shop.svc"], "where it is does not change with each answer"
        dns_.leads = None
        name.ask()
        assert name.failed
        dns_.leads = WEST
        name.ask()
        assert name.addresses == [(socket.AF_INET, (WEST, 80))]
        assert asked == ["dns.shop.svc"] * 2


def test_a_name_that_the_dns_server_refuses_is_the_systems_whatever_becomes_of_that_server() -> None:
    with resolving(EAST) as dns_:
        name = Name("localhost", 80, dns_.address)
        name.ask_first()
        assert (socket.AF_INET, ("127.0.0.1", 80)) in name.addresses
        assert dns_.asked == 1
        dns_.leads = None
        name.ask()
        assert not name.failed and dns_.asked == 1


def test_a_dns_server_that_refuses_for_a_while_is_not_left() -> None:
    with resolving(EAST) as dns_:
        name = Name("meetings.test", 80, dns_.address)
        dns_.deaf = True
        name.ask()
        assert name.failed, "nor does the system know it"
        dns_.deaf = False
        name.ask()
        assert not name.failed
        dns_.deaf = True
        name.ask()
        assert name.failed
        dns_.deaf, dns_.leads = False, WEST
        name.ask()
        assert [address[0] for _, address in name.addresses] == [WEST]


def test_a_literal_address_asks_nobody() -> None:
    with resolving(None) as dns_:
        name = Name(EAST, 80, dns_.address)
        name.ask_first()
        assert name.addresses
        assert dns_.asked == 0
