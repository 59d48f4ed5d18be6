"""Recoveries planted at known instants: the bracket from the slices contains each, and is as narrow as promised."""

import asyncio
import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

from aftershock.core.history import Slice
from aftershock.probes.process import Prober
from planted import HANG, Asked, Measured, collect, http, order, response, serving

EVERY = 0.01
TIMEOUT = 0.5
TIMES = 100 if os.environ.get("AFTERSHOCK_SOAK") == "1" else 20


@dataclass(frozen=True)
class Outage:
    """On CLOCK_MONOTONIC."""

    began: float
    ended: float


def plan(begin: float, seed: int) -> list[Outage]:
    """Outages that never share a slice with the one before."""
    chance = random.Random(seed)
    outages = []
    for _ in range(TIMES):
        began = begin + chance.uniform(0.3, 0.5)
        begin = began + chance.uniform(0.15, 0.3)
        outages.append(Outage(began, begin))
    return outages


def bracket(slices: list[Slice], since: float, until: float) -> tuple[float, float]:
    """Return what is known of an outage's end: the last failure, and the first success after it, in run seconds."""
    last = max(each.bad_until for each in slices if each.bad_until is not None and since <= each.bad_until < until)
    after = min(
        each.good_after
        for each in slices
        if each.good_after is not None and each.good_after >= last and each.n >= int(last * 10 + 1e-6)
    )
    return last, after


HOW = {"status": response(503), "hang": HANG, "reset": None}


class Planted:
    """A service that fails in one way during its outages."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.outages: list[Outage] = []

    def __call__(self, asked: Asked) -> bytes | None:
        away = any(each.began <= asked.at < each.ended for each in self.outages)
        return HOW[self.how] if away else response()

    def check(self, slices: list[Slice], origin: float) -> None:
        middles = [(one.ended + two.began) / 2 - origin for one, two in pairwise(self.outages)]
        bounds = pairwise([0.0, *middles, float("inf")])  # a late request may be due before the outage that it met
        for outage, (since, until) in zip(self.outages, bounds, strict=True):
            low, high = bracket(slices, since, until)
            truth = outage.ended - origin
            assert low <= truth <= high, f"{self.how}: {truth} is not in [{low}, {high}]"
            assert high - low <= 2 * EVERY + TIMEOUT, self.how


def test_brackets_contain_the_truth() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    planted = [Planted(how) for how in HOW]

    async def run(urls: list[str]) -> tuple[Measured, float]:
        indicators = [
            http(each.how, url, every=EVERY, timeout=TIMEOUT) for each, url in zip(planted, urls, strict=True)
        ]
        wanted = order(indicators, until=3600.0)
        prober = await Prober.start(wanted)
        try:
            hearing = asyncio.create_task(collect(prober))
            for number, each in enumerate(planted):
                each.outages = plan(time.monotonic(), seed + number)
            await asyncio.sleep(max(each.outages[-1].ended for each in planted) + 0.3 - time.monotonic())
            await prober.finish()
            return await asyncio.wait_for(hearing, 20), wanted.origin
        finally:
            await prober.kill()

    with ExitStack() as stack:
        servers = [stack.enter_context(serving(each)) for each in planted]
        measured, origin = asyncio.run(run([server.url for server in servers]))
    for each in planted:
        each.check(measured.slices(each.how), origin)
