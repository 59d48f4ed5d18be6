"""Redis as a stack's cache: what it is told. Pure; where its program comes from is `installed`'s business.

It keeps nothing on the disk: a cache that comes back is empty.
"""

from aftershock.stacks.parts import Cache

_FIXED = {"daemonize": "no", "set-proc-title": "no", "save": '""', "appendonly": "no"}


def configuration(cache: Cache, port: int, password: str, folder: str) -> str:
    """Return the configuration of a cache on 127.0.0.1:`port`, which wants `password` (letters and digits)."""
    lines = {
        **cache.settings, **_FIXED, "bind": "127.0.0.1", "port": str(port), "dir": f'"{folder}"', "requirepass": password,
    }  # fmt: skip
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def url(address: str, password: str) -> str:
    """Return how to log in at `host:port`."""
    return f"redis://:{password}@{address}/0"
