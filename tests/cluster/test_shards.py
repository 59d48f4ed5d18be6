"""A load that four pods on two nodes share: what they send, who sees it, and what becomes of a run that loses one.

The journal is on a volume that both nodes mount, so that it is looked at where it lies; and read through the API, as who has
nothing but a kubeconfig would.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aftershock.core.history import Entered, Healed, History, Injected, Intended, Sharded, Slice
from cluster import ground
from cluster.conftest import upgrade
from cluster.doors import OPERATOR, Namespace
from cluster.journals import CLAIM, history, kept
from cluster.programs import until

RUN = "shared-load"
SHARDS = 4
BASE, SPIKE = 2, 6
"""Requests in a slice, of all four together."""


@pytest.fixture
def keeping(meetings: Namespace) -> Iterator[Namespace]:
    """Journals are kept where this machine can read them."""
    with kept(meetings):
        yield meetings
        meetings.kubectl("delete", "experiment", RUN, "--ignore-not-found", "--timeout=120s", patience=130)


def pods(meetings: Namespace) -> list[dict[str, object]]:
    found = meetings.tree("pods", "-l", "app.kubernetes.io/component=load")["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def told(pid: int, what: str) -> list[bytes]:
    """Return what /proc says of a process, `cmdline` or `environ`; nothing of one that has just ended."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().split(b"\0")
    except OSError:
        return []


def shards() -> dict[int, int]:
    """Return the processes that send, by the number of their shard."""
    found = {}
    for pid in ground.in_pods():
        environment = dict(each.partition(b"=")[::2] for each in told(pid, "environ"))
        if b"shard" in told(pid, "cmdline") and b"JOB_COMPLETION_INDEX" in environment:
            found[int(environment[b"JOB_COMPLETION_INDEX"])] = pid
    return found


def load(found: History) -> list[Slice]:
    return [one for one in found.all(Slice) if one.counted == "load"]


def states(found: History, state: str) -> list[Sharded]:
    return [one for one in found.all(Sharded) if one.state == state]


def test_four_pods_on_two_nodes_send_one_load_and_its_spike(keeping: Namespace) -> None:
    run = keeping.apply(RUN)
    keeping.reaches(run, "{.status.phase}=Active")
    running = pods(keeping)
    assert len(running) == SHARDS
    assert {each["spec"]["nodeName"] for each in running} == {"us-west", "us-east"}  # type: ignore[index]
    ended = keeping.told(run)
    found = history(keeping, run)
    sent, ready = load(found), states(found, "ready")
    assert sorted(one.shard for one in ready) == list(range(SHARDS))
    assert all(one.skew is not None and one.skew < 0.05 for one in ready)
    assert [one.n for one in sent] == list(range(sent[0].n, sent[-1].n + 1))
    begun, (injected,), (healed,) = found.entered("Baseline"), found.all(Injected), found.all(Healed)
    assert begun is not None
    calm = {one.planned for one in sent[1:] if one.n / 10 < injected.started - 0.5}
    held = {one.planned for one in sent if injected.started + 0.7 < one.n / 10 < healed.at - 0.3}
    assert (calm, held) == ({BASE}, {SPIKE}), "each slice has the shares of all four"
    unsent = sum(one.unsent for one in sent)
    assert ended.conditions["FaultLanded"] == ("True", "Landed"), ended
    assert ended.verdict == ("Inconclusive" if unsent else "Passed"), ended
    until("the pods are gone", lambda: not pods(keeping) and not shards(), ground.FOLDER)
    assert not keeping.tree("jobs", "-l", "app.kubernetes.io/component=load")["items"]


def test_a_pod_that_is_killed_is_named_and_its_share_is_on_record_as_not_sent(keeping: Namespace) -> None:
    run = keeping.apply(RUN)
    keeping.reaches(run, "{.status.phase}=Active")
    os.kill(shards()[2], 9)
    ended = keeping.told(run)
    found = history(keeping, run)
    (lost,) = states(found, "lost")
    assert lost.shard == 2
    after = [one for one in load(found)[:-1] if (one.n - 1) / 10 > lost.at]
    owed = sum(one.planned for one in after) / SHARDS
    assert after and sum(one.unsent for one in after) >= owed - SHARDS, "its share: where steps meet, one more or less"
    assert ended.verdict == "Inconclusive"
    assert "shard 2 of 4" in ended.because.lower()
    assert ended.conditions["CleanedUp"] == ("True", "Clean"), ended


def test_shards_end_when_their_executor_is_killed(keeping: Namespace) -> None:
    run = keeping.apply(RUN)
    keeping.reaches(run, "{.status.phase}=Active")
    assert len(shards()) == SHARDS
    for pid in ground.in_pods():
        if b"execute" in told(pid, "cmdline"):
            os.kill(pid, 9)
    until("nothing is sent any more", lambda: not shards(), ground.FOLDER)
    assert keeping.told(run).verdict == "Aborted"


def test_a_pod_that_finds_no_place_lets_nothing_begin_and_is_named(keeping: Namespace) -> None:
    """Each pod wants more than any node has."""
    much = "load.resources.requests.cpu=1000"
    upgrade(keeping.cluster, "aftershock", "journals.store=pvc", f"journals.pvc.existingClaim={CLAIM}", much)
    run = keeping.apply(RUN)
    ended = keeping.told(run)
    found = history(keeping, run)
    assert sorted(one.shard for one in states(found, "lost")) == list(range(SHARDS))
    assert "Unschedulable" in ended.because, ended
    assert ended.verdict == "Inconclusive"
    assert found.all(Intended) == [] and "Active" not in {one.phase for one in found.all(Entered)}
    assert not keeping.tree("jobs", "-l", "app.kubernetes.io/component=load")["items"]


@pytest.mark.parametrize("word", ["report", "judge"])
def test_a_journal_on_a_volume_is_read_with_nothing_but_a_kubeconfig(
    keeping: Namespace, word: str, tmp_path: Path
) -> None:
    run = keeping.apply("too-few-to-tell")
    ended = keeping.told(run)
    environment = {
        **os.environ,
        "AFTERSHOCK_HOME": str(tmp_path),
        "KUBECONFIG": str(keeping.cluster.plane.kubeconfig),
        "PYTHONPATH": str(OPERATOR),
    }
    how = ["--form", "json", "--out", "-"] if word == "report" else ["--json"]
    line = [sys.executable, "-m", "aftershock", word, f"run/{run}", "-n", keeping.name, *how]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=180)
    keeping.kubectl("delete", "experiment", "too-few-to-tell", "--timeout=120s", patience=130)
    assert json.loads(done.stdout.splitlines()[-1] if word == "judge" else done.stdout), done.stderr
    assert ended.verdict in done.stdout, done.stdout + done.stderr
    assert not keeping.tree("pods", "-l", "app.kubernetes.io/component=reader")["items"]
