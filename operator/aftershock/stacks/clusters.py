"""The databases of a local stack, before any server is kept: made where they are missing, each whole or not at all."""

import shutil
from collections.abc import Callable
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
    for database in wanted.primaries():
        cluster = _whole(database, ground)
        if cluster is None:
            continue
        for replica in _replicas(wanted, database):  # of another primary, which is no more
            shutil.rmtree(ground.cluster(replica.name), ignore_errors=True)
        progress(f"making the database {database.name}")
        postgres.create(
            cluster,
            layout.passwords[f"{database.name}/{postgres.SUPERUSER}"],
            _statements(
                database,
                layout,
                replicated=bool(_replicas(wanted, database)) or database.failover is not None,
                merging=wanted.merging(database),
            ),
            {processes.MARK: str(ground.folder)},
        )
        # Each member has its copy from the start: of two that find nobody, both would make a database of their own.
        for other in database.failover.members[1:] if database.failover else ():
            replication.double(cluster, ground.cluster(other), {processes.MARK: str(ground.folder)})
    for database in wanted.primaries():
        _follow(database, _replicas(wanted, database), ground, layout, progress)


def _whole(database: Database, ground: Place) -> Path | None:
    """Return the cluster that a primary needs made, None where it has one. Of several members one is enough, if they have run
    before: what manages them copies it.
    """
    members = database.failover.members if database.failover else [database.name]
    clusters = [ground.make_cluster(each, unprivileged()) for each in members]
    there = [each for each in clusters if each.exists()]
    if database.failover and len(there) < len(clusters):
        agreed = ground.store(database.failover.store)
        if not there or not agreed.exists():  # they have never run, or nothing is left of what they have agreed on
            for each in (*there, agreed):
                shutil.rmtree(each, ignore_errors=True)
            there = []
    for each in there:
        _gone(each)
    return None if there else clusters[0]


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


def _statements(database: Database, layout: Layout, *, replicated: bool, merging: bool) -> str:
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
