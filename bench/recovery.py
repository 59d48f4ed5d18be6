"""The error of a measured recovery, and what measuring it costs: 100 planted recoveries, a probe each 10 ms.

Run: python bench/recovery.py [TIMES]. A service fails in three ways in turn (503, silence, reset) and recovers at instants
that it knows to the microsecond; beside them stands what the prober's slices say. Prints Markdown rows.
"""

import asyncio
import random
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from aftershock.core.history import Slice
from aftershock.probes.process import Prober
from planted import HANG, Asked, collect, http, order, response, serving

EVERY = 0.01
WAYS = (response(503), HANG, None)
SEED = 20261123


def plan(begin: float, times: int) -> list[tuple[float, float]]:
    """Return (began, ended) of each outage on CLOCK_MONOTONIC; none shares a slice with the one before."""
    chance = random.Random(SEED)
    found = []
    for _ in range(times):
        began = begin + chance.uniform(0.25, 0.35)
        begin = began + chance.uniform(0.1, 0.2)
        found.append((began, begin))
    return found


async def run(times: int) -> None:
    outages: list[tuple[float, float]] = []

    def answer(asked: Asked) -> bytes | None:
        for number, (began, ended) in enumerate(outages):
            if began <= asked.at < ended:
                return WAYS[number % len(WAYS)]
        return response()

    with serving(answer) as server:
        wanted = order([http("a", server.url, every=EVERY, timeout=1.0)], until=3600.0)
        prober = await Prober.start(wanted)
        hearing = asyncio.create_task(collect(prober))
        await asyncio.sleep(0.5)
        outages.extend(plan(time.monotonic(), times))
        begun, cpu = time.monotonic(), _cpu(prober.pid)
        await asyncio.sleep(outages[-1][1] + 0.3 - begun)
        share = (_cpu(prober.pid) - cpu) / (time.monotonic() - begun)
        await prober.finish()
        measured = await hearing
    relative = [(began - wanted.origin, ended - wanted.origin) for began, ended in outages]
    _print(errors(measured.slices(), relative), share, measured.total()[1])


def errors(slices: list[Slice], outages: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return for each recovery, in seconds: how far the truth lies from the middle, and from the farther end of its bracket."""
    found = []
    middles = [(ended + began) / 2 for (_, ended), (began, _) in pairwise(outages)]
    bounds = pairwise([0.0, *middles, float("inf")])  # a late request may be due before the outage that it met
    for (_, truth), (since, until) in zip(outages, bounds, strict=True):
        last = max(s.bad_until for s in slices if s.bad_until is not None and since <= s.bad_until < until)
        after = min(
            s.good_after for s in slices if s.good_after is not None and s.good_after >= last and s.n >= int(last * 10)
        )
        if not last <= truth <= after:
            raise SystemExit(f"the recovery at {truth} is not in [{last}, {after}]")
        found.append((abs((last + after) / 2 - truth), max(truth - last, after - truth)))
    return found


def _print(found: list[tuple[float, float]], share: float, unsent: int) -> None:
    print("| recovery at 10 ms probes | p50 | p95 | most | aim |")
    print("|---|---|---|---|---|")
    for name, column in (("the bracket's middle", 0), ("its farther end", 1)):
        each = sorted(pair[column] * 1000 for pair in found)
        p50, p95 = each[len(each) // 2], each[int(len(each) * 0.95)]
        aim = "≤ 12" if column == 0 else ""
        print(f"| error of {name}, ms, of {len(each)} | {p50:.1f} | {p95:.1f} | {each[-1]:.1f} | {aim} |")
    print("\n| prober at 100 probes a second | share of a core | unsent | aim |")
    print("|---|---|---|---|")
    print(f"| | {share:.1%} | {unsent} | ≤ 4% |")


def _cpu(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
