"""From an era's values to the files of a local stack: supervisord's configuration, Toxiproxy's proxies, the Stack file.

Pure: what is decided elsewhere (ports, passwords, paths) comes in, text goes out.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftershock.errors import StackError
from aftershock.model.metadata import API_VERSION
from aftershock.model.write import dump_yaml, to_tree
from aftershock.stacks import postgres
from aftershock.stacks.values import CLIENT, Service, Values, fill, named, urls

HOST = "127.0.0.1"
REAPER = "reaper"
"""The program that ends expired leases; a stack is up without it, but not whole."""

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
directory = /
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


@dataclass(frozen=True)
class Programs:
    """What is run: command lines, by program. `account` is the user that databases run as, None for our own."""

    python: str
    toxiproxy: str
    databases: Mapping[str, list[str]]
    account: str | None


@dataclass(frozen=True)
class Layout:
    """What was decided for one stack. `ports` by the name of part or link; `passwords` by database and role."""

    name: str
    folder: Path
    logs: Path
    supervisor: str
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    instance: str

    def address(self, name: str) -> str:
        """Return host and port of a part or a link."""
        return f"{HOST}:{self.ports[name]}"

    def url(self, name: str) -> str:
        """Return the URL of a part or a link."""
        return f"http://{self.address(name)}"


def wanted_ports(values: Values) -> list[str]:
    """Return the names of all that listen: parts and links."""
    return list(named(values).values())


def wanted_passwords(values: Values) -> list[str]:
    """Return the keys of `Layout.passwords`."""
    return [f"{each.name}/{user}" for each in values.databases for user in (each.user, postgres.SUPERUSER)]


def secret_files(values: Values, layout: Layout) -> dict[str, str]:
    """Return the files that say how to log in, by their names in the folder: to each database as the application's role
    and as an observer, and for each service through its link.
    """
    files = {}
    for database in values.databases:
        roles = {"dsn": (database.user, database.database), "observer.dsn": (postgres.SUPERUSER, postgres.SUPERUSER)}
        for ending, (user, where) in roles.items():
            password = layout.passwords[f"{database.name}/{user}"]
            files[f"{database.name}.{ending}"] = postgres.dsn(layout.ports[database.name], user, password, where)
    for service in values.services:
        database = next(each for each in values.databases if each.name == values.link(service.database).to)
        password = layout.passwords[f"{database.name}/{database.user}"]
        files[f"{service.name}.dsn"] = postgres.dsn(
            layout.ports[service.database], database.user, password, database.database
        )
    return files


def proxies(values: Values, layout: Layout, toxiproxy: str) -> str:
    """Return what a Toxiproxy is to be populated with, so that a restarted one comes back as it was."""
    return json.dumps(
        [
            {
                "name": link.name,
                "listen": layout.address(link.name),
                "upstream": layout.address(link.to),
                "enabled": True,
            }
            for link in values.links
            if link.toxiproxy == toxiproxy
        ],
        indent=1,
    )


def stack(values: Values, layout: Layout) -> str:
    """Return the Stack file. Paths in it are relative to its folder."""
    control = {name: {"url": layout.supervisor, "program": name} for name in wanted_ports(values)}
    spec: dict[str, Any] = {
        "era": values.era,
        "environment": values.environment,
        "toxiproxies": [
            {"name": each.name, "url": layout.url(each.name), "restart": {"supervisor": control[each.name]}}
            for each in values.toxiproxies
        ],
        "databases": [
            {"name": each.name, "engine": each.engine, "role": each.role, "dsn": {"file": f"secrets/{each.name}.dsn"},
             "observer": {"file": f"secrets/{each.name}.observer.dsn"}}
            for each in values.databases
        ],
        "links": [
            {"name": link.name, "toxiproxy": link.toxiproxy, "proxy": link.name, "from": link.from_, "to": link.to}
            for link in values.links
        ],
        "workloads": [
            {"name": name, "supervisor": control[name]}
            for name in [*(each.name for each in values.services), *(each.name for each in values.databases)]
        ],
        "settings": [to_tree(each) for each in values.settings],
        "indicators": _indicators(values, layout),
    }  # fmt: skip
    return dump_yaml({"apiVersion": API_VERSION, "kind": "Stack", "metadata": {"name": layout.name}, "spec": spec})


def _indicators(values: Values, layout: Layout) -> list[dict[str, Any]]:
    """Return the indicators with addresses in the places of links."""
    addresses = {link.name: layout.address(link.name) for link in values.links if link.from_ == CLIENT}
    trees = []
    for indicator in values.indicators:
        tree = to_tree(indicator)
        for (probe, field), url in urls(indicator).items():
            tree[str(probe)][field] = fill(url, addresses)
        trees.append(tree)
    return trees


def supervisord(values: Values, layout: Layout, programs: Programs, user: str) -> str:
    """Return the configuration of supervisord, which runs as `user`."""
    sections = [
        _section(layout, each.name, programs.databases[each.name], stop="INT", patience=5, user=programs.account)
        for each in values.databases
    ]
    for service in values.services:
        command = [programs.python, "-m", f"aftershock.stacks.{service.program}"]
        sections.append(_section(layout, service.name, command, environment=_environment(service, layout)))
    for proxy in values.toxiproxies:
        config = str(layout.folder / f"{proxy.name}.json")
        command = [programs.toxiproxy, "-host", HOST, "-port", str(layout.ports[proxy.name]), "-config", config]
        # It has no state worth a farewell, and one that is wedged takes none: restarting it must be quick.
        sections.append(_section(layout, proxy.name, command, stop="KILL", environment={"LOG_LEVEL": "error"}))
    sections.append(_section(layout, REAPER, reaper(programs.python, layout)))
    head = _SUPERVISORD.format(
        user=user, logs=_value(layout.logs), folder=_value(layout.folder),
        socket=_value(layout.supervisor.removeprefix("unix://")),
    )  # fmt: skip
    return head + "".join(sections)


def reaper(python: str, layout: Layout) -> list[str]:
    """Return the command line of the stack's reaper."""
    return [python, "-m", "aftershock", "reap", "--watch", "--stack", str(layout.folder / "stack.yaml")]


def _environment(service: Service, layout: Layout) -> dict[str, str]:
    return {
        **service.env,
        "PORT": str(layout.ports[service.name]),
        "DATABASE_DSN_FILE": str(layout.folder / "secrets" / f"{service.name}.dsn"),
        "INSTANCE": layout.instance,
    }


def _section(
    layout: Layout,
    name: str,
    command: list[str],
    *,
    stop: str = "TERM",
    patience: int = 2,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    section = _PROGRAM.format(
        name=name, command=_value(shlex.join(command)), stop=stop, patience=patience,
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
