"""Patroni as what gives a database another server when its own is lost: what its members, their store and their door are told.

Two members keep each other's copy; etcd holds who takes the writes, for `TTL` seconds at a time. The door is an HAProxy that
asks each member's manager whether it is the one, and cuts the sessions of one that is not. A member whose machine is lost is
noticed when its lease in the store runs out: that is what the recovery time of a real failover is made of.
"""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aftershock.adapters import patroni
from aftershock.errors import StackError, TargetError
from aftershock.model.write import dump_yaml
from aftershock.stacks import keeping, lending, postgres, replication
from aftershock.stacks.account import Account, switch
from aftershock.stacks.layout import MANAGER, STORES_OWN, Layout, manager
from aftershock.stacks.parts import Database, Failover, Values

TTL = 20
"""Seconds that the lease of who takes the writes lives: Patroni allows no less."""
LOOP, RETRY = 1, 3
"""Seconds between two looks of a manager, and seconds that it waits for the store before it steps down: 3 is the least."""
_LAG = 1 << 20
"""Bytes that a member may lack and take over all the same, where writes don't wait for it (Patroni's default)."""
CONFIG, _KEEPING, _LENDING = "patroni.yaml", "keeping.py", "lending.py"
"""What lies in the folder of a member's manager."""

_MERGED = {"sync_replication_slots": "on", "hot_standby_feedback": "on"}
"""What another region follows has to go on where another server takes over: a copy of its slot is kept there."""

_DOOR = """\
# Written by `aftershock stack up`; the next one writes it anew.
global
    maxconn 4096

defaults
    mode tcp
    timeout connect 2s
    timeout check 1s
    timeout client 24h
    timeout server 24h

listen primary
    bind {bind}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def door(bind: str, members: Mapping[str, tuple[str, str]]) -> str:
    """Return the configuration of the HAProxy at `bind`. `members`: by name, where each is, and where its manager answers."""
    return _DOOR.format(bind=bind, servers="\n".join(_server(name, *at) for name, at in members.items()))


def _server(name: str, address: str, asked: str) -> str:
    host, _, port = asked.rpartition(":")
    return f"    server {name} {address} check addr {host} port {port}"


def member(values: Values, database: Database, name: str, layout: Layout, data: str) -> str:
    """Return the configuration of one member, as YAML: with passwords, so for its own account alone. `data` is its cluster."""
    failover = database.failover
    assert failover is not None
    asked = layout.address(manager(name))
    word = layout.passwords.get(f"{failover.store}/{STORES_OWN}")
    entering = {"username": STORES_OWN, "password": word} if word else {}
    # Whoever may give it orders has the server run commands: they need a password. What only reads needs none.
    obeyed = login(database, layout)
    obeying = {"authentication": {"username": obeyed[0], "password": obeyed[1]}} if obeyed else {}
    return dump_yaml(
        {
            "scope": database.name,
            "name": name,
            "restapi": {"listen": asked, "connect_address": asked, **obeying},
            # The store is asked at this address and no other: it would tell the one that it knows itself by.
            "etcd3": {"hosts": [layout.address(values.way(name, failover.store))], "use_proxies": True, **entering},
            # Never by itself, should the store lose what it holds while a copy is made: such a database lacks our roles.
            "bootstrap": {
                "dcs": agreed(database, failover, merging=values.merging(database)),
                "method": "never",
                "never": {"command": "false"},
            },
            "postgresql": _server_of(values, database, name, layout, data),
        }
    )


def _server_of(values: Values, database: Database, name: str, layout: Layout, data: str) -> dict[str, Any]:
    """Return what a member's manager is told of its PostgreSQL."""
    assert database.failover is not None
    (other,) = (each for each in database.failover.members if each != name)
    roles = {role: layout.passwords[f"{database.name}/{role}"] for role in (postgres.SUPERUSER, postgres.REPLICATION)}
    superuser, replicating = ({"username": role, "password": word} for role, word in roles.items())
    # What the other member lacks is not sent to another region: that would have what is lost with this one.
    held_back = {"synchronized_standby_slots": replication.slot(other)} if values.merging(database) else {}
    return {
        "listen": layout.address(name),
        "connect_address": layout.address(values.way(other, name)),
        "data_dir": data,
        "bin_dir": str(postgres.programs()),
        "pgpass": f"{data}.pgpass",
        "use_unix_socket": False,
        "authentication": {"superuser": superuser, "replication": replicating},
        "parameters": {
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # as in `postgres.command`
            **held_back,
        },
    }


