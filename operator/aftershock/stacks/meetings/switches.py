"""What the service reads from its environment: where it listens, where its database is, and the switches of its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SwitchError(ValueError):
    """A variable has no usable value; the message names it."""


@dataclass(frozen=True)
class Switches:
    """`pool_size` 0: every request opens a connection of its own. `rate_limit` 0: none; else requests a second.

    Times in seconds. `keep`: how long meetings, joins and notes are kept. `instance` comes back from /readyz, so that
    whoever asks knows which of several services answered.
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


def read(environment: Mapping[str, str]) -> Switches:
    """Read PORT, DATABASE_DSN or DATABASE_DSN_FILE (required), HOST, POOL_SIZE, RATE_LIMIT, …; SwitchError if one is wrong."""
    return Switches(
        port=int(_number(environment, "PORT", None)),
        dsn=_dsn(environment),
        host=environment.get("HOST", Switches.host),
        pool_size=int(_number(environment, "POOL_SIZE", Switches.pool_size)),
        rate_limit=_number(environment, "RATE_LIMIT", Switches.rate_limit),
        connect_timeout=_number(environment, "CONNECT_TIMEOUT", Switches.connect_timeout),
        statement_timeout=_number(environment, "STATEMENT_TIMEOUT", Switches.statement_timeout),
        keep=_number(environment, "KEEP", Switches.keep),
        instance=environment.get("INSTANCE", Switches.instance),
    )


def _number(environment: Mapping[str, str], name: str, default: float | None) -> float:
    text = environment.get(name) or default
    try:
        value = float("" if text is None else text)
    except ValueError:
        raise SwitchError(f"{name} must be a number, not {environment.get(name)!r}") from None
    if not 0 <= value < float("inf"):
        raise SwitchError(f"{name} must not be negative, and {text} is")
    return value


def _dsn(environment: Mapping[str, str]) -> str:
    if dsn := environment.get("DATABASE_DSN"):
        return dsn
    try:
        return Path(environment["DATABASE_DSN_FILE"]).read_text(encoding="utf-8").strip()
    except KeyError:
        raise SwitchError("DATABASE_DSN or DATABASE_DSN_FILE must say where the database is") from None
    except OSError as error:
        raise SwitchError(f"can't read DATABASE_DSN_FILE: {error}") from None
