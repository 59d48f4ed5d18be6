"""The journal of a Run of a cluster, read from where its status says that it lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aftershock.adapters import store
from aftershock.core.history import History
from aftershock.errors import JournalError


def history(run: Mapping[str, Any]) -> History:
    """Return what a Run's journal holds. JournalError where it can't be read from here."""
    name, status = run["metadata"]["name"], run.get("status") or {}
    place = status.get("journal")
    if not place:
        phase = status.get("phase") or "Pending"
        raise JournalError(f"the Run {name} has no journal yet (it is {phase})", "wait until its baseline has begun")
    if not Path(place).is_file():
        where = f"of {status['executor']}" if status.get("executor") else "of its executor"
        raise JournalError(
            f"the journal of the Run {name} lies on the machine {where}, at {place}",
            "read it there with `aftershock report`, or keep journals in a store that both can reach",
        )
    return store.read(Path(place))