def agreed(database: Database, failover: Failover, *, merging: bool) -> dict[str, Any]:
    """Return what all members go by, once the store has it."""
    return {
        "ttl": TTL,
        "loop_wait": LOOP,
        "retry_timeout": RETRY,
        "primary_start_timeout": 0,  # a server that is lost is lost: nobody waits for it to recover
        "maximum_lag_on_failover": _LAG,
        "synchronous_mode": failover.synchronous,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {**database.settings, **(_MERGED if merging else {})},
        },
    }


def store(name: str, program: str, data: str, clients: str) -> list[str]:
    """Return the command line of an etcd of its own that clients reach at the URL `clients`. It runs in a folder of ours.

    It has no peers, and whoever could speak to it as one would need no password: it waits for them on a socket in that folder.
    """
    peers = "unix://peers:0"
    return [
        program, "--name", name, "--data-dir", data, "--logger", "zap", "--log-level", "warn",
        "--listen-client-urls", clients, "--advertise-client-urls", clients,
        "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"{name}={peers}",
    ]  # fmt: skip


def kept(python: str, folder: Path) -> list[str]:
    """Return the command line of a member that supervisord can keep, with the server that Patroni starts."""
    return [python, "-I", "-S", str(folder / _KEEPING), python, str(folder / _LENDING), str(folder / CONFIG)]


def programs() -> dict[str, str]:
    """Return the programs that lie beside the configuration, as text: what keeps what Patroni starts, and what runs Patroni."""
    files = {_KEEPING: keeping, _LENDING: lending}
    return {name: Path(str(each.__file__)).read_text(encoding="utf-8") for name, each in files.items()}


def lent(python: str, account: Account | None) -> tuple[list[str], str | None]:
    """Return how a program of this Python is run as the servers' account: what comes before it, and as whom it is started.

    Where that account can't read our Python, it is lent the right to read, and no other. StackError where that can't be.
    """
    if account is None or _runs([python, "-c", "pass"], switch(account)):
        return [], account.name if account else None
    right = "+dac_read_search"
    before = [
        "setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", f"--inh-caps={right}",
        f"--ambient-caps={right}",
    ]  # fmt: skip
    if _runs([*before, python, "-c", "pass"], {}):
        return before, None
    raise StackError(
        f"{account.name} can't run {python}, and Patroni refuses to run as root",
        f"install Aftershock with a Python that {account.name} can run (a virtual environment of /usr/bin/python3, in a folder"
        " that is open to all), or run as an ordinary user",
    )


def _runs(line: list[str], how: Mapping[str, Any]) -> bool:
    try:
        done = subprocess.run(line, check=False, cwd="/", capture_output=True, env=os.environ, timeout=20, **how)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def missing(failover: Failover, layout: Layout) -> str | None:
    """Return what the members lack of being a pair that can fail over, None if nothing. Asks their managers."""
    wanted = ["leader", "sync_standby" if failover.synchronous else "replica"]
    for name in failover.members:
        try:
            members = patroni.cluster(layout.url(manager(name))).members
        except TargetError as error:
            return error.problem
        roles = sorted(each.role for each in members if each.up)
        if roles != wanted:
            return f"{name} knows of {', '.join(roles) or 'nobody'}"
    return None


