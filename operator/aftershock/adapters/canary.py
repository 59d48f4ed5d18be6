"""A canary: a client of its own that exchanges bytes through a link, to see what a client of the stack would see.

It needs no credentials and changes nothing: to PostgreSQL it says the handshake that comes before the login, to HTTP a GET
of a page that isn't there, to Redis a PING, which has an answer for strangers too. Every exchange is a new connection, is timed
on its own and has a deadline.
"""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec.structs import replace

from aftershock.core.wording import counted

DEADLINE = 2.5
"""Seconds that one exchange may take."""

Speech = Literal["postgresql", "http", "redis", "unknown"]
End = Literal["answered", "closed", "reset", "silent", "refused"]

_SPOKEN: tuple[Speech, ...] = ("postgresql", "http", "redis")
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL_3 = 196608
_STARTUP_LIMIT = 9000  # PostgreSQL takes a startup packet of 10,000 bytes
_HEADER_LIMIT = 4000  # servers take header lines of 8 KiB
_ROUNDS_LIMIT = 50
FEWEST_TALKS, MOST_TALKS = 3, 30
QUICK, MEASURING = 0.005, 1.0
"""Seconds of a round trip below which it needs no other measurement; and how long to go on for a shorter one."""


class Line(msgspec.Struct, frozen=True):
    """Where a link is entered and what is spoken there. `usual`: seconds of a round trip without a fault.

    `reply`: bytes of an answer of HTTP or Redis; `rounds`: how many of them one connection gives.
    """

    host: str
    port: int
    speech: Speech = "unknown"
    usual: float = 0.0
    reply: int = 1
    rounds: int = 1

    @property
    def capacity(self) -> int:
        """Bytes that one exchange can carry in each direction."""
        return _STARTUP_LIMIT if self.speech == "postgresql" else self.reply * self.rounds

    def __str__(self) -> str:
        return f"a new connection through {self.host}:{self.port}"


class Talk(msgspec.Struct, frozen=True):
    """One exchange. `took`: seconds from the first byte sent to its end; `sent` and `received`: bytes."""

    end: End
    took: float
    sent: int = 0
    received: int = 0

    def lasted(self, seconds: float) -> bool:
        """Tell whether it took so long. What the canary had no more patience for has outlasted whatever it waits for."""
        return self.end == "silent" or self.took >= seconds

    def __str__(self) -> str:
        return {
            "answered": f"was answered after {self.took * 1000:.0f} ms ({counted(self.received, 'byte')})",
            "closed": f"was closed after {self.took * 1000:.0f} ms and {counted(self.received, 'byte')}",
            "reset": f"was reset after {self.took * 1000:.0f} ms",
            "silent": f"gave no full answer within {self.took * 1000:.0f} ms ({counted(self.received, 'byte')})",
            "refused": "was refused",
        }[self.end]


async def meet(host: str, port: int) -> Line:
    """Find out what is spoken at the address, and how fast. Only for a link without a fault."""
    greetings = [asyncio.create_task(_greet(Line(host, port, speech))) for speech in _SPOKEN]
    try:
        for next_answer in asyncio.as_completed(greetings):
            if (line := await next_answer).speech != "unknown":
                return await _measured(line)
    finally:
        for each in greetings:
            each.cancel()
        await asyncio.gather(*greetings, return_exceptions=True)
    return Line(host, port)


async def _greet(line: Line) -> Line:
    """Say something in one speech; a server that speaks another is silent, hangs up, or answers what is none of it."""
    answer = await talk(line)
    return replace(line, reply=answer.received) if answer.end == "answered" else Line(line.host, line.port)


async def _measured(line: Line) -> Line:
    usual = await _usual(line)
    if line.speech != "postgresql":
        twice = await talk(replace(line, rounds=2), 2 * line.reply)
        rounds = _ROUNDS_LIMIT if twice.end == "answered" else 1
        return replace(line, usual=usual, rounds=rounds)
    return replace(line, usual=usual)


async def _usual(line: Line) -> float:
    """Return the seconds of a round trip: the shortest of several. While all are slow it may be this machine that is busy."""
    begun, shortest = time.perf_counter(), DEADLINE
    for count in range(1, MOST_TALKS + 1):
        each = await talk(line)
        if each.end == "answered":
            shortest = min(shortest, each.took)
        if count >= FEWEST_TALKS and (shortest <= QUICK or time.perf_counter() - begun > MEASURING):
            break
    return shortest


async def talk(line: Line, load: int = 0, deadline: float = DEADLINE) -> Talk:
    """Exchange at least `load` bytes in each direction, as far as the line's capacity goes; 0 is one short round trip."""
    requests, complete = _plan(line, load)
    return await _on_new_connection(line, deadline, lambda wire, tally: _exchange(wire, requests, complete, tally))


