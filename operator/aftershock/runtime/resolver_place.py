"""A DNS server as a place: the lines of ours in its file of forced states."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aftershock.adapters import admin_state
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.runtime.place import HEAL, LOOK, Looked, Trace, undo_all


class ResolverPlace:
    """One gdnsd's `admin_state`. This machine's clock: the file is here."""

    costly = False

    def __init__(self, resolver: str, file: Path) -> None:
        self.name, self.file = f"the DNS server {resolver}", file

    async def look(self) -> Looked:
        """Read the file: each of our lines says whose it is and when it ends."""
        return await within(LOOK, self._look)

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Take these leases' lines away; the server notices within two seconds, and again by itself when it is started."""
        return await within(HEAL, undo_all, traces)

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Nothing of ours wedges a file."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""

    def _look(self) -> Looked:
        return Looked(time.time(), [self._trace(lease) for lease in admin_state.leases(admin_state.read(self.file))])

    def _trace(self, lease: Lease) -> Trace:
        what = f"{lease.name} holds what {self.name} answers, in {self.file}"
        return Trace(lease, what, partial(_release, self.file, lease.name))


def _release(file: Path, lease: str) -> None:
    admin_state.release(file, {lease})
