"""An executor's stand-in that can be killed: injects faults, says so, and holds them until something ends it.

python holder.py STACK.yaml RUN EXPIRES '[["latency", "link", {"latency": "100ms"}], …]'
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from aftershock.core.conditions import LANDING
from aftershock.faults.fault import Settling, Site
from aftershock.runtime.reaper import read_stack
from component.test_link_faults import hold_of


async def main(file: Path, run: str, expires: int, wanted: list[tuple[str, str, dict[str, object]]]) -> None:
    stack = read_stack(file)
    holds = [hold_of(Site(stack, target, file.parent), fault, tree, run, expires) for fault, target, tree in wanted]
    await asyncio.gather(*(hold.prepare() for hold in holds))
    print("prepared", flush=True)
    await asyncio.gather(*(hold.inject() for hold in holds))
    for hold, (fault, _, _) in zip(holds, wanted, strict=True):
        end = time.monotonic() + (hold.settles + LANDING if isinstance(hold, Settling) else 0.0)
        while not (seen := await hold.observe()).holds:
            assert time.monotonic() < end, (fault, seen)
            await asyncio.sleep(0.1)
    print("held", flush=True)
    await asyncio.sleep(1000)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])))
