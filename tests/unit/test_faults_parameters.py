"""What may stand in a fault's `with:`, and the small sums behind the evidence."""

import doctest
import importlib
import time
from typing import Any

import msgspec
import pytest

from aftershock.adapters.canary import Line
from aftershock.adapters.toxiproxy import Proxy
from aftershock.core.lease import LONGEST, Lease, parse
from aftershock.faults import bandwidth, created, slicer
from aftershock.faults.link import UNSEEN, canaries
from aftershock.faults.registry import FAULTS
from aftershock.model.stack import Link
from aftershock.model.units import Unit


def wanted(name: str, tree: dict[str, Any]) -> Any:
    def unit(kind: type[Any], value: Any) -> Any:
        return kind.parse(value) if issubclass(kind, Unit) else value

    return msgspec.convert(tree, FAULTS[name].parameters, dec_hook=unit)


@pytest.mark.parametrize(
    ("name", "tree", "says"),
    [
        ("latency", {}, "latency"),
        ("latency", {"latency": "100ms", "jitter": "100ms"}, "jitter: less than"),
        ("latency", {"latency": "100ms", "toxicity": "5%"}, "toxicity: between"),
        ("latency", {"latency": "100ms", "direction": "sideways"}, "sideways"),
        ("latency", {"latency": "100ms", "speed": 3}, "unknown field"),
        ("dependency-slow", {}, "latency"),
        ("dependency-slow", {"latency": "100ms", "jitter": "100ms"}, "jitter: less than"),
        ("dependency-slow", {"latency": "0s"}, "jitter: less than"),
        ("dependency-slow", {"latency": "100ms", "direction": "both"}, "unknown field"),
        ("bandwidth", {"rate": 0}, "rate: at least"),
        ("slow-close", {"delay": "10ms"}, "delay: at least"),
        ("reset-peer", {"timeout": "2s"}, "timeout: at most 1s"),
        ("slicer", {"averageSize": 10, "sizeVariation": 10}, "averageSize"),
        ("slicer", {"delay": "0s"}, "delay"),
        ("limit-data", {"bytes": -1}, "bytes"),
        ("db-connection-exhaustion", {"leave": -1}, "leave"),
        ("replica-lag", {"lag": "500ms"}, "lag: 1 s or more"),
        ("replica-lag", {"lag": "1m", "by": "link"}, "lag: 50 s at the most"),
        ("replica-lag", {"ramp": "5s"}, "ramp: only"),
        ("replica-lag", {"by": "magic"}, "magic"),
        ("db-lock-contention", {}, "table"),
        ("db-lock-contention", {"table": ""}, "table: a name"),
        ("db-lock-contention", {"table": "meetings", "rows": 0}, "rows: 1 or more"),
        ("db-lock-contention", {"table": "meetings", "rows": 1, "blocks": "writes"}, "blocks: leave it out"),
        ("db-slow-queries", {"table": ""}, "table: a name"),
        ("db-slow-queries", {"sessions": 0}, "sessions: 1 to 100"),
        ("db-slow-queries", {"sessions": 101}, "sessions: 1 to 100"),
        ("db-slow-queries", {"slowdown": 1}, "slowdown: more than 1"),
        ("disk-full", {}, "tablespace"),
        ("disk-full", {"tablespace": ""}, "tablespace: one of the stack's own"),
        ("disk-full", {"tablespace": "pg_default"}, "tablespace: one of the stack's own"),
        ("disk-full", {"tablespace": "small", "most": "0"}, "most: more than zero"),
        ("disk-full", {"tablespace": "small", "most": "1GiB"}, "most"),
        ("long-transaction", {"table": "meetings"}, "unknown field"),
        ("process-kill", {"every": "10ms"}, "every"),
        ("traffic-spike", {"factor": 1}, "factor"),
        ("link-down", {"direction": "both"}, "unknown field"),
        ("pod-kill", {"count": 0}, "count: 1 or more"),
        ("pod-kill", {"percent": "0%"}, "percent: more than"),
        ("pod-kill", {"percent": "101%"}, "not a percentage"),
        ("pod-kill", {"count": 1, "percent": "50%"}, "percent: leave it out"),
        ("workload-hold-down", {"replicas": 0}, "unknown field"),
        ("node-drain", {"force": True}, "unknown field"),
        ("region-loss", {}, "by"),
        ("region-loss", {"by": "sharks"}, "sharks"),
        ("region-loss", {"by": "links", "down": "2s"}, "down, up: give both or neither"),
        ("region-loss", {"by": "links", "down": "2s", "up": "100ms"}, "up: at least 500ms"),
        ("region-loss", {"by": "everything", "down": "2s", "up": "2s"}, "down, up: only with"),
        ("region-loss", {"by": "databases", "asymmetric": True}, "asymmetric: only with"),
    ],
)
def test_wrong_parameters_are_refused(name: str, tree: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        wanted(name, tree)


def test_every_fault_fits_a_leases_name() -> None:
    """Also with a part, a long token and the last second of the century: PostgreSQL would cut the expiry off."""
    for name in FAULTS:
        lease = Lease(name, "k3f9a2x1b2c4", 99_999_999_999)
        assert len(lease.name) <= LONGEST
        assert parse(lease.name) == lease
        if FAULTS[name].target in {"link", "part"}:
            assert parse(lease.of("downstream").name) == lease.of("downstream")


def test_created_proxy_fits_a_leases_name_whatever_the_link_is_called() -> None:
    for link in ("a", "x" * 24, "x" * 25, "Ünder/the bridge", "a.b", "a_b", "---", "'; DROP"):
        name = created.lease_name(Link(name=link, toxiproxy="t"), "k3f9a2x1", 1_990_000_000)
        lease = parse(name)
        assert lease is not None, name
        assert (lease.fault, lease.run) == ("link", "k3f9a2x1")
    one, other = (created.part_of("x" * length) for length in (40, 41))
    assert one != other


def test_created_proxy_of_another_link_or_run_is_none_of_ours() -> None:
    link, other = Link(name="in", toxiproxy="t"), Link(name="out", toxiproxy="t")
    names = [created.lease_name(other, "k3f9a2x1", 1_990_000_000), created.lease_name(link, "another1", 1_990_000_000)]
    proxies = {name: Proxy(name, "127.0.0.1:1", "127.0.0.1:2") for name in names}
    with pytest.raises(Exception, match="a proxy that this run created"):
        created.proxy_of(link, proxies, "k3f9a2x1")
    assert created.proxy_of(other, proxies, "k3f9a2x1").name == names[0]


@pytest.mark.parametrize("share", [0.07, 0.1, 0.33, 0.5, 0.9, 0.999])
def test_enough_canaries_and_not_one_too_many(share: float) -> None:
    assert (1 - share) ** canaries(share) <= UNSEEN < (1 - share) ** (canaries(share) - 1)


def test_a_slicers_pauses_are_counted_by_message() -> None:
    """HTTP answers of 100 bytes in pieces of 50 have one pause each that anybody waits for."""
    pieces = wanted("slicer", {"averageSize": 50, "delay": "10ms"})
    line = Line("h", 1, "http", usual=0.001, reply=100, rounds=50)
    assert slicer.load(line, pieces) == 1500
    assert slicer.pauses(line, pieces) == pytest.approx(15 * 0.01)
    assert slicer.pauses(Line("h", 1, "postgresql"), pieces) == pytest.approx(29 * 0.01)


def test_a_bandwidths_load_takes_long_enough_but_not_longer() -> None:
    line = Line("h", 1, "postgresql")
    assert bandwidth.load(line, wanted("bandwidth", {"rate": 10})) == 3000
    assert bandwidth.load(line, wanted("bandwidth", {"rate": 1000})) == line.capacity


@pytest.mark.parametrize(
    "module", ["adapters.toxiproxy", "core.lease", "faults.cluster", "faults.created", "faults.link"]
)
def test_documented_examples_are_true(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"aftershock.{module}"))
    assert (tried > 0, failed) == (True, 0)


def test_expired_is_a_matter_of_the_targets_clock() -> None:
    lease = Lease("latency", "k3f9a2x1", int(time.time()))
    assert lease.expired(lease.expires)
    assert not lease.expired(lease.expires - 0.001)
