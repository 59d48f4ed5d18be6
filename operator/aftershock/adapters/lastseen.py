"""What each Toxiproxy held when it was last seen, in the stack's folder: a wedged one tells nobody, a killed one forgets.

A hint for repair, never the reason for one. Not being able to write it stops nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from aftershock.adapters.durable import write
from aftershock.adapters.toxiproxy import Proxy

FOLDER = "toxiproxies"


def remember(folder: Path, server: str, proxies: Mapping[str, Proxy]) -> None:
    """Write down what the server holds, if that is news. An empty server is no news: it may have just been killed."""
    if proxies and recall(folder, server) != proxies:
        with suppress(OSError):
            write(_path(folder, server), msgspec.json.encode(proxies))


def recall(folder: Path, server: str) -> dict[str, Proxy]:
    """Return what the server held when it was last seen; nothing if it never was."""
    try:
        return msgspec.json.decode(_path(folder, server).read_bytes(), type=dict[str, Proxy])
    except (OSError, msgspec.DecodeError):
        return {}


def forget(folder: Path, server: str) -> None:
    """Drop what is known of a server that is gone for good."""
    with suppress(OSError):
        _path(folder, server).unlink(missing_ok=True)


def _path(folder: Path, server: str) -> Path:
    return folder / FOLDER / f"{server.replace('/', '_')}.json"
