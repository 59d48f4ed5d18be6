"""What supervisord is told of a local stack: every part as a program that is kept. Pure: text goes out."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from aftershock.errors import StackError
from aftershock.stacks import patroni
from aftershock.stacks.layout import HOST, REAPER, Layout, Programs
from aftershock.stacks.parts import Service, Values

_SUPERVISORD = """\
; Written by `aftershock stack up`; the next one writes it anew.
[supervisord]
nodaemon = false
user = {user}
logfile = {logs}/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = {folder}/supervisord.pid
childlogdir = {logs}
umask = 077

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command = {command}
directory = {folder}
autorestart = true
startsecs = 1
startretries = {retries}
stopsignal = {stop}
stopwaitsecs = {patience}
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 1
"""


def supervisord(values: Values, layout: Layout, programs: Programs, user: str) -> str:
    """Return the configuration of supervisord, which runs as `user`."""
    head = _SUPERVISORD.format(
        user=user, logs=_value(layout.logs), folder=_value(layout.folder),
        socket=_value(layout.supervisor.removeprefix("unix://")),
    )  # fmt: skip
    reaping = _section(layout, REAPER, reaper(programs.python, layout))
    return "".join([head, *_servers(values, layout, programs), *_ours(values, layout, programs), reaping])


def _servers(values: Values, layout: Layout, programs: Programs) -> Iterator[str]:
    for name, command in programs.databases.items():
        yield _section(layout, name, command, stop="INT", patience=5, user=programs.account)
    yield from _failing_over(values, layout, programs)
    if (resolver := values.resolver) is not None:
        command = [programs.installed[resolver.program], "-c", str(layout.folder / "dns" / resolver.name), "start"]
        yield _section(layout, resolver.name, command, user=programs.account)
    for cache in values.caches:
        config = layout.folder / "secrets" / f"{cache.name}.conf"
        yield _section(layout, cache.name, [programs.installed["redis-server"], str(config)])


def _failing_over(values: Values, layout: Layout, programs: Programs) -> Iterator[str]:
    for store in values.stores:
        folder = layout.folder / "stores" / store.name
        command = patroni.store(
            store.name, programs.installed[store.program], str(folder / "data"), layout.url(store.name)
        )
        yield _section(layout, store.name, command, folder=folder)
    before, user = programs.lent
    for database, failover in values.failing_over():
        for name in failover.members:
            command = patroni.kept(programs.python, layout.folder / "managers" / name)
            yield _section(layout, name, [*before, *command], patience=10, user=user)
        command = [programs.installed["haproxy"], "-db", "-f", str(layout.config(database.name, "cfg"))]
        yield _section(layout, database.name, command)


def _ours(values: Values, layout: Layout, programs: Programs) -> Iterator[str]:
    for service in values.services:
        command = [programs.python, "-m", f"aftershock.stacks.{service.program}"]
        yield _section(layout, service.name, command, environment=_environment(values, service, layout))
    for gateway in values.gateways:
        command = [programs.installed["haproxy"], "-db", "-f", str(layout.config(gateway.name, "cfg"))]
        yield _section(layout, gateway.name, command)
    for proxy in values.toxiproxies:
        config = str(layout.config(proxy.name, "json"))
        command = [programs.toxiproxy, "-host", HOST, "-port", str(layout.ports[proxy.name]), "-config", config]
        # It has no state worth a farewell, and one that is wedged takes none: restarting it must be quick.
        yield _section(layout, proxy.name, command, stop="KILL", environment={"LOG_LEVEL": "error"})


def reaper(python: str, layout: Layout) -> list[str]:
    """Return the command line of the stack's reaper."""
    return [python, "-m", "aftershock", "reap", "--watch", "--stack", str(layout.folder / "stack.yaml")]


def _environment(values: Values, service: Service, layout: Layout) -> dict[str, str]:
    secrets = layout.folder / "secrets"
    peer = {"PEER_DSN_FILE": str(secrets / f"{service.name}.peer.dsn")} if values.joins(service) else {}
    reached = {
        "REPLICA_DSN_FILE": (service.replica, "replica.dsn"),
        "CACHE_URL_FILE": (service.cache, "cache"),
        "CACHES_ELSEWHERE_FILE": (service.follows, "caches"),
    }
    return {
        **service.env,
        "PORT": str(layout.ports[service.name]),
        "DATABASE_DSN_FILE": str(secrets / f"{service.name}.dsn"),
        **{name: str(secrets / f"{service.name}.{ending}") for name, (link, ending) in reached.items() if link},
        "INSTANCE": layout.instance,
        **_region(values, service),
        **peer,
    }


def _region(values: Values, service: Service) -> dict[str, str]:
    """Tell a service in which region its database is, if that is one of several that take writes."""
    database = values.behind(service.database)
    if not values.merging(database):
        return {}
    both = sorted(each.name for each in values.databases if values.merging(each))
    return {
        "REGION": database.region or database.name,
        "REGION_NUMBER": str(both.index(database.name)),
        "REGIONS": str(len(both)),
    }


def _section(
    layout: Layout,
    name: str,
    command: list[str],
    *,
    stop: str = "TERM",
    patience: int = 2,
    user: str | None = None,
    folder: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> str:
    section = _PROGRAM.format(
        name=name, command=_value(shlex.join(command)), folder=_value(folder), stop=stop, patience=patience,
        log=_value(layout.logs / f"{name}.log"), retries=3 if name == REAPER else 10,
    )  # fmt: skip
    if user is not None:
        section += f"user = {user}\n"
    if environment:
        section += "environment = " + ",".join(f'{key}="{_value(value)}"' for key, value in environment.items()) + "\n"
    return section


def _value(text: object) -> str:
    """Return a text as a value in supervisord's configuration, which takes some characters for its own."""
    value = str(text)
    if any(sign in value for sign in (";", '"', "\n", "\r")):
        raise StackError(
            f"supervisord can't be told of {value!r}", 'set AFTERSHOCK_HOME to a folder without `;` and `"` in its path'
        )
    return value.replace("%", "%%")
