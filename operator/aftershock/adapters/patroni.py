"""Patroni, through the REST API of a member's manager: who is in its cluster, what they go by. Synchronous, with a deadline a
call; every failure is a TargetError.
"""

import base64
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from aftershock.errors import InputError, TargetError

T = TypeVar("T")
DEADLINE = 1.5
"""Seconds for one call."""
UP = frozenset({"running", "streaming"})
"""States in which a member could take over, or has. `in archive recovery` is none: it has lost its leader."""


class Member(msgspec.Struct, frozen=True):
    """A server, as its cluster sees it. `lag`: bytes that it lacks, or the word `unknown`."""

    name: str
    role: str
    state: str
    lag: int | str | None = None
    tags: dict[str, Any] = {}

    @property
    def up(self) -> bool:
        """Whether it runs, and follows whom it should."""
        return self.state in UP


class Cluster(msgspec.Struct, frozen=True):
    """The members, and whether somebody has paused the management of them."""

    members: list[Member]
    pause: bool = False


class Agreed(msgspec.Struct, frozen=True):
    """What all members go by, with Patroni's defaults. `maximum_lag_on_failover`: bytes."""

    synchronous_mode: bool | str = False
    maximum_lag_on_failover: int = 1 << 20

    @property
    def synchronous(self) -> bool:
        """Whether a write is acknowledged only when another member has it, and nobody else may take over."""
        return self.synchronous_mode not in {False, "off", "false"}


class Status(msgspec.Struct, frozen=True):
    """What a member's manager says of its own server. `database_system_identifier`: which database it has a copy of."""

    database_system_identifier: str | None = None
    pending_restart: bool = False


def status(url: str) -> Status:
    """Return what the manager at `url` says of its own server."""
    return _typed(url, _call(url, "GET", "/patroni"), Status)


def cluster(url: str) -> Cluster:
    """Return the members, as the manager at `url` knows them."""
    return _typed(url, _call(url, "GET", "/cluster"), Cluster)


def agreed(url: str) -> Agreed:
    """Return what all members go by."""
    return _typed(url, _call(url, "GET", "/config"), Agreed)


def config(url: str) -> dict[str, Any]:
    """Return all that the members go by. TargetError where nothing is agreed on yet."""
    return _typed(url, _call(url, "GET", "/config"), dict[str, Any])


def restart(url: str, login: tuple[str, str] | None) -> None:
    """Start the server of the member at `url` anew, if a setting waits for that. TargetError, too, where it takes long."""
    _call(url, "POST", "/restart", json.dumps({"restart_pending": True}), login)


def tell(url: str, login: tuple[str, str] | None, changed: Mapping[str, Any]) -> None:
    """Change what all members go by; None takes a value away. `login`: name and password, None where all are obeyed."""
    _call(url, "PATCH", "/config", json.dumps(changed), login)


def _typed(url: str, content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TargetError(
            f"what answers at {url} is no Patroni: {error}", "correct the member's `url:` in the Stack"
        ) from None


def _call(url: str, method: str, path: str, body: str | None = None, login: tuple[str, str] | None = None) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise InputError(f"{url!r} is no address of a Patroni", "write it like http://127.0.0.1:8008")
    wire = HTTPConnection(parts.hostname, parts.port or 80, timeout=DEADLINE)
    try:
        wire.request(method, path, body, {**({"Content-Type": "application/json"} if body else {}), **_as(login)})
        answer = wire.getresponse()
        content = answer.read(1 << 20)
    except (OSError, HTTPException) as error:
        raise TargetError(f"the manager at {url} does not answer: {error}", "see whether it runs") from None
    finally:
        wire.close()
    if answer.status == 401:
        raise TargetError(
            f"the manager at {url} doesn't obey whom we say we are", "log in as its `restapi.authentication` has it"
        )
    if answer.status != 200:
        raise TargetError(f"the manager at {url} answers {method} {path} with {answer.status}", "see what its log says")
    return content


def _as(login: tuple[str, str] | None) -> dict[str, str]:
    """Return the header that says who asks: HTTP's basic authentication."""
    return {} if login is None else {"Authorization": f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"}
