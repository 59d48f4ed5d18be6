"""Every fault of a link, on a real Toxiproxy, over HTTP and PostgreSQL: it lands, is proved, heals, and leaves nothing."""

import asyncio
from typing import Any

import msgspec
import pytest

from aftershock.adapters import canary
from aftershock.adapters.canary import Line
from aftershock.adapters.toxiproxy import Server, Toxic
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults import created, toxic
from aftershock.faults.fault import Evidence, Hold, Site
from aftershock.faults.registry import FAULTS
from aftershock.model.stack import Link
from aftershock.model.units import Unit

FAR = 1_990_000_000
EACH = [
    ("latency", {"latency": "120ms"}),
    ("latency", {"latency": "200ms", "jitter": "50ms", "direction": "downstream"}),
    ("latency", {"latency": "120ms", "direction": "upstream"}),
    ("latency", {"latency": "200ms", "toxicity": "50%"}),
    ("latency", {"latency": "3s", "direction": "upstream"}),  # longer than a canary waits
    ("bandwidth", {"rate": 10}),
    ("bandwidth", {"rate": 10, "direction": "upstream"}),
    ("bandwidth", {"rate": 10, "direction": "downstream"}),
    ("slow-close", {"delay": "300ms"}),
    ("slow-close", {"delay": "3s", "direction": "downstream"}),
    ("slow-close", {"delay": "300ms", "direction": "upstream"}),
    ("slow-close", {"delay": "300ms", "direction": "downstream"}),
    ("timeout", {}),
    ("timeout", {"timeout": "200ms", "direction": "both"}),
    ("timeout", {"direction": "upstream"}),
    ("reset-peer", {}),
    ("reset-peer", {"timeout": "200ms", "direction": "upstream"}),
    ("reset-peer", {"direction": "downstream", "toxicity": "60%"}),
    ("slicer", {"averageSize": 20, "delay": "10ms"}),
    ("slicer", {"averageSize": 20, "delay": "10ms", "direction": "upstream"}),
    ("slicer", {"averageSize": 20, "delay": "1s", "direction": "downstream"}),
    ("slicer", {"averageSize": 20, "sizeVariation": 5, "delay": "10ms", "direction": "downstream"}),
    ("limit-data", {"bytes": 0}),
    ("limit-data", {"bytes": 700}),
    ("limit-data", {"bytes": 700, "direction": "upstream"}),
    ("link-down", {}),
]


def hold_of(site: Site, name: str, tree: dict[str, Any], run: str = "k3f9a2x1", expires: int = FAR) -> Hold:
    fault = FAULTS[name]

    def unit(kind: type[Any], value: Any) -> Any:
        return kind.parse(value) if issubclass(kind, Unit) else value

    parameters = msgspec.convert(tree, fault.parameters, dec_hook=unit)
    return fault.hold(site, Lease(name, run, expires), parameters)


async def life(hold: Hold) -> dict[str, Evidence]:
    """Prepare, inject twice, heal twice; return what was seen on the way."""
    seen = {}
    try:
        await hold.prepare()
        seen["before"] = await hold.observe()
        assert await hold.left() == []
        await hold.inject()
        await hold.inject()
        seen["during"] = await hold.observe()
        assert await hold.left(), "what is there is named"
        await hold.heal()
        await hold.heal()
        assert await hold.left() == []
        seen["after"] = await hold.observe()
    finally:
        await hold.close()
    return seen


@pytest.mark.parametrize(("name", "tree"), EACH, ids=str)
def test_fault_lands_is_proved_and_leaves_nothing(
    link: Site, toxiproxy: Server, name: str, tree: dict[str, Any]
) -> None:
    before = toxiproxy.proxies()
    seen = asyncio.run(life(hold_of(link, name, tree)))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen
    assert toxiproxy.proxies() == before


def test_an_unlucky_round_of_canaries_is_not_the_end_of_a_fault(link: Site) -> None:
    """With a toxicity of half, one round in a thousand meets nothing: a fault that is held for ten minutes has one."""

    async def run() -> tuple[Evidence, Evidence]:
        hold = hold_of(link, "latency", {"latency": "100ms", "toxicity": "50%"})
        assert isinstance(hold, toxic.ToxicHold)
        sent = 0

        async def unlucky(_line: Line, _wanted: object, _ways: int) -> toxic.Sight:
            nonlocal sent
            sent += 1
            return toxic.Sight(sent == lucky, "met nothing" if sent != lucky else "met it")

        try:
            await hold.prepare()
            await hold.inject()
            hold.kind = msgspec.structs.replace(hold.kind, shows=unlucky)
            lucky = 15
            second = await hold.observe()
            sent, lucky = 0, 21
            return second, await hold.observe()
        finally:
            await hold.heal()
            await hold.close()

    second, never = asyncio.run(run())
    assert (second.holds, never.holds) == (True, False)
    assert "1 of 20 new connections met it; one of them met it" in second.saw
    assert "0 of 20 new connections met it" in never.saw


