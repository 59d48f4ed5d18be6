"""`dns-stale` on the stack of era 1m: gdnsd goes on leading clients where it led them, until our lines go from its file."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from aftershock.adapters import admin_state, gdnsd, supervisor
from aftershock.core.history import Healed, Observed
from aftershock.core.lease import Lease
from aftershock.core.verdict import Verdict
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Site
from aftershock.model.stack import Stack, Way
from aftershock.runtime import reaper
from aftershock.stacks import local
from component.conftest import until
from component.test_link_faults import hold_of, life
from component.test_reaper import RUN, holder, said
from component.test_stack_1m import EAST, NOTICED, WEST, Wide
from component.test_stacks_local import quiet
from own_home import own_home
from whole_runs import Tree, document, going


@pytest.fixture(scope="module")
def wide() -> Iterator[Wide]:
    with own_home() as home:
        yield Wide(home, local.up("1m", progress=quiet))


@pytest.fixture(autouse=True)
def file(wide: Wide) -> Iterator[Path]:
    """The server's file of forced states. Every test begins and ends without one, on a stack that is whole."""
    resolver = wide.spec.spec.resolver
    assert resolver and resolver.gdnsd
    path = wide.file.parent / resolver.gdnsd.admin_state
    until(lambda: found_well(wide), 30)
    yield path
    path.unlink(missing_ok=True)
    until(lambda: found_well(wide), 30)


def site(wide: Wide, stack: Stack | None = None) -> Site:
    return Site(stack or wide.spec, "dns", wide.file.parent)


def put(file: Path, text: str) -> None:
    """Write as a person does, in place; the account that gdnsd runs as may read it."""
    file.write_text(text)
    file.chmod(0o644)


def states(wide: Wide) -> dict[str, gdnsd.State]:
    """What gdnsd itself says of each region, by its address."""
    resolver = wide.spec.spec.resolver
    assert resolver and resolver.gdnsd
    told = gdnsd.states(wide.file.parent / resolver.gdnsd.control)
    return {key.partition("/")[0]: each for key, each in told.items() if each.found != "NA"}


def forced(wide: Wide) -> dict[str, bool]:
    return {address: each.forced for address, each in states(wide).items()}


def found_well(wide: Wide) -> bool:
    """Tell whether the stack is whole, and DNS knows it: it looks every two seconds."""
    well = gdnsd.State("UP", "UP", forced=False)
    return wide.whole() and all(each == well for each in states(wide).values())


@pytest.mark.parametrize(("to", "where"), [(None, EAST), ("us-west", WEST)])
def test_it_lands_is_proved_and_leaves_nothing(wide: Wide, file: Path, to: str | None, where: str) -> None:
    hold = hold_of(site(wide), "dns-stale", {"to": to} if to else {}, expires=int(time.time()) + 60)

    async def run() -> None:
        seen = await life(hold)
        assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
        assert f"clients of meetings.test are led to {to or 'us-east'} ({where})" in seen["during"].saw
        assert f"{to or 'us-east'} is UP by force (it finds it UP)" in seen["during"].saw

    asyncio.run(run())
    assert not file.exists()
    assert set(forced(wide).values()) == {False}
    until(lambda: wide.led_to() == EAST, NOTICED)


def test_what_a_person_has_forced_is_overruled_and_stays(wide: Wide, file: Path) -> None:
    persons = "# us-east has new disks\n127.0.1.1/region => DOWN\n127.0.3.1/* => DOWN # slow\n"
    put(file, persons)
    until(lambda: wide.led_to() == WEST, NOTICED)
    hold = hold_of(site(wide), "dns-stale", {"to": "us-east"}, expires=int(time.time()) + 60)

    async def run() -> None:
        await hold.prepare()
        await hold.inject()
        assert wide.led_to() == EAST
        assert file.read_text().startswith(persons)
        await hold.heal()

    asyncio.run(run())
    assert file.read_text() == persons
    assert wide.led_to() == WEST, "whoever has healed waits until answers follow"
    assert forced(wide) == {EAST: True, WEST: False, "127.0.3.1": True}


def test_answers_that_somebody_holds_already_are_not_taken_for_ours(wide: Wide, file: Path) -> None:
    put(file, "127.0.1.1/region => UP\n127.0.2.1/region => DOWN\n127.0.3.1/region => DOWN\n")
    until(lambda: all(forced(wide).values()), NOTICED)
    with pytest.raises(TargetError, match=r"is held already.*us-west is DOWN by force") as told:
        asyncio.run(hold_of(site(wide), "dns-stale", {}).prepare())
    assert str(file) in told.value.advice


def test_where_the_only_region_that_is_well_is_answered_nobody_holds_that(wide: Wide) -> None:
    """It looks just as if it were held, but for the force."""
    others = [wide.control(part) for part in ("gateway-us-west", "gateway-eu-west")]
    hold = hold_of(site(wide), "dns-stale", {"to": "us-east"})

    async def run() -> None:
        await hold.prepare()
        assert not (await hold.observe()).holds
        await hold.inject()
        assert (await hold.observe()).holds
        await hold.heal()
        assert not (await hold.observe()).holds

    try:
        for each in others:
            supervisor.stop(each)
        until(lambda: [each.found for each in states(wide).values()] == ["UP", "DOWN", "DOWN"], NOTICED)
        asyncio.run(run())
    finally:
        for each in others:
            supervisor.start(each)


