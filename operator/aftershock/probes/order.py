"""What the executor and the prober say to each other: one order, a few commands, a few replies. JSON, one a line.

The order carries the stack as a tree of plain numbers, and names of secrets, never their values: the prober reads those
itself, from its own environment and from files.
"""

from typing import TypeVar

import msgspec

from aftershock.core.history import Counted
from aftershock.errors import AftershockError, InputError, TargetError
from aftershock.model.metadata import Record
from aftershock.model.stack import Stack


class Order(Record, frozen=True, kw_only=True):
    """What a prober shall do; the first line it reads.

    `origin`: run second 0 on CLOCK_MONOTONIC, seconds. `token`: the run's. `folder`: where relative secret files start.
    `indicators`: names out of the stack, sent each `every` when `counted` is `probes`, by `Rates` when it is `load`.
    `until`: run seconds after which the prober finishes by itself, whatever became of the executor.
    """

    counted: Counted
    origin: float
    token: str
    stack: Stack
    folder: str
    indicators: list[str]
    until: float


class Command(msgspec.Struct, frozen=True, tag_field="command", forbid_unknown_fields=True):
    """Base of what an executor says after its order."""


class Rates(Command, frozen=True, tag="rates"):
    """The load's schedule from now on: (run second, requests per second) each.

    It is given ahead of time, so that a spike ends though the executor is frozen or dead. The rate in force holds until
    the first step; a step that lies in the past begins when it is read.
    """

    steps: list[tuple[float, float]]


class Finish(Command, frozen=True, tag="finish"):
    """Send no more, wait for what is in flight, read the ledgers back, and end."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="reply"):
    """Base of the first line that a prober writes, and of what it tells besides the history records that follow it."""


class Ready(Reply, frozen=True, kw_only=True, tag="ready"):
    """Secrets are read and names are resolved."""


class Refused(Reply, frozen=True, kw_only=True, tag="refused"):
    """The order can't be carried out. `input`: it is the document's fault, else a target's."""

    input: bool
    problem: str
    advice: str

    def error(self) -> AftershockError:
        """Return it as the error that it is."""
        return (InputError if self.input else TargetError)(self.problem, self.advice)


class Sent(Reply, frozen=True, kw_only=True, tag="sent"):
    """How many requests of the load's slice `n` were sent: told as soon as the slice is over, answered or not."""

    n: int
    sent: int


_S = TypeVar("_S")
_order = msgspec.json.Decoder(Order, dec_hook=lambda kind, value: kind(value))
_command: msgspec.json.Decoder[Rates | Finish] = msgspec.json.Decoder(Rates | Finish)
_reply: msgspec.json.Decoder[Ready | Refused] = msgspec.json.Decoder(Ready | Refused)
_sent = msgspec.json.Decoder(Sent)
_encoder = msgspec.json.Encoder(enc_hook=float)


def encode(message: Order | Command | Reply) -> bytes:
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


def read_command(line: bytes) -> Rates | Finish:
    """Read a command; InputError where it isn't one."""
    return _read(_command, line, "command")


def read_reply(line: bytes) -> Ready | Refused:
    """Read a reply; InputError where it isn't one."""
    return _read(_reply, line, "reply")


def read_sent(line: bytes) -> Sent | None:
    """Read what was sent of a slice; None where the line is none such."""
    try:
        return _sent.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
