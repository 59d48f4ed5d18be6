"""A stack's folder as a place: the records of what is held on this machine."""

import time
from collections.abc import Callable
from pathlib import Path

from aftershock.adapters.lease_files import paths
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease, parse
from aftershock.runtime.place import HEAL, LOOK, Looked, Trace, undo_all


class FolderPlace:
    """Lease records: processes that are paused, held down or were killed. This machine's clock."""

    name = "the stack's folder"
    costly = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def look(self) -> Looked:
        """Read the names of the records: they are all that is needed to know what is due."""
        return await within(LOOK, self._look)

    async def heal(self, traces: list[Trace]) -> list[str]:
        """Undo what the records say."""
        from aftershock.faults.process import PATIENCE

        return await within(HEAL + PATIENCE, undo_all, traces)

    async def repair(self, due: Callable[[Lease, float], bool]) -> list[str]:
        """Nothing of ours wedges a folder."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""

    def _look(self) -> Looked:
        looked = Looked(time.time(), [])
        for path in paths(self.folder):
            if lease := parse(path.stem):
                looked.traces.append(self._trace(lease, path))
            else:
                looked.odd.append(f"{path} is no lease record of ours")
        return looked

    def _trace(self, lease: Lease, path: Path) -> Trace:
        from aftershock.faults.process import heal_record  # a folder without a record has nothing to be healed

        return Trace(lease, f"{lease.fault} on record in {path}", lambda: heal_record(self.folder, lease.name))
