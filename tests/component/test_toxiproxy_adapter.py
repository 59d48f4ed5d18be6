"""The Toxiproxy adapter on real servers: several at once, deadlines, errors that say what to do."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.errors import InputError, TargetError, WedgedError
from component.conftest import end, free_port, start_toxiproxy

ODD = "a?b#c%2F d ü"


def toxic(name: str, latency: int = 5) -> Toxic:
    return Toxic(name, "latency", attributes={"latency": latency, "jitter": 0})


def test_two_servers_at_once_from_threads(toxiproxy: Server) -> None:
    """Each of many threads speaks to both servers in turn, all at once: nothing ever arrives at the other."""
    port = free_port()
    process = start_toxiproxy(port)
    try:
        with Server("second", f"http://127.0.0.1:{port}") as second:
            for server in (toxiproxy, second):
                server.create(Proxy("p", "127.0.0.1:0", f"{server.name}:1"))
            barrier = threading.Barrier(8)

            def one(number: int) -> None:
                barrier.wait()
                for turn in range(25):
                    for server in (toxiproxy, second)[:: 1 if number % 2 else -1]:
                        name = f"{server.name}-{number}-{turn}"
                        server.add_toxic("p", toxic(name))
                        assert server.proxies()["p"].upstream == f"{server.name}:1"
                        assert all(each.startswith(server.name) for each in server.toxics("p"))
                        if turn % 2:
                            server.remove_toxic("p", name)

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(one, range(8)))
            for server in (toxiproxy, second):
                left = {f"{server.name}-{number}-{turn}" for number in range(8) for turn in range(0, 25, 2)}
                assert set(server.toxics("p")) == left
            toxiproxy.delete("p")
    finally:
        end(process)


def test_twice_is_once(toxiproxy: Server) -> None:
    proxy = Proxy(ODD, "127.0.0.1:0", "127.0.0.1:9")
    toxiproxy.create(proxy)
    toxiproxy.create(proxy)
    toxiproxy.add_toxic(ODD, toxic("t"))
    toxiproxy.add_toxic(ODD, toxic("t", 99))
    assert toxiproxy.toxics(ODD) == {"t": toxic("t")}
    toxiproxy.disable(ODD)
    toxiproxy.disable(ODD)
    assert not toxiproxy.proxies()[ODD].enabled
    toxiproxy.enable(ODD)
    toxiproxy.enable(ODD)
    toxiproxy.remove_toxic(ODD, "t")
    toxiproxy.remove_toxic(ODD, "t")
    assert toxiproxy.proxies()[ODD].toxics == ()
    toxiproxy.delete(ODD)
    toxiproxy.delete(ODD)
    assert toxiproxy.proxies() == {}
    assert toxiproxy.toxics(ODD) == {}


@pytest.mark.parametrize("name", ["a/toxics/t", "a/../b", "", ".", ".."])
def test_no_name_breaks_out_of_its_path(toxiproxy: Server, name: str) -> None:
    toxiproxy.create(Proxy("a", "127.0.0.1:0", "127.0.0.1:9"))
    toxiproxy.add_toxic("a", toxic("t"))
    for act in (toxiproxy.delete, toxiproxy.disable, toxiproxy.toxics):
        with pytest.raises(InputError):
            act(name)
    assert "t" in toxiproxy.toxics("a")


def test_populate_creates_what_is_missing(toxiproxy: Server) -> None:
    toxiproxy.create(Proxy("a", "127.0.0.1:0", "127.0.0.1:9"))
    there = toxiproxy.proxies()["a"]
    toxiproxy.add_toxic("a", toxic("t"))
    toxiproxy.populate([there, Proxy("b", "127.0.0.1:0", "127.0.0.1:9", enabled=False)])
    found = toxiproxy.proxies()
    assert found["a"].toxics == (toxic("t"),)
    assert not found["b"].enabled


def test_refusals_say_what_to_do(toxiproxy: Server) -> None:
    with pytest.raises(TargetError, match="no such proxy"):
        toxiproxy.add_toxic("none", toxic("t"))
    toxiproxy.create(Proxy("a", "127.0.0.1:0", "127.0.0.1:9"))
    with pytest.raises(TargetError, match="invalid toxic type"):
        toxiproxy.add_toxic("a", Toxic("t", "nonsense"))
    taken = toxiproxy.proxies()["a"].listen
    with pytest.raises(TargetError, match=f"can't listen at {taken}: address already in use"):
        toxiproxy.create(Proxy("b", taken, "127.0.0.1:9"))
    with (
        Server("gone", f"http://127.0.0.1:{free_port()}") as gone,
        pytest.raises(TargetError, match="can't be reached"),
    ):
        gone.proxies()
    for url in ("ftp://127.0.0.1:1", "127.0.0.1:8474", "http://", "http://h:port", "http://h/path"):
        with pytest.raises(InputError):
            Server("bad", url)


def test_connection_that_the_server_closed_meanwhile_is_replaced(toxiproxy_url: str) -> None:
    port = free_port()
    process = start_toxiproxy(port)
    with Server("main", f"http://127.0.0.1:{port}") as server:
        server.proxies()
        end(process)
        process = start_toxiproxy(port)
        try:
            assert server.proxies() == {}
        finally:
            end(process)


def test_closed_under_a_call_it_keeps_no_connection() -> None:
    """Whoever waited gave up and closed; the thread that calls goes on, and its connection must end with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server("main", f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=60)
        with ThreadPoolExecutor(1) as pool:
            called = pool.submit(server.proxies)
            wire, _ = listener.accept()
            with wire:
                wire.recv(65536)
                server.close()
                wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                assert called.result() == {}
                wire.settimeout(60)
                assert wire.recv(1) == b""


def test_a_call_after_the_close_keeps_no_connection() -> None:
    """The thread whose caller gave up makes its next call: a look reads the proxies, and then the time."""
    with scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as url:
        server = Server("main", url)
        assert server.proxies() == {}
        server.close()
        assert server.proxies() == {}
        assert server._idle == []


@contextmanager
def scripted(answer: bytes | None, version: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") -> Iterator[str]:
    """A server that answers everything but /version with `answer`, or with None not at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            open_.append(wire)
            said = version if b"/version" in wire.recv(65536) else answer
            if said is not None:
                wire.sendall(said)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for wire in open_:
            wire.close()


def test_hanging_call_is_a_wedge_only_if_the_server_lives() -> None:
    with scripted(None) as url, Server("main", url, deadline=0.3) as server, pytest.raises(WedgedError, match="wedged"):
        server.remove_toxic("p", "t")
    dead = None
    with scripted(None, dead) as url, Server("main", url, deadline=0.3) as server:
        with pytest.raises(TargetError, match="answers nothing else") as caught:
            server.remove_toxic("p", "t")
        assert not isinstance(caught.value, WedgedError)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nbusy", "answered 503.*busy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>", "should be a Toxiproxy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "hang"),
        (b"220 mail ready\r\n", "can't be reached"),
    ],
)
def test_answers_that_are_none(answer: bytes, says: str) -> None:
    with scripted(answer) as url, Server("main", url, deadline=0.3) as server, pytest.raises(TargetError, match=says):
        server.proxies()
