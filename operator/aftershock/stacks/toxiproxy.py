"""The Toxiproxy server: built once with Go, kept in the cache. May not talk to a running one: adapters do that."""

from collections.abc import Mapping
from pathlib import Path

from aftershock.stacks import golang

VERSION = "2.12.0"
MODULE = "github.com/Shopify/toxiproxy/v2"
DEADLINE = 600.0
"""Seconds that a download with a build may take."""
_PLACE, _PROGRAM = f"toxiproxy-{VERSION}", "toxiproxy-server"


def program(environment: Mapping[str, str] | None = None) -> Path:
    """Return the toxiproxy-server program; the first call on a machine builds it (about 30 s). StackError if it can't.

    `environment` is added to that of the build.
    """
    return golang.kept(_PLACE, _PROGRAM, _build, DEADLINE, environment)


def ready() -> bool:
    """Tell whether the program is built."""
    return golang.is_kept(_PLACE, _PROGRAM)


def _build(shop: golang.Workshop) -> None:
    linked = f"-s -w -X {MODULE}.Version={VERSION}"
    shop.go("install", "-ldflags", linked, f"{MODULE}/cmd/server@v{VERSION}", GOBIN=str(shop.whole))
    (shop.whole / "server").rename(shop.whole / _PROGRAM)
