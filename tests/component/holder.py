"""An executor's stand-in that can be killed: injects faults, says so, and holds them until something ends it.

python holder.py STACK.yaml RUN EXPIRES '[["latency", "link", {"latency": "100ms"}], …]'
"""

import asyncio
import json
import sys
from pathlib import Path

from aftershock.faults.fault import Site
from aftershock.runtime.reaper import read_stack
from component.test_link_faults import hold_of


async def main(file: Path, run: str, expires: int, wanted: list[tuple[str, str, dict[str, object]]]) -> None:
    stack = read_stack(file)
    holds = [hold_of(Site(stack, target, file.parent), fault, tree, run, expires) for fault, target, tree in wanted]
    await asyncio.gather(*(hold.prepare() for hold in holds))
    print("prepared", flush=True)
    await asyncio.gather(*(hold.inject() for hold in holds))
    for hold, (fault, _, _) in zip(holds, wanted, strict=True):
        seen = await hold.observe()
        assert seen.holds, (fault, seen)
    print("held", flush=True)
    await asyncio.sleep(1000)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])))
