"""What the service reads from its environment: where it listens, where its database is, and the switches of its history."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

Reads = Literal["primary", "replica", "split"]
CacheMode = Literal["off", "lists", "all"]


class SwitchError(ValueError):
    """A variable has no usable value; the message names it."""


@dataclass(frozen=True)
class Switches:
    """`pool_size` 0: every request opens a connection of its own. `rate_limit` 0: none; else requests a second.

    Times in seconds. `keep`: how long meetings, joins and notes are kept. `instance` comes back from /readyz, so that
    whoever asks knows which of several services answered.

    `reads`: where they go: to the primary; to the replica, all of them; or `split`: of a client that has just written to the
    primary, of others to the replica. `cache`: see cache.py. `indexes`: whether the list of meetings has one to go by.
    `seed`: how many participants of earlier days there are.

    `region`: where it runs, if there are several (`regions`), of which it is the `region_number`th, counted from 0; `peer_dsn`:
    how its *database* logs in to the other region's, whose writes it takes over. `caches_elsewhere`: the URLs of other regions'
    caches, by region: what they announce is followed (`sync`).
    """

    port: int
    dsn: str
    host: str = "127.0.0.1"
    pool_size: int = 0
    rate_limit: float = 0.0
    connect_timeout: float = 5.0
    statement_timeout: float = 10.0
    keep: float = 86400.0
    instance: str = ""
    reads: Reads = "primary"
    replica_dsn: str = ""
    cache: CacheMode = "off"
    cache_url: str = ""
    indexes: bool = True
    seed: int = 0
    region: str = ""
    region_number: int = 0
    regions: int = 1
    peer_dsn: str = ""
    caches_elsewhere: Mapping[str, str] = field(default_factory=dict)


def read(environment: Mapping[str, str]) -> Switches:
    """Read PORT, DATABASE_DSN or DATABASE_DSN_FILE (required), HOST, POOL_SIZE, RATE_LIMIT, …; SwitchError if one is wrong."""
    reads = cast("Reads", _choice(environment, "READS", Switches.reads, get_args(Reads)))
    cache = cast("CacheMode", _choice(environment, "CACHE", Switches.cache, get_args(CacheMode)))
    return Switches(
        port=int(_number(environment, "PORT", None)),
        dsn=_secret(environment, "DATABASE_DSN", "where the database is"),
        host=environment.get("HOST", Switches.host),
        pool_size=int(_number(environment, "POOL_SIZE", Switches.pool_size)),
        rate_limit=_number(environment, "RATE_LIMIT", Switches.rate_limit),
        connect_timeout=_number(environment, "CONNECT_TIMEOUT", Switches.connect_timeout),
        statement_timeout=_number(environment, "STATEMENT_TIMEOUT", Switches.statement_timeout),
        keep=_number(environment, "KEEP", Switches.keep),
        instance=environment.get("INSTANCE", Switches.instance),
        reads=reads,
        replica_dsn=""
        if reads == "primary"
        else _secret(environment, "REPLICA_DSN", f"where the replica is: READS is {reads}"),
        cache=cache,
        cache_url="" if cache == "off" else _secret(environment, "CACHE_URL", f"where the cache is: CACHE is {cache}"),
        indexes=_number(environment, "INDEXES", Switches.indexes) != 0,
        seed=int(_number(environment, "SEED", Switches.seed)),
        region=_region(environment),
        region_number=int(_number(environment, "REGION_NUMBER", Switches.region_number)),
        regions=max(1, int(_number(environment, "REGIONS", Switches.regions))),
        peer_dsn=_secret(environment, "PEER_DSN", "where the other region's database is")
        if {"PEER_DSN", "PEER_DSN_FILE"} & set(environment)
        else "",
        caches_elsewhere={} if cache == "off" else _elsewhere(environment),
    )


def _elsewhere(environment: Mapping[str, str]) -> dict[str, str]:
    """Read CACHES_ELSEWHERE: a line for each region, its name and the URL of its cache."""
    if not {"CACHES_ELSEWHERE", "CACHES_ELSEWHERE_FILE"} & set(environment):
        return {}
    lines = _secret(environment, "CACHES_ELSEWHERE", "where other regions' caches are").splitlines()
    told = [line.partition(" ") for line in lines]
    if not all(region and url for region, _, url in told):
        raise SwitchError("CACHES_ELSEWHERE must have a line for each region: its name and a URL")
    return {region: url for region, _, url in told}


def _region(environment: Mapping[str, str]) -> str:
    found = environment.get("REGION", "")
    if not re.fullmatch(r"[a-z0-9-]*", found):
        raise SwitchError(f"REGION must be of a-z, 0-9 and `-`, not {found!r}")
    return found


def _choice(environment: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    found = environment.get(name) or default
    if found not in known:
        raise SwitchError(f"{name} must be one of {', '.join(known)}, not {found!r}")
    return found


def _number(environment: Mapping[str, str], name: str, default: float | None) -> float:
    text = environment.get(name) or default
    try:
        value = float("" if text is None else text)
    except ValueError:
        raise SwitchError(f"{name} must be a number, not {environment.get(name)!r}") from None
    if not 0 <= value < float("inf"):
        raise SwitchError(f"{name} must not be negative, and {text} is")
    return value


def _secret(environment: Mapping[str, str], name: str, what: str) -> str:
    """Return the value of a variable, or what stands in the file that `<name>_FILE` names."""
    if value := environment.get(name):
        return value
    try:
        return Path(environment[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
    except KeyError:
        raise SwitchError(f"{name} or {name}_FILE must say {what}") from None
    except OSError as error:
        raise SwitchError(f"can't read {name}_FILE: {error}") from None