_CARRIED = """
SELECT count(*) FILTER (WHERE synced AND NOT temporary) FROM pg_replication_slots WHERE pg_is_in_recovery()
UNION ALL SELECT NULL WHERE NOT pg_is_in_recovery() AND pg_log_standby_snapshot() IS NULL
"""
"""Of the member that follows: how many slots it would go on with. The other one is told to let it get there soon."""


_KEPT = "SELECT slot_name::text FROM pg_replication_slots WHERE failover AND NOT pg_is_in_recovery()"
"""The slots of the member that takes the writes."""
_OUTLIVED = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = ANY(%s) AND pg_is_in_recovery() AND failover AND NOT synced AND NOT temporary AND NOT active
"""
"""A member that took the writes before all were killed at once still has slots of its own, and PostgreSQL puts no copy in the
place of such a one. Where the other one has them, those of its own are of no use any more.
"""


def uncarried(values: Values, database: Database, failover: Failover, layout: Layout) -> str | None:
    """Return what another region would be without if the database failed over now, None if nothing. Asks both members."""
    import psycopg  # noqa: PLC0415  # no other stack needs it before it is up

    wanted = sum(each.merges == database.name for each in values.databases)
    if not wanted:
        return None
    carried: dict[str, int] = {}
    kept: list[str] = []
    password = layout.passwords[f"{database.name}/{postgres.SUPERUSER}"]
    for name in failover.members * 2:  # twice: what is kept is known when both were asked
        try:
            with psycopg.connect(
                postgres.dsn(layout.ports[name], postgres.SUPERUSER, password), connect_timeout=2
            ) as one:
                kept += [slot for (slot,) in one.execute(_KEPT.encode())]
                one.execute(_OUTLIVED.encode(), [kept])
                carried[name] = sum(count or 0 for (count,) in one.execute(_CARRIED.encode()))
        except psycopg.Error as error:
            return f"{name} can't be asked: {error}"
    return (
        None if sum(carried.values()) >= wanted else "what is kept for another region is not kept by both members yet"
    )


def login(database: Database, layout: Layout) -> tuple[str, str] | None:
    """Return whom the managers of a database obey: name and password. None where no word was agreed on, and they obey all."""
    word = layout.passwords.get(f"{database.name}/{MANAGER}")
    return (MANAGER, word) if word else None


def agree(values: Values, database: Database, failover: Failover, layout: Layout) -> None:
    """Have the members go by what the stack says, should the store have something else from before. Nothing happens where
    nobody answers yet.
    """
    wanted = agreed(database, failover, merging=values.merging(database))
    for name in failover.members:
        with suppress(TargetError):
            settle(layout.url(manager(name)), login(database, layout), wanted)


def settle(url: str, login: tuple[str, str] | None, wanted: Mapping[str, Any]) -> None:
    """Have the members go by `wanted`. Where nothing is to change, start the server of the one at `url` anew if a setting waits
    for that: it says so up to a second after the change. TargetError where it does not answer, or nothing is agreed on yet.
    """
    if changed := difference(patroni.config(url), wanted):
        patroni.tell(url, login, changed)
    elif patroni.status(url).pending_restart:
        patroni.restart(url, login)


def difference(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to change for all of `wanted` to hold. What else is held stays, but for settings of PostgreSQL: those go.

    >>> difference({"ttl": 20, "pause": True, "postgresql": {"parameters": {"a": "1", "b": "2"}}},
    ...            {"ttl": 20, "postgresql": {"parameters": {"a": "3"}}})
    {'postgresql': {'parameters': {'a': '3', 'b': None}}}
    """
    changed: dict[str, Any] = {}
    for name, value in wanted.items():
        found = held.get(name)
        if isinstance(value, dict):
            within = found if isinstance(found, dict) else {}
            inner = difference(within, value)
            if name == "parameters":
                inner |= dict.fromkeys(sorted(within.keys() - value.keys()))
            if inner:
                changed[name] = inner
        elif str(found) != str(value):  # as Patroni compares them
            changed[name] = value
    return changed
