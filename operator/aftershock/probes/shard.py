"""A shard: a prober that comes to its executor by the network, from another machine, instead of being started by it.

It connects, says who it is, tells its clock as often as it is asked, and gets its order; from then on the connection is what
standard input and output are to a prober of the executor's own machine. It holds no rights in the cluster and reads nothing
from it. It lives no longer than the connection: if the executor ends, or can't be reached any more, it ends.
"""

import os
import socket
import time
from dataclasses import dataclass

from aftershock.errors import InputError, TargetError
from aftershock.probes import order as orders
from aftershock.probes import worker
from aftershock.probes.order import Hello, Ping, Pong

PATIENCE = 60.0
"""Seconds for which connecting is tried: a network policy may take a moment to let it through."""

AGAIN = 0.5
GONE = 8
"""Seconds without a sign of the executor's machine after which it counts as gone."""

EXECUTOR = "AFTERSHOCK_EXECUTOR"
KEY = "AFTERSHOCK_KEY"
SHARD = "JOB_COMPLETION_INDEX"
"""Environment: `host:port` of the executor, what it knows its shards by, and which of them this is (Kubernetes sets it)."""


@dataclass(frozen=True)
class Called:
    """Who this shard is, and to whom it goes."""

    host: str
    port: int
    hello: Hello


def called() -> Called:
    """Read it from the environment. InputError where it doesn't say."""
    try:
        host, _, port = os.environ[EXECUTOR].rpartition(":")
        hello = Hello(key=os.environ[KEY], shard=int(os.environ[SHARD]), where=f"pod {socket.gethostname()}")
        return Called(host.strip("[]"), int(port), hello)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"this is no shard of a load: {error}", "`load: {shards: N}` in an Experiment has pods made that run it"
        ) from None


def main() -> int:
    """Carry out what the executor orders; return the exit code. TargetError where it can't be reached, or wants nothing."""
    mine = called()
    with _connected(mine) as connection:
        connection.sendall(orders.encode(mine.hello))
        line, rest = _order(connection)
        stdin, stdout = os.dup(connection.fileno()), os.dup(connection.fileno())
        return worker.carry_out(stdin, stdout, line, rest)


def _connected(mine: Called) -> socket.socket:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection = socket.create_connection((mine.host, mine.port), timeout=PATIENCE)
        except OSError as error:
            if time.monotonic() >= end:
                raise TargetError(
                    f"the executor {mine.host}:{mine.port} can't be reached: {error}",
                    "see whether its pod runs, and whether a network policy keeps pods from it",
                ) from None
            time.sleep(AGAIN)
            continue
        _heed_silence(connection)
        connection.settimeout(None)
        return connection


def _heed_silence(connection: socket.socket) -> None:
    """Have the kernel notice when the other machine is gone without a word."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, number in (
        ("TCP_KEEPIDLE", 2),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", GONE * 1000),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), number)


def _order(connection: socket.socket) -> tuple[bytes, bytes]:
    """Tell the clock until the order comes; return its line, and what came after it."""
    data = b""
    while True:
        line, found, rest = data.partition(b"\n")
        if not found:
            data += _received(connection)
            continue
        if not line.startswith(b'{"command"'):
            return line, rest
        command = orders.read_command(line)
        if isinstance(command, Ping):
            connection.sendall(orders.encode(Pong(at=command.at, clock=time.monotonic())))
        data = rest


def _received(connection: socket.socket) -> bytes:
    try:
        data = connection.recv(65536)
    except OSError:
        data = b""
    if not data:
        raise TargetError(
            "the executor ended the connection before it ordered anything", "see the journal of its run: it says why"
        )
    return data
