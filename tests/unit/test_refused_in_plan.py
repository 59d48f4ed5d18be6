"""What can't be held by what the Stack says is refused before anything is touched: one fault, or two at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aftershock.core.plan import compile_plan
from aftershock.errors import InputError
from aftershock.faults.fault import Site
from aftershock.faults.registry import FAULTS
from aftershock.model.experiment import Experiment
from aftershock.model.load import Document, from_tree, load_text
from aftershock.model.stack import Stack
from aftershock.reports import outline
from aftershock.runtime import loading
from evidence import local_stack

HEAD = {"apiVersion": "aftershock.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "e"}}


def planned(*timeline: dict[str, Any], era: str = "10k", on: Document[Stack] | None = None) -> None:
    spec = {"stack": f"meetings-{era}", "timeline": list(timeline)}
    (experiment,) = load_text(json.dumps({**HEAD, "spec": spec}), "e.yaml", FAULTS).sound()
    stack = on or local_stack(era)
    loading.check_fit(experiment, stack)  # type: ignore[arg-type]
    loading.fitted(experiment, stack, [], Path("/tmp"))  # type: ignore[arg-type]


def step(fault: str, target: str, at: str = "2s", for_: str = "20s", **with_: object) -> dict[str, Any]:
    return {"at": at, "for": for_, "fault": fault, "target": target, "with": with_}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (step("replica-lag", "primary"), "the database primary is no replica in the Stack"),
        (step("replica-lag", "elsewhere"), "names no database `elsewhere`"),
        (step("db-primary-loss", "replica", by="kill"), "the database replica is no primary"),
        (step("region-loss", "eu", by="links"), "region `eu`"),
        (step("cache-loss", "primary", by="kill"), "`primary` is a database"),
    ],
)
def test_a_fault_that_the_stack_rules_out(fault: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planned(fault)


@pytest.mark.parametrize(
    ("target", "other", "said"),
    [
        ("us-east", "us-east", "can't be cut from itself"),
        ("us-east", "eu-west", "no database in the region eu-west takes writes"),
        ("us-east", "moon", "no database in the region moon takes writes"),
    ],
)
def test_a_split_that_would_be_none(target: str, other: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        planned(step("split-brain", target, **{"from": other}), era="1m")


def test_a_split_of_two_regions_that_both_take_writes() -> None:
    planned(step("split-brain", "us-east", **{"from": "us-west"}), era="1m")
    with pytest.raises(InputError, match="whether the link us-east-from-us-west is up"):
        planned(
            step("split-brain", "us-east", **{"from": "us-west"}),
            step("region-loss", "us-west", by="links"),
            era="1m",
        )


def without(stack: Document[Stack], **changed: object) -> Document[Stack]:
    """The same stack, whose DNS server says less of itself."""
    assert stack.object.spec.resolver
    resolver = replace(stack.object.spec.resolver, **changed) if changed else None
    return replace(stack, object=replace(stack.object, spec=replace(stack.object.spec, resolver=resolver)))


@pytest.mark.parametrize(
    ("stack", "to", "said", "advice"),
    [
        (local_stack("10k"), None, "names no resolver `dns`", "add one to `resolver` of the stack"),
        (without(local_stack("1m")), None, "`dns-stale` is held at a resolver", "add one to `resolver` of the stack"),
        (
            without(local_stack("1m"), name="other"),
            None,
            "`dns` is a workload; `dns-stale` is held at a resolver",
            "other",
        ),
        (
            without(local_stack("1m"), gdnsd=None),
            None,
            "what the DNS server dns answers can't be held",
            "resolver.gdnsd",
        ),
        (local_stack("1m"), "moon", "the DNS server dns leads nobody to moon", "`us-east`, `us-west`, `eu-west`"),
        (local_stack("1m"), "us-eats", "the DNS server dns leads nobody to us-eats", "did you mean `us-east`"),
    ],
)
def test_answers_that_can_not_be_held(stack: Document[Stack], to: str | None, said: str, advice: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        planned(step("dns-stale", "dns", **({"to": to} if to else {})), on=stack)
    assert advice in f"{told.value} {told.value.advice}"


def test_answers_are_held_by_one_at_a_time() -> None:
    planned(step("dns-stale", "dns"), step("region-loss", "us-east", by="links"), era="1m")
    with pytest.raises(InputError, match="`dns-stale` is at `dns` already then"):
        planned(step("dns-stale", "dns"), step("dns-stale", "dns", at="10s", to="us-west"), era="1m")
    fault = FAULTS["dns-stale"]
    alone = fault.alone(Site(local_stack("1m").object, "dns", Path("/tmp")), fault.parameters())
    assert list(alone) == ["what the DNS server dns answers"]


LOCK = {"table": "meetings"}
CLASHES = [
    (
        step("process-pause", "primary"),
        step("db-primary-loss", "primary", "12s", by="kill"),
        "the processes of primary",
    ),
    (
        step("link-down", "app-1-to-primary"),
        step("db-primary-loss", "primary", by="partition"),
        "whether the link app-1-to-primary is up",
    ),
    (step("db-lock-contention", "primary", **LOCK), step("write-contention", "primary", **LOCK), "the table meetings"),
    (step("cache-loss", "cache", by="pause"), step("process-kill", "cache"), "the processes of cache"),
]


@pytest.mark.parametrize(("one", "other", "what"), CLASHES)
def test_two_faults_that_need_the_same_at_once(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    for both in ((one, other), (other, one)):
        with pytest.raises(InputError, match=rf"timeline\[0\].* and timeline\[1\].*{what}"):
            planned(*both)


@pytest.mark.parametrize(("one", "other", "what"), CLASHES)
def test_one_after_the_other_they_may(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    planned({**one, "at": "2s", "for": "10s"}, {**other, "at": "12s", "for": "10s"})


def test_what_each_has_for_itself_may_be_at_once() -> None:
    planned(
        step("replica-lag", "replica"),
        step("process-pause", "app-1"),
        step("process-pause", "app-2"),
        step("latency", "app-1-to-primary", latency="10ms"),
        step("bandwidth", "app-1-to-primary", rate=100),
        step("db-lock-contention", "primary", table="notes"),
        step("write-contention", "primary", table="meetings"),
    )


def test_the_outline_says_what_a_target_is_to_its_fault() -> None:
    """`dns` is a DNS server whose answers can be held, and a process that can be killed."""
    for fault, said in (("dns-stale", "dns (resolver)"), ("process-kill", "dns (workload)")):
        spec = {"stack": "meetings-1m", "timeline": [step(fault, "dns")]}
        experiment = from_tree({**HEAD, "spec": spec}, Experiment, FAULTS)
        stack = local_stack("1m").object
        told = outline.text(compile_plan(experiment, stack), experiment, stack, [])
        assert f"  {said}: {fault}; lease 22 s" in told
