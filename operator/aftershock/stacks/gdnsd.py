"""gdnsd as a stack's DNS server: what it is told. It asks each region for its health by itself, and leads clients to the first
that is well; where none is, to the first (it never says that there is nobody). Pure.

It runs in a folder of its own, as an account without rights: `config`, `zones/<zone>`, and what it makes there itself.
"""

from collections.abc import Mapping

from aftershock.stacks.parts import Resolver

INTERVAL = 2
"""Seconds between two looks at a region's health: gdnsd takes no less."""

_CONFIG = """\
# Written anew whenever the stack, or the server's pod, is started.
options => {{
  listen => {listen},
  run_dir => {folder}/run,
  state_dir => {folder}/state,
  udp_threads => 1,
  tcp_threads => 1,
  min_ttl => 0,
}}
service_types => {{
  region => {{
    plugin => http_status,
    port => {port},
    url_path => {health},
    ok_codes => [ 200 ],
    interval => {interval},
    timeout => 1,
    up_thresh => 1,
    ok_thresh => 1,
    down_thresh => 1,
  }}
}}
plugins => {{
  geoip => {{
    maps => {{ order => {{ datacenters => [ {names} ] }} }}
    resources => {{
      ways => {{ map => order, service_types => region, dcmap => {{ {addresses} }} }}
    }}
  }}
}}
"""

_ZONE = """\
$TTL {lives}
@ SOA ns hostmaster ( 1 7200 1800 259200 {lives} )
@ NS ns
ns A {host}
@ {lives} DYNA geoip!ways
"""


def files(resolver: Resolver, folder: str, listen: str, ways: Mapping[str, str]) -> dict[str, str]:
    """Return what lies in its folder, by path. `listen` and the `ways` into the regions, by name, are `host:port`; the ways
    all have the same port.
    """
    ports = {address.rpartition(":")[2] for address in ways.values()}
    config = _CONFIG.format(
        listen=listen,
        folder=folder,
        port=next(iter(ports)),
        health=resolver.health,
        interval=INTERVAL,
        names=", ".join(ways),
        addresses=", ".join(f"{name} => {address.rpartition(':')[0]}" for name, address in ways.items()),
    )
    return {
        "config": config,
        f"zones/{resolver.zone}": _ZONE.format(lives=resolver.lives, host=listen.rpartition(":")[0]),
    }


def control(folder: str) -> dict[str, str]:
    """Return how its answers can be held, by what it makes in its folder itself."""
    return {"adminState": f"{folder}/state/admin_state", "control": f"{folder}/run/control.sock"}
