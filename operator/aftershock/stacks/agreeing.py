"""What the servers of a database that fails over go by, told again and again: `python -m aftershock.stacks.agreeing`, in the
pod of each.

Patroni reads that once, when the database is made, and keeps it in etcd from then on. So this looks at the file AGREED, in
which the chart says it, and has Patroni go by it whenever that says something else. No pod is made anew for it: both would be
at once, and lose the database where their data go with them. NAME and MERGES are the database's, LISTEN is the pod's address.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from aftershock.errors import AftershockError, TargetError
from aftershock.stacks import database as single
from aftershock.stacks import patroni
from aftershock.stacks.parts import Database, Failover

MANAGER = 8008
"""The port at which Patroni answers."""
PAUSE = 2.0
"""Seconds between two looks."""


class Agreed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says: PostgreSQL's settings, and the switches of the database that fails over."""

    settings: dict[str, str]
    env: dict[str, str] = {}


def main(environment: Mapping[str, str]) -> None:
    """Go on until it is ended. InputError where something that it needs was not said."""
    url = f"http://{single.said(environment, 'LISTEN')}:{MANAGER}"
    while True:
        with suppress(TargetError):  # nobody answers yet, or nothing is agreed on
            patroni.settle(url, None, wanted(environment))
        time.sleep(PAUSE)


def wanted(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the servers are to go by now."""
    told = database(environment)
    assert told.failover is not None
    return patroni.agreed(told, told.failover, merging=told.merges is not None)


def database(environment: Mapping[str, str], members: Sequence[str] = ()) -> Database:
    """Return the database as its pods know it."""
    agreed = msgspec.json.decode(Path(single.said(environment, "AGREED")).read_bytes(), type=Agreed)
    return Database(
        name=single.said(environment, "NAME"),
        merges=environment.get("MERGES"),
        settings=agreed.settings,
        failover=Failover(manager="patroni", store="store", members=list(members), env=agreed.env),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container is not ended otherwise
    try:
        main(os.environ)
    except AftershockError as error:
        sys.exit(f"agreeing: {error.problem}; {error.advice}")
