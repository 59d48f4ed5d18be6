"""Free TCP ports on 127.0.0.1.

Not from the range that the system takes clients' ports from: a server that is down for a moment would find its port given
away, and a client that connects to a port of that range can, on loopback, end up connected to itself.
"""

import random
import socket
from pathlib import Path

from aftershock.errors import StackError

LOWEST, HIGHEST = 10240, 65535
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose(count: int) -> list[int]:
    """Return `count` ports that nobody listens on now. Somebody else may take one before we do: be ready to ask again."""
    candidates = [port for port in range(LOWEST, HIGHEST + 1) if port not in _for_clients()]
    random.shuffle(candidates)
    free = (port for port in candidates if not taken(port))
    found = [port for port, _ in zip(free, range(count), strict=False)]
    if len(found) < count:
        raise StackError(
            f"there are no {count} free ports between {LOWEST} and {HIGHEST}",
            f"end something that listens, or narrow {_RANGE}",
        )
    return found


def taken(port: int) -> bool:
    """Tell whether a server could not listen on the port now. Connections that are closing don't count."""
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            wire.bind(("127.0.0.1", port))
            wire.listen()
        except OSError:
            return True
    return False


def _for_clients() -> range:
    try:
        low, high = map(int, _RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    outside = (low - LOWEST) + (HIGHEST - high)
    return range(low, high + 1) if outside >= 1000 else range(0)
