"""The load generator: how exactly it keeps its schedule, and how much one core can send beside Locust and wrk.

Run: python bench/load.py [SECONDS]. Prints Markdown rows of percentiles and ratios. The generators take turns against the
same small server, three rounds each, and medians are compared, so that whatever else the machine does falls on all.
Locust is installed into an environment of its own under the cache, once; wrk is used where it is installed.

*A second*: requests answered in a second. *A CPU second*: in a second of the generator's own processor time, which other
work on the machine disturbs less.
"""

import asyncio
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))

from aftershock.adapters import home
from aftershock.core.history import Slice
from aftershock.model.metadata import Metadata
from aftershock.model.stack import HttpProbe, Indicator, Stack, StackSpec
from aftershock.model.units import Duration
from aftershock.probes.order import Order
from aftershock.probes.process import Prober

HERE = Path(__file__).parent
LOCUST = "locust==2.47.0"
RATE = 2000
FAR_TOO_MUCH = 60_000
ROUNDS = 3
CONNECTIONS = 50


class Ceiling(NamedTuple):
    """Requests answered a second, and a CPU second of the generator."""

    a_second: float
    a_cpu_second: float


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    cores = sorted(os.sched_getaffinity(0))
    port = _free()
    server = subprocess.Popen([sys.executable, HERE / "small_server.py", str(port), str(cores[-1])])
    os.sched_setaffinity(0, {cores[0]})  # every generator is a child of this process
    try:
        _wait(port)
        print(f"Generators on core {cores[0]}, server on core {cores[-1]}; load average {os.getloadavg()[0]:.1f}.\n")
        _print_errors(*send_errors(port, seconds))
        _print_ceilings(ceilings(port, seconds))
    finally:
        server.kill()
        server.wait()


# How exactly it sends.


def send_errors(port: int, seconds: float) -> tuple[list[float], float]:
    """Return how late each request went out, seconds, and the share of the time in which others had the core."""
    child = subprocess.run(
        [sys.executable, __file__, "--child", str(port), str(seconds)], check=True, capture_output=True, text=True
    )
    waited, *late = map(float, child.stdout.split())
    return late, waited / seconds


def child(port: int, seconds: float) -> None:
    """Run the worker itself in this process, with one addition: note the time after each send."""
    from aftershock.probes.http import Http
    from aftershock.probes.worker import Worker

    late: list[int] = []
    send = Http.send

    def noted(self: Http, request: object) -> None:
        send(self, request)
        late.append(worker.loop.now() - request.due)

    Http.send = noted
    commands, says = os.pipe()
    told = os.open(os.devnull, os.O_WRONLY)
    worker = Worker(order(port, "load", seconds + 1), commands, told, b"")
    os.write(says, b'{"command":"rates","steps":[[1.0,%d]]}\n' % RATE)
    waited = _waited()
    worker.run()
    print(_waited() - waited)
    print("\n".join(str(each / 1e9) for each in late))


def _waited() -> float:
    """Return the seconds in which this process could have run and was not let."""
    return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def _print_errors(late: list[float], waited: float) -> None:
    late.sort()
    p50, p99, p999 = (late[int(len(late) * q)] * 1000 for q in (0.5, 0.99, 0.999))
    print(f"For {waited:.1%} of the time other processes had the generator's core.\n")
    print("| send instant at 2,000/s on one core | p50 | p99 | p99.9 | most | aim |")
    print("|---|---|---|---|---|---|")
    print(f"| error, ms, of {len(late)} | {p50:.2f} | {p99:.2f} | {p999:.2f} | {late[-1] * 1000:.2f} | p99 ≤ 2 |\n")


# How much it can send.


def ceilings(port: int, seconds: float) -> dict[str, Ceiling]:
    """Let the generators take turns; return the median of each."""
    runs = {"aftershock": ours, "Locust FastHttpUser": locust} | ({"wrk": wrk} if shutil.which("wrk") else {})
    locust_program()
    found: dict[str, list[Ceiling]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            found[name].append(run(port, seconds))
    return {name: Ceiling(*map(statistics.median, zip(*rounds, strict=True))) for name, rounds in found.items()}


def ours(port: int, seconds: float) -> Ceiling:
    """Ask for more than it can do, and count what was answered; the rest is counted as unsent."""
    return asyncio.run(_ours(port, seconds))


async def _ours(port: int, seconds: float) -> Ceiling:
    prober = await Prober.start(order(port, "load", seconds + 1))
    await prober.rates([(1.0, FAR_TOO_MUCH)])
    hearing = asyncio.create_task(_slices(prober))
    await asyncio.sleep(1.5)
    begun, cpu = time.monotonic(), _cpu(prober.pid)
    await asyncio.sleep(seconds - 1)
    share = (_cpu(prober.pid) - cpu) / (time.monotonic() - begun)
    slices = [each for each in await hearing if 10 <= each.n < 10 + seconds * 10]
    rate = sum(each.good for each in slices) / (len(slices) * 0.1)
    return Ceiling(rate, rate / share)


async def _slices(prober: Prober) -> list[Slice]:
    return [event async for event in prober.events() if isinstance(event, Slice)]


def locust(port: int, seconds: float) -> Ceiling:
    done = subprocess.run(
        [locust_program(), "-f", HERE / "locustfile.py", "--headless", "--only-summary", "-u", str(CONNECTIONS),
         "-r", str(CONNECTIONS), "-t", f"{seconds:.0f}s", "--host", f"http://127.0.0.1:{port}", "--loglevel", "ERROR"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"BENCH (\S+) (\S+) (\S+)", done.stderr)
    if found is None:
        raise SystemExit(f"locust said nothing of use:\n{done.stderr}")
    count, wall, cpu = map(float, found.groups())
    return Ceiling(count / wall, count / cpu)


def locust_program() -> Path:
    """Return Locust's program, installed now if it isn't yet."""
    place = home.cache() / f"bench-{LOCUST.replace('==', '-')}"
    program = place / "bin" / "locust"
    if not program.exists():
        venv.create(place, with_pip=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", LOCUST], check=True)
    return program


def wrk(port: int, seconds: float) -> Ceiling:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", f"http://127.0.0.1:{port}/"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    count, wall = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout).groups()
    return Ceiling(int(count) / float(wall), int(count) / cpu)


def _print_ceilings(found: dict[str, Ceiling]) -> None:
    base = found["Locust FastHttpUser"]
    print("| ceiling on one core | a second, beside Locust | a CPU second, beside Locust | aim |")
    print("|---|---|---|---|")
    for name, each in found.items():
        aim = "≥ 3" if name == "aftershock" else ""
        a_second, a_cpu_second = each.a_second / base.a_second, each.a_cpu_second / base.a_cpu_second
        print(f"| {name} | {a_second:.1f} | {a_cpu_second:.1f} | {aim} |")
    if "wrk" not in found:
        print("\nwrk is not installed (apt-get install wrk).")


# What all need.


def order(port: int, counted: str, until: float) -> Order:
    indicator = Indicator(
        name="bench", every=Duration(0.01), timeout=Duration(1), http=HttpProbe(url=f"http://127.0.0.1:{port}/")
    )
    spec = StackSpec(era="1k", environment="test", indicators=[indicator])
    stack = Stack(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="bench"), spec=spec)
    return Order(
        counted=counted,
        origin=time.monotonic(),
        token="benchmrk",
        stack=stack,
        folder="/",
        indicators=["bench"],
        until=until,
    )


def _cpu(pid: int) -> float:
    """Return the processor seconds of a process's first thread, exactly; the times in `stat` are sampled."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit("the small server did not start")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
