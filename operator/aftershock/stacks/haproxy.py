"""HAProxy as a stack's gateway: what it is told. Pure; where its program comes from is `installed`'s business.

It asks each service for its health through the same link as it serves it, so that a cut link counts as one that is down.
"""

from collections.abc import Mapping

from aftershock.stacks.parts import Gateway

COOKIE = "served-by"

_TEXT = """\
# Written by `aftershock stack up`; the next one writes it anew.
global
    maxconn 4096

defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    option redispatch

frontend clients
    bind {bind}
    default_backend services

backend services
    balance roundrobin
    option httpchk GET {health}
    http-check expect status 200
{affinity}    default-server check inter {every} fall 2 rise 2
{servers}
"""


def configuration(gateway: Gateway, bind: str, doors: Mapping[str, str]) -> str:
    """Return the configuration of a gateway that listens at `bind` and leads to services by name, each at its address."""
    sticky = gateway.affinity == "cookie"
    return _TEXT.format(
        bind=bind,
        health=gateway.health,
        every=gateway.every,
        affinity=f"    cookie {COOKIE} insert indirect nocache\n" if sticky else "",
        servers="\n".join(
            f"    server {name} {address}" + (f" cookie {name}" if sticky else "") for name, address in doors.items()
        ),
    )
