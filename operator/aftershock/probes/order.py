"""What the executor and the prober say to each other: one order, a few commands and replies. JSON, one a line.

The order carries the stack as a tree of plain numbers, and names of secrets, never their values: the prober reads those
itself, from its own environment and from files.
"""

from typing import TypeVar

import msgspec

from aftershock.core.history import Any_, Counted
from aftershock.core.shards import Part
from aftershock.errors import AftershockError, InputError, TargetError
from aftershock.model.metadata import Record
from aftershock.model.stack import Stack


class Order(Record, frozen=True, kw_only=True):
    """What a prober shall do; the first line it reads.

    `origin`: run second 0 on CLOCK_MONOTONIC, seconds. `token`: the run's. `folder`: where relative secret files start.
    `indicators`: names out of the stack, sent each `every` when `counted` is `probes`, by `Rates` when it is `load`.
    `until`: run seconds after which the prober finishes by itself, whatever became of the executor.
    `shard` of `shards` (from 0): which share of the load it sends; with more than one it tells parts, not slices.
    """

    counted: Counted
    origin: float
    token: str
    stack: Stack
    folder: str
    indicators: list[str]
    until: float
    shard: int = 0
    shards: int = 1


class Command(msgspec.Struct, frozen=True, tag_field="command", forbid_unknown_fields=True):
    """Base of what an executor says after its order."""


class Rates(Command, frozen=True, tag="rates"):
    """The load's schedule from now on: (run second, requests per second) each.

    It is given ahead of time, so that a spike ends though the executor is frozen or dead. The rate in force holds until
    the first step; a step that lies in the past begins when it is read. Where several share a load all begin when they
    are told to, and who reads it too late has passed over a part of its share.
    """

    steps: list[tuple[float, float]]


class Finish(Command, frozen=True, tag="finish"):
    """Send no more, wait for what is in flight, read the ledgers back, and end."""


class Ping(Command, frozen=True, tag="ping"):
    """Tell your clock. `at`: the executor's CLOCK_MONOTONIC, seconds, which comes back."""

    at: float


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="pong"):
    """The answer to a Ping, among the records: `clock` is the prober's CLOCK_MONOTONIC, seconds."""

    at: float
    clock: float


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="sent"):
    """Among the records: how many requests of the load's slice `n` were sent, as soon as it is over, answered or not."""

    n: int
    sent: int


Heard = Any_ | Part | Pong | Sent
"""What a prober says once it is ready."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="reply"):
    """Base of the first line that a prober writes; history records follow it."""


class Ready(Reply, frozen=True, kw_only=True, tag="ready"):
    """Secrets are read and names are resolved."""


class Hello(Reply, frozen=True, kw_only=True, tag="hello"):
    """The first line of a shard that has come by the network, before it gets an order: who it is."""

    key: str
    shard: int
    where: str


class Refused(Reply, frozen=True, kw_only=True, tag="refused"):
    """The order can't be carried out. `input`: it is the document's fault, else a target's."""

    input: bool
    problem: str
    advice: str

    def error(self) -> AftershockError:
        """Return it as the error that it is."""
        return (InputError if self.input else TargetError)(self.problem, self.advice)


_S = TypeVar("_S")
_order = msgspec.json.Decoder(Order, dec_hook=lambda kind, value: kind(value))
_command: msgspec.json.Decoder[Rates | Finish | Ping] = msgspec.json.Decoder(Rates | Finish | Ping)
_reply: msgspec.json.Decoder[Ready | Refused | Hello] = msgspec.json.Decoder(Ready | Refused | Hello)
_heard: msgspec.json.Decoder[Heard] = msgspec.json.Decoder(Heard, strict=False)
_encoder = msgspec.json.Encoder(enc_hook=float)


def encode(message: Order | Command | Reply | Pong | Part | Sent) -> bytes:
    """Return the message as one line, newline included; durations and percentages go as plain numbers."""
    return _encoder.encode(message) + b"\n"


def _read(decoder: msgspec.json.Decoder[_S], line: bytes, what: str) -> _S:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is no {what}: {error}", "executor and prober must be of one version") from None


def read_order(line: bytes) -> Order:
    """Read an order; InputError where it isn't one."""
    return _read(_order, line, "order")


def read_command(line: bytes) -> Rates | Finish | Ping:
    """Read a command; InputError where it isn't one."""
    return _read(_command, line, "command")


def read_reply(line: bytes) -> Ready | Refused | Hello:
    """Read a reply; InputError where it isn't one."""
    return _read(_reply, line, "reply")


def read_heard(line: bytes) -> Heard | None:
    """Read what a prober says; None for a line that a crash tore."""
    try:
        return _heard.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
