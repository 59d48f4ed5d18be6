"""The databases of a local stack, before any server is kept: made where they are missing, each whole or not at all."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from aftershock.stacks import postgres, processes, replication
from aftershock.stacks.account import unprivileged
from aftershock.stacks.layout import HOST, Layout
from aftershock.stacks.parts import Database, Values
from aftershock.stacks.place import Place

Progress = Callable[[str], None]
_PORT = 5432
"""Of a server that has only a socket: it is part of that one's name."""


def make(wanted: Values, ground: Place, layout: Layout, progress: Progress) -> None:
    """Make the databases that are not there yet: primaries, then the replicas of them. Nothing of the stack may run."""
    marks = {processes.MARK: str(ground.folder)}
    for database in wanted.primaries():
        if (cluster := _absent(database, ground)) is not None:
            for replica in _replicas(wanted, database):  # of another primary, which is no more
                shutil.rmtree(ground.cluster(replica.name), ignore_errors=True)
            progress(f"making the database {database.name}")
            word = layout.passwords[f"{database.name}/{postgres.SUPERUSER}"]
            postgres.create(cluster, word, _statements(wanted, database, layout), marks)
        _double(database, ground, marks)
    for database in wanted.primaries():
        _follow(database, _replicas(wanted, database), ground, layout, progress)


def _servers(database: Database, ground: Place) -> list[Path]:
    names = database.failover.members if database.failover else [database.name]
    return [ground.cluster(name) for name in names]


def _absent(database: Database, ground: Place) -> Path | None:
    """Return the cluster that a primary needs made, None where it has one: of several servers, where any has."""
    for each in _servers(database, ground):
        ground.make_cluster(each.parent.name, unprivileged())
    there = [each for each in _servers(database, ground) if each.exists()]
    for each in there:
        _gone(each)
    if there:
        return None
    if database.failover:  # what its servers had agreed on was of another database
        shutil.rmtree(ground.store(database.failover.store), ignore_errors=True)
    return _servers(database, ground)[0]


def _double(database: Database, ground: Place, marks: Mapping[str, str]) -> None:
    """Give each server a copy where nothing is agreed on yet: of two that find nobody, each would make a database of its own.

    Once something is agreed on, what manages them copies whichever takes the writes.
    """
    if database.failover is None or ground.store(database.failover.store).exists():
        return
    there = [each for each in _servers(database, ground) if each.exists()]
    for each in _servers(database, ground):
        if not each.exists():
            replication.double(there[0], each, marks)


def commands(wanted: Values, ground: Place, layout: Layout) -> dict[str, list[str]]:
    """Return the command lines of the servers, by database; one that fails over is its manager's business."""
    lines = {}
    for each in wanted.databases:
        if each.failover is not None:
            continue
        primary, cluster = wanted.primary(each), ground.cluster(each.name)
        settings = {**primary.settings, **each.settings}
        if each.through is not None:
            settings |= replication.following(cluster, each.name, HOST, layout.ports[each.through])
        lines[each.name] = postgres.command(cluster, layout.ports[each.name], settings)
    return lines


def _follow(primary: Database, replicas: list[Database], ground: Place, layout: Layout, progress: Progress) -> None:
    """Copy the primary for each replica that is not there yet; for that it runs for a while."""
    absent = []
    for replica in replicas:
        cluster = ground.make_cluster(replica.name, unprivileged())
        if cluster.exists():
            _gone(cluster)
        else:
            absent.append(replica)
    if not absent:
        return
    marks = {processes.MARK: str(ground.folder)}
    own = ground.cluster(primary.name)
    with replication.awake(own, primary.settings, own.parent / "copying.log", marks) as host:
        words = (layout.passwords[f"{primary.name}/{role}"] for role in (postgres.REPLICATION, postgres.SUPERUSER))
        source = replication.Source(host, _PORT, *words)
        for replica in absent:
            progress(f"copying the database {primary.name} for {replica.name}")
            replication.follow(ground.cluster(replica.name), replica.name, source, marks)


def _replicas(wanted: Values, primary: Database) -> list[Database]:
    return [each for each in wanted.databases if each.of == primary.name]


def _statements(wanted: Values, database: Database, layout: Layout) -> str:
    merging = wanted.merging(database)
    replicated = bool(_replicas(wanted, database)) or database.failover is not None
    roles = [(database.user, "LOGIN")]
    roles += [(postgres.REPLICATION, "LOGIN REPLICATION")] if replicated or merging else []
    made = [
        f"CREATE ROLE {role} {rights} PASSWORD '{layout.passwords[f'{database.name}/{role}']}';\n\n"
        for role, rights in roles
    ]
    made += [f"GRANT pg_create_subscription TO {database.user};\n\n"] if merging else []
    return "".join(made) + f"CREATE DATABASE {database.database} OWNER {database.user};\n\n"


def _gone(cluster: Path) -> None:
    """Forget the server that ran here: nothing of this stack does."""
    (cluster / "postmaster.pid").unlink(missing_ok=True)
