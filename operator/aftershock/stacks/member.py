"""A server of a database that fails over, as a pod runs it: `python -m aftershock.stacks.member NAME=VALUE…`, the arguments
PostgreSQL's settings. It becomes Patroni, which runs the server.

Names and passwords come from the environment: those of `database` (DATA, DATABASE, OWNER, …, MERGES), NAME and MEMBERS (the
database's, and its servers'; the first of them makes it), MEMBER (this one's), LISTEN (its own address), THROUGH (by
which way the other one reaches it), STORE (by which way it reaches etcd), and SYNCHRONOUS. Ways are `host:port`.

Only where nothing is agreed on yet is the database made, and only by one of them: the other one, and any that has lost what it
had, is copied from whichever takes the writes.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aftershock.adapters import etcd
from aftershock.errors import AftershockError, StackError, TargetError
from aftershock.stacks import database as single
from aftershock.stacks import patroni, postgres
from aftershock.stacks.layout import Layout, manager
from aftershock.stacks.parts import SYNCHRONOUS, Database, Failover, Values, Wire

MANAGER = 8008
"""The port at which Patroni answers."""
PATIENCE = 100.0
"""Seconds that a server waits for the other one to make the database before it gives up, and its pod is started again."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become Patroni. InputError where something that it needs was not said, StackError where nothing to copy comes in time."""
    data = Path(single.said(environment, "DATA"))
    wanted = _wanted(arguments, environment)
    own = single.said(environment, "MEMBER")
    if not data.exists() and _is_to_make(wanted, own, environment):
        postgres.create(data, single.word(environment, "SUPERUSER_PASSWORD"), single.statements(environment))
        single.open_to_all(data / "pg_hba.conf", environment)
    (data / "postmaster.pid").unlink(missing_ok=True)  # nothing of an earlier pod lives
    values, layout = _told(wanted, own, environment)
    config = data.with_name(patroni.CONFIG)
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(patroni.member(values, wanted, own, layout, str(data)), encoding="utf-8")
    os.execv(sys.executable, [sys.executable, "-m", "patroni", str(config)])  # noqa: S606  # no shell is wanted


def _wanted(arguments: Sequence[str], environment: Mapping[str, str]) -> Database:
    members = single.said(environment, "MEMBERS").split()
    env = {SYNCHRONOUS: environment.get(SYNCHRONOUS, "off")}
    return Database(
        name=single.said(environment, "NAME"),
        database=single.said(environment, "DATABASE"),
        user=single.said(environment, "OWNER"),
        merges=environment.get("MERGES"),
        settings=dict(argument.split("=", 1) for argument in arguments),
        failover=Failover(manager="patroni", store="store", members=members, env=env),
    )


def _is_to_make(wanted: Database, own: str, environment: Mapping[str, str]) -> bool:
    """Tell whether this server makes the database; one that doesn't waits until there is one to copy."""
    store, key, end = (
        single.address(environment, "STORE"),
        f"/service/{wanted.name}/initialize",
        time.monotonic() + PATIENCE,
    )
    first = wanted.failover is not None and wanted.failover.members[0] == own
    why = "the other server has not made it"
    while True:
        try:
            agreed = etcd.holds(*store, key)
            if agreed or first:
                return not agreed
        except TargetError as error:
            why = error.problem
        if time.monotonic() > end:
            raise StackError(
                f"there is no database {wanted.name} to copy: {why}", "see what the other server's log says"
            )
        time.sleep(0.5)  # the others' pods may be on their way


def _told(wanted: Database, own: str, environment: Mapping[str, str]) -> tuple[Values, Layout]:
    """Return what `patroni.member` is told, as a local stack has it: of the two links, and where each ends."""
    assert wanted.failover is not None
    (other,) = (each for each in wanted.failover.members if each != own)
    here = single.said(environment, "LISTEN")
    ends = {
        own: (here, int(single.PORT)),
        manager(own): (here, MANAGER),
        "through": single.address(environment, "THROUGH"),
        "store": single.address(environment, "STORE"),
    }
    links = [Wire(name="through", toxiproxy="", from_=other, to=own)]
    values = Values(era="", environment="test", databases=[wanted], services=[], toxiproxies=[], links=links)
    passwords = {
        f"{wanted.name}/{role}": single.word(environment, name)
        for role, name in (
            (postgres.SUPERUSER, "SUPERUSER_PASSWORD"),
            (postgres.REPLICATION, "REPLICATION_PASSWORD"),
        )
    }
    folder = Path(single.said(environment, "DATA")).parent
    return values, Layout(
        name=wanted.name, folder=folder, logs=folder, supervisor="", passwords=passwords, instance="",
        ports={name: port for name, (_, port) in ends.items()}, hosts={name: host for name, (host, _) in ends.items()},
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except AftershockError as error:
        sys.exit(f"member: {error.problem}; {error.advice}")
