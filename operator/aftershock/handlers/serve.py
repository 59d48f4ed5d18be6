"""`aftershock operator`: the watch, and what goes on beside it, until a signal ends it. Runs that go on are left alone."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any

import kopf

from aftershock.adapters.kubernetes import (
    ERAS,
    EXPERIMENTS,
    NAMESPACES,
    OURS,
    RUNS,
    STACKS,
    Api,
    ApiAwayError,
    MissingError,
)
from aftershock.adapters.threads import within
from aftershock.core.notice import Format
from aftershock.errors import AftershockError
from aftershock.runtime.cluster import health, jobs
from aftershock.runtime.cluster.bystanders import ROUND, Bystanders, Wanted
from aftershock.runtime.cluster.jobs import JobLauncher
from aftershock.runtime.cluster.launchers import ChildLauncher, Launcher
from aftershock.runtime.cluster.operator import Operator
from aftershock.runtime.cluster.rights import Rights
from aftershock.runtime.telling import Teller

Say = Callable[[str], object]
GROUP, VERSION = OURS.split("/")
PATIENCE = 20.0
WAITING = 1.0
"""Seconds between two looks whether the API server knows our kinds."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. No namespaces: all of them."""

    namespaces: Sequence[str] = ()
    launcher: str = "job"
    most: int = 20
    health_port: int | None = None
    metrics_port: int | None = None
    notify: Format = "cloudevents"
    keep_runs: float | None = None


def serve(asked: Asked, say: Say) -> int:
    """Go on until ended by a signal; return the exit code."""
    api = Api.connect()
    asyncio.run(_serve(api, asked, say))
    return 0


async def _serve(api: Api, asked: Asked, say: Say) -> None:
    stop = asyncio.Event()
    _heed_signals(stop)
    if not await _kinds_are_there(api, asked, say, stop):
        return
    namespaces: Sequence[str | None] = list(asked.namespaces) or [None]
    looking = Bystanders(api, Wanted(asked.metrics_port, asked.notify, asked.keep_runs), say)
    operator = Operator(
        api, lambda it: launcher(api, asked, it, say), namespaces, say, asked.most, looking.saw, looking.gone
    )
    if asked.health_port is not None:
        health.serve(asked.health_port, operator.amiss)
    working = asyncio.create_task(operator.work())
    beside = asyncio.create_task(_beside(looking, Rights(api, "operator", namespaces, Teller(say).amiss), say))
    await _say_absent(api, asked.namespaces, say)
    say(f"watching {', '.join(asked.namespaces) or 'all namespaces'} of {api.server}")
    threading.Thread(
        target=_watch, args=(operator, asked, say, asyncio.get_running_loop()), name="watch", daemon=True
    ).start()
    await stop.wait()
    say("ending; runs that go on are left alone")
    for task in (working, beside):
        task.cancel()
    await asyncio.wait([working, beside], timeout=1)
    os._exit(0)  # threads may be waiting for an API that is away; executors are processes of their own


def _heed_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


async def _beside(looking: Bystanders, rights: Rights, say: Say) -> None:
    """What goes on beside the work: a look at the operator's own rights, and at what is old enough to go."""
    while True:
        try:
            await rights.look()
            await within(PATIENCE, looking.round, time.time())
        except AftershockError as error:
            say(error.problem)
        await asyncio.sleep(ROUND)


def launcher(api: Api, asked: Asked, operator: Operator, say: Say) -> Launcher:
    """Return what carries Runs out."""
    if asked.launcher == "job":
        return JobLauncher(api, jobs.settings(os.environ))
    return ChildLauncher(operator.executor_ended, say)


