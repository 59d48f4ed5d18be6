"""A DNS server's file as a place: the reaper needs nothing but the Stack and the file, and touches nobody else's lines."""

import asyncio
import time
from pathlib import Path

from aftershock.adapters import admin_state
from aftershock.core.lease import Lease
from aftershock.model.metadata import Metadata
from aftershock.model.stack import GdnsdControl, Resolver, Stack, StackSpec, Way
from aftershock.runtime import reaper

PERSONS = "127.0.3.1/region => DOWN # mine\n"


def led(**more: object) -> Stack:
    ways = [Way(region="us-east", address="127.0.1.1"), Way(region="us-west", address="127.0.2.1")]
    resolver = Resolver(name="dns", address="127.0.0.1:53", host="a.test", ways=ways, **more)  # type: ignore[arg-type]
    spec = StackSpec(era="1m", environment="test", resolver=resolver)
    return Stack(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="led"), spec=spec)


def test_what_is_past_its_lease_goes_and_the_rest_stays(tmp_path: Path) -> None:
    stack, file = led(gdnsd=GdnsdControl(admin_state="admin_state", control="sock")), tmp_path / "admin_state"
    now = int(time.time())
    over, held = Lease("dns-stale", "overover1", now - 1), Lease("dns-stale", "heldheld1", now + 1000)
    file.write_text(PERSONS)
    for lease in (over, held):
        admin_state.hold(file, {"127.0.1.1": True}, lease)
    swept = asyncio.run(reaper.sweep(stack, tmp_path))
    assert swept.healed == [f"healed {over.name} holds what the DNS server dns answers, in {file}"]
    assert swept.left + swept.unreachable == []
    assert admin_state.leases(file.read_text()) == [held]
    assert swept.held == [held]
    assert asyncio.run(reaper.leftovers(stack, tmp_path, "overover1")).left == []
    assert [held.name in line for line in asyncio.run(reaper.leftovers(stack, tmp_path, "heldheld1")).left] == [True]
    asyncio.run(reaper.sweep(stack, tmp_path, scope="all", run="somebody1"))
    assert admin_state.leases(file.read_text()) == [held]
    asyncio.run(reaper.sweep(stack, tmp_path, scope="all", lease=held))
    assert file.read_text() == PERSONS


def test_a_file_that_can_not_be_asked_is_no_clean_one(tmp_path: Path) -> None:
    stack = led(gdnsd=GdnsdControl(admin_state="elsewhere/admin_state", control="sock"))
    swept = asyncio.run(reaper.sweep(stack, tmp_path))
    assert len(swept.unreachable) == 1
    assert "the DNS server dns: can't read" in swept.unreachable[0]


def test_a_server_whose_answers_can_not_be_held_is_no_place(tmp_path: Path) -> None:
    assert asyncio.run(reaper.sweep(led(), tmp_path)) == reaper.Sweep()