@pytest.mark.parametrize(("name", "tree"), [("slow-close", {"delay": "300ms"}), ("link-down", {})])
def test_a_canary_that_has_nothing_to_say_does_not_ask_what_is_spoken(
    link: Site, monkeypatch: pytest.MonkeyPatch, name: str, tree: dict[str, Any]
) -> None:
    """Where neither PostgreSQL nor HTTP answers, to ask takes longer than many a fault is held, and counts from its lease."""

    async def meet(*_: object) -> canary.Line:
        pytest.fail("somebody asked")

    monkeypatch.setattr(canary, "meet", meet)
    seen = asyncio.run(life(hold_of(link, name, tree)))
    assert [seen[when].holds for when in ("before", "during", "after")] == [False, True, False], seen


ONE_WAY = [each for each in EACH if each[0] in {"latency", "bandwidth", "slow-close", "slicer"} and len(each[1]) == 1]


@pytest.mark.parametrize(("name", "tree"), [*ONE_WAY, ("slicer", {"averageSize": 20, "delay": "10ms"})], ids=str)
def test_one_direction_alone_is_not_both(link: Site, toxiproxy: Server, name: str, tree: dict[str, Any]) -> None:
    """The canary notices, also without Toxiproxy's list, that half of the fault was taken away."""

    async def run() -> Evidence:
        hold = hold_of(link, name, tree)
        try:
            await hold.prepare()
            await hold.inject()
            toxiproxy.remove_toxic("pages to from", Lease(name, "k3f9a2x1", FAR, "upstream").name)
            return await hold.observe()
        finally:
            await hold.heal()
            await hold.close()

    seen = asyncio.run(run())
    assert not seen.holds
    assert "Toxiproxy" not in seen.saw or "the effect is not ours" not in seen.saw


def test_effect_of_another_toxic_is_not_ours(link: Site, toxiproxy: Server) -> None:
    async def run() -> Evidence:
        hold = hold_of(link, "latency", {"latency": "100ms"})
        try:
            await hold.prepare()
            toxiproxy.add_toxic("pages to from", Toxic("somebody", "latency", attributes={"latency": 300, "jitter": 0}))
            seen = await hold.observe()
            await hold.heal()
            assert "somebody" in toxiproxy.toxics("pages to from")
            return seen
        finally:
            await hold.close()

    seen = asyncio.run(run())
    assert not seen.holds
    assert "not ours" in seen.saw


def test_link_down_leaves_a_proxy_alone_that_somebody_else_disabled(link: Site, toxiproxy: Server) -> None:
    async def run() -> None:
        hold = hold_of(link, "link-down", {})
        await hold.prepare()
        toxiproxy.disable("pages to from")
        assert not (await hold.observe()).holds
        await hold.heal()
        await hold.close()

    asyncio.run(run())
    assert not toxiproxy.proxies()["pages to from"].enabled


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("latency", {"latency": "1ms"}),
        ("bandwidth", {"rate": 1_000_000}),
        ("limit-data", {"bytes": 10_000_000}),
        ("slicer", {"averageSize": 1_000_000}),
    ],
    ids=str,
)
def test_what_no_canary_could_prove_is_refused_before_anything_is_touched(link: Site, name: str, tree: Any) -> None:
    async def run() -> None:
        hold = hold_of(link, name, tree)
        try:
            await hold.prepare()
        finally:
            await hold.close()

    with pytest.raises(InputError, match="could not be proved"):
        asyncio.run(run())


def test_created_proxy_serves_its_run_and_is_removed(toxiproxy: Server, pages: int, link: Site) -> None:
    made = Link(name="made", toxiproxy="main", listen="127.0.0.1:0", upstream=f"127.0.0.1:{pages}")
    tested = msgspec.structs.replace(
        link.stack, spec=msgspec.structs.replace(link.stack.spec, links=[*link.stack.spec.links, made])
    )
    site = Site(tested, "made", link.folder)

    async def run() -> None:
        names = await created.create(tested, "k3f9a2x1", FAR)
        assert names == await created.create(tested, "k3f9a2x1", FAR) == [f"aftershock.link_made.k3f9a2x1.{FAR}"]
        seen = await life(hold_of(site, "latency", {"latency": "100ms"}))
        assert seen["during"].holds
        await created.remove(tested, "another1")
        assert names[0] in toxiproxy.proxies()
        await created.remove(tested, "k3f9a2x1")
        await created.remove(tested, "k3f9a2x1")

    asyncio.run(run())
    assert list(toxiproxy.proxies()) == ["pages to from"]


def test_missing_proxy_says_which_there_are(link: Site, toxiproxy: Server) -> None:
    toxiproxy.delete("pages to from")
    hold = hold_of(link, "latency", {"latency": "100ms"})
    with pytest.raises(TargetError, match="has: none"):
        asyncio.run(hold.prepare())
    with pytest.raises(TargetError, match="no such proxy") as refused:
        asyncio.run(hold.inject())
    assert "links" in refused.value.advice
    asyncio.run(hold.heal())
    asyncio.run(hold.close())