async def _kinds_are_there(api: Api, asked: Asked, say: Say, stop: asyncio.Event) -> bool:
    """Wait until the API server answers and knows our kinds; tell whether it does, and it wasn't told to end before."""
    said, began = "", time.monotonic()
    while not stop.is_set():
        try:
            for resource in (ERAS, STACKS, EXPERIMENTS, RUNS):
                where = asked.namespaces[0] if asked.namespaces and resource.namespaced else None
                await within(PATIENCE, api.list, resource, where)
        except MissingError:
            problem = "the cluster doesn't know Aftershock's kinds; `aftershock crds | kubectl apply -f -` teaches it"
        except ApiAwayError as error:
            problem = error.problem
        else:
            return True
        if problem != said and (time.monotonic() - began > WAITING or "kinds" in problem):
            said = problem
            say(f"waiting: {problem}")
        await asyncio.sleep(WAITING)
    return False


async def _say_absent(api: Api, namespaces: Sequence[str], say: Say) -> None:
    """Say which namespaces are not there, as far as that may be asked: what they are to hold is heeded once they are."""
    for name in namespaces:
        with suppress(AftershockError):
            if await within(PATIENCE, api.find, NAMESPACES, name) is None:
                say(f"there is no namespace {name} yet: see whether it is the one that is meant")


def _watch(operator: Operator, asked: Asked, say: Say, loop: asyncio.AbstractEventLoop) -> None:
    """Watch for ever, in a thread and a loop of kopf's own; a watch that fails is begun anew, as levels and not edges count.

    Of its own, because kopf takes every task of its loop that is younger than itself for one of its own: where it fails, it
    cancels them all, the operator's work too.
    """
    for name in ("kopf", "aiohttp"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    while True:
        try:
            asyncio.run(_watch_once(operator, asked, loop))
            why = "kopf has left"
        except Exception as error:  # noqa: BLE001 - whatever ended it, somebody has to watch
            why = str(error).strip() or type(error).__name__
        say(f"the watch ended: {why}; it is begun anew")
        time.sleep(WAITING)


async def _watch_once(operator: Operator, asked: Asked, loop: asyncio.AbstractEventLoop) -> None:
    await kopf.operator(
        registry=registry(operator, loop),
        settings=settings(),
        clusterwide=not asked.namespaces,
        namespaces=list(asked.namespaces),
        standalone=True,
    )


class Patiently:
    """The seconds before each further try of a call, without end: an API that is away is asked until it answers."""

    def __init__(self, *first: float) -> None:
        self._first = first

    def __iter__(self) -> Iterator[float]:
        """Return a new run of seconds, of which the last is repeated."""
        return chain(self._first, repeat(self._first[-1]))


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: nothing is posted, scanned or marked, and a watch that is cut is taken up again at once."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 10
    chosen.watching.reconnect_backoff = 0.2
    chosen.networking.error_backoffs = Patiently(0.2, 0.5, 1)
    chosen.queueing.exit_timeout = 1.0
    chosen.process.ultimate_exiting_timeout = None  # it would be the whole process that is killed
    return chosen


def registry(operator: Operator, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
    """Return the handlers: each hands what it saw to the operator, whose loop that is, in the order in which it was seen."""
    kinds = kopf.OperatorRegistry()

    def hand(take: Callable[..., object], *what: object) -> None:
        loop.call_soon_threadsafe(take, *what)

    @kopf.on.login(registry=kinds)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**arguments) or kopf.login_with_service_account(**arguments)

    @kopf.on.event(GROUP, VERSION, EXPERIMENTS.plural, registry=kinds)
    async def experiment(event: kopf.RawEvent, **_: Any) -> None:
        hand(partial(operator.experiment_seen, gone=event["type"] == "DELETED"), dict(event["object"]))

    @kopf.on.event(GROUP, VERSION, RUNS.plural, registry=kinds)
    async def run(event: kopf.RawEvent, **_: Any) -> None:
        hand(partial(operator.run_shown, gone=event["type"] == "DELETED"), dict(event["object"]))

    @kopf.on.event(GROUP, VERSION, STACKS.plural, registry=kinds)
    async def stack(event: kopf.RawEvent, **_: Any) -> None:
        hand(operator.stack_seen, dict(event["object"]))

    @kopf.on.event(GROUP, VERSION, ERAS.plural, registry=kinds)
    async def era(**_: Any) -> None:
        hand(operator.era_seen)

    return kinds
