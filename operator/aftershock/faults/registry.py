"""Every fault, one line each. A fault's module is imported when the fault is first asked for.

`link-down` is `LINK_DOWN` in `aftershock/faults/link_down.py`: a name is all that has to stand here. So whoever uses one fault
pays for one, and whoever uses none for none.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module

from aftershock.faults.fault import Fault

_NAMES = (
    "db-connection-exhaustion",
    "db-primary-loss",
    "replica-lag",
    "cache-loss",
    "db-lock-contention",
    "write-contention",
    "db-slow-queries",
    "long-transaction",
    "disk-full",
    "latency",
    "bandwidth",
    "slow-close",
    "timeout",
    "reset-peer",
    "slicer",
    "limit-data",
    "link-down",
    "dependency-slow",
    "process-kill",
    "process-pause",
    "process-hold-down",
    "pod-kill",
    "workload-hold-down",
    "node-drain",
    "region-loss",
    "split-brain",
    "dns-stale",
    "traffic-spike",
)


class _Registry(Mapping[str, Fault]):
    def __getitem__(self, name: str) -> Fault:
        if name not in _NAMES:
            raise KeyError(name)
        place = name.replace("-", "_")
        fault: Fault = getattr(import_module(f"aftershock.faults.{place}"), place.upper())
        return fault

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


FAULTS: Mapping[str, Fault] = _Registry()
