"""A region lost by its links, on a real Toxiproxy: those with an end in it are down, and no other; the reaper heals them."""

import asyncio
from pathlib import Path

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, Link, Stack, ToxiproxyServer, Workload
from aftershock.runtime import reaper
from component.conftest import stack
from component.test_link_faults import hold_of, life

BY_LINKS = {"by": "links"}


@pytest.fixture
def regions(toxiproxy: Server, pages: int) -> Stack:
    """The primary and the edge are in us-west; the app is nowhere in particular."""
    for name in ("in", "out", "aside"):
        toxiproxy.create(Proxy(name, "127.0.0.1:0", f"127.0.0.1:{pages}"))

    def link(name: str, from_: str, to: str) -> Link:
        return Link(name=name, toxiproxy="main", proxy=name, from_=from_, to=to)

    nowhere = Secret(env="NOT_SET")
    return stack(
        toxiproxies=[ToxiproxyServer(name="main", url=toxiproxy.url)],
        databases=[Database(name="primary", dsn=nowhere, region="us-west"), Database(name="far", dsn=nowhere)],
        workloads=[Workload(name="app"), Workload(name="edge", region="us-west")],
        links=[link("in", "app", "primary"), link("out", "edge", "far"), link("aside", "app", "far")],
    )


def test_all_links_of_a_region_are_down_and_no_other(regions: Stack, toxiproxy: Server, tmp_path: Path) -> None:
    before = toxiproxy.proxies()
    seen = asyncio.run(life(hold_of(Site(regions, "us-west", tmp_path), "region-loss", BY_LINKS)))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False]
    assert "2 of 2 links are down" in seen["during"].saw and "aside" not in seen["during"].saw
    assert toxiproxy.proxies() == before


def test_the_reaper_brings_them_back(regions: Stack, toxiproxy: Server, tmp_path: Path) -> None:
    before = toxiproxy.proxies()
    hold = hold_of(Site(regions, "us-west", tmp_path), "region-loss", BY_LINKS, "k3f9a2x1", 1_600_000_000)

    async def lose() -> None:
        await hold.prepare()
        await hold.inject()
        await hold.close()

    asyncio.run(lose())
    assert [proxy.name for proxy in toxiproxy.proxies().values() if proxy.enabled] == ["aside"]
    swept = asyncio.run(reaper.sweep(regions, tmp_path))
    assert len(swept.healed) == 2
    assert toxiproxy.proxies() == before


def test_a_region_without_links_is_not_lost_by_them(regions: Stack, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no link"):
        hold_of(Site(regions, "eu-west", tmp_path), "region-loss", BY_LINKS)
