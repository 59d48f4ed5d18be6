"""Shards on machines whose clocks have nothing to do with ours: each in a time namespace of its own, which is a real one.

What makes the pods is the test's: `Nodes` takes the executor's Job where the API server would, and starts processes.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from aftershock.adapters.kubernetes import Api, Resource
from aftershock.core.history import Any_, Sharded, Slice
from aftershock.runtime.clock import RunClock
from aftershock.runtime.cluster import jobs
from aftershock.runtime.cluster.sharding import Pods
from planted import http, order, response, run_with, serving
from whole_runs import environment

RUN = run_with(3)
AHEAD = (0, 5_000, 77_777)
"""Seconds by which each machine's clock is ahead of ours: none of them was started when ours was."""

STEPS = [(6.0, 300.0), (7.0, 0.0)]


@dataclass
class Nodes:
    """Takes Jobs as the API server would, and starts their pods as a Job controller and kubelets would."""

    home: Path
    pods: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def create(self, _: Resource, job: Mapping[str, Any]) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        for number in range(job["spec"]["completions"]):
            told = {each["name"]: each["value"] for each in container["env"]} | {"JOB_COMPLETION_INDEX": str(number)}
            apart = ["unshare", "--time", f"--monotonic={AHEAD[number]}", "--fork", "--kill-child"]
            line = [*apart, sys.executable, "-m", "aftershock", *container["args"]]
            self.pods.append(subprocess.Popen(line, env=environment(self.home, told), stdin=subprocess.DEVNULL))

    def delete(self, _: Resource, name: str, namespace: str) -> None:
        self.deleted.append(f"{namespace}/{name}")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    able = ["unshare", "--time", "--monotonic=1", "--fork", "true"]
    if not shutil.which("unshare") or subprocess.run(able, capture_output=True).returncode:
        pytest.skip("no clock of its own for a process: that takes root on Linux 5.6 with util-linux 2.36")
    with ended(Nodes(tmp_path)) as made:
        yield made


@contextmanager
def ended(nodes: Nodes) -> Iterator[Nodes]:
    try:
        yield nodes
    finally:
        for pod in nodes.pods:
            pod.send_signal(signal.SIGKILL)
            pod.wait()


async def send(nodes: Nodes, url: str) -> list[Any_]:
    clock = RunClock()
    pods = Pods(cast("Api", nodes), RUN, jobs.settings({"AFTERSHOCK_IMAGE": "none"}), "127.0.0.1", print, patience=60.0)
    wanted = order([http("a", url)], counted="load")
    load = await pods.start(type(wanted)(**{**fields(wanted), "origin": clock.monotonic}), 3, clock)
    heard: list[Any_] = []

    async def hear() -> None:
        async for event in load.events():
            heard.append(event)  # noqa: PERF401 - what was heard before it failed is wanted, too

    hearing = asyncio.create_task(hear())
    await load.rates(STEPS)
    await asyncio.sleep(max(0.0, STEPS[-1][0] + 0.5 - clock.now()))
    await load.finish()
    await asyncio.wait_for(hearing, 60)
    await load.kill()
    return heard


def fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_they_send_at_the_same_run_seconds_whatever_their_clocks_say(nodes: Nodes) -> None:
    with serving(lambda _: response()) as server:
        heard = asyncio.run(send(nodes, server.url))
    slices = [one for one in heard if isinstance(one, Slice)]
    ready = [one for one in heard if isinstance(one, Sharded)]
    assert [(one.state, one.shard) for one in ready] == [("ready", 0), ("ready", 1), ("ready", 2)]
    assert all(one.skew is not None and one.skew < 0.05 for one in ready)
    assert [(one.n, one.planned) for one in slices] == [(n, 30) for n in range(60, 70)]
    assert sum(one.planned - one.unsent for one in slices) <= len(server.asked) <= 300
    assert nodes.deleted == ["here/" + nodes.deleted[0].partition("/")[2]]
    assert [pod.wait(30) for pod in nodes.pods] == [0, 0, 0]


def test_a_shard_without_an_executor_says_so(tmp_path: Path) -> None:
    told = {"AFTERSHOCK_EXECUTOR": "127.0.0.1:1", "AFTERSHOCK_KEY": "k", "JOB_COMPLETION_INDEX": "0"}
    quickly = (
        "import sys; from aftershock.probes import shard; shard.PATIENCE = 0.5; from aftershock.cli.app import run; "
    )
    line = [sys.executable, "-c", f"{quickly} sys.exit(run(['shard']))"]
    done = subprocess.run(line, env=environment(tmp_path, told), capture_output=True, text=True, timeout=60)
    assert done.returncode not in {0, 70}
    assert "can't be reached" in done.stderr and "try:" in done.stderr


def test_a_shard_that_nobody_ordered_says_what_orders_one(tmp_path: Path) -> None:
    bare = {name: "" for name in os.environ if name.startswith("AFTERSHOCK_EX")}
    line = [sys.executable, "-m", "aftershock", "shard"]
    done = subprocess.run(line, env=environment(tmp_path, bare), capture_output=True, text=True, timeout=60)
    assert "`load: {shards: N}`" in done.stderr, done.stderr
