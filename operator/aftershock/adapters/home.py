"""Where things lie on this machine: stacks by name, runs by name, and what was slow to build.

`AFTERSHOCK_HOME` moves all of it. Root's home is closed to the unprivileged users that servers run as, so root keeps its
state under /var.
"""

import os
from pathlib import Path


def state() -> Path:
    """Return the folder that holds `stacks/` and `runs/`; it need not exist yet."""
    if chosen := os.environ.get("AFTERSHOCK_HOME"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/aftershock")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "aftershock"


def cache() -> Path:
    """Return the folder for programs that were slow to build, keyed by version; it need not exist yet."""
    if chosen := os.environ.get("AFTERSHOCK_CACHE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/aftershock")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aftershock"


def stacks() -> Path:
    """Return the folder of local stacks: `stacks/<name>/stack.yaml` is the Stack file of each."""
    return state() / "stacks"


def runs() -> Path:
    """Return the folder of runs: `runs/<run>/journal.jsonl`, `run.json` and the reports."""
    return state() / "runs"
