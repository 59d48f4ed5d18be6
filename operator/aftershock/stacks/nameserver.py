"""A stack's DNS server as a pod runs it: `python -m aftershock.stacks.nameserver REGION=HOST:PORT…`, the arguments the ways
into the regions, the one that is preferred first.

Where a way is a name, as a Service is one, its address is what clients are led to: it is asked for at each start, since a
Service that was made again has another one. What else the server needs comes from the environment: ZONE, HEALTH and LIVES, as
the stack's resolver has them, LISTEN (its own address), PORT, and FOLDER, which it writes.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aftershock.errors import AftershockError, InputError, StackError
from aftershock.stacks import gdnsd, installed
from aftershock.stacks.parts import Resolver

PATIENCE = 60.0
"""Seconds that the ways may take to have addresses before it gives up, and its pod is started again."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become the server. InputError where something that it needs was not said, StackError where a way has no address."""
    folder = Path(_said(environment, "FOLDER"))
    listen = f"{_said(environment, 'LISTEN')}:{_said(environment, 'PORT')}"
    for each in ("zones", "run", "state"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for path, text in gdnsd.files(_wanted(environment), str(folder), listen, _addressed(arguments)).items():
        (folder / path).write_text(text, encoding="ascii")
    line = [str(installed.program("gdnsd")), "-c", str(folder), "start"]
    os.execv(line[0], line)  # noqa: S606  # no shell is wanted


def _wanted(environment: Mapping[str, str]) -> Resolver:
    zone, health, lives = (_said(environment, name) for name in ("ZONE", "HEALTH", "LIVES"))
    return Resolver(name="itself", program="gdnsd", zone=zone, to=[], health=health, lives=int(lives))


def _addressed(arguments: Sequence[str]) -> dict[str, str]:
    """Return the ways by region, each as an address and a port."""
    if not arguments:
        raise InputError("no way into a region was said", "the chart era-stack says them")
    ways, end = {}, time.monotonic() + PATIENCE
    for argument in arguments:
        region, _, where = argument.partition("=")
        host, _, port = where.rpartition(":")
        while (found := _address(host)) is None:
            if time.monotonic() > end:
                raise StackError(
                    f"the way into {region}, {host}, has no IPv4 address", "look for the Service of that name"
                )
            time.sleep(1.0)  # the Service may be on its way
        ways[region] = f"{found}:{port}"
    return ways


def _address(host: str) -> str | None:
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


def _said(environment: Mapping[str, str], name: str) -> str:
    if not (said := environment.get(name)):
        raise InputError(f"{name} is not set", "the chart era-stack sets it")
    return said


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except AftershockError as error:
        sys.exit(f"nameserver: {error.problem}; {error.advice}")
