"""Things go wrong around a run: its executor is killed, a region is cut off, the chart is upgraded or uninstalled."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import ground
from cluster.conftest import upgrade
from cluster.doors import Namespace
from cluster.programs import until

RUN = "link-held"
LINK = "app-to-primary"
SOON = 5.0
"""Seconds after its lease by which a fault is gone on a busy machine; the reaper's own tests hold it to one."""


@pytest.fixture
def held(meetings: Namespace) -> Iterator[str]:
    """A run that holds the link at this moment; its name."""
    run = meetings.apply(RUN)
    until("the link is held", lambda: leases(meetings), ground.FOLDER)
    yield run
    meetings.kubectl("delete", "experiment", RUN, "--ignore-not-found", "--timeout=120s", patience=130)


def proxy(meetings: Namespace) -> dict[str, object]:
    """Ask Toxiproxy itself for the link."""
    address = meetings.tree("pods", "-l", "app.kubernetes.io/name=main")["items"][0]["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8474/proxies/{LINK}", timeout=5) as answer:
        return dict(json.load(answer))


def leases(meetings: Namespace) -> list[str]:
    """Return the names of what is held at the link."""
    found = proxy(meetings)["toxics"]
    assert isinstance(found, list)
    return [each["name"] for each in found]


def executor(run: str) -> int:
    """Return the process that carries a run out."""
    for pid in ground.in_pods():
        with suppress(OSError):  # it may have ended just now
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"execute" in words and run.encode() in words:
                return pid
    raise AssertionError(f"no process carries {run} out")


def test_a_run_whose_executor_is_killed_ends_clean_and_is_not_run_again(meetings: Namespace, held: str) -> None:
    (lease,) = leases(meetings)
    expiry = int(lease.rsplit(".", 1)[1])
    claimed = meetings.tree("run", held)["status"]["executor"]
    os.kill(executor(held), signal.SIGKILL)
    until("the link is whole", lambda: not leases(meetings) and proxy(meetings)["enabled"], ground.FOLDER)
    assert time.time() < expiry + SOON
    told = meetings.told(held)
    assert told.verdict == "Aborted" and "ExecutorLost" in told.because, told
    assert told.conditions["CleanedUp"][0] == "True", told
    assert meetings.tree("run", held)["status"]["executor"] == claimed
    assert len(meetings.tree("runs", "-l", f"aftershock.dev/experiment={RUN}")["items"]) == 1


def test_a_run_whose_targets_region_is_cut_off_ends_clean_once_it_is_mended(meetings: Namespace) -> None:
    """The executor, in the other region, sees its targets vanish with the fault in them."""
    cluster = meetings.cluster
    cluster.plane.kubectl("cordon", "us-west")
    try:
        run = meetings.apply(RUN)
        until("the link is held", lambda: leases(meetings), ground.FOLDER)
        cluster.cut("us-west")
        try:
            until("us-west is missed", lambda: not cluster.ready("us-west"), ground.FOLDER)
        finally:
            cluster.mend("us-west")
        until("us-west is back", lambda: cluster.ready("us-west"), ground.FOLDER)
        until("the link is whole", lambda: not leases(meetings) and proxy(meetings)["enabled"], ground.FOLDER)
        told = meetings.told(run)
        assert told.verdict != "Passed", told
    finally:
        cluster.plane.kubectl("uncordon", "us-west")
        meetings.kubectl("delete", "experiment", RUN, "--ignore-not-found", "--timeout=120s", patience=130)


def test_an_upgrade_lets_a_run_go_on(meetings: Namespace, held: str) -> None:
    upgrade(meetings.cluster, "aftershock", "podAnnotations.changed=yes")
    told = meetings.told(held)
    assert told.conditions["FaultLanded"] == ("True", "Landed"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    assert told.verdict == "Passed", told


def test_uninstalling_heals_first(meetings: Namespace, held: str) -> None:
    meetings.cluster.helm("uninstall", "aftershock", "-n", meetings.name, "--wait")
    assert leases(meetings) == [] and proxy(meetings)["enabled"]
    told = meetings.told(held)
    assert told.verdict == "Aborted", told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