async def linger(line: Line, deadline: float = DEADLINE) -> Talk:
    """Hang up, and see how long the other side takes to do so too."""

    async def hang_up(wire: socket.socket, tally: "_Tally") -> End:
        wire.shutdown(socket.SHUT_WR)
        while await _receive(wire, tally):
            pass
        return "closed"

    return await _on_new_connection(line, deadline, hang_up)


async def knock(line: Line, deadline: float = 1.0) -> Talk:
    """Connect, and nothing else."""

    async def nothing(_wire: socket.socket, _tally: "_Tally") -> End:
        return "answered"

    return await _on_new_connection(line, deadline, nothing)


async def stay(line: Line, deadline: float = 1.0) -> Talk:
    """Connect and say nothing: whoever gets through is kept waiting, or told something; who doesn't is hung up on."""

    async def listen(wire: socket.socket, tally: "_Tally") -> End:
        return "answered" if await _receive(wire, tally) else "closed"

    return await _on_new_connection(line, deadline, listen)


class _Tally(msgspec.Struct):
    begun: float
    sent: int = 0
    received: int = 0


Act = Callable[[socket.socket, _Tally], Awaitable[End]]


async def _on_new_connection(line: Line, deadline: float, act: Act) -> Talk:
    tally = _Tally(time.perf_counter())
    wire = socket.socket(socket.AF_INET6 if ":" in line.host else socket.AF_INET)
    wire.settimeout(0)
    try:
        async with asyncio.timeout(deadline):
            end = await _connected(wire, line, tally, act)
    except TimeoutError:
        end = "silent"
    finally:
        wire.close()
    return Talk(end, time.perf_counter() - tally.begun, tally.sent, tally.received)


async def _connected(wire: socket.socket, line: Line, tally: _Tally, act: Act) -> End:
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(wire, (line.host, line.port))
    except OSError:
        return "refused"
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tally.begun = time.perf_counter()
    try:
        return await act(wire, tally)
    except (ConnectionError, OSError):
        return "reset"


async def _exchange(
    wire: socket.socket, requests: list[bytes], complete: Callable[[bytes], bool], tally: _Tally
) -> End:
    loop = asyncio.get_running_loop()
    for request in requests:
        await loop.sock_sendall(wire, request)
        tally.sent += len(request)
        answer = b""
        while not complete(answer):
            chunk = await _receive(wire, tally)
            if not chunk:
                return "closed"
            answer += chunk
    return "answered"


async def _receive(wire: socket.socket, tally: _Tally) -> bytes:
    chunk = await asyncio.get_running_loop().sock_recv(wire, 65536)
    tally.received += len(chunk)
    return chunk


def _plan(line: Line, load: int) -> tuple[list[bytes], Callable[[bytes], bool]]:
    if line.speech == "postgresql":
        return ([_startup(min(load, _STARTUP_LIMIT))], _negotiated) if load else ([_SSL_REQUEST], _ssl_answered)
    rounds = min(max(1, -(-load // line.reply)), line.rounds)
    padding = min(line.reply if load else 0, _HEADER_LIMIT)
    if line.speech == "redis":
        return [_ping(padding)] * rounds, _ponged
    return [_get(line, padding)] * rounds, _http_complete


def _startup(load: int) -> bytes:
    """Return a startup packet with an unknown protocol option of `load` bytes: PostgreSQL (11 and later) sends its name
    back before it looks at anything else, so this echoes without a login, and without a line in the server's log.
    """
    body = struct.pack("!i", _PROTOCOL_3) + b"user\0aftershock\0" + b"_pq_." + b"x" * load + b"\0\0" + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def _ssl_answered(answer: bytes) -> bool:
    """One byte, S or N; anything else is not PostgreSQL, and never complete."""
    return answer in {b"S", b"N", b"G"}


def _negotiated(answer: bytes) -> bool:
    if len(answer) < 5 or answer[:1] != b"v":
        return False
    (length,) = struct.unpack("!i", answer[1:5])
    return len(answer) > int(length)


def _ping(padding: int) -> bytes:
    return b"PING".ljust(padding - 2) + b"\r\n"


def _ponged(answer: bytes) -> bool:
    """Whoever has not logged in is told so, on a connection that stays."""
    return answer.endswith(b"\r\n") and answer.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))


def _get(line: Line, padding: int) -> bytes:
    head = f"GET /aftershock-canary HTTP/1.1\r\nHost: {line.host}:{line.port}\r\nUser-Agent: aftershock-canary\r\n"
    padding -= len(head) + 24
    if padding > 0:
        head += f"X-Aftershock-Canary: {'x' * padding}\r\n"
    return (head + "\r\n").encode()


def _http_complete(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap or not head.startswith(b"HTTP/"):
        return False
    if re.search(rb"\r\ntransfer-encoding:[^\r]*chunked", head, re.IGNORECASE):
        return body.endswith(b"0\r\n\r\n")
    with suppress(IndexError, ValueError):
        if int(head.split(b" ", 2)[1]) in {204, 304}:
            return True
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", head, re.IGNORECASE)
    return bool(length) and len(body) >= int(length[1])  # type: ignore[index]