def test_a_line_that_gdnsd_does_not_take_is_told_and_ours_go(wide: Wide, file: Path) -> None:
    """It takes nothing of such a file, so the fault doesn't land."""
    put(file, "half a line =>\n")
    hold = hold_of(site(wide), "dns-stale", {})

    async def run() -> None:
        await hold.prepare()
        with pytest.raises(TargetError, match="the DNS server dns isn't held after 8 s") as told:
            await hold.inject()
        assert "a line that it can't read" in told.value.advice
        await hold.heal()

    asyncio.run(run())
    assert file.read_text() == "half a line =>\n"


def test_a_stack_that_says_wrongly_where_it_leads(wide: Wide) -> None:
    assert wide.spec.spec.resolver
    ways = [Way(region="us-east", address="127.0.9.1"), *wide.spec.spec.resolver.ways[1:]]
    wrong = replace(wide.spec.spec.resolver, ways=ways)
    stack = replace(wide.spec, spec=replace(wide.spec.spec, resolver=wrong))
    with pytest.raises(InputError, match=r"the DNS server dns doesn't look at us-east \(127.0.9.1\)"):
        asyncio.run(hold_of(site(wide, stack), "dns-stale", {}).prepare())


def test_a_server_that_is_down_is_let_go_all_the_same(wide: Wide, file: Path) -> None:
    control = wide.control("dns")
    hold = hold_of(site(wide), "dns-stale", {})

    async def run() -> None:
        await hold.prepare()
        await hold.inject()
        supervisor.stop(control)
        with pytest.raises(TargetError, match=r"DNS server dns doesn't say|gdnsd doesn't answer"):
            await hold.observe()
        await hold.heal()
        assert await hold.left() == []

    try:
        asyncio.run(run())
    finally:
        supervisor.start(control)
    assert not file.exists()
    until(lambda: set(forced(wide).values()) == {False})


def stale(folder: Path, *more: Tree, for_: str = "8s") -> Path:
    """An experiment that holds what DNS answers, and what else stands in its timeline."""
    spec = {
        "stack": "meetings-1m",
        "eras": ["10m"],
        "baseline": {"for": "3s"},
        "timeline": [{"at": "1s", "for": for_, "fault": "dns-stale", "target": "dns"}, *more],
        "recovery": {"watch": "60s", "steady": "3s"},
    }
    return document(folder, "Experiment", "stale", spec)


def test_clients_are_lost_for_as_long_as_answers_are_held_and_for_seconds_beyond(wide: Wide, tmp_path: Path) -> None:
    lost = {"at": "3s", "for": "30s", "fault": "region-loss", "target": "us-east", "with": {"by": "links"}}
    with going(["run", stale(tmp_path, lost, for_="12s"), "--stack", wide.file, "--json"], wide.home) as run:
        seen = run.until(Observed, lambda one: "it finds it DOWN" in one.saw)
        assert seen.when == "during"
        assert seen.holds
        assert wide.led_to() == EAST, "dead as it is"
        healed = run.until(Healed, lambda one: one.injection == 0)
        assert healed.clean
        until(lambda: wide.led_to() == WEST, NOTICED)
        done = run.wait()
    assert done.verdict == (Verdict.PASSED, 0)
    (bracket,) = [one for one in done.judgement.recovery if one.indicator == "meeting-success"]
    assert bracket.rto is not None
    assert bracket.rto.low > 8, "for as long as answers are held"
    assert bracket.rto.high < 9 + NOTICED, "and not until the region is back"
    looks = [one for one in run.all(Observed) if one.injection == 0]
    assert [one.holds for one in looks if one.when != "during"] == [False, False]
    assert all(one.holds for one in looks if one.when == "during")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_answers_change_again_when_the_lease_is_over_whatever_befell_the_holder(
    wide: Wide, file: Path, blow: signal.Signals
) -> None:
    """The stack's own reaper sees to that."""
    lease = Lease("dns-stale", RUN, int(time.time()) + 15)
    with holder(wide, lease.expires, [("dns-stale", "dns", {})]) as process:  # type: ignore[arg-type]
        said(process, "prepared")
        said(process, "held")
        process.send_signal(blow)
        if blow is signal.SIGKILL:
            process.wait()
        assert admin_state.leases(admin_state.read(file)) == [lease], "the machine is too slow: nothing was tested"
        (left,) = asyncio.run(reaper.leftovers(wide.spec, wide.file.parent)).left
        assert left == f"{lease.name} holds what the DNS server dns answers, in {file}"
        until(lambda: not file.exists(), max(0.0, lease.expires - time.time()) + 3)
        assert time.time() > lease.expires, "no sooner than its lease says"
        until(lambda: set(forced(wide).values()) == {False}, NOTICED)
