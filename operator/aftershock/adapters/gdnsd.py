"""gdnsd, over its control socket: what it says of each thing that it looks at. One call, one deadline; it changes nothing.

The protocol is described in gdnsd's `ControlSocket.md`: eight bytes to ask, eight bytes of head before the answer.
"""

import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aftershock.errors import TargetError

DEADLINE = 2.0
_STATES = b"E" + bytes(7)
_ACKNOWLEDGED = b"A"
_HEAD = struct.Struct("=c3xI")
"""The answer's kind, and how many bytes follow, in the byte order of the machine that both are on."""

MOST = 1 << 22
"""Bytes that an answer may have: a hundred for each thing that is looked at."""


class State(msgspec.Struct, frozen=True):
    """What clients get by it, what it found itself (`NA`: it doesn't look there), and whether the first was forced on it."""

    said: str
    found: str
    forced: bool


class _Told(msgspec.Struct, frozen=True):
    state: str
    real_state: str


def states(path: Path, deadline: float = DEADLINE) -> Mapping[str, State]:
    """Return the states by their keys, such as `127.0.1.1/http`. TargetError if it doesn't answer within `deadline` seconds."""
    try:
        told = msgspec.json.decode(_exchange(path, time.monotonic() + deadline), type=dict[str, _Told])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TargetError(
            f"gdnsd doesn't answer at {path}: {error or type(error).__name__}", "see whether it runs, and its log"
        ) from None
    return {key: _state(one) for key, one in told.items()}


def _state(told: _Told) -> State:
    return State(told.state.rstrip("!"), told.real_state, told.state.endswith("!"))


def _exchange(path: Path, end: float) -> bytes:
    """Ask once, and return what follows the head. OSError if that fails, or is not done by `end` on the monotonic clock."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(max(0.001, end - time.monotonic()))
        wire.connect(str(path))
        wire.sendall(_STATES)
        kind, size = _HEAD.unpack(_read(wire, _HEAD.size, end))
        if kind != _ACKNOWLEDGED or size > MOST:
            raise OSError(f"it answered {kind!r} with {size} bytes")
        return _read(wire, size, end)


def _read(wire: socket.socket, size: int, end: float) -> bytes:
    read = bytearray()
    while len(read) < size:
        wire.settimeout(max(0.001, end - time.monotonic()))
        chunk = wire.recv(size - len(read))
        if not chunk:
            raise OSError(f"it ended after {len(read)} of {size} bytes")
        read += chunk
    return bytes(read)
