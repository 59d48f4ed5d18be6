"""What an era's stack is made of: `charts/era-stack/values-<era>.yaml`, read strictly and checked as a whole.

Says nothing of ports, folders or pods: those are the renderers'.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from aftershock.adapters import catalog
from aftershock.errors import InputError
from aftershock.model.check import Walk
from aftershock.model.metadata import Record
from aftershock.model.problem import Invalid, choose
from aftershock.model.problem import Path as Way
from aftershock.model.stack import Indicator, Setting
from aftershock.model.yaml12 import read as read_yaml

CLIENT = "client"
"""Where a link begins that no part stands before."""

_OURS = {
    "config_file", "data_directory", "dynamic_shared_memory_type", "hba_file", "listen_addresses", "port",
    "unix_socket_directories",
}  # fmt: skip


class Database(Record, frozen=True, kw_only=True):
    """A server with one database, owned by the application's role `user`. `settings` are PostgreSQL's own."""

    name: str
    engine: Literal["postgresql"] = "postgresql"
    role: Literal["primary"] = "primary"
    database: str
    user: str
    settings: dict[str, str] = {}


class Service(Record, frozen=True, kw_only=True):
    """A service. `database` is the link that it reaches its database through; `env` are its switches."""

    name: str
    program: Literal["meetings"]
    database: str
    env: dict[str, str] = {}


class Toxiproxy(Record, frozen=True, kw_only=True):
    """A Toxiproxy, for links to pass through."""

    name: str


class Wire(Record, frozen=True, kw_only=True):
    """A link between two parts, or from a client, through a Toxiproxy."""

    name: str
    toxiproxy: str
    from_: str
    to: str


class Values(Record, frozen=True, kw_only=True):
    """A whole stack. In the URL of an indicator, a link that clients come through stands for its host and port."""

    era: str
    environment: Literal["test", "staging"]
    databases: list[Database]
    services: list[Service]
    toxiproxies: list[Toxiproxy]
    links: list[Wire]
    settings: list[Setting] = []
    indicators: list[Indicator] = []

    def link(self, name: str) -> Wire:
        """Return a link that is known to be there."""
        return next(link for link in self.links if link.name == name)

    def entry(self) -> Wire | None:
        """Return the first link that clients come through."""
        return next((link for link in self.links if link.from_ == CLIENT), None)


def eras() -> list[str]:
    """Return the eras that have a stack."""
    return [path.stem.removeprefix("values-") for path in catalog.values()]


def load(era: str) -> Values:
    """Return the stack of `era`. InputError if there is none, or if its file is wrong."""
    files = dict(zip(eras(), catalog.values(), strict=True))
    if era not in files:
        here = ", ".join(files) or "none; reinstall aftershock"
        raise InputError(f"there is no stack for era {era!r}", f"an era that has one: {here}")
    return read(files[era])


def read(path: Path) -> Values:
    """Read a values file. Invalid (an InputError) names every problem with its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {error}", "check the file") from None
    documents, problems = read_yaml(text, str(path))
    if problems or len(documents) != 1:
        raise Invalid(problems) if problems else InputError(f"{path}: {len(documents)} documents", "write one")
    walk = Walk(documents[0][0], str(path), None)
    values = walk.typed(Values)
    if not walk.problems and isinstance(values, Values):
        for way, message, advice in _contradictions(values):
            walk.report(way, message, advice)
    if walk.problems or not isinstance(values, Values):
        raise Invalid(walk.problems)
    return values


def fill(url: str, addresses: Mapping[str, str]) -> str:
    """Put a link's address in the place of its name.

    >>> fill("http://client-to-app/notes/{id}", {"client-to-app": "127.0.0.1:8080"})
    'http://127.0.0.1:8080/notes/{id}'
    """
    host = urlsplit(url).netloc
    return url.replace(f"//{host}", f"//{addresses.get(host, host)}", 1)


def named(values: Values) -> dict[Way, str]:
    """Return the names of all parts and links, by the fields that hold them."""
    parts = {
        "databases": [each.name for each in values.databases],
        "services": [each.name for each in values.services],
        "toxiproxies": [each.name for each in values.toxiproxies],
        "links": [each.name for each in values.links],
    }
    return {(field, place, "name"): name for field, listed in parts.items() for place, name in enumerate(listed)}


def urls(indicator: Indicator) -> dict[Way, str]:
    """Return every URL that an indicator asks, by the fields that hold it."""
    if indicator.http:
        return {("http", "url"): indicator.http.url}
    if indicator.ledger:
        return {("ledger", "write"): indicator.ledger.write, ("ledger", "read"): indicator.ledger.read}
    return {("promql", "url"): indicator.promql.url} if indicator.promql else {}


Contradictions = Iterator[tuple[Way, str, str]]


def _contradictions(values: Values) -> Contradictions:
    yield from _names(values)
    yield from _links(values)
    yield from _services(values)
    yield from _switches(values)
    yield from _urls(values)


def _names(values: Values) -> Contradictions:
    """Parts and links share one set of names: each becomes a program, a port or a proxy of its own."""
    listed = named(values)
    counted = Counter(listed.values())
    for way, name in listed.items():
        if name == CLIENT or counted[name] > 1:
            yield way, f"`{name}` is taken", "give every part and link a name of its own"
        if not name.replace("-", "").isalnum() or name != name.lower() or not name.isascii():
            yield way, f"`{name}` is no name", "use a-z, 0-9 and `-`"


def _links(values: Values) -> Contradictions:
    parts = [*(each.name for each in values.databases), *(each.name for each in values.services)]
    proxies = [each.name for each in values.toxiproxies]
    for place, link in enumerate(values.links):
        for field, found, known in (
            ("toxiproxy", link.toxiproxy, proxies), ("to", link.to, parts), ("from", link.from_, [*parts, CLIENT]),
        ):  # fmt: skip
            if found not in known:
                yield ("links", place, field), f"`{found}` is not there", choose(found, known)


def _services(values: Values) -> Contradictions:
    databases = [each.name for each in values.databases]
    ways = [link.name for link in values.links if link.to in databases]
    for place, service in enumerate(values.services):
        if service.database not in ways:
            yield (
                ("services", place, "database"),
                f"`{service.database}` is no link to a database",
                choose(service.database, ways, "add such a link"),
            )


def _switches(values: Values) -> Contradictions:
    switches = {service.name: list(service.env) for service in values.services}
    for place, setting in enumerate(values.settings):
        known = switches.get(setting.workload, [])
        if setting.env not in known:
            message = f"`{setting.workload}` has no switch `{setting.env}`"
            yield ("settings", place, "env"), message, choose(setting.env, known, "add it to the service's `env:`")
    for place, database in enumerate(values.databases):
        for name in _OURS & set(database.settings):
            yield ("databases", place, "settings", name), "is not to be chosen", "leave it out"


def _urls(values: Values) -> Contradictions:
    entries = [link.name for link in values.links if link.from_ == CLIENT]
    for place, indicator in enumerate(values.indicators):
        for way, url in urls(indicator).items():
            if (host := urlsplit(url).netloc) not in entries:
                advice = choose(host, entries, f"add a link `from: {CLIENT}`")
                yield ("indicators", place, *way), f"`{host}` is no link that clients come through", advice
